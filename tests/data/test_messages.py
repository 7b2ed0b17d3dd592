"""Every bad row and every bad file gets one message: what, where, how to fix it."""

from __future__ import annotations

import pytest
from labeled_files import (
    LABELS,
    assert_in,
    load,
    message,
    write_csv,
    write_json_lines,
    write_lines,
)


@pytest.mark.parametrize("value", ["2", "maybe", "", "nan", "-1", "0.5"])
def test_label_value_that_is_not_0_or_1(tmp_path, value):
    rows = [["text", "joy", "fear"], ["a", 1, 0], ["b", value, 1], ["c", 0, 1]]
    path = write_csv(tmp_path / "train.csv", rows)
    found = message(path)
    assert_in(
        found,
        str(path),
        "1 line cannot be used (line 1 is the header)",
        f"line 3, column 'joy': {value!r} is not 0 or 1",
        "--label_columns",
        "--on_bad_rows skip",
    )
    assert "--label_columns" not in message(path, label_columns=["joy", "fear"])


@pytest.mark.parametrize(
    ("value", "shown"), [(float("nan"), "nan"), (None, "missing (null)"), ([1], "[1]"), (2, "2")]
)
def test_label_value_of_another_kind_in_json(tmp_path, value, shown):
    good = {"text": "a", "joy": 1}
    path = write_json_lines(tmp_path / "train.jsonl", good, {"text": "b", "joy": value}, good)
    assert_in(message(path), str(path), "line 2, column 'joy'", shown, "is not 0 or 1")


def test_missing_key_in_json(tmp_path):
    path = write_json_lines(
        tmp_path / "a.jsonl", {"text": "a", "joy": 1}, {"text": "b"}, {"joy": 0}
    )
    found = message(path)
    assert_in(found, "line 2, column 'joy'", "line 3, column 'text': the text is missing (null)")


@pytest.mark.parametrize("value", ["", "  ", "\u200f\u200b", "\ufeff \t"])
def test_text_without_a_visible_character(tmp_path, value):
    path = write_csv(tmp_path / "a.csv", [["text", "joy"], ["a", 1], ["b", 0], [value, 1]])
    assert_in(message(path), str(path), f"line 4, column 'text': the text {value!r} is empty")


@pytest.mark.parametrize(
    ("value", "shown"), [(12, "12, of type int"), (None, "null"), (["x"], "['x']"), (True, "True")]
)
def test_text_that_is_no_string(tmp_path, value, shown):
    good = {"text": "a", "joy": 1}
    path = write_json_lines(tmp_path / "a.jsonl", good, {"text": value, "joy": 0})
    assert_in(message(path), str(path), "line 2, column 'text'", shown)


def test_label_outside_the_set(tmp_path):
    path = write_csv(tmp_path / "a.csv", [["text", "labels"], ["a", "joy"], ["b", "Fear,joy"]])
    found = message(path, label_names=LABELS)
    assert_in(
        found,
        str(path),
        "line 3, column 'labels'",
        "'Fear' is outside the label set",
        "did you mean 'fear'?",
        "'joy', 'anger', 'fear'",
    )
    path = write_json_lines(
        tmp_path / "a.jsonl",
        {"text": "a", "labels": ["joy"]},
        {"text": "b", "labels": [None]},
        {"text": "c", "labels": None},
    )
    assert_in(message(path), "line 2, column 'labels'", "line 3, column 'labels'", 'write [] or ""')


