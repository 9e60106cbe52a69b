"""Bytes made text: encodings told and found, gzip, and what is no text."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from myna.corpus.encodings import open_text
from myna.errors import InputError

CHINESE = "这家饭店的服务非常好，我们下次还会再来住。\n早餐也很丰富，价格合理。\n"
FRENCH = "Le café était très bon, à côté de la forêt.\nOù êtes-vous ? Été, naïve, garçon, déjà vu.\n"


def read(path: Path, encoding: str = "auto") -> str:
    with open_text(path, encoding) as stream:
        return stream.read()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16", "utf-32"])
def test_chinese_is_read_whatever_its_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(CHINESE.encode(encoding))
    assert read(path) == CHINESE
    assert read(path, encoding) == CHINESE


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("big5", "這家飯店的服務非常好，我們下次還會再來住。早餐也很豐富，價格合理。"),
        ("cp932", "これは日本語のテキストです。明日は晴れるでしょう。"),
        ("euc_kr", "이것은 한국어 문장입니다. 오늘은 날씨가 좋습니다."),
    ],
)
def test_other_wide_encodings_are_found(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((text * 3).encode(encoding))
    assert read(path) == text * 3


def test_what_comes_late_in_a_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"plain\n" * 300_000 + CHINESE.encode("gb18030"))
    assert read(path).endswith(CHINESE)


def test_a_single_byte_encoding_is_asked_for_and_not_assumed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"ascii\n" + FRENCH.encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.txt:2: this is not UTF-8.*encoding = "):
        read(path)
    assert read(path, "latin-1") == "ascii\n" + FRENCH


def test_the_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff{}".encode())
    assert read(path) == read(path, "utf-8") == "{}"


def test_a_byte_that_is_not_of_the_encoding_told_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\n\xff\n")
    with pytest.raises(InputError, match=r"a\.txt:3: byte 0xff is not utf-8"):
        read(path, "utf-8")


def test_binary_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4)
    with pytest.raises(InputError, match="this is no text"):
        read(path)
    path.write_bytes(b"line\nthen a zero \0 byte")
    with pytest.raises(InputError, match=r"a\.txt:2: this is no text"):
        read(path)


def test_gzip_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    for name in ("a.txt.gz", "b.txt"):
        (tmp_path / name).write_bytes(gzip.compress(CHINESE.encode()))
        assert read(tmp_path / name) == CHINESE


def test_a_gzip_file_cut_off_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(CHINESE.encode())[:-12])
    with pytest.raises(InputError, match="this gzip file is damaged"):
        read(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match=r'a\.txt\.gz: this is no gzip file; take the "\.gz" off its name'):
        read(path)


def test_other_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=r"empty\.txt: this file is empty"):
        read(tmp_path / "empty.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "missing.txt")
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(InputError, match='there is no encoding "utf-9"'):
        read(tmp_path / "a.txt", "utf-9")
    with pytest.raises(InputError, match='there is no encoding "base64"'):
        read(tmp_path / "a.txt", "base64")
    with pytest.raises(InputError, match=r"this file cannot be read \(is a directory\)"):
        read(tmp_path)


@pytest.mark.parametrize("encoding", ["koi8-r", "cp1251", "iso8859-5"])
def test_cyrillic_is_not_taken_for_chinese(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Привет, как дела? Сегодня хорошая погода, и мы идём гулять в парк.".encode(encoding, "ignore"))
    with pytest.raises(InputError, match="its encoding is not certain"):
        read(path)
