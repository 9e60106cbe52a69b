"""Files as documents: which files a source stands for, and what each format makes of them."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from myna.corpus.dedup import Repeats
from myna.corpus.document import RawDocument, Span
from myna.corpus.readers import SourceConfig, read, source_files
from myna.errors import InputError
from myna.ledger import Ledger


def texts(path: Path | str, **settings: object) -> list[str]:
    return [document.text for document in read(SourceConfig(path=str(path), **settings))]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_folder_gives_its_files_of_known_kinds_in_order(tmp_path: Path) -> None:
    write(tmp_path / "texts/b.txt", "second")
    write(tmp_path / "texts/a.md", "first")
    write(tmp_path / "texts/deep/c.jsonl", '{"text": "third"}\n{"text": "fourth"}\n')
    write(tmp_path / "texts/d.csv", "text,n\nfifth,1\n")
    write(tmp_path / "texts/.hidden.txt", "no")
    write(tmp_path / "texts/.git/e.txt", "no")
    write(tmp_path / "texts/picture.png", "no")
    (tmp_path / "texts/z.txt").touch()
    ledger = Ledger()
    found = list(read(SourceConfig(path=str(tmp_path / "texts")), ledger))
    assert [(d.text, d.source) for d in found] == [
        ("first", "texts/a.md"),
        ("second", "texts/b.txt"),
        ("fifth", "texts/d.csv"),
        ("third", "texts/deep/c.jsonl"),
        ("fourth", "texts/deep/c.jsonl"),
    ]
    assert ledger.to_dict()["in"] == {"documents": 5, "characters": 27, "labels": 0}
    assert ledger.notes == {"empty files passed over": 1, "files of other kinds passed over": 1}


def test_a_pattern_gives_what_it_matches(tmp_path: Path) -> None:
    write(tmp_path / "src/a.py", "a = 1")
    write(tmp_path / "src/inner/b.py", "b = 2")
    write(tmp_path / "src/c.txt", "c")
    assert texts(tmp_path / "src/**/*.py") == ["a = 1", "b = 2"]
    names = [file.name for file in source_files(SourceConfig(path=str(tmp_path / "src/**/*.py")))]
    assert names == ["src/a.py", "src/inner/b.py"]


def test_gzip_does_not_hide_the_kind(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "packed"}\n'))
    assert texts(tmp_path / "a.jsonl.gz") == ["packed"]


def test_files_inside_an_installed_package_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "bird_songs/__init__.py", "raise RuntimeError('imported')")
    write(tmp_path / "bird_songs/songs/one.txt", "tweet")
    monkeypatch.syspath_prepend(tmp_path)
    [document] = read(SourceConfig(package="bird_songs", path="songs/one.txt"))
    assert (document.text, document.source) == ("tweet", "bird_songs/songs/one.txt")
    [document] = read(SourceConfig(package="bird_songs", path="songs"))
    assert document.source == "bird_songs/songs/one.txt"


def test_a_missing_package_is_named_with_its_remedy() -> None:
    with pytest.raises(InputError, match=r'"no_such_bird" is not installed; .*pip install no_such_bird'):
        source_files(SourceConfig(package="no_such_bird", path="a.txt"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.txt", "there is no such file or folder"),
        ("*.md", "no file matches this pattern"),
        ("empty", "there is no file in this folder"),
        ("pipe", "pipe: this is neither a file nor a folder"),
        ("odd", r"no file here has a known extension \(there are \.xyz\)"),
        ("dead.txt", r"dead\.txt: this link leads nowhere"),
        ("links", r"links/a\.txt: this link leads nowhere"),
        ("links/*.txt", r"links/a\.txt: this link leads nowhere"),
    ],
)
def test_sources_that_stand_for_nothing(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "dead.txt").symlink_to("nowhere.txt")
    write(tmp_path / "links/b.txt", "a")
    for name in ("a.txt", "a.xyz"):
        (tmp_path / "links" / name).symlink_to("nowhere.txt")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path / "odd/a.xyz", "a")
    with pytest.raises(InputError, match=message):
        source_files(SourceConfig(path=str(tmp_path / path)))


def test_a_folder_below_that_cannot_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "texts/a.txt", "a")
    closed = tmp_path / "texts/closed"
    closed.mkdir()
    scan = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"closed: this folder cannot be read \(permission denied\)"):
        source_files(SourceConfig(path=str(tmp_path / "texts")))


def test_a_format_told_goes_before_the_extension(tmp_path: Path) -> None:
    write(tmp_path / "odd/a.xyz", "one\ntwo")
    assert texts(tmp_path / "odd", format="lines") == ["one", "two"]
    assert texts(tmp_path / "odd/a.xyz") == ["one\ntwo"]


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="give one of the two"):
        SourceConfig(path="a", label="x", label_column="y")
    with pytest.raises(ValidationError, match="articles needs format"):
        SourceConfig(path="a", format="text", articles="headline")
    with pytest.raises(ValidationError, match="a path is needed"):
        SourceConfig(path=" ")


def test_lines_and_paragraphs_know_where_they_stand(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one\r\ntwo\r\n\r\n  \nthree\nfour")
    found = [(d.line, d.text) for d in read(SourceConfig(path=str(path), format="lines"))]
    assert found == [(1, "one"), (2, "two"), (3, ""), (4, "  "), (5, "three"), (6, "four")]
    found = [(d.line, d.text) for d in read(SourceConfig(path=str(path), format="paragraphs"))]
    assert found == [(1, "one\ntwo"), (5, "three\nfour")]


def test_one_label_and_one_split_for_a_whole_source(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one\ntwo\n")
    ledger = Ledger()
    found = list(read(SourceConfig(path=str(path), format="lines", label="good", split="test"), ledger))
    assert {(d.label, d.split) for d in found} == {("good", "test")}
    assert ledger.to_dict()["in"]["labels"] == 2


# ------------------------------------------------------------------------------------------------ tagged text

NEWS = """\
北京/ns  春天/t
江/nr  泽民/nr  在/p  北京/ns  说/v  。/w
李/nr  小明/nr  王/nr  同/p  司马/nr  光/nr  来/v  了/u  。/w

