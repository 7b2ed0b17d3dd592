"""More tables of the kinds that are easy to misread, found by attacking the reader."""

from __future__ import annotations

import json

import pytest
from labeled_files import LABELS, assert_in, labels, look, refusal, write_bytes, write_lines

METADATA = """
    retweet_count split user_id lang is_reply annotator worker url confidence likes
    isReply isretweet hasimage n_votes rater1 ann_2 y_pred Unnamed:3 possibly_sensitive
    dialect subtask majority keep excluded col1 trainSet has_media numWords label class_id
    no Nr S.No رقم المصدر إعادة_تغريد معرف اختبار idioma es_prueba uid userid quoted auto_label
"""
NAMES = """
    joy anger label_0 e17 emotion3 surprise_2 neutral hate caring Optimism self-doubt none
    other fear_of_loss حب empty missing island history
"""
TWO = [{"text": "a b", "labels": ["joy"]}, {"text": "b", "labels": ["anger"]}]


def cell_file(folder, *cells):
    rows = [f't{place},"{cell}"' for place, cell in enumerate(cells)]
    return write_lines(folder / "cells.csv", "text,labels", *rows)


def warnings(path, **options):
    found = look(path, **options)
    assert not found.problems
    return "\n".join(found.warnings)


# --- label cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "start"),
    [
        (["[0,3,1]", "[1,0,0]"], "1"), (["[0,3,1]", "[1,0,2]"], "1"),
        (["[0,1,2]", "[2,0,1]", "[0,0,1]"], "1"), (["0 2 0", "1 0 3"], "1"),
        (["[0.1, 0.8, 0.1]", "[1.0, 0.0, 0.0]"], "0.5"), (["[1,5,2]", "[1,1,3]"], "2"),
        (["{'joy': 3, 'anger': 0}", "{'joy': 0, 'anger': 1}"], "1"), (["٠،٣،١", "١،٠،٠"], "1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("skip", [{}, {"on_bad_rows": "skip"}])
def test_vectors_of_intensities(tmp_path, cells, start, skip):
    names = None if cells[0][0] == "{" else LABELS
    message = refusal(cell_file(tmp_path, *cells), label_names=names, **skip)
    assert_in(message, "intensities", f"--positive_from {start}")
    assert "--on_bad_rows" not in message


def test_vectors_and_class_numbers_that_fit_neither_label_set(tmp_path):
    path = cell_file(tmp_path, "[0,1]", "[1,0]", "[0,1]")
    assert_in(refusal(path, label_names=LABELS), "ambiguous", "--label_format ids")
    path = cell_file(tmp_path, "1", "2", "3", "1,3")
    message = refusal(path, label_names=LABELS, on_bad_rows="skip")
    assert_in(message, "counted from 1", "subtract 1")
    assert_in(refusal(path, label_names=LABELS, label_format="ids"), "line 4", "outside")


@pytest.mark.parametrize("name", ["-", "?", "--", "…", "؟"])
def test_punctuation_is_no_label_name(tmp_path, name):
    path = cell_file(tmp_path, "joy", name, "anger", "joy")
    assert_in(refusal(path), "line 3, column 'labels'", "punctuation, not a label name")


@pytest.mark.parametrize("sign", [" and ", " و ", " و", "&", "+", "-", "--", " - ", "::", ":", "•",
                                  "·", "~", "…", " ", "_", "\u00a0"])  # fmt: skip
def test_labels_that_are_put_together_are_noted(tmp_path, sign):
    path = cell_file(tmp_path, f"فرح{sign}حب", "حزن", "فرح", "حب")
    assert_in(warnings(path), "put together from", "--label_separator")


@pytest.mark.parametrize("sign", ["&", "+", "•", "~", "::", "<br>", " & "])
def test_odd_signs_in_labels_are_noted(tmp_path, sign):
    path = cell_file(tmp_path, f"joy{sign}love", f"fear{sign}anger", f"love{sign}anger")
    assert_in(warnings(path), "is read as one label", f"--label_separator {sign.strip()!r}")
    assert labels(path, label_separator=sign)[1] == ["anger", "fear"]


def test_names_joined_by_a_hash_sign(tmp_path):
    path = cell_file(tmp_path, "joy#love", "anger", "anger#joy")
    assert labels(path) == [["joy", "love"], ["anger"], ["anger", "joy"]]
    assert_in(warnings(path), "split at '#'")
    assert labels(cell_file(tmp_path, "#joy", "#anger")) == [["#joy"], ["#anger"]]


def test_persian_and_arabic_letters_are_near_equal(tmp_path):
    found = warnings(cell_file(tmp_path, "شادی", "شادي", "کره", "كره"))
    assert_in(found, "'شادي' and 'شادی'", "'كره' and 'کره'")


# --- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METADATA.split())
def test_more_names_of_metadata(tmp_path, name):
    path = write_lines(tmp_path / "a.csv", f"text,joy,{name}", "a,1,0", "b,0,1")
    found = look(path)
    assert found.inventory.metadata_columns == [name]


@pytest.mark.parametrize("name", NAMES.split())
def test_names_of_labels_are_no_metadata(tmp_path, name):
    path = write_lines(tmp_path / "a.csv", f"text,sad,{name}", "a,1,0", "b,0,1")
    assert look(path).inventory.metadata_columns == []
    assert labels(path) == [["sad"], [name]]


@pytest.mark.parametrize(
    ("no", "yes"), [("N", "Y"), ("n", "y"), ("f", "t"), ("OFF", "ON"), ("✗", "✓"), ("لا", "نعم")]
)
def test_more_ways_to_write_0_and_1(tmp_path, no, yes):
    path = write_lines(tmp_path / "a.csv", "text,joy,anger", f"a,{yes},0", f"b,{no},1")
    assert labels(path) == [["joy"], ["anger"]]


@pytest.mark.parametrize("levels", ["1,5;3,1;4,2;1,1", "1,2;2,1;2,2"])
def test_levels_without_a_0_are_not_all_positive(tmp_path, levels):
    rows = [f"t{place},{row}" for place, row in enumerate(levels.split(";"))]
    message = refusal(write_lines(tmp_path / "a.csv", "text,anger,joy", *rows))
    assert_in(message, "intensities 1 to", "There is no 0", "--positive_from 2")


def test_columns_without_a_name(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,joy,", "a,1,0", "b,0,1")
    assert_in(warnings(path), "column 3 has no name", "is not read")
    path = write_lines(tmp_path / "b.csv", ",text,joy,", "0,a,1,", "1,b,0,")
    assert "has no name" not in warnings(path)
    assert labels(path) == [["joy"], []]


# --- files ----------------------------------------------------------------------------------------


def test_without_a_header_but_with_the_label_names(tmp_path):
    path = write_lines(tmp_path / "a.csv", "hello,joy", "bye,anger", "wow,fear", "oh,joy")
    assert_in(refusal(path, label_names=LABELS), "looks like data", "--column_names")
    options = {"column_names": ["text", "labels"], "label_names": LABELS}
    assert labels(path, **options) == [["joy"], ["anger"], ["fear"], ["joy"]]


@pytest.mark.parametrize("first", ["sep=;", "SEP = ;", '"sep=;"', "sep=;;;"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_that_name_the_delimiter(tmp_path, first, encoding):
    content = f"{first}\r\ntext;joy;anger\r\nنص;1;0\r\nb;0;1\r\n"
    path = write_bytes(tmp_path / "a.csv", content.encode(encoding))
    assert labels(path) == [["joy"], ["anger"]]


@pytest.mark.parametrize(
    "whole",
    [
        {"data": TWO}, {"version": 1, "data": TWO}, {"schema": {}, "rows": TWO, "n": 2},
        {"text": ["a b", "b"], "labels": [["joy"], ["anger"]]},
        {"text": {"0": "a b", "1": "b"}, "joy": {"0": 1, "1": 0}, "anger": {"0": 0, "1": 1}},
        {"0": {"text": "a b", "joy": 1, "anger": 0}, "1": {"text": "b", "joy": 0, "anger": 1}},
        {"columns": ["text", "joy", "anger"], "data": [["a b", 1, 0], ["b", 0, 1]]},
        TWO,
    ],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 2])
def test_shapes_of_json(tmp_path, whole, indent):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(whole, indent=indent))
    assert labels(path) == [["joy"], ["anger"]]


def test_json_that_is_refused_or_in_another_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"train": TWO, "test": TWO}))
    assert_in(refusal(path), "'train', 'test'", "a file of its own")
    path.write_text(json.dumps({"t1": ["joy"], "t2": ["anger"]}))
    assert_in(refusal(path), "neither a list of objects nor one object per line")
    assert "--column_names" not in refusal(path)
    path = tmp_path / "a.jsonl"
    for indent in (None, 1):
        path.write_text(json.dumps(TWO, indent=indent))
        assert labels(path) == [["joy"], ["anger"]]
    path.write_bytes("\r".join(map(json.dumps, TWO)).encode())
    assert labels(path) == [["joy"], ["anger"]]
    path = write_bytes(tmp_path / "b.json", json.dumps(TWO).encode("utf-16-le"))
    assert labels(path) == [["joy"], ["anger"]]


