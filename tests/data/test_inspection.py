"""`stacked-emotion inspect`, the inventory, and texts that are in two splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from labeled_files import LABELS, assert_in, load, message, write_csv, write_lines

from stacked_emotion.cli import build_parser, main
from stacked_emotion.common.errors import UserError
from stacked_emotion.data.arguments import READING_OPTIONS, DataArguments
from stacked_emotion.data.labeled_texts import load_splits

CASES = Path(__file__).parent / "cases"


def inspect(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(["inspect", *map(str, words)])
    return code, capsys.readouterr().out


def test_json_of_a_file_that_is_read(capsys):
    code, out = inspect(capsys, CASES / "near_equal_labels.csv", "--json")
    shown = json.loads(out)
    assert code == 0
    assert "حُزن" in out  # not escaped
    assert shown["label_names"] == ["حزن", "حُزن", "فرح"]
    assert shown["rows"][0] == {"text": "يوم جميل", "labels": ["فرح"]}
    assert (shown["text_column"], shown["label_format"]) == ("text", "names")
    assert (shown["ignored_columns"], shown["problems"]) == ([], [])
    assert any("'حزن' and 'حُزن'" in warning for warning in shown["warnings"])
    assert shown["inventory"]["labels"] == {"حزن": 1, "حُزن": 1, "فرح": 2}


@pytest.mark.parametrize(
    "words",
    [["two_labels.jsonl", "--label_names", "sad", "happy"], ["no_header.csv"], ["goemotions.tsv"],
     ["bad_row.csv"], ["nowhere.csv"], ["bad_row.csv", "--label_format", "names",
                                        "--label_columns", "joy"]],
)  # fmt: skip
def test_json_of_a_file_that_is_refused(capsys, words):
    code, out = inspect(capsys, CASES / words[0], *words[1:], "--json")
    shown = json.loads(out)
    assert code == 2
    assert shown["rows"] == []
    assert len(shown["problems"]) == 1
    assert "--" in shown["problems"][0] or "no such file" in shown["problems"][0]


def test_encoders_are_checked_with_the_texts(tiny_encoder_folders, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text((tiny_encoder_folders["alpha"] / "config.json").read_text())
    good, file = tiny_encoder_folders["alpha"], CASES / "one_label.csv"
    code, out = inspect(
        capsys, file, "--encoders", f"good={good}", f"bad={bare}", "--max_length", 4096, "--json"
    )
    shown = json.loads(out)
    first, second = shown["encoders"]
    assert (code, shown["problems"], first["name"], first["problems"]) == (2, [], "good", [])
    assert_in("\n".join(first["warnings"]), "--max_length is lowered from 4096")
    assert_in(second["problems"][0], "no tokenizer files", "save_pretrained")
    assert 0.0 <= first["unknown_share"] <= 0.5
    code, out = inspect(capsys, file, file, "--encoders", good)
    assert code == 0
    assert_in(out, "first rows", f"encoders\n  {good.name}: {good}", "% unknown")
    code, out = inspect(capsys, CASES / "no_header.csv", "--encoders", f"good={good}", "--json")
    assert (code, json.loads(out)["encoders"][0]["problems"]) == (2, [])


def test_several_files(capsys, tmp_path):
    rows = [["text", "joy", "fear"], *[[f"t{i}", i % 2, 1 - i % 2] for i in range(60)]]
    train = write_csv(tmp_path / "train.csv", rows)
    test = write_csv(tmp_path / "test.csv", [["text", "joy"], ["t1", 1], ["new", 0]])
    code, out = inspect(capsys, train, test, "--json")
    first, second = json.loads(out)["files"]
    assert code == 0
    assert len(first["rows"]) == 50
    assert_in("\n".join(second["warnings"]), "1 text also occurs in", "'fear' is in one of them")
    code, out = inspect(capsys, train, CASES / "bad_row.csv")
    assert code == 2
    assert_in(
        out, "texts            60, column 'text'", "joy        30   50.0 %", "refused: ", "'x'"
    )


def test_options_of_reading_are_the_same_everywhere(capsys):
    for command in ("inspect", "evaluate"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = capsys.readouterr().out
        assert [name for name in READING_OPTIONS if f"--{name}" not in shown] == []
    for spelled in ("--label-format", "--label_format"):
        parsed = build_parser().parse_args(["evaluate", "--model", "m", "--test_file", "f", spelled,
                                            "multi_hot"])  # fmt: skip
        assert parsed.label_format == "multi_hot"
        assert "--label-format" not in shown  # taken too; the help shows one spelling


@pytest.mark.parametrize(
    ("words", "count"),
    [(["semicolons.csv"], 2), (["semicolons.csv", "--delimiter", ";"], 2),
     (["bad_row.csv", "--on_bad_rows", "skip"], 2), (["multi_hot_strings.csv"], 4),
     (["goemotions.tsv", "--label_names", "joy", "anger", "fear"], 3)],
)  # fmt: skip
def test_evaluate_reads_the_cases(tiny_stack_folder, tmp_path, capsys, words, count):
    command = ["evaluate", "--model", str(tiny_stack_folder), "--test_file", str(CASES / words[0])]
    assert main([*command, *words[1:], "--output", str(tmp_path / "figures.json")]) == 0
    report = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert report["data"]["rows"] == count
    assert report["data"]["inventory"]["text_column"] == "text"
    assert "read as" in capsys.readouterr().out


def test_class_numbers_count_the_names_that_the_user_gives(tmp_path):
    path = write_lines(tmp_path / "a.csv", "text,labels", "a,2", 'b,"0,1"')
    options = {"label_names": ["fear", "joy", "anger"]}
    assert load(path, "test", LABELS, **options).labels.tolist() == [[0, 1, 0], [1, 0, 1]]
    path = write_lines(tmp_path / "a.csv", "text,labels", 'a,"[0, 0, 1]"')
    assert load(path, "test", LABELS, **options).labels.tolist() == [[0, 1, 0]]


def test_the_inventory(tmp_path):
    rows = [["id", "text", "joy", "fear", "note"], ["1", "a", 1, 0, "x"], ["2", "a ", 0, 0, "y"],
            ["3", " ", 1, 0, "z"], ["4", "b", 5, 0, "w"], ["5", "c", 1, 0, "v"]]  # fmt: skip
    path = write_csv(tmp_path / "a.csv", rows)
    inventory = load(path, on_bad_rows="skip").inventory
    assert (inventory.rows, inventory.texts) == (5, 3)
    assert (inventory.empty_texts, inventory.duplicate_texts) == (1, 1)
    assert inventory.labels == {"joy": 2, "fear": 0}
    assert inventory.without_positives == ["fear"]
    assert inventory.bad_rows == {"empty text": 1, "label that is not 0 or 1": 1}
    assert (inventory.id_column, inventory.ignored_columns) == ("id", ["note"])
    stored = json.loads(json.dumps(inventory.to_dict()))
    assert stored["shares"] == {"joy": 0.666667, "fear": 0.0}
    assert_in(inventory.to_text(), "1 duplicate, 1 empty", "1 empty text", "'note'")


def test_texts_in_two_splits(tmp_path, caplog):
    header = ["text", "joy"]
    train = write_csv(tmp_path / "train.csv", [header, ["a", 1], ["b", 0]])
    validation = write_csv(tmp_path / "dev.csv", [header, ["c", 1], ["d", 0]])
    test = write_csv(tmp_path / "test.csv", [header, ["b ", 0], ["c", 1], ["e", 0]])
    files = {"train_file": str(train), "validation_file": str(validation), "test_file": str(test)}
    splits = load_splits(DataArguments(**files))
    assert splits["validation"].inventory.leaked == {}
    assert splits["test"].inventory.leaked == {"train": 1, "validation": 1}
    assert_in(caplog.text, "test.csv: 1 of 3 texts", "--drop_leaked")
    dropped = load_splits(DataArguments(**files, drop_leaked=True))["test"]
    assert dropped.texts == ["e"]
    assert dropped.inventory.leaked == {}
    assert dropped.inventory.texts == 1
    assert_in(dropped.notes[-1], "2 texts", "--drop_leaked")
    with pytest.raises(UserError, match="every text also occurs"):
        load_splits(DataArguments(train_file=str(train), test_file=str(train), drop_leaked=True))


def test_messages_name_real_options(tmp_path):
    """Every option that a message of reading names is one of reading."""
    import re

    known = set(DataArguments.__dataclass_fields__) | {"dataset_split", "model", "input", "output"}
    package = Path(__file__).parents[2] / "data"
    for module in package.rglob("*.py"):
        named = re.findall(r"--([a-z]+(?:_[a-z]+)*)\b", module.read_text(encoding="utf-8"))
        assert {name for name in named if name not in known} <= {
            "json", "help", "encoders", "max_length"}, module  # fmt: skip
    assert_in(message(tmp_path / "no.csv"), "no such file")