第二/m  篇/q
新华社/nt  １月/t  １日/t  电/n  。/w
"""


def news(tmp_path: Path, **settings: object) -> list[RawDocument]:
    path = write(tmp_path / "news.txt", NEWS)
    return list(read(SourceConfig(path=str(path), format="tagged", **settings)))


def test_tagged_lines_become_articles_with_words_and_entities(tmp_path: Path) -> None:
    first, second = news(tmp_path)
    assert first.text == "北京春天\n江泽民在北京说。\n李小明王同司马光来了。"
    assert second.text == "第二篇\n新华社１月１日电。"
    assert (first.line, second.line) == (1, 5)
    assert first.words is not None
    assert first.words.strings(first.text)[:7] == ["北京", "春天", "江", "泽民", "在", "北京", "说"]
    assert first.words.tags[:4] == ["ns", "t", "nr", "nr"]
    assert [(first.text[s.start : s.end], s.label) for s in first.spans or ()] == [
        ("北京", "LOC"), ("江泽民", "PER"), ("北京", "LOC"), ("李小明", "PER"), ("王", "PER"), ("司马光", "PER"),
    ]  # fmt: skip
    assert second.spans == (Span(4, 7, "ORG"),)


def test_an_article_is_its_own_group(tmp_path: Path) -> None:
    first, second = news(tmp_path)
    assert first.group == "北京春天李小明王同司马光来了。"
    assert second.group != first.group


def test_tagged_lines_can_stand_alone_or_all_together(tmp_path: Path) -> None:
    assert len(news(tmp_path, articles="line")) == 6
    [whole] = news(tmp_path, articles="file")
    assert whole.text.count("\n") == 4


def test_which_tags_are_entities_is_told(tmp_path: Path) -> None:
    first, _ = news(tmp_path, entities={"t": "TIME"})
    assert first.spans == (Span(2, 4, "TIME"),)


def test_a_word_that_is_a_slash_and_english_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "The/DT  price/NN  //SYM  unit/NN\n")
    [document] = read(SourceConfig(path=str(path), format="tagged", articles="line"))
    assert document.text == "The price / unit"
    assert document.words is not None
    assert document.words.tags == ["DT", "NN", "SYM", "NN"]


@pytest.mark.parametrize("broken", ["中国", "中国/", "/n"])
def test_a_word_without_a_tag_is_an_error_with_its_line(tmp_path: Path, broken: str) -> None:
    path = write(tmp_path / "a.txt", f"人民/n\n好/a  {broken}\n")
    with pytest.raises(InputError, match=rf'a\.txt:2: "{broken}" is not word/tag'):
        list(read(SourceConfig(path=str(path), format="tagged")))


def test_a_paragraph_seen_anywhere_before_is_dropped_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "1.txt", "甲/n\n北京/ns  很/d  好/a  。/w\n")
    write(tmp_path / "2.txt", "乙/n\n北京/ns  很/d  好/a  ！/w\n不/d  同/a  。/w\n")
    ledger = Ledger()
    source = SourceConfig(path=str(tmp_path), format="tagged")
    found = list(read(source, ledger, Repeats()))
    assert [d.text for d in found] == ["甲\n北京很好。", "乙\n不同。"]
    dropped = ledger.to_dict()["dropped"]
    assert dropped == {"repeated paragraph": {"characters": 5, "labels": 1}}
    assert ledger.to_dict()["in"] == {"documents": 2, "characters": 7 + 5 + 5, "labels": 2}


def test_plain_lines_are_cut_into_articles_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Spring\nIt is here.\nIt is warm.\n\nAutumn\nand its leaves\nThey fall.\n")
    assert texts(path, format="lines", articles="headline") == [
        "Spring\nIt is here.\nIt is warm.",
        "Autumn\nand its leaves\nThey fall.",
    ]