def test_quotes_around_every_cell_of_a_tsv(tmp_path):
    path = write_lines(tmp_path / "a.tsv", "text\tlabels", '"a b"\t"joy"', '"b"\t"anger"')
    assert_in(warnings(path), "every cell of column 'text' is in double quotes", "--quoting csv")
    path = write_lines(tmp_path / "b.tsv", '"text"\t"labels"', '"a b"\t"joy"', '"b"\t"anger"')
    assert_in(refusal(path), "the header is in double quotes", "--quoting csv")
    assert look(path, quoting="csv").texts.texts == ["a b", "b"]


@pytest.mark.parametrize(
    "cell",
    ["joy:0.9", "joy: 3, anger: 1", "joy=1", "joy:90%", "joy : .5", "joy 80%", "joy80 %, anger 20%",
     "joy(0.8)", "joy (3), anger (1)", "فرح ٨٠٪", "joy 0.8", "fear .5"],
)  # fmt: skip
def test_names_with_scores_are_bad_rows(tmp_path, cell):
    path = cell_file(tmp_path, "joy", cell, "anger", "fear")
    assert_in(refusal(path), "line 3, column 'labels'", "a name with a number")


def test_a_quoted_tsv_names_the_option(tmp_path):
    path = write_lines(tmp_path / "a.tsv", "text\tjoy", '"a', 'b"\t1', '"c"\t0')
    assert_in(refusal(path), "line 2", "--quoting csv")
    assert look(path, quoting="csv").texts.texts == ["a\nb", "c"]


