"""Options that contradict the table or each other, and columns that are one or are not read."""

from __future__ import annotations

import pytest
from labeled_files import LABELS, assert_in, labels, look, refusal, write_json_lines, write_lines

from stacked_emotion.common.errors import DataError
from stacked_emotion.data.arguments import DataArguments

ONE_HOT = ("text,joy,anger", "a,1,0", "b,0,1")
NAMES = ("text,labels", "a,joy", "b,anger")


@pytest.mark.parametrize("label", ["e17", "emotion 3", "joy 2", "top 10 joy", "joy (mild)", "2nd"])
def test_names_with_plain_numbers_stay_names(tmp_path, label):
    path = write_lines(tmp_path / "a.csv", "text,labels", f"a,{label}", "b,fear")
    assert labels(path) == [[label], ["fear"]]


@pytest.mark.parametrize("encoding", ["hex", "rot13", "base64", "nope"])
def test_codecs_that_are_no_encoding_of_texts(encoding):
    with pytest.raises(DataError, match=f"--encoding '{encoding}' is not known"):
        DataArguments(encoding=encoding)


@pytest.mark.parametrize(
    ("options", "both"),
    [
        ({"text_column": "a", "labels_column": "a"}, "--text_column and --labels_column"),
        ({"text_column": "a", "label_columns": ["a", "b"]}, "--text_column and --label_columns"),
        ({"label_columns": ["a", "b"], "ignore_columns": ["b"]}, "and --ignore_columns"),
        ({"id_column": "a", "labels_column": "a"}, "--id_column and --labels_column"),
        ({"text_column": "a", "ignore_columns": ["a"]}, "--text_column and --ignore_columns"),
    ],
)
def test_a_column_has_one_use(options, both):
    with pytest.raises(DataError, match=f"{both} both name '"):
        DataArguments(**options)


def test_a_column_of_identifiers_that_was_named_is_no_label(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,joy,wave", "a,1,0", "b,0,1")
    found = look(path, id_column="wave")
    assert list(found.inventory.labels) == ["joy"]
    assert found.texts.ids == ["0", "1"]


@pytest.mark.parametrize(
    ("lines", "options", "parts"),
    [
        (ONE_HOT, {"label_format": "names"}, ["needs one column of labels", "--labels_column"]),
        (NAMES, {"label_format": "ids"}, ["'joy' is not a class number"]),
        (NAMES, {"label_format": "columns"}, ["(no column holds 0 and 1)"]),
        (("text,labels", "a,", "b,"), {"label_format": "ids"}, ["names no label in any row"]),
        (ONE_HOT, {"delimiter": ";"}, ["--delimiter ';' does not occur in line 1", "to ','"]),
        (("tweet,sentiment", "a,joy"), {"column_names": ["text", "labels"]},
         ["line 1 looks like a header", "Leave out --column_names"]),
        (ONE_HOT, {"label_names": ["joy", "anger"], "text_column": "joy"},
         ["column 'joy' would hold both the texts and labels", "--text_column"]),
        (ONE_HOT, {"labels_column": "labels"}, ["no column 'labels'", "set --labels_column null"]),
        (("# exported", *ONE_HOT), {}, ["No row is left", "the header names every column"]),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_the_file(tmp_path, lines, options, parts):
    message = refusal(write_lines(tmp_path / "a.csv", *lines), **options)
    assert_in(message.lower(), *(part.lower() for part in parts))


def test_keys_that_mean_the_same_column(tmp_path):
    import pandas

    frame = pandas.DataFrame({"text": ["a"], "joy": [1], "joy ": [0]})
    assert_in(refusal(frame), "duplicate column names", "'joy' (2 times)")
    assert_in(refusal(pandas.DataFrame()), "no column has a name")
    path = write_json_lines(tmp_path / "a.jsonl", {"text": "a", "joy": 1}, {"text": "b", "joy": 0},
                            {"text": "c", "joy": 1, "joy\u200f": 0})  # fmt: skip
    assert_in(refusal(path), "line 3", "mean the same column")
    assert labels(path, on_bad_rows="skip") == [["joy"], []]


def test_binary_columns_are_named(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": [b"a", b"b"], "tweet": ["a", "b"], "joy": [1, 0]}), path)
    assert_in("\n".join(look(path).warnings), "'text' is not read: it holds binary")


def test_spanish_answers(tmp_path):
    path = write_lines(tmp_path / "a.csv", "texto,alegría,miedo", "a,sí,no", "b,No,SÍ")
    assert labels(path) == [["alegría"], ["miedo"]]


@pytest.mark.parametrize(
    ("classes", "options", "expected"),
    [
        (["joy", "anger", "fear"], {}, [["joy"], ["fear"]]),
        (["joy, pride", "anger", "a/b"], {}, [["joy, pride"], ["a/b"]]),
        (["0", "1", "2"], {"label_names": LABELS}, [["joy"], ["fear"]]),
    ],
)
def test_classes_of_a_data_set_that_is_kept(tmp_path, classes, options, expected):
    """Read from memory and again from the file: all classes, each whole, as `datasets` has them."""
    import datasets

    from stacked_emotion.trainer.running.kept_tables import KeptTables

    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=classes)}
    table = datasets.Dataset.from_dict(
        {"text": ["a", "b"], "label": [0, 2]}, datasets.Features(kinds)
    )
    kept = KeptTables.of({"train": table}, tmp_path)
    kept.write()
    for given in (kept.tables["train_file"], kept.files["train_file"]):
        assert labels(given, **options) == expected
        assert set(look(given, **options).inventory.labels) == set(
            options.get("label_names", classes)
        )
