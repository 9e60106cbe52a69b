"""The lines of TOML's keys, and writing it."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from myna import toml

TEXT = '''\
# a comment with "quotes" and [brackets]
name = "x # y"
[corpus.news]
sources = [ # a comment
  { path = "a,b]", format = "text" },
  { path = """
many ] ,
"lines"" """, label = 'a' },
]
[[corpus."re views".sources]]
path = "p"
[[corpus."re views".sources]]
entities = { nr = "PER", ns.x = "LOC" }
[corpus."re views".sources.more]
key = 1979-05-27T07:32:00Z
[pretrain]
encoder.steps = 1_000
'''

names = st.one_of(st.sampled_from(["a", "b-c", "语料"]), st.text(max_size=5))
scalars = st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


def test_each_key_has_its_line() -> None:
    tomllib.loads(TEXT)
    lines = toml.lines_of(TEXT)
    assert lines["name",] == 2
    assert lines["corpus",] == lines["corpus", "news"] == 3
    assert lines["corpus", "news", "sources", 0, "format"] == 5
    assert lines["corpus", "news", "sources", 1, "path"] == 6
    assert lines["corpus", "news", "sources", 1, "label"] == 8
    assert lines["corpus", "re views", "sources", 1] == 12
    assert lines["corpus", "re views", "sources", 1, "entities", "ns", "x"] == 13
    assert lines["corpus", "re views", "sources", 1, "more", "key"] == 15
    assert lines["pretrain", "encoder", "steps"] == 17


def test_the_line_ends_of_windows_make_no_difference() -> None:
    assert toml.lines_of(TEXT.replace("\n", "\r\n")) == toml.lines_of(TEXT)


@given(st.dictionaries(names, values, max_size=4))
def test_what_is_written_is_read_back_and_every_key_of_it_has_a_line(table: dict[str, Any]) -> None:
    text = toml.write(table)
    assert tomllib.loads(text) == table
    assert {path[0] for path in toml.lines_of(text)} == set(table)


def test_none_is_left_out() -> None:
    assert tomllib.loads(toml.write({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}