# --- workbooks, Parquet, data sets and tables in memory -------------------------------------------

HEADER = ["text", "joy", "anger"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([HEADER, ["a", 1, 0], ["b", 0.0, 1.0]], [["joy"], ["anger"]]),
        ([HEADER, ["a", True, False], [None], ["b", False, True]], [["joy"], ["anger"]]),
        ([[None], ["text", None, "joy", "anger"], ["a", None, 1, 0], ["b", None, 0, 1]],
         [["joy"], ["anger"]]),
        ([["text", "labels"], ["a", "joy, anger"], ["b", "anger"]], [["anger", "joy"], ["anger"]]),
        ([["يوم", 1, 0], ["تعبت", 0, 1]], "row 1, the header, looks like data"),
        ([HEADER, ["a", 3, 0], ["b", 0, 2]], "--positive_from 1"),
        ([HEADER, ["a", 1, None], ["b", 0, 1]], "row 2, column 'anger'"),
        ([["An export", None, None], HEADER, ["a", 1, 0]], "no labels"),
    ],
)  # fmt: skip
def test_workbooks(tmp_path, rows, expected):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    path = tmp_path / "a.xlsx"
    book.save(path)
    if isinstance(expected, str):
        assert expected in refusal(path)
    else:
        assert labels(path) == expected


@pytest.mark.parametrize(
    ("columns", "options", "expected"),
    [
        ({"labels": [["joy", "anger"], []]}, {}, [["anger", "joy"], []]),
        ({"labels": [[2], [0, 1]]}, {"label_names": LABELS}, [["fear"], ["joy", "anger"]]),
        ({"labels": [[True, False, False], [False, False, True]]}, {"label_names": LABELS},
         [["joy"], ["fear"]]),
        ({"labels": [{"joy": 1, "anger": 0}, {"joy": 0, "anger": 1}]}, {}, [["joy"], ["anger"]]),
        ({"joy": [True, False], "anger": [0.0, 1.0]}, {}, [["joy"], ["anger"]]),
        ({"labels": [["joy"], None]}, {}, "row 2, column 'labels': the value is missing"),
        ({"labels": [{"joy": 0.9}, {"joy": 0.1}]}, {}, "--positive_from 0.5"),
        ({"labels": [[1, 0, 0], [0, 1, 0]]}, {}, "--label_names"),
        ({"labels": [[{"label": "joy"}], [{"label": "anger"}]]}, {}, "looks like a list"),
    ],
)  # fmt: skip
def test_parquet(tmp_path, columns, options, expected):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["a", "b"]} | columns), path)
    if isinstance(expected, str):
        assert expected in refusal(path, **options)
    else:
        assert labels(path, **options) == expected


