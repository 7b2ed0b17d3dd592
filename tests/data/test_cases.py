"""Small tables that are easy to misread: each is read right, or refused with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from labeled_files import LABELS, assert_in, labels, look, refusal, write_bytes, write_lines

from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts

CASES = Path(__file__).parent / "cases"


def cells(folder: Path, *values: str, **options) -> list[list[str]]:
    """The labels of a CSV file with these label cells."""
    return labels(label_file(folder, *values), **options)


def label_file(folder: Path, *values: str) -> Path:
    rows = ['"' + value.replace('"', '""') + '"' for value in values]
    return write_lines(
        folder / "cells.csv", "text,labels", *[f"t{i},{row}" for i, row in enumerate(rows)]
    )


# --- the files in cases/ --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("multi_hot_strings.csv", {"label_names": LABELS}, [["joy"], ["anger"], ["fear"], []]),
        ("numpy_repr.csv", {}, [["joy", "love"], ["anger"], ["love"]]),
        ("tuple_repr.csv", {}, [["joy", "love"], ["anger"]]),
        ("unquoted_list.csv", {}, [["joy", "love"], ["anger"]]),
        ("arabic_comma.csv", {}, [["حب", "فرح"], ["حزن", "خوف"], ["حزن"]]),
        ("arabic_digits.csv", {}, [["anger"], ["joy"]]),
        ("one_label.csv", {}, [[], ["angry"]] * 5),
        ("semicolons.csv", {}, [["joy"], ["anger"]]),
        ("goemotions.tsv", {"label_names": LABELS}, [["fear"], ["joy", "anger"], ["anger"]]),
        ("near_equal_labels.csv", {}, [["فرح"], ["فرح"], ["حزن"], ["حُزن"]]),
        ("two_labels.jsonl", {"label_names": ["sad", "happy"], "label_format": "multi_hot"},
         [["sad"], ["happy"], ["sad"]]),
        ("two_labels.jsonl", {"label_names": ["sad", "happy"], "label_format": "ids"},
         [["sad", "happy"]] * 3),
        ("one_short_row.jsonl", {"label_names": list("abc"), "label_format": "multi_hot",
                                 "on_bad_rows": "skip"}, [["a"], ["c"]]),
        ("bad_row.csv", {"on_bad_rows": "skip"}, [["joy"], ["fear"]]),
        ("no_header.csv", {"column_names": ["text", "joy", "anger"]}, [["joy"], ["anger"], []]),
        ("metadata.csv", {"ignore_columns": ["is_retweet", "fold"]}, [["joy"], ["anger"], []]),
        ("metadata.csv", {"label_names": ["anger", "joy"]}, [["joy"], ["anger"], []]),
        ("metadata.csv", {"label_columns": ["anger", "joy"]}, [["joy"], ["anger"], []]),
    ],
)  # fmt: skip
def test_cases_that_are_read(name, options, expected):
    assert labels(CASES / name, **options) == expected


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("one_short_row.jsonl", {"label_names": list("abc")},
         ["line 3: [0, 1]", "class numbers", "--label_format multi_hot", "--on_bad_rows"]),
        ("one_short_row.jsonl", {"label_names": list("abc"), "label_format": "multi_hot"},
         ["line 3, column 'labels'", "[0, 1] is not a vector of 3"]),
        ("two_labels.jsonl", {"label_names": ["sad", "happy"]},
         ["ambiguous", "[1, 0]", "--label_format multi_hot", "--label_format ids", "'sad'"]),
        ("bad_row.csv", {}, ["line 3, column 'anger'", "'x'", "--on_bad_rows skip"]),
        ("no_header.csv", {}, ["line 1", "looks like data", "--column_names text joy anger"]),
        ("goemotions.tsv", {}, ["line 2", "'2' is a number, not a label name", "--label_names"]),
        ("multi_hot_strings.csv", {}, ["vectors of 3", "--label_names"]),
    ],
)  # fmt: skip
def test_cases_that_are_refused(name, options, parts):
    assert_in(refusal(CASES / name, **options), name, *parts)


def test_columns_that_may_be_metadata_are_warned_of_and_refused_in_training():
    found = look(CASES / "metadata.csv")
    assert list(found.inventory.labels.items()) == [
        ("is_retweet", 1), ("fold", 2), ("anger", 1), ("joy", 1)
    ]  # fmt: skip
    warning = "\n".join(found.warnings)
    assert_in(warning, "'is_retweet', 'fold'", "--ignore_columns 'is_retweet' 'fold'")
    arguments = DataArguments(train_file=str(CASES / "metadata.csv"))
    with pytest.raises(ValueError, match="look like metadata") as caught:
        load_labeled_texts(arguments, "train")
    assert_in(str(caught.value), "--label_names", "--label_columns", "--ignore_columns")


@pytest.mark.parametrize("name", ["is_rt", "hasUrl", "dev_split", "user_verified", "Fold", "label"])
def test_names_of_metadata(tmp_path, name):
    path = write_lines(tmp_path / "a.csv", f"text,joy,{name}", "a,1,0", "b,0,1")
    assert look(path).inventory.metadata_columns == [name]
    assert labels(path, ignore_columns=[name]) == [["joy"], []]
    assert look(path, label_columns=["joy", name]).inventory.metadata_columns == []


def test_near_equal_labels_are_named_in_pairs(tmp_path):
    warnings = "\n".join(look(CASES / "near_equal_labels.csv").warnings)
    assert_in(warnings, "'حزن' and 'حُزن'", "invisible characters", "line 3")
    path = label_file(
        tmp_path, "Joy", "joy", "إحباط", "احباط", "self-doubt", "self doubt", "cafe\u0301"
    )
    found = look(path)
    assert_in("\n".join(found.warnings), "'Joy' and 'joy'", "'self doubt' and 'self-doubt'",
              "'إحباط' and 'احباط'")  # fmt: skip
    assert "caf\u00e9" in found.inventory.labels


def test_a_text_of_200_000_characters(tmp_path):
    text = "كلمة " * 40_000
    path = write_lines(tmp_path / "a.csv", "text,joy", f"{text},1", f'"{text}\n,x",0')
    found = look(path)
    assert [len(text) for text in found.texts.texts] == [200_000, 200_003]


# --- label cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "joy, love", "joy;love", "joy | love", "joy/love", "joy\tlove", "joy\nlove", "joy، love",
        "['joy', 'love']", '["joy", "love"]', "['joy' 'love']", "['joy'\n 'love']", "[joy, love]",
        "('joy', 'love')", "{'joy', 'love'}", "{joy,love}", "[u'joy', u'love']", "joy, love,",
        "frozenset({'joy', 'love'})", "array(['joy', 'love'], dtype=object)", "'joy', 'love'",
        "[np.str_('joy'), np.str_('love')]", "{'joy': 1, 'love': 1, 'anger': 0}", "(joy; love)",
        '{"choices": ["joy", "love"]}', "\u200fjoy\u200e, \ufefflove", "joy، love\u200f",
        "[ 'joy' , 'love' ]", "Index(['joy', 'love'], dtype='object')", '"joy", "love"',
    ],
)  # fmt: skip
def test_ways_to_write_two_names(tmp_path, cell):
    assert cells(tmp_path, cell, "anger") == [["joy", "love"], ["anger"]]
    assert cells(tmp_path, cell, "") == [["joy", "love"], []]


@pytest.mark.parametrize(
    "cell",
    [
        "[0, 1, 1]", "0,1,1", "0 1 1", "[0 1 1]", "[0. 1. 1.]", "(0, 1, 1)", "011", "0|1|1",
        "[False, True, True]", "[False  True  True]", '["0", "1", "1"]', "[٠، ١، ١]", "٠١١",
        "array([0, 1, 1])", "tensor([0, 1, 1])", "[np.int64(0), np.int64(1), np.int64(1)]",
        "[0.0, 1.0, 1.0]", "۰ ۱ ۱", "false, true, true", "['no', 'yes', 'yes']",
    ],
)  # fmt: skip
def test_ways_to_write_a_vector(tmp_path, cell):
    found = look(label_file(tmp_path, cell, "[1, 0, 0]"), label_names=LABELS)
    assert found.inventory.label_format == "multi_hot"
    assert [row["labels"] for row in found.rows(2)] == [["anger", "fear"], ["joy"]]


@pytest.mark.parametrize("cell", ["2", "[2]", "2.0", "٢", "۲", "(2,)", "[2.]", "{2}", "['2']"])
def test_ways_to_write_a_class_number(tmp_path, cell):
    found = look(label_file(tmp_path, cell, "0,1"), label_names=LABELS)
    assert found.inventory.label_format == "ids"
    assert [row["labels"] for row in found.rows(2)] == [["fear"], ["joy", "anger"]]
    assert_in(refusal(label_file(tmp_path, cell)), "is a number, not a label name", "--label_names")


@pytest.mark.parametrize(
    "cell",
    ["['joy', 'lo", "[joy", "joy]", "['joy', ['love']]", "[joy love]", "{'joy': 'much'}", "(joy",
     "{joy: 1}", "['joy' love]", "[,]", "['joy', None]", "['it''s' 'love']", "['joy', nan]",
     "dict_keys(['joy', 'love'])", "<joy><love>", "0    joy\n1    love\ndtype: object",
     "nan", "None", "NaN", "null", "N/A", "<NA>", "labels", "label"],
)  # fmt: skip
def test_cells_that_are_bad_rows(tmp_path, cell):
    path = label_file(tmp_path, "joy", cell, "love", "joy")
    assert_in(refusal(path), "line 3, column 'labels'", "--on_bad_rows skip")
    assert labels(path, on_bad_rows="skip") == [["joy"], ["love"], ["joy"]]


def test_real_values_in_json():
    rows = [{"text": "a", "labels": ["joy", "love"]}, {"text": "b", "labels": "joy, love"},
            {"text": "c", "labels": {"joy": True, "love": 1, "fear": 0}},
            {"text": "d", "labels": []}]  # fmt: skip
    assert labels(rows) == [["joy", "love"]] * 3 + [[]]
    assert look(rows).inventory.without_positives == ["fear"]


def test_a_repeated_number_is_no_set_of_class_numbers(tmp_path):
    message = refusal(label_file(tmp_path, "2", "1,1", "0"), label_names=LABELS)
    assert_in(message, "line 3: '1,1'", "--label_format ids")
    path = label_file(tmp_path, "2", "1,1", "0")
    forced = refusal(path, label_names=LABELS, label_format="ids")
    assert_in(forced, "line 3, column 'labels'", "repeats a number")


def test_one_cell_of_another_kind_is_refused_and_names_the_minority(tmp_path):
    for cells_, option, row in (
        (["joy", "love", "2", "anger"], "names", 4),
        (["2", "joy", "0", "1"], "ids", 3),
        (["[0, 1, 0]", "[1, 1, 0]", "[0, 0, 1]", "[2, 0, 1]"], "multi_hot", 5),
        (["[0, 1, 0]", "joy", "[0, 0, 1]", "[0, 0, 0]"], "multi_hot", 3),
    ):
        path = label_file(tmp_path, *cells_)
        names = None if option == "names" else LABELS
        message = refusal(path, label_names=names)
        assert_in(message, f"line {row}: ", f"--label_format {option}")
        kept = labels(path, label_names=names, label_format=option, on_bad_rows="skip")
        assert len(kept) == 3


def test_separators_are_not_mixed(tmp_path):
    path = label_file(tmp_path, "joy;love", "anger,fear")
    assert_in(refusal(path), "';'", "','", "--label_separator")
    assert labels(path, label_names=["joy", "love", "anger,fear"]) == [
        ["joy", "love"],
        ["anger,fear"],
    ]
    names = ["anger/disgust", "joy"]
    assert cells(tmp_path, "anger/disgust", "joy, anger/disgust", label_names=names) == [
        ["anger/disgust"], names
    ]  # fmt: skip
    assert cells(tmp_path, "joy love", "joy", label_separator=" ") == [["joy", "love"], ["joy"]]


# --- columns of 0 and 1 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off", "on"),
    [("0", "1"), ("٠", "١"), ("۰", "۱"), ("no", "yes"), ("FALSE", "TRUE"), ("0.0", "1.0"),
     (" 0", "1 ")],
)  # fmt: skip
def test_ways_to_write_0_and_1(tmp_path, off, on):
    path = write_lines(tmp_path / "a.csv", "text,joy,anger", f"a,{on},{off}", f"b,{off},{on}")
    assert labels(path) == [["joy"], ["anger"]]


def test_intensities_are_named_and_keep_the_strongest_rows(tmp_path):
    path = write_lines(
        tmp_path / "a.csv", "text,anger,joy", "a,0,3", "b,2,0", "c,1,1", "d,0,0", "e,3,0"
    )
    for options in ({}, {"on_bad_rows": "skip"}, {"label_columns": ["anger", "joy"]}):
        message = refusal(path, **options)
        assert_in(message, "intensities 0 to 3", "--positive_from 1")
        assert "--on_bad_rows" not in message
    assert labels(path, positive_from=1) == [["joy"], ["anger"], ["anger", "joy"], [], ["anger"]]
    assert labels(path, positive_from=2) == [["joy"], ["anger"], [], [], ["anger"]]
    vectors = label_file(tmp_path, "[0, 3, 0]", "[2, 2, 0]")
    assert_in(refusal(vectors, label_names=LABELS), "intensities", "--positive_from 1")
    assert labels(vectors, label_names=LABELS, positive_from=1) == [["anger"], ["joy", "anger"]]
    scores = [{"text": "a", "labels": {"joy": 0.9, "fear": 0.1}}]
    assert_in(refusal(scores), "--positive_from 0.5")
    assert labels(scores, positive_from=0.5) == [["joy"]]


def test_a_column_called_label_with_0_and_1_is_ambiguous(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,label", "a,0", "b,1")
    assert_in(refusal(path), "ambiguous", "--label_columns 'label'", "--labels_column 'label'")
    assert labels(path, label_columns=["label"]) == [[], ["label"]]
    assert labels(path, label_names=["sad", "happy"]) == [["sad"], ["happy"]]
    assert labels(path, label_names=["happy"]) == [[], ["happy"]]


def test_digits_are_no_label_names(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,0,1", "a,0,1", "b,1,0")
    assert_in(refusal(path), "'0' is a number, not a label name", "--ignore_columns")
    for name in ("1", "٢", "nan", "None"):
        with pytest.raises(ValueError, match="not a label name"):
            DataArguments(label_names=["joy", name])


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~", "#", "،", "\x1f"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_delimiters_and_line_ends(tmp_path, delimiter, newline, suffix):
    rows = [["id", "text", "joy", "anger"], ["1", "يوم جميل", "1", "0"], ["2", "b c", "0", "1"]]
    path = write_lines(tmp_path / f"a{suffix}", *map(delimiter.join, rows), newline=newline)
    assert labels(path) == [["joy"], ["anger"]]


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8"]
)
@pytest.mark.parametrize("first", ["", "sep=;\n", '"sep=;"\r\n'])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_encodings_and_the_sep_line(tmp_path, encoding, first, suffix):
    content = first + "text;joy;anger\nيوم, جميل;1;0\nb;0;1\n"
    path = write_bytes(tmp_path / f"a{suffix}", content.encode(encoding))
    found = look(path)
    assert found.texts.texts == ["يوم, جميل", "b"]
    assert labels(path) == [["joy"], ["anger"]]


def test_another_encoding_is_named(tmp_path):
    path = write_bytes(tmp_path / "a.csv", "text,joy\nيوم,1\nغد,0\n".encode("cp1256"))
    assert_in(refusal(path), "not UTF-8", "line 2", "--encoding WINDOWS-1256")
    assert look(path, encoding="windows-1256").texts.texts == ["يوم", "غد"]


@pytest.mark.parametrize(
    "lines",
    [
        ["يوم جميل,1,0", "تعبت,0,1"], ["يوم جميل,فرح", "تعبت,حزن", "غد,فرح"],
        ["I really love this song so much,joy", "no,anger"], ["a good day 😀,joy", "no,anger"],
        ["a,['joy']", "b,['anger']"], ["a,true,false", "b,false,true"], ['"two\nlines",1', "b,0"],
        ["nice,2.5", "bad,0.5"], ["a,٠", "b,١"],
    ],
)  # fmt: skip
def test_files_without_a_header(tmp_path, lines):
    path = write_lines(tmp_path / "a.csv", *lines)
    assert_in(refusal(path), "line 1", "looks like data", "--column_names text")


def test_column_names_are_counted_and_a_header_that_repeats_them_is_no_row(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,joy", "a,1", "b,0")
    assert labels(path, column_names=["text", "joy"]) == [["joy"], []]
    assert_in(refusal(path, column_names=["text"]), "gives 1 name,", "2 fields")


def test_excel(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    rows = [["text", "joy", "anger", None], ["يوم جميل", 1, False, None], [123, 0, "TRUE", None]]
    for row in [*rows, [None, None, None, None], ["c", 0.0, 0, None]]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    found = look(tmp_path / "a.xlsx")
    assert found.texts.texts == ["يوم جميل", "123", "c"]
    assert labels(tmp_path / "a.xlsx") == [["joy"], ["anger"], []]
    book.create_sheet("more").append(["x", 1])
    book.save(tmp_path / "b.xlsx")
    assert_in(refusal(tmp_path / "b.xlsx"), "'Sheet', 'more'", "--sheet")
    assert labels(tmp_path / "b.xlsx", sheet="Sheet") == [["joy"], ["anger"], []]
    assert_in(refusal(tmp_path / "b.xlsx", sheet="mroe"), "no sheet 'mroe'", "'Sheet', 'more'")


def test_tables_in_memory():
    import datasets
    import pandas

    columns = {"text": ["a", "b"], "joy": [1, 0], "anger": [0, 1]}
    lists = {"text": ["a", "b"], "labels": [["joy"], ["anger", "joy"]]}
    frames = [columns, pandas.DataFrame(columns, index=[7, 9]), datasets.Dataset.from_dict(columns)]
    for table in frames:
        assert labels(table) == [["joy"], ["anger"]]
        train = load_labeled_texts(DataArguments(train_file=table), "train")
        assert train.texts == ["a", "b"]
    for table in (lists, pandas.DataFrame(lists), datasets.Dataset.from_dict(lists)):
        assert labels(table) == [["joy"], ["anger", "joy"]]
    frame = pandas.DataFrame({"text": ["a", None], "joy": [1, 0]})
    assert_in(refusal(frame), "rows are numbered by the index", "row 1,", "missing")
    assert_in(refusal(pandas.Series(["a"])), "cannot be read", "DataFrame")


def test_saved_data_sets(tmp_path):
    import datasets

    names = datasets.ClassLabel(names=LABELS)
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.List(names)})
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [[2], [0, 1]]}, features)
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "test": rows.select([1])}).save_to_disk(tmp_path / "two")
    assert labels(tmp_path / "one") == [["fear"], ["joy", "anger"]]
    assert_in(refusal(tmp_path / "two"), "'train', 'test'", "--dataset_split")
    arguments = DataArguments(dataset_name=str(tmp_path / "two"))
    assert load_labeled_texts(arguments, "train").label_names == LABELS
    assert len(load_labeled_texts(arguments, "test", LABELS)) == 1
    assert load_labeled_texts(arguments, "validation", LABELS) is None
