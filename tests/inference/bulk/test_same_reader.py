"""`predict` reads what `train` reads: as many rows come out as went in, in their order."""

from __future__ import annotations

import csv
import io
import json

import pytest

from stacked_emotion.cli import main

TEXTS = ["يوم جميل, نعم", "تعبت\nجدا", "ه" * 200_000, "a;b|c", "", '"q" x', "نص"]


def delimited(delimiter: str, first: str = "") -> str:
    file = io.StringIO()
    rows = csv.writer(file, delimiter=delimiter)
    rows.writerow(["id", "text"])
    rows.writerows(enumerate(TEXTS))
    return first + file.getvalue()


RECORDS = [{"id": str(place), "text": text} for place, text in enumerate(TEXTS)]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", delimited(";").encode(), []),
        ("a.csv", delimited("|", "sep=|\r\n").encode("utf-8-sig"), []),
        ("a.csv", delimited(",").encode("utf-16"), []),
        ("a.tsv", delimited("\t").encode("utf-16-le"), ["--quoting", "csv"]),
        ("a.csv", delimited(";").split("\n", 1)[1].encode(), ["--column_names", "id", "text"]),
        ("a.jsonl", LINES.encode(), []),
        ("a.jsonl", json.dumps(RECORDS).encode(), []),
        ("a.json", json.dumps({"data": RECORDS}, indent=1).encode("utf-16"), []),
        ("a.json", json.dumps({"id": [*range(7)], "text": TEXTS}).encode(), []),
    ],
)
def test_rows_in_and_out(tiny_stack_folder, tmp_path, capsys, name, content, options):
    (tmp_path / name).write_bytes(content)
    command = ["predict", "--model", str(tiny_stack_folder), "--input", str(tmp_path / name)]
    assert main([*command, "--output", str(tmp_path / "out.jsonl"), *options]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    assert [str(row["id"]) for row in rows] == [str(place) for place in range(len(TEXTS))]
    scored = [row for row in rows if row.get("score_joy") is not None]
    assert len(scored) == len(TEXTS) - 1
    assert "7 rows, 6 predicted, 1 without a text" in capsys.readouterr().out


def test_a_frame_of_texts(tiny_stack_folder):
    import pandas

    from stacked_emotion.common.errors import UserError
    from stacked_emotion.inference import StackedEmotionPredictor

    predictor = StackedEmotionPredictor.from_pretrained(tiny_stack_folder)
    frame = pandas.DataFrame({"text": TEXTS[:2], "id": [1, 2]})
    for one, other in zip(predictor.predict(frame), predictor.predict(TEXTS[:2]), strict=True):
        assert one.scores == other.scores
    for wrong in (pandas.DataFrame({"text": ["a"], "tweet": ["b"]}), {"text": ["a"]}, 5):
        with pytest.raises(UserError):
            predictor.predict(wrong)