def test_classes_without_names():
    import datasets

    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["0", "1"])}
    rows = {"text": ["a", "b"], "label": [0, 1]}
    table = datasets.Dataset.from_dict(rows, datasets.Features(features))
    assert_in(refusal(table), "'0' is a number, not a label name", "--label_names")
    assert labels(table, label_names=["sad", "happy"]) == [["sad"], ["happy"]]


def test_missing_values_of_pandas():
    import pandas

    numbers = pandas.DataFrame({"text": ["a", "b"], "joy": pandas.array([1, None], "Int64")})
    assert_in(refusal(numbers), "row 1, column 'joy'", "missing")
    strings = pandas.DataFrame({"text": pandas.array(["a", None], "string"), "joy": [1, 0]})
    assert_in(refusal(strings), "row 1, column 'text'", "missing")
    lists = pandas.DataFrame({"text": ["a", "b"], "labels": [None, ["joy"]]})
    assert_in(refusal(lists), "row 0, column 'labels'", "missing")


def test_a_folder_of_files_that_do_not_fit_together(tmp_path):
    for name, column in (("a", "joy"), ("b", "anger")):
        write_lines(tmp_path / f"{name}.csv", f"text,{column}", "a,1", "b,0")
    assert_in(refusal(tmp_path), "cannot be read")


# --- more tables that were misread ----------------------------------------------------------------


def test_braces_keep_their_order_and_what_occurs_twice(tmp_path):
    """As PostgreSQL writes an array: a set of Python would make {1, 0, 0} two class numbers."""
    path = cell_file(tmp_path, "{1, 0, 0}", "{0,1,0}", "{0,0,1}")
    assert labels(path, label_names=LABELS) == [["joy"], ["anger"], ["fear"]]
    path = cell_file(tmp_path, "{1,0}", "{0,1}")
    assert_in(refusal(path, label_names=["sad", "happy"]), "ambiguous", "--label_format")
    path = cell_file(tmp_path, "{'joy', 'love'}", "{joy,love}", "set()")
    assert labels(path) == [["joy", "love"], ["joy", "love"], []]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("1-0-0", "0-1-0"), "'1-0-0' is a number, not a label name"),
        (("1:0", "0:1"), "is a number, not a label name"),
        (("T,F,F", "F,T,F"), "answers, not label names"),
        (("Y/N", "N/Y"), "answers, not label names"),
        (("[0, 2]", "[1]"), "[0, 2]' holds numbers, not label names"),
    ],
)
def test_numbers_and_answers_are_no_label_names(tmp_path, cells, expected):
    assert expected in refusal(cell_file(tmp_path, *cells))


@pytest.mark.parametrize("cell", ["#فرح #حب", "__label__joy __label__love"])
def test_tags_between_spaces_give_a_note(tmp_path, cell):
    assert_in(
        warnings(cell_file(tmp_path, cell, "x")), "read as one label", "--label_separator ' '"
    )


def test_decimals_are_numbers(tmp_path):
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["a", "b"], "joy": [Decimal("1.0"), Decimal(0)]}), path)
    assert labels(path) == [["joy"], []]


def test_what_is_no_table_in_memory():
    import datasets
    import pandas

    frame = pandas.DataFrame({("a", "text"): ["a b"], ("a", "joy"): [1]})
    stream = datasets.Dataset.from_dict({"text": ["a"], "joy": [1]}).to_iterable_dataset()
    for given, expected in (
        ({"text": "a b", "joy": 1}, "The column 'text' of the builtins.dict is 'a b', not a list"),
        ({"text": ["a b"], "joy": 1}, "The column 'joy' of the builtins.dict is 1"),
        (frame, "several levels"),
        (stream, "without streaming"),
    ):
        assert expected in refusal(given)


def test_a_header_in_another_encoding_and_files_that_are_no_text(tmp_path):
    path = write_bytes(tmp_path / "a.csv", "النص,فرح\nيوم,1\nغد,0\n".encode("cp1256"))
    assert_in(refusal(path), "not UTF-8", "--encoding WINDOWS-1256")
    assert labels(path, encoding="cp1256") == [["فرح"], []]
    for content in (b"PK\x03\x04\x14\xff\n", b"\x1f\x8b\x08\xff\n"):
        assert "a workbook or an archive" in refusal(write_bytes(tmp_path / "b.csv", content))