def test_ragged_lines(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,joy", "good,1", "a, b,1", "short")
    assert_in(
        message(path),
        str(path),
        "line 3: 3 fields, the header has 2",
        "double quotes",
        "line 4: 1 field, the header has 2",
    )
    path = write_lines(tmp_path / "a.txt", "text\tjoy", "good\t1", "a\tb\t1")
    assert_in(message(path), str(path), "line 3: 3 fields", r"must not hold '\t'")


def test_no_more_than_five_examples_in_the_order_of_the_file(tmp_path):
    rows = [[f"text {i}", 1, "x"] for i in range(20)] + [["  ", 1, 1], *[["ok", 1, 1]] * 22]
    path = write_csv(tmp_path / "a.csv", [["text", "joy", "fear"], *rows])
    found = message(path)
    assert_in(
        found,
        "21 lines cannot be used",
        *[f"  line {n}, column 'fear'" for n in range(2, 7)],
        "and 16 more",
    )
    assert "line 7" not in found
    assert "line 22" not in found


def test_bad_rows_can_be_skipped_and_are_reported(tmp_path, caplog):
    lines = ["text,joy,id", "a,1,r1", "b,2,r2", "c", "d,0,r3", " ,1,r4", "e,1,r5", "f,0,r6"]
    path = write_lines(tmp_path / "a.csv", *lines)
    texts = load(path, on_bad_rows="skip")
    assert texts.texts == ["a", "d", "e", "f"]
    assert texts.ids == ["r1", "r3", "r5", "r6"]
    assert texts.labels[:, 0].tolist() == [1, 0, 1, 0]
    report = "\n".join(texts.notes)
    assert_in(
        report,
        str(path),
        "3 lines were left out",
        "line 3, column 'joy': '2'",
        "line 4: 1 field",
        "line 6, column 'text'",
    )
    assert report in caplog.text


def test_most_rows_cannot_be_skipped(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,joy", "a,1", " ,1", " ,0", "b")
    found = message(path, on_bad_rows="skip")
    assert_in(found, str(path), "line 3, column 'text'", "more than half (1 are good)")
    path = write_lines(tmp_path / "b.csv", "text,joy", "a", "b")
    assert_in(message(path, on_bad_rows="skip"), "line 2: 1 field", "No row is left")


# --- files ----------------------------------------------------------------------------------------


def test_missing_file_names_the_nearest(tmp_path):
    write_lines(tmp_path / "train.csv", "text,joy", "a,1")
    found = message(tmp_path / "trian.csv")
    assert_in(found, tmp_path / "trian.csv", "no such file", "did you mean 'train.csv'?")
    assert_in(message(tmp_path / "no" / "a.csv"), "There is no folder", str(tmp_path / "no"))
    assert_in(message(tmp_path), "this is a folder", "'train.csv'")


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", b"", ["is empty"]),
        ("a.csv", b"\n\n", ["is empty"]),
        ("a.tsv", b"\n", ["is empty"]),
        ("a.json", b" \n", ["is empty"]),
        ("a.csv", b"text,joy\n", ["no rows"]),
        ("a.jsonl", b"\n", ["no rows"]),
        ("a.json", b"[]", ["no rows"]),
        ("a.csv", b",,\n1,2,3\n", ["line 1", "no column name"]),
        ("a.xls", b"PK", [".xls is not known", ".csv", ".parquet"]),
        ("a.xlsx", b"PK", ["not an Excel workbook"]),
        ("a.csv.gz", b"\x1f\x8b", [".gz is not known", "decompress"]),
        (
            "a.csv",
            "text,joy\nغضب,1\n".encode("cp1256"),
            ["not UTF-8", "0xdb at byte offset 9 (line 2)", "WINDOWS-1256"],
        ),
        ("a.txt", b"text\tjoy\ncaf\xe9\t1\n", ["not UTF-8", "0xe9 at byte offset 12 (line 2)"]),
        ("a.jsonl", b'{"text": "caf\xe9", "joy": 1}\n', ["not UTF-8", "byte offset 13 (line 1)"]),
        ("a.csv", "text,joy\na,1\n".encode("utf-16")[:-1], ["not UTF-16", "byte offset"]),
        ("a.csv", b"text,joy\na,1\nb\0c,0\n", ["line 3", "NUL character"]),
        ("a.tsv", b"text\tjoy\nb\0c\t0\n", ["line 2", "NUL character"]),
        (
            "a.csv",
            b'text,joy\na,1\n"open,1\nb,0\n',
            ["begins at line 3", ("quote is opened and not closed"), "--quoting none"],
        ),
        ("a.csv", b'text,joy\n"a" b,1\n', ["begins at line 2", "not doubled"]),
        (
            "a.jsonl",
            b'{"text": "a", "joy": 1}\n{"text": oops}\n',
            ["line 2", "oops", "not valid JSON"],
        ),
        ("a.jsonl", b'{"text": "a", "joy": 1}\n[1]\n', ["line 2", "[1] is not a JSON object"]),
        (
            "a.jsonl",
            b'{"text": "a", "joy": 1}\n{"joy": 1, "joy": 0}\n',
            ["line 2", ("'joy' occurs twice")],
        ),
        ("a.json", b'[{"text": "a", "joy": 1}, 3]', ["record 2", "3 is not a JSON object"]),
        ("a.json", b'{\n"data": []}', ["neither a list of objects nor one object per line"]),
        ("a.json", b'[{"text": "a"', ["not valid JSON"]),
        ("a.json", b'"text"', ["holds 'text'", "list of objects"]),
        ("a.parquet", b"PAR1 no PAR1", ["not valid Parquet"]),
    ],
)
def test_file_messages(tmp_path, name, content, parts):
    path = tmp_path / name
    path.write_bytes(content)
    assert_in(message(path), str(path), *parts)


