"""Arguments, splits, the hold-out, selections, and data sets of the Hub."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from labeled_files import LABELS, ROWS, assert_in, load, table_rows, write_csv

from stacked_emotion.common.command_line import Parser, add_settings, settings_given
from stacked_emotion.common.errors import DataError, UserError, reason_of
from stacked_emotion.common.settings import build
from stacked_emotion.data.labeled_texts import (
    DataArguments,
    LabeledTexts,
    load_labeled_texts,
)


def test_arguments_on_the_command_line():
    parser = Parser()
    add_settings(parser, DataArguments)
    options = parser.parse_args(
        ["--train_file", "a.tsv", "--label_names", "joy", "fear", "--on_bad_rows", "skip",
         "--delimiter", "tab", "--validation_fraction", "0.1"]
    )  # fmt: skip
    arguments = build(DataArguments, settings_given(parser, options))
    assert arguments.label_names == ["joy", "fear"]
    assert arguments.on_bad_rows == "skip"
    assert arguments.delimiter == "\t"
    assert arguments.text_column is None
    assert arguments.validation_fraction == 0.1
    helps = [known.metadata.get("help") for known in DataArguments.__dataclass_fields__.values()]
    assert all(helps)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"label_columns": ["a"], "labels_column": "b"}, ["--label_columns and --labels_column"]),
        ({"label_names": ["a", "a"]}, ["--label_names has 'a' more than once"]),
        ({"label_names": "joy"}, ["--label_names is 'joy'", "list"]),
        ({"label_columns": []}, ["--label_columns is an empty list"]),
        ({"label_columns": ["a", "b"], "label_names": ["a"]}, ["'b' is in one of them only"]),
        ({"max_train_samples": 0}, ["--max_train_samples is 0"]),
        ({"validation_fraction": 1.0}, ["--validation_fraction is 1.0"]),
        ({"on_bad_rows": "drop"}, ["--on_bad_rows is 'drop'", "error, skip"]),
        ({"quoting": "all"}, ["--quoting is 'all'", "auto, csv, none"]),
        ({"delimiter": "::"}, ["--delimiter is '::'"]),
        ({"label_separator": ""}, ["--label_separator is empty"]),
    ],
)
def test_argument_messages(options, parts):
    with pytest.raises(UserError) as caught:
        DataArguments(**options)
    assert_in(str(caught.value), *parts)


def test_absent_splits():
    assert load_labeled_texts(DataArguments(), "validation") is None
    assert load_labeled_texts(DataArguments(), "test") is None
    with pytest.raises(DataError, match="--train_file or --dataset_name"):
        load_labeled_texts(DataArguments(), "train")


def test_sample_limits(tmp_path):
    path = write_csv(tmp_path / "a.csv", table_rows())
    assert load(path, max_train_samples=2).texts == [ROWS[0][1], ROWS[1][1]]
    assert len(load(path, "validation", LABELS, max_validation_samples=99)) == len(ROWS)
    assert len(load(path, "test", LABELS, max_validation_samples=1)) == len(ROWS)


def test_hold_out_is_stable_and_keeps_equal_texts_together(tmp_path):
    rows = [[f"text {i % 150}", i % 2] for i in range(200)]
    path = write_csv(tmp_path / "a.csv", [["text", "joy"], *rows])
    arguments = DataArguments(train_file=str(path), validation_fraction=0.2)
    train = load_labeled_texts(arguments, "train")
    held_out = load_labeled_texts(arguments, "validation", train.label_names)
    assert len(train) + len(held_out) == 200
    assert len(set(held_out.texts)) == 30
    assert not set(train.texts) & set(held_out.texts)
    assert load_labeled_texts(arguments, "test") is None
    write_csv(path, [["text", "joy"], *rows[::-1]])
    assert set(load_labeled_texts(arguments, "validation").texts) == set(held_out.texts)
    arguments.validation_file = str(path)
    assert len(load_labeled_texts(arguments, "train")) == 200


def test_select_and_fingerprint():
    texts = LabeledTexts(
        ["a", "b", "c"], [[0, 1], [1, 0], [1, 1]], ["joy", "fear"], ["1", "2", "3"]
    )
    part = texts.select(np.array([True, False, True]))
    assert (part.texts, part.ids, part.labels.tolist()) == (
        ["a", "c"],
        ["1", "3"],
        [[0, 1], [1, 1]],
    )
    assert part.fingerprint() == texts.select([0, 2]).fingerprint()
    assert texts.select([2, 0]).texts == ["c", "a"]
    assert len(texts.select([])) == 0
    others = [
        texts.select([1, 0, 2]),
        LabeledTexts(["ab", "", "c"], texts.labels, texts.label_names),
        LabeledTexts(texts.texts, 1 - texts.labels, texts.label_names),
        LabeledTexts(texts.texts, texts.labels, ["joy", "anger"]),
    ]
    assert len({texts.fingerprint(), *(other.fingerprint() for other in others)}) == 5
    expected = "134b1dac652d9a23c61b4a85303bdc45815577ad17f498bb18b543c49fda771b"
    assert texts.fingerprint() == expected, "stored caches would no longer be found"
    with pytest.raises(ValueError, match="shape"):
        LabeledTexts(["a"], [[1, 0]], ["joy"])


# --- Hub data sets --------------------------------------------------------------------------------


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A data set in a folder, with booleans as labels, as SemEval-2018 E-c is on the Hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hub"
    folder.mkdir()
    rows = [{"ID": i, "Tweet": text, **dict(zip(LABELS, map(bool, labels), strict=True))}
            for i, text, labels in ROWS]  # fmt: skip
    for split, part in {"train": rows, "test": rows[:2]}.items():
        datasets.Dataset.from_list(part).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def test_hub_data_set(hub_folder, tmp_path):
    arguments = DataArguments(dataset_name=str(hub_folder))
    train = load_labeled_texts(arguments, "train")
    assert train.texts == [text for _, text, _ in ROWS]
    assert train.labels.tolist() == [list(labels) for *_, labels in ROWS]
    assert_in(train.source, str(hub_folder), "split train")
    assert len(load_labeled_texts(arguments, "test", train.label_names)) == 2
    assert load_labeled_texts(arguments, "validation", train.label_names) is None
    held = DataArguments(dataset_name=str(hub_folder), validation_fraction=0.34)
    assert len(load_labeled_texts(held, "train")) == 4
    assert len(load_labeled_texts(held, "validation")) == 2


def test_files_replace_the_hub_data_set(hub_folder, tmp_path):
    own = write_csv(tmp_path / "own.csv", [["text", *LABELS], ["mine", 1, 0, 0], ["two", 0, 1, 1]])
    mixed = DataArguments(dataset_name=str(hub_folder), test_file=str(own))
    assert len(load_labeled_texts(mixed, "train")) == len(ROWS)
    assert load_labeled_texts(mixed, "test", LABELS).texts == ["mine", "two"]
    files = DataArguments(dataset_name="nobody/never-read", train_file=str(own))
    assert load_labeled_texts(files, "train").texts == ["mine", "two"]
    assert load_labeled_texts(files, "test") is None


def test_hub_messages(hub_folder, tmp_path):
    arguments = DataArguments(dataset_name=str(hub_folder), train_split="trian")
    with pytest.raises(DataError) as caught:
        load_labeled_texts(arguments, "train")
    assert_in(str(caught.value), str(hub_folder), "no split 'trian' (did you mean 'train'?)",
              "'train', 'test'", "--train_split")  # fmt: skip
    with pytest.raises(DataError, match="no split 'dev'"):
        load_labeled_texts(
            DataArguments(dataset_name=str(hub_folder), validation_split="dev"), "validation"
        )
    missing = str(tmp_path / "nowhere")
    with pytest.raises(DataError) as caught:
        load_labeled_texts(DataArguments(dataset_name=missing), "train")
    assert_in(str(caught.value), missing, "cannot be loaded", "--dataset_name", "--train_file")


def test_a_hub_out_of_reach_is_said_first() -> None:
    for error in (ConnectionError("refused"), socket.gaierror(-2, "Name or service not known")):
        outer = RuntimeError("Couldn't reach it.")
        outer.__cause__ = error
        for found in (error, outer):
            assert reason_of(found) == "there is no connection to the Hub."
    assert reason_of(ValueError("no such config.\nmore")) == "no such config."
    assert reason_of(ValueError()) == "ValueError."


def test_row_of_a_hub_data_set_is_named(hub_folder):
    import datasets

    part = [{"text": "a", "joy": 1}, {"text": None, "joy": 0}, {"text": "c", "joy": 1}]
    datasets.Dataset.from_list(part).to_parquet(hub_folder / "validation.parquet")
    for split in ("train", "test"):
        (hub_folder / f"{split}-00000-of-00001.parquet").unlink()
    arguments = DataArguments(dataset_name=str(hub_folder))
    with pytest.raises(DataError) as caught:
        load_labeled_texts(arguments, "validation", ["joy"])
    assert_in(str(caught.value), f"{hub_folder}, split validation", "row 2, column 'text'",
              "rows are counted from 1")  # fmt: skip
