"""Files are whole or not there: whatever call a crash comes at, the old artefact or the new one is found."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from myna import files
from myna.errors import InputError, RunError

from .crashes import crash_at_every_call


def fill(path: Path, content: str) -> None:
    with files.new_folder(path) as place:
        for name in ("a", "b"):
            with files.open_new(place / name) as stream:
                stream.write((content + name).encode())


def content(path: Path) -> list[str]:
    return [p.read_text() for p in sorted(path.iterdir())] if path.exists() else []


def test_a_folder_is_old_or_new_whatever_call_a_crash_comes_at(tmp_path: Path) -> None:
    def start(place: Path) -> None:
        fill(place / "x", "old")

    def write(place: Path) -> None:
        fill(place / "x", "new")

    calls = 0
    for place in crash_at_every_call(tmp_path, start, write):
        files.sweep(place)
        assert content(place / "x") in (["olda", "oldb"], ["newa", "newb"])
        assert [p.name for p in place.iterdir()] == ["x"]
        calls += 1
    assert calls > 12


def test_a_file_is_old_or_new_whatever_call_a_crash_comes_at(tmp_path: Path) -> None:
    for place in crash_at_every_call(
        tmp_path, lambda p: files.write_text(p / "x", "old"), lambda p: files.write_text(p / "x", "new")
    ):
        assert (place / "x").read_text() in ("old", "new")
        files.sweep(place)
        assert [p.name for p in place.iterdir()] == ["x"]


def test_two_processes_that_write_a_file_at_once_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first waits for the disk, the second writes the file from its beginning to its end."""
    sync, first = os.fsync, os.getpid()

    def late(descriptor: int) -> None:
        if os.getpid() == first:
            monkeypatch.setattr(os, "getpid", lambda: first + 1)
            files.write_text(tmp_path / "x", "second")
            assert (tmp_path / "x").read_text() == "second"
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", late)
    files.write_text(tmp_path / "x", "the first")
    assert (tmp_path / "x").read_text() == "the first"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_is_being_written_is_left_to_who_writes_it(tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "x") as place:
        (place / "a").write_text("first")
        with pytest.raises(RunError, match=r"x: another process is writing this folder; wait until it ends"):
            fill(tmp_path / "x", "second")
    assert content(tmp_path / "x") == ["first"]
    fill(tmp_path / "x", "second")
    assert content(tmp_path / "x") == ["seconda", "secondb"]


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="x: this is a folder, not a file; give another name"):
        files.write_text(tmp_path / "x", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("write", [lambda p: fill(p, "new"), lambda p: files.write_text(p, "new")])
def test_everything_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write) -> None:
    """The order that a power cut asks for: content, then name, then the folder that holds the name."""
    calls: list[tuple[str, str]] = []
    sync, rename = os.fsync, os.rename

    def noted_sync(descriptor: int) -> None:
        calls.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        sync(descriptor)

    def noted_rename(old: Path, new: Path) -> None:
        calls.append(("rename", Path(new).name))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "rename", noted_rename)
    write(tmp_path / "x")
    renamed = calls.index(("rename", "x"))
    synced = {name for kind, name in calls[:renamed] if kind == "sync"}
    assert synced & {".x.new", f".x.{os.getpid()}.new"}
    assert not (tmp_path / "x").is_dir() or {"a", "b"} <= synced
    assert calls[renamed + 1 :] == [("sync", tmp_path.name)]


def test_an_error_in_the_block_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path / "x", "old")
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "x") as place:
        (place / "a").write_text("half")
        raise ZeroDivisionError
    assert content(tmp_path / "x") == ["olda", "oldb"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "x", "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"x: the disk is full; make room and give the same command again") as error:
        fill(tmp_path / "x", "new")
    assert error.value.exit_code == 1
    assert content(tmp_path / "x") == ["olda", "oldb"]
    with pytest.raises(RunError):
        files.write_text(tmp_path / "y", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_disk_that_fills_while_a_folder_is_copied_is_the_same_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "from", "old")
    (tmp_path / "from" / "c").mkdir()
    (tmp_path / "from" / "c" / "d").write_text("deep")
    with files.new_folder(tmp_path / "x") as place:
        files.copy_folder(tmp_path / "from", place)
    assert [p.read_text() for p in (tmp_path / "x/a", tmp_path / "x/b", tmp_path / "x/c/d")] == ["olda", "oldb", "deep"]

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(RunError, match=r"y: the disk is full; make room"), files.new_folder(tmp_path / "y") as place:
        files.copy_folder(tmp_path / "from", place)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["from", "x"]


def test_what_the_block_may_not_read_is_no_fault_of_the_place(tmp_path: Path) -> None:
    """Only the folder that is filled is written to: a file elsewhere that is refused was to be read."""
    fill(tmp_path / "x", "old")
    with pytest.raises(PermissionError, match="elsewhere"), files.new_folder(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "elsewhere"))
    with (
        pytest.raises(RunError, match=r"x: this place cannot be written to; choose another with --to"),
        files.new_folder(tmp_path / "x") as place,
    ):
        raise PermissionError(errno.EACCES, "Permission denied", str(place / "a"))
    assert content(tmp_path / "x") == ["olda", "oldb"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_sweep_clears_what_is_left_and_nothing_of_somebody_else(tmp_path: Path) -> None:
    for name in (".x.new", "inner/.y.new"):
        files.write_text(tmp_path / name, "left")
    for name in (".z.old", ".both.old", "both", ".half.new"):
        fill(tmp_path / name, name)
    for name in (".x.old", "x.new", ".hidden"):
        files.write_text(tmp_path / name, "own")
    for name in (".link.old", ".link.new"):
        (tmp_path / name).symlink_to(tmp_path / "both", target_is_directory=True)
    files.sweep(tmp_path)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")}
    own = {".x.old", "x.new", ".hidden", ".link.old", ".link.new"}
    assert left == {*own, "inner", "both", "both/a", "both/b", "z", "z/a", "z/b"}
    assert content(tmp_path / "z") == [".z.olda", ".z.oldb"]
    assert content(tmp_path / "both") == ["botha", "bothb"]


def test_a_folder_is_verified_by_a_path_that_goes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "here")
    manifest = files.manifest("../model")
    files.verify("../model", manifest)
    with pytest.raises(InputError, match="names others"):
        files.verify("../model", {"../here/a": manifest["a"]})


