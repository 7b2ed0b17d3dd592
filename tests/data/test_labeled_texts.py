"""Labeled texts: every format gives the same, columns and labels are found."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from labeled_files import (
    LABELS,
    ROWS,
    assert_in,
    load,
    message,
    records,
    table_rows,
    write_csv,
    write_json_lines,
    write_lines,
)
from semeval import LABELS as EMOTIONS
from semeval import SEMEVAL, needs_semeval, tweets

from stacked_emotion.data.labeled_texts import (
    DataArguments,
    LabeledTexts,
    load_labeled_texts,
    warn_about_overlap,
)


def write_format(folder: Path, kind: str) -> tuple[Path, dict]:
    if kind == "csv":
        return write_csv(folder / "a.csv", table_rows()), {}
    if kind == "csv with byte order mark, CRLF and semicolons":
        path = write_csv(folder / "a.csv", table_rows(), delimiter=";")
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        return path, {"delimiter": ";"}
    if kind in ("tsv", "txt", "tsv with CRLF"):
        lines = ["\t".join(map(str, row)) for row in table_rows()]
        newline = "\r\n" if kind.endswith("CRLF") else "\n"
        return write_lines(folder / f"a.{kind[:3]}", *lines, newline=newline), {}
    if kind == "quoted tsv":
        return write_csv(folder / "a.tsv", table_rows(), delimiter="\t"), {"quoting": "csv"}
    if kind == "jsonl":
        return write_json_lines(folder / "a.jsonl", *records()), {}
    if kind == "json lines in .json":
        return write_json_lines(folder / "a.json", *records()), {}
    if kind == "json list":
        (folder / "a.json").write_text(json.dumps(records(), indent=1, ensure_ascii=False))
        return folder / "a.json", {}
    names = [[n for n, on in zip(LABELS, labels, strict=True) if on] for *_, labels in ROWS]
    lists = [
        {"id": i, "text": text, "labels": n} for (i, text, _), n in zip(ROWS, names, strict=True)
    ]
    if kind == "jsonl of names":
        return write_json_lines(folder / "a.jsonl", *lists), {"label_names": LABELS}
    if kind in ("csv of names", "csv of lists as JSON", "csv of lists as Python"):
        show = {"N": json.dumps, "n": repr}.get(kind[-1], ",".join)
        rows = [["id", "text", "labels"], *[[r["id"], r["text"], show(r["labels"])] for r in lists]]
        return write_csv(folder / "a.csv", rows), {"label_names": LABELS}
    import datasets

    if kind == "parquet of class numbers":
        numbers = [
            {**record, "labels": [LABELS.index(n) for n in record["labels"]]} for record in lists
        ]
        features = datasets.Features(
            {
                "id": datasets.Value("string"),
                "text": datasets.Value("string"),
                "labels": datasets.List(datasets.ClassLabel(names=LABELS)),
            }
        )
        data_set = datasets.Dataset.from_list(numbers, features=features)
    elif kind == "parquet of booleans":
        data_set = datasets.Dataset.from_list(
            [{**r, **{name: bool(r[name]) for name in LABELS}} for r in records()]
        )
    else:
        data_set = datasets.Dataset.from_list(records())
    data_set.to_parquet(folder / "a.parquet")
    return folder / "a.parquet", {}


@pytest.mark.parametrize(
    "kind",
    [
        "csv",
        "csv with byte order mark, CRLF and semicolons",
        "tsv",
        "tsv with CRLF",
        "txt",
        "quoted tsv",
        "jsonl",
        "json lines in .json",
        "json list",
        "jsonl of names",
        "csv of names",
        "csv of lists as JSON",
        "csv of lists as Python",
        "parquet",
        "parquet of booleans",
        "parquet of class numbers",
    ],
)
def test_every_format_gives_the_same_texts_and_labels(tmp_path, kind):
    path, options = write_format(tmp_path, kind)
    texts = load(path, **options)
    assert texts.texts == [text for _, text, _ in ROWS]
    assert texts.ids == [i for i, *_ in ROWS]
    assert texts.label_names == LABELS
    assert texts.labels.dtype == np.int8
    assert texts.labels.tolist() == [list(labels) for *_, labels in ROWS]
    assert texts.source == str(path)
    assert texts.notes == []


def test_quoted_line_breaks_are_kept_and_lines_counted_as_an_editor_does(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["text", "joy"], ["one\ntwo\r\nthree", 1], ["x", 0]])
    assert load(path).texts == ["one\ntwo\r\nthree", "x"]
    path = write_csv(tmp_path / "b.csv", [["text", "joy"], ["one\ntwo", 1], ["x", 5], ["y", 1]])
    assert_in(message(path), "line 4, column 'joy': '5' is not 0 or 1")


@pytest.mark.parametrize(
    ("value", "number"),
    [("0", 0), ("1", 1), ("0.0", 0), ("1.0", 1), ("True", 1), ("false", 0), (" 1 ", 1)],
)
def test_ways_to_write_0_and_1(tmp_path, value, number):
    path = write_csv(tmp_path / "a.csv", [["text", "joy"], ["a", value], ["b", 1], ["c", 0]])
    assert load(path).labels[:, 0].tolist() == [number, 1, 0]


# --- columns --------------------------------------------------------------------------------------


def test_columns_can_be_named_and_ordered(tmp_path):
    header = ["key", "body", "other", "fear", "joy", "count"]
    path = write_csv(
        tmp_path / "a.csv", [header, ["k1", "a", "x", 1, 0, 1], ["k2", "b", "y", 0, 1, 0]]
    )
    texts = load(path, text_column="body", id_column="key", label_columns=["joy", "fear"])
    assert texts.texts == ["a", "b"]
    assert texts.ids == ["k1", "k2"]
    assert texts.label_names == ["joy", "fear"]
    assert texts.labels.tolist() == [[0, 1], [1, 0]]
    chosen = load(path, text_column="body", label_names=["joy", "fear"])
    assert chosen.label_names == ["joy", "fear"]
    assert chosen.labels.tolist() == texts.labels.tolist()


def test_labels_found_without_being_named(tmp_path, caplog):
    header = ["ID", "Tweet", "joy", "author", "likes", "mood"]
    rows = [
        ["1", "a", 1, "ann", 7, "high"],
        ["0", "b", 0, "bob", 1, "low"],
        ["2", "c", 0, "cem", 9, "low"],
        ["3", "d", 1, "dan", 3, "low"],
    ]
    texts = load(write_csv(tmp_path / "a.csv", [header, *rows]))
    assert texts.label_names == ["joy"]
    assert texts.ids == ["1", "0", "2", "3"]
    assert_in(caplog.text, "'mood' ('high', 'low')", "--label_columns")
    assert "author" not in caplog.text


def test_names_in_one_column_are_sorted_labels(tmp_path):
    path = write_csv(
        tmp_path / "a.csv",
        [["comment", "emotions"], ["a", "joy; love"], ["b", "anger;"], ["c", ""]],
    )
    texts = load(path, label_separator=";")
    assert texts.label_names == ["anger", "joy", "love"]
    assert texts.labels.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]


def test_numbers_count_the_given_label_names(tmp_path):
    path = write_json_lines(
        tmp_path / "a.jsonl", {"text": "a", "label": 2}, {"text": "b", "label": 0}
    )
    assert load(path, label_names=LABELS).labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert_in(
        message(path), str(path), "line 1", "column 'label'", "2 is a number", "--label_names"
    )
    outside = message(path, label_names=LABELS[:2])
    assert_in(outside, "line 1, column 'label'", "2 is outside the label set", "'joy', 'anger'")


def test_vectors_are_not_taken_for_class_numbers(tmp_path):
    vectors = [[0, 1, 1], [1.0, 0.0, 0.0], [0, 0, 0]]
    path = write_json_lines(
        tmp_path / "a.jsonl", *[{"text": "a", "labels": vector} for vector in vectors]
    )
    texts = load(path, label_names=LABELS)
    assert texts.labels.tolist() == vectors
    assert texts.label_names == LABELS
    assert_in(
        message(path),
        str(path),
        "'labels' holds vectors of 3",
        "[0, 1, 1] in line 1",
        "--label_names",
    )
    assert_in(message(path, label_names=LABELS[:2]), "need 3 label names and there are 2")
    write_json_lines(path, {"text": "a", "labels": [0, 1, 1]}, {"text": "b", "labels": None})
    assert_in(message(path, label_names=LABELS), "line 2, column 'labels'", "missing (null)")


@pytest.mark.parametrize(
    ("header", "row", "options", "parts"),
    [
        (
            ["text", "joy"],
            ["a", 1],
            {"text_column": "txet"},
            ["'txet' (did you mean 'text'?)", "'text', 'joy'", "--text_column"],
        ),
        (
            ["text", "joy"],
            ["a", 1],
            {"label_columns": ["joy", "Jyo"]},
            [("missing: 'Jyo' (did you mean 'joy'?)"), "--label_columns"],
        ),
        (
            ["text", "joy"],
            ["a", 1],
            {"label_names": ["joy", "love"]},
            ["missing: 'love'", "--label_names"],
        ),
        (
            ["text", "joy"],
            ["a", 1],
            {"labels_column": "emotion"},
            ["no column 'emotion'", "--labels_column"],
        ),
        (["text", "joy"], ["a", 1], {"id_column": "nr"}, ["no column 'nr'", "--id_column"]),
        (
            ["text", "tweet", "joy"],
            ["a", "b", 1],
            {},
            ["'text', 'tweet' may all hold the texts", "--text_column"],
        ),
        (
            ["first", "second", "joy"],
            ["a", "b", 1],
            {},
            ["'first', 'second' may all", "--text_column"],
        ),
        (
            ["joy", "fear"],
            [1, 0],
            {},
            [
                "no column seems to hold the texts",
                "'joy', 'fear'",
                "first line a header",
                "--text_column",
            ],
        ),
        (
            ["text", "labels", "joy"],
            ["a", "joy", 1],
            {},
            ["'labels'", "'joy'", ("--labels_column or --label_columns")],
        ),
        (
            ["text", "label", "emotion"],
            ["a", "joy", "joy"],
            {},
            ["'label', 'emotion' may all hold", "--labels_column"],
        ),
        (
            ["text", "joy"],
            ["a", "maybe"],
            {},
            ["no labels", "'joy' ('maybe')", "must be 0 or 1", "stacked-emotion predict"],
        ),
        (
            ["text", "joy", "text"],
            ["a", 1, "b"],
            {},
            ["duplicate column names", "'text' (2 times)"],
        ),
    ],
)
def test_column_messages(tmp_path, header, row, options, parts):
    path = write_csv(tmp_path / "train.csv", [header, row])
    assert_in(message(path, **options), str(path), *parts)


# --- the label set --------------------------------------------------------------------------------


def test_evaluation_labels_follow_the_training_order(tmp_path):
    path = write_csv(
        tmp_path / "a.csv", [["fear", "text", "anger", "joy"], [1, "a", 0, 0], [0, "b", 0, 1]]
    )
    assert load(path, "test", LABELS).labels.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_evaluation_file_with_other_labels(tmp_path):
    path = write_csv(tmp_path / "dev.csv", [["text", "joy", "love"], ["a", 1, 0], ["b", 0, 1]])
    found = message(path, "validation", ["joy"])
    assert_in(found, str(path), "column 'love'", "line 3", "value '1'", "--label_columns")
    assert load(path, "validation", ["joy"], label_names=["joy"]).label_names == ["joy"]
    missing = message(path, "test", ["joy", "love", "fear"])
    assert_in(missing, str(path), "label columns are missing: 'fear'", "'text', 'joy', 'love'")
    contradiction = message(path, "test", ["joy"], label_names=["joy", "love"])
    assert_in(contradiction, "--label_names", "'love' is in one of them only")


@pytest.mark.parametrize(
    "rows",
    [
        [["id", "text"], ["1", "a"]],
        [["id", "text", "joy", "fear"], ["1", "a", "NONE", "NONE"], ["2", "b", "NONE", "NONE"]],
        [["id", "text", "labels"], ["1", "a", ""], ["2", "b", ""]],
    ],
)
def test_unlabeled_test_file_points_to_predict(tmp_path, rows):
    path = write_csv(tmp_path / "test.csv", rows)
    found = message(path, "test", ["joy", "fear"])
    assert_in(found, str(path), "the texts have no labels", "stacked-emotion predict --model DIR")


def test_constant_labels_are_a_warning(tmp_path, caplog):
    rows = [["text", "joy", "fear", "love"], ["a", 1, 0, 1], ["b", 1, 0, 0]]
    texts = load(write_csv(tmp_path / "a.csv", rows))
    assert texts.label_names == ["joy", "fear", "love"]
    assert_in(caplog.text, "no positive row for 'fear'", "positive rows only for 'joy'")
    caplog.clear()
    load(tmp_path / "a.csv", "validation", ["joy", "fear", "love"])
    assert "positive row" not in caplog.text


def test_other_separator_is_noticed(tmp_path, caplog):
    path = write_csv(tmp_path / "a.csv", [["text", "labels"], ["a", "joy|love"], ["b", "joy"]])
    assert load(path).label_names == ["joy", "love"]
    assert_in(caplog.text, "'joy|love'", "--label_separator '|'")
    caplog.clear()
    assert load(path, label_separator="|").labels.tolist() == [[1, 1], [1, 0]]
    assert load(path, label_separator=",").label_names == ["joy", "joy|love"]
    assert not [record for record in caplog.records if "split at" in record.message]


def test_free_text_as_labels_is_refused(tmp_path):
    rows = [["text", "labels"], *[[f"t{i}", f"note {i}"] for i in range(501)]]
    found = message(write_csv(tmp_path / "a.csv", rows))
    assert_in(found, "column 'labels' holds 501 different labels", "'note 0'", "--label_separator")


def test_overlap_is_counted(caplog):
    train = LabeledTexts(["a", "b  c", "d"], np.zeros((3, 0)), [], source="train.csv")
    other = LabeledTexts(["b c", "e", "a"], np.zeros((3, 0)), [], source="dev.csv")
    assert warn_about_overlap(train, other).tolist() == [True, False, True]
    assert_in(caplog.text, "dev.csv: 2 of 3 texts", "train.csv", "'b c'")
    caplog.clear()
    assert not warn_about_overlap(train, other.select([1])).any()
    assert not caplog.text


# --- real files -----------------------------------------------------------------------------------


@pytest.mark.real_data
@needs_semeval
@pytest.mark.parametrize(
    ("language", "rows"), [("ar", (2278, 585)), ("en", (6838, 886)), ("es", (3561, 679))]
)
def test_semeval_files(language, rows, caplog):
    arguments = DataArguments(
        train_file=str(SEMEVAL / language / "train.txt"),
        validation_file=str(SEMEVAL / language / "dev.txt"),
    )
    with caplog.at_level(logging.WARNING):
        train = load_labeled_texts(arguments, "train")
        validation = load_labeled_texts(arguments, "validation", train.label_names)
    assert (len(train), len(validation)) == rows
    assert train.label_names == EMOTIONS
    assert train.labels.shape == (rows[0], 11)
    assert train.labels.any(axis=0).all()
    assert len(set(train.ids)) == len(train)
    lines = tweets(language, "train")
    assert train.texts == [line[1] for line in lines]
    assert train.labels.tolist() == [[int(value) for value in line[2:]] for line in lines]
    assert not caplog.records
