"""Three hundred hostile folders: each is one line and exit code 2, in little time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from myna.inference.loaded import load

from .hostile import BASES, HARMS, hostile_folders, write_base

COUNT = 300
# A process of its own, so that neither a crash nor the memory of other tests is taken for theirs.
CHILD = """
import json, sys, time
from pathlib import Path
from myna import inspection
from myna.errors import InputError
from myna.inference.loaded import load

# What getrusage says counts the process that this one was forked from.
lines = lambda: dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = lambda: int(lines()["VmHWM"].split()[0]) * 1024
began = time.process_time()
for folder in sorted(Path(sys.argv[1]).glob("[0-9][0-9][0-9]")):
    before = time.process_time()
    try:
        load(folder)
        said, code = "nothing is wrong", 0
    except InputError as error:
        said, code = str(error), error.exit_code
    except BaseException as error:
        said, code = repr(error), 1
    try:
        inspection.show(folder)
    except InputError as error:
        code = code if str(error).isprintable() else 1
    print(json.dumps({"folder": folder.name, "said": said, "code": code, "seconds": time.process_time() - before}))
print(json.dumps({"peak": peak(), "seconds": time.process_time() - began}))
"""


def test_the_folders_that_are_harmed_are_good_before(tmp_path: Path) -> None:
    for family in BASES:
        write_base(family, tmp_path / family)
        assert load(tmp_path / family).model.config.hidden_size == 8


def test_each_of_300_hostile_folders_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    harmed = {folder.name: harm for harm, folder in hostile_folders(tmp_path, COUNT)}
    child = [sys.executable, "-c", CHILD, str(tmp_path)]
    done = subprocess.run(child, capture_output=True, text=True, timeout=120, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    total = lines.pop()
    assert (done.returncode, len(lines)) == (0, COUNT), done.stderr[-2000:]
    wrong = [f"{harmed[line['folder']]} -> {line['said'][:300]}" for line in lines if line["code"] != 2]
    assert not wrong, "\n".join(wrong)
    for line in lines:
        where = harmed[line["folder"]]
        assert line["said"].isprintable(), (where, line["said"])
        assert len(line["said"]) < 600, (where, line["said"])
        assert f"/{line['folder']}" in line["said"], (where, line["said"])
        assert line["seconds"] < 2, where
    assert total["peak"] < 1 << 30
    assert total["seconds"] < 15
    assert len({harm.split(": ")[1] for harm in harmed.values()}) == len(HARMS)
    assert not done.stderr, done.stderr[:2000]
