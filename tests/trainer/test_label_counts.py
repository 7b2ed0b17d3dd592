"""One, two and a hundred labels, and very few texts: trained and evaluated from end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from labeled_files import assert_in

from stacked_emotion.cli import main
from stacked_emotion.hub_card.card.content import card_content
from stacked_emotion.hub_card.run_record import RunRecord

WORDS = "يوم جميل تعبت جدا هادئ نجحت اليوم بيتنا دافئ غريب".split()  # noqa: SIM905


def write_table(path: Path, label_names: list[str], rows: int, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", *label_names])
        for row in range(rows):
            text = " ".join(generator.choice(WORDS, 5))
            table.writerow([f"{text} {row}", *(generator.random(len(label_names)) < 0.5) * 1])
    return path


def options(folders: dict[str, Path], train: Path, output: Path) -> list[str]:
    return [
        "--train_file", str(train), "--output_dir", str(output), "--cross_fit", "2",
        "--encoders", f"alpha={folders['alpha']}", "--encoder_defaults.epochs", "1",
        "--meta.epochs", "1", "--head.epochs", "1", "--head_seeds", "0", "--max_length", "24",
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "rows"), [(1, 12), (2, 6), (100, 20)])
def test_label_counts(tmp_path, tiny_encoder_folders, capsys, count, rows):
    names = [f"emotion {index}" for index in range(count)]
    train = write_table(tmp_path / "train.csv", names, rows)
    run = options(tiny_encoder_folders, train, tmp_path / "run")
    assert main(["train", *run, "--test_file", str(train)]) == 0
    report, model = tmp_path / "report.json", str(tmp_path / "run" / "model")
    assert_in(capsys.readouterr().out, f"Leaked: {rows} of the {rows} texts")

    test = write_table(tmp_path / "test.csv", names, 5, seed=1)
    command = ["evaluate", "--model", model, "--test_file", str(test), "--output", str(report)]
    assert main(command) == 0
    assert_in(capsys.readouterr().out, "labels ", f"{count:,}, read as columns of 0 and 1")
    found = json.loads(report.read_text())
    assert found["data"]["inventory"]["label_format"] == "columns"
    assert list(found["data"]["inventory"]["labels"]) == names
    assert 0.0 <= found["scores"]["jaccard"] <= 1.0
    assert main(["predict", "--model", model, "يوم جميل", "تعبت"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2

    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["data"]["test"]["leaked"] == rows
    assert results["data"]["test"]["inventory"]["leaked"] == {"train": rows}
    record = RunRecord.from_folder(tmp_path / "run")
    card = card_content(record, "somebody/model", "apache-2.0", [], ["ar"]).render()
    assert_in(card, f"(leaked: {rows} texts", f"**{rows} of these texts also occur",
              "How the train split was read", f"| {names[-1]} |")  # fmt: skip


def test_labels_that_a_fold_lacks(tmp_path, tiny_encoder_folders, capsys):
    rows = [f"{WORDS[row]} {WORDS[row + 1]},{row % 2},{int(row == 3)}" for row in range(8)]
    lines = ["text,joy,anger", *rows]
    train = tmp_path / "train.csv"
    train.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = options(tiny_encoder_folders, train, tmp_path / "run")
    assert main(["train", *run]) == 0
    folds = json.loads((tmp_path / "run" / "results.json").read_text())["data"]["train"][
        "inventory"
    ]["folds_without_positives"]
    assert list(folds.values()) == [["anger"]]
    (fold,) = folds
    assert_in(capsys.readouterr().err, f"{fold} has no positive text for 'anger'")
    train.write_text("text,joy,anger\nيوم جميل,1,0\nتعبت جدا,0,1\n", encoding="utf-8")
    run[run.index("2")] = "3"
    assert main(["train", *run]) == 2
    assert_in(capsys.readouterr().err, "cross_fit", "3 folds cannot be made of 2 rows")
