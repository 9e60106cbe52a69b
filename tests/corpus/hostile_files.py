"""Tables of examples that are wrong: each is a good one with one thing wrong, drawn by a seed.

A harm changes what lies in a folder, and gives the arguments of ``myna finetune`` that read it.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Draw = random.Random
WORDS = ("好", "很好", "不错", "太慢", "送货", "书", "room", "clean", "cold", "soup", "kind", "price")
NAMES = ("PER", "LOC")
Row = dict[str, Any]


def texts(draw: Draw, count: int) -> list[str]:
    return [f"{''.join(draw.choice(WORDS) for _ in range(draw.randrange(2, 9)))} {n}" for n in range(count)]


def labelled(draw: Draw, count: int = 24) -> list[Row]:
    return [{"text": text, "label": ("good", "bad")[n % 2]} for n, text in enumerate(texts(draw, count))]


def valued(draw: Draw, count: int = 24) -> list[Row]:
    return [{"text": text, "value": round(draw.uniform(-4, 4), 2)} for text in texts(draw, count)]


def tagged(draw: Draw, count: int = 16) -> list[Row]:
    return [
        {
            "tokens": [*draw.choices(WORDS, k=4), str(n)],
            "tags": [f"B-{NAMES[n % 2]}", f"I-{NAMES[n % 2]}", "O", "O", "O"],
        }
        for n in range(count)
    ]


def several(draw: Draw, count: int = 24) -> list[Row]:
    return [{"text": text, "labels": ["cheap", "late"][: n % 3]} for n, text in enumerate(texts(draw, count))]


def jsonl(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def separated(rows: list[Row], separator: str = ",") -> list[str]:
    return [separator.join(rows[0]), *(separator.join(str(value) for value in row.values()) for row in rows)]


def table(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def conll(path: Path, rows: list[Row], separator: str = " ") -> Path:
    lines = [
        line
        for row in rows
        for line in (*(separator.join(p) for p in zip(row["tokens"], row["tags"], strict=True)), "")
    ]
    return table(path, lines)


def train(task: str, path: Path, *more: str | Path) -> list[str]:
    return [task, "--train", str(path), *map(str, more)]


# --------------------------------------------------------------------------------------------------- of every kind


def an_open_quote(folder: Path, draw: Draw) -> list[str]:
    lines = separated(labelled(draw))
    place = draw.randrange(1, len(lines))
    lines[place] = '"' + lines[place]
    return train("classification", table(folder / "a.csv", lines))


def a_quote_in_a_quoted_field(folder: Path, draw: Draw) -> list[str]:
    lines = separated(labelled(draw))
    lines[draw.randrange(1, len(lines))] = '"he said "well" to me",good'
    return train("classification", table(folder / "a.csv", lines))


def another_number_of_fields(folder: Path, draw: Draw) -> list[str]:
    separator, name = draw.choice([(",", "a.csv"), ("\t", "a.tsv")])
    lines = separated(labelled(draw), separator)
    place = draw.randrange(1, len(lines))
    lines[place] = draw.choice([lines[place].split(separator)[0], lines[place] + separator + "x"])
    return train("classification", table(folder / name, lines))


def two_columns_of_one_name(folder: Path, draw: Draw) -> list[str]:
    lines = [f"{line},{draw.choice(WORDS)}" for line in separated(labelled(draw))]
    lines[0] = draw.choice(["text,label,label", "text,label,text", "text, text ,label"])
    return train("classification", table(folder / "a.csv", lines))


def two_encodings(folder: Path, draw: Draw) -> list[str]:
    lines = [line.encode() for line in separated(labelled(draw))]
    place = draw.randrange(1, len(lines))
    lines[place] = draw.choice(["太慢了,bad".encode("gb18030"), b"caf\xe9,good", b"\xff\xfe,good", b"\x80,bad"])
    (folder / "a.csv").write_bytes(b"\n".join(lines) + b"\n")
    return train("classification", folder / "a.csv")


def zero_bytes(folder: Path, draw: Draw) -> list[str]:
    name = draw.choice(["a.csv", "a.tsv", "a.jsonl", "a.conll"])
    path = table(folder / name, separated(labelled(draw), "\t" if name == "a.tsv" else ","))
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data) // 2, len(data))] = 0
    path.write_bytes(data)
    return train("tagging" if name == "a.conll" else "classification", path)


def parquet_cut(folder: Path, draw: Draw) -> list[str]:
    path = folder / "a.parquet"
    pq.write_table(pa.Table.from_pylist(labelled(draw, 200)), path)
    data = path.read_bytes()
    cut = draw.choice([0, 3, 8, len(data) // 2, len(data) - 1, draw.randrange(12, len(data))])
    path.write_bytes(data[:cut])
    return train("classification", path)


def parquet_with_flipped_bytes(folder: Path, draw: Draw) -> list[str]:
    """Of the footer's length and mark, which every reader looks at first."""
    path = folder / "a.parquet"
    pq.write_table(pa.Table.from_pylist(labelled(draw, 200)), path)
    data = bytearray(path.read_bytes())
    data[-draw.randrange(1, 9)] ^= 0x5A
    path.write_bytes(data)
    return train("classification", path)