def test_verify_names_the_file_that_is_missing_or_changed(tmp_path: Path) -> None:
    fill(tmp_path / "x", "old")
    manifest = files.manifest(tmp_path / "x")
    files.verify(tmp_path / "x", manifest)
    (tmp_path / "x" / "b").write_text("old!")
    with pytest.raises(InputError, match=r"b: this file is damaged: its checksum differs"):
        files.verify(tmp_path / "x", manifest)
    (tmp_path / "x" / "b").write_text("o")
    with pytest.raises(InputError, match=r"b: this file has 1 bytes, not 4"):
        files.verify(tmp_path / "x", manifest)
    (tmp_path / "x" / "b").unlink()
    with pytest.raises(InputError, match=r"b: this file is missing"):
        files.verify(tmp_path / "x", manifest)


@pytest.mark.parametrize("manifest", [None, [], "a", {"a": 3}, {"a": {"bytes": 4}}, {"a": {"sha256": ""}}])
def test_a_manifest_that_is_none_is_damaged(tmp_path: Path, manifest: object) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}: the list of this folder's files is damaged; make or fetch"):
        files.verify(tmp_path, manifest)


def test_a_path_through_a_file_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for path in (tmp_path / "x" / "y", tmp_path / "x" / "y" / "z"):
        with pytest.raises(InputError, match=f"^{path}: a part of this path is a file, not a folder; choose another"):
            files.write_text(path, "")
        with pytest.raises(InputError, match="a part of this path is a file"):
            fill(path, "")


def test_a_folder_that_is_none_says_what_it_is(tmp_path: Path) -> None:
    files.check_folder(tmp_path)
    (tmp_path / "x").touch()
    with pytest.raises(InputError, match="x: this is a file, not a folder"):
        files.check_folder(tmp_path / "x")
    with pytest.raises(InputError, match="y: there is no such folder"):
        files.check_folder(tmp_path / "y")


def test_a_file_that_cannot_be_hashed_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}: this file cannot be read \\(is a directory\\)$"):
        files.sha256(tmp_path)


def test_an_object_is_nothing_else(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x", {"a": 1})
    assert files.read_object(tmp_path / "x") == {"a": 1}
    for value in ([], "a", 3, None):
        files.write_json(tmp_path / "y", value)
        with pytest.raises(InputError, match=r"y: this file is damaged \(it holds no JSON object\)"):
            files.read_object(tmp_path / "y")
    with pytest.raises(InputError, match="z: this file is missing"):
        files.read_object(tmp_path / "z")


def test_json_that_is_broken_names_its_line(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x", {"a": "鸟", "b": 1.5})
    assert files.read_json(tmp_path / "x") == {"a": "鸟", "b": 1.5}
    (tmp_path / "x").write_text('{\n"a": ]')
    with pytest.raises(InputError, match=r"x:2: this file is damaged \(Expecting value at column 6\)$"):
        files.read_json(tmp_path / "x")
    with pytest.raises(InputError, match="missing"):
        files.read_json(tmp_path / "y")
    with pytest.raises(InputError, match=r"this file cannot be read \(is a directory\)"):
        files.read_json(tmp_path)
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "z", float("nan"))


def test_a_log_grows_and_is_cut(tmp_path: Path) -> None:
    files.append_text(tmp_path / "log", "one\n")
    files.append_text(tmp_path / "log", "two\n")
    files.truncate(tmp_path / "log", 4)
    assert (tmp_path / "log").read_text() == "one\n"


def test_remove_takes_files_and_folders(tmp_path: Path) -> None:
    fill(tmp_path / "x", "old")
    files.write_text(tmp_path / "y", "old")
    for name in ("x", "y", "z"):
        files.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_names_the_process(tmp_path: Path) -> None:
    hold = "import sys, myna.files as f\nwith f.lock(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"in use by process {other.pid}"), files.lock(tmp_path):
            pass
        other.kill()
    with files.lock(tmp_path):
        pass