def test_duplicate_columns_in_parquet(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table([["a"], [1], [0]], names=["text", "joy", "joy"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert_in(message(tmp_path / "a.parquet"), "duplicate column names", "'joy' (2 times)")


def test_quoted_tsv_is_noticed(tmp_path, caplog):
    path = write_csv(
        tmp_path / "a.tsv", [["text", "joy"], ['say "hi"', 1], ["b", 0]], delimiter="\t"
    )
    assert load(path).texts[0] == '"say ""hi"""'
    assert_in(caplog.text, str(path), "1 fields look quoted", "--quoting csv")
    assert load(path, quoting="csv").texts[0] == 'say "hi"'


def test_unpaired_surrogates_are_replaced_and_reported(tmp_path, caplog):
    path = write_lines(
        tmp_path / "a.jsonl",
        r'{"text": "half \ud83d here", "joy": 1}',
        r'{"text": "whole \ud83d\ude0d", "joy": 0}',
    )
    texts = load(path)
    assert texts.texts == ["half \ufffd here", "whole 😍"]
    assert_in(caplog.text, str(path), "unpaired surrogates", "1 texts", "column 'text'", "lines 1")
    assert len(texts.fingerprint()) == 64


def test_nul_character_in_a_json_text(tmp_path):
    path = write_json_lines(
        tmp_path / "a.jsonl", {"text": "a", "joy": 1}, {"text": "b\0", "joy": 0}
    )
    assert_in(message(path), str(path), "line 2, column 'text'", r"'b\x00' holds a NUL character")


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "train.csv", [["text", "joy"], ["a", 1]])

    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refused)
    assert_in(message(path), str(path), "the file cannot be read (Permission denied)")


def test_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "train.csv", [["text", "joy"], ["a", 1]])

    def other_bytes(*args):
        yield from ()
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr("stacked_emotion.data.files.delimited.DelimitedRows.rows", other_bytes)
    assert_in(message(path), str(path), "changed while it was read", "Start again")


def test_column_of_names_that_is_empty(tmp_path):
    path = write_json_lines(
        tmp_path / "train.jsonl", {"text": "a", "labels": None}, {"text": "b", "labels": None}
    )
    assert_in(message(path), str(path), "no labels (column 'labels' is empty)", "predict --model")


def test_too_few_texts_to_hold_any_out(tmp_path):
    path = write_csv(tmp_path / "train.csv", [["text", "joy"], ["same", 1], ["same", 1]])
    found = message(path, validation_fraction=0.5)
    assert_in(found, "1 different text is too few", "--validation_fraction", "--validation_file")