def parquet_of_another_kind(folder: Path, draw: Draw) -> list[str]:
    rows: list[Row] = labelled(draw)
    wrong = draw.choice([None, b"\xff\xfe", 3.5, [1, 2], {"a": 1}])
    column = draw.choice(["text", "label"])
    values = [wrong] * len(rows) if wrong is not None else [row[column] for row in rows[1:]] + [None]
    other = "label" if column == "text" else "text"
    written = pa.table({column: values, other: [row[other] for row in rows]})
    pq.write_table(written, folder / "a.parquet")
    return train("classification", folder / "a.parquet", "--set", f"{column}_column={column}")


def a_json_line_cut(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = labelled(draw)
    place = draw.randrange(len(rows))
    line = json.dumps(rows[place], ensure_ascii=False)
    rows[place] = line[: draw.randrange(1, len(line))]
    return train("classification", jsonl(folder / "a.jsonl", rows))


def no_object(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = labelled(draw)
    rows[draw.randrange(len(rows))] = draw.choice(["[1, 2]", "3", '"text"', "null", "true", "[]", "{}"])
    return train("classification", jsonl(folder / "a.jsonl", rows))


def deep_json(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = labelled(draw)
    depth = draw.choice([900, 5_000, 100_000])
    kind = draw.choice(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth])
    rows[draw.randrange(len(rows))] = f'{{"text": "x", "label": {kind}}}'
    return train("classification", jsonl(folder / "a.jsonl", rows))


def a_label_that_is_no_name(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = labelled(draw)
    wrong = draw.choice([1.5, [], ["good"], {"a": 1}, "", "\ud800", None, float("nan")])
    rows[draw.randrange(len(rows))]["label"] = wrong
    lines = [json.dumps(row) for row in rows]
    return train("classification", jsonl(folder / "a.jsonl", lines))


def a_text_that_is_none(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = labelled(draw)
    rows[draw.randrange(len(rows))]["text"] = draw.choice([None, 3, ["a"], True, "", " \t", "\u200b\ufeff", "\u3000"])
    return train("classification", jsonl(folder / "a.jsonl", rows))


def no_number(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = valued(draw)
    wrong = draw.choice(
        ["NaN", "Infinity", "-Infinity", '"inf"', '"nan"', '"3,5"', "1" * 400, '""', "true", "[1]", "null"]
    )
    place = draw.randrange(len(rows))
    rows[place] = f'{{"text": "x {place}", "value": {wrong}}}'
    return train("regression", jsonl(folder / "a.jsonl", rows))


def tags_of_another_length(folder: Path, draw: Draw) -> list[str]:
    rows = tagged(draw)
    row = rows[draw.randrange(len(rows))]
    row["tags"] = draw.choice([row["tags"][:-1], [*row["tags"], "O"], []])
    return train("tagging", jsonl(folder / "a.jsonl", rows))


def an_inside_tag_that_nothing_begins(folder: Path, draw: Draw) -> list[str]:
    rows = tagged(draw)
    place = draw.randrange(len(rows))
    rows[place]["tags"] = draw.choice([["O", "I-PER", "O", "O", "O"], ["I-LOC", "O", "O", "O", "O"]])
    as_lines = draw.random() < 0.5
    path = conll(folder / "a.conll", rows) if as_lines else jsonl(folder / "a.jsonl", rows)
    return train("tagging", path)


def a_tag_that_is_none(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = tagged(draw)
    rows[draw.randrange(len(rows))]["tags"][2] = draw.choice([3, None, "", "X-PER", "B-", "o", ["O"]])
    return train("tagging", jsonl(folder / "a.jsonl", rows))


def a_column_of_conll_missing(folder: Path, draw: Draw) -> list[str]:
    path = conll(folder / "a.conll", tagged(draw), draw.choice([" ", "\t"]))
    lines = path.read_text("utf-8").split("\n")
    place = draw.choice([number for number, line in enumerate(lines) if line])
    lines[place] = lines[place].split()[0]
    if draw.random() < 0.3:
        return train("tagging", table(path, lines[:-1]), "--set", "tags_column=5")
    return train("tagging", table(path, lines[:-1]))


def spans_out_of_their_text(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = [
        {"text": text, "spans": [{"start": 0, "end": 1, "label": NAMES[n % 2]}]}
        for n, text in enumerate(texts(draw, 16))
    ]
    wrong: Any = draw.choice(
        [
            [{"start": 0, "end": 999, "label": "PER"}],
            [{"start": 2, "end": 1, "label": "PER"}],
            [{"start": -1, "end": 1, "label": "PER"}],
            [{"start": 0, "end": 2, "label": "PER"}, {"start": 1, "end": 2, "label": "LOC"}],
            [{"start": 0, "end": 1}],
            "PER",
            [[0, 1]],
        ]
    )
    rows[draw.randrange(1, len(rows))]["spans"] = wrong
    return train("tagging", jsonl(folder / "a.jsonl", rows))


def a_label_of_the_test_unknown(folder: Path, draw: Draw) -> list[str]:
    split = draw.choice(["--test", "--validation"])
    others = labelled(draw)
    others[draw.randrange(len(others))]["label"] = draw.choice(["unheard of", "Good", "good "])
    other = jsonl(folder / "b.jsonl", [{**row, "text": f"new {row['text']}"} for row in others])
    return train("classification", jsonl(folder / "a.jsonl", labelled(draw)), split, other)


def a_label_of_one_text(folder: Path, draw: Draw) -> list[str]:
    """Alone, or with copies that differ in nothing that counts."""
    rows = labelled(draw)
    copies = draw.choice([["Once only"], ["Once only", "once, only!"], ["Once only"] * 5])
    rows += [{"text": text, "label": "rare"} for text in copies]
    draw.shuffle(rows)
    return train("classification", jsonl(folder / "a.jsonl", rows))


def one_label_everywhere(folder: Path, draw: Draw) -> list[str]:
    rows = [{**row, "label": "good"} for row in labelled(draw)]
    return train("classification", jsonl(folder / "a.jsonl", rows), "--set", "label_column=label")


def training_for_a_test(folder: Path, draw: Draw) -> list[str]:
    """The same texts in another order, another format, another case."""
    rows = labelled(draw)
    first = jsonl(folder / "a.jsonl", rows)
    draw.shuffle(rows)
    changed = [{**row, "text": draw.choice([row["text"], row["text"].upper(), row["text"] + "!"])} for row in rows]
    other = table(folder / "b.csv", separated(changed)) if draw.random() < 0.5 else jsonl(folder / "b.jsonl", changed)
    return train("classification", first, draw.choice(["--test", "--validation"]), other)


def too_few_rows(folder: Path, draw: Draw) -> list[str]:
    rows = [{"text": draw.choice(["a", "A!", "b"]), "label": draw.choice(["good", "bad"])} for _ in range(4)]
    return train("classification", jsonl(folder / "a.jsonl", rows[: draw.randrange(0, 4)]))


def texts_with_every_label(folder: Path, draw: Draw) -> list[str]:
    """Each text has both labels, so that none can be trusted."""
    rows = [{**row, "label": label} for row in labelled(draw) for label in ("good", "bad")]
    draw.shuffle(rows)
    return train("classification", jsonl(folder / "a.jsonl", rows))


def a_huge_field_without_an_end(folder: Path, draw: Draw) -> list[str]:
    lines = separated(labelled(draw))
    lines[draw.randrange(1, len(lines))] = '"' + draw.choice(WORDS) * 300_000
    return train("classification", table(folder / "a.csv", lines))


def several_labels_that_are_no_list(folder: Path, draw: Draw) -> list[str]:
    rows: list[Any] = several(draw)
    rows[draw.randrange(len(rows))]["labels"] = draw.choice([3, {"a": 1}, [1], [["a"]], [""], None, [None]])
    return train("multilabel", jsonl(folder / "a.jsonl", rows))


def no_column_for_it(folder: Path, draw: Draw) -> list[str]:
    task, rows = draw.choice([("pairs", labelled(draw)), ("multilabel", valued(draw)), ("tagging", labelled(draw))])
    return train(task, table(folder / "a.csv", separated(rows)))


def gzip_cut(folder: Path, draw: Draw) -> list[str]:
    data = gzip.compress("\n".join(separated(labelled(draw))).encode())
    cut = data[: draw.randrange(3, len(data) - 1)] if draw.random() < 0.7 else b"text,label\n"
    (folder / "a.csv.gz").write_bytes(cut)
    return train("classification", folder / "a.csv.gz")


def a_file_that_is_none(folder: Path, draw: Draw) -> list[str]:
    path = folder / draw.choice(["a.csv", "a.jsonl", "a.conll", "a.parquet", "a.arrow", "a.txt", "a.pdf"])
    path.write_bytes(draw.choice([b"", b"\n\n\n", b"\0\0\0\0", bytes(draw.randrange(256) for _ in range(300))]))
    return train("tagging" if path.suffix == ".conll" else "classification", path)


HARMS: list[Callable[[Path, Draw], list[str]]] = [
    value
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__module__", "") == __name__
    and list(value.__annotations__) == ["folder", "draw", "return"]
]


def hostile_files(parent: Path, count: int) -> Iterator[tuple[str, list[str]]]:
    """What is wrong, and the arguments; every way to be wrong is drawn equally often."""
    for number in range(count):
        harm, folder = HARMS[number % len(HARMS)], parent / f"{number:03}"
        folder.mkdir()
        yield f"{number:03} {harm.__name__}", harm(folder, Draw(number))
