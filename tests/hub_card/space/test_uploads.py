"""CSV files from people: what is read, and what is told of each mistake."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card.space.uploads import MAX_BYTES, read_upload, with_answers


def write(folder: Path, content: str | bytes, name: str = "texts.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ('id,text\n1,"فرحان، جدا"\n2,زعلان\n', "utf-8"),
        ('id,text\r\n1,"فرحان، جدا"\r\n\r\n2,زعلان\r\n', "utf-8-sig"),
        ("id;Text \n1;فرحان، جدا\n2;زعلان\n", "utf-8"),
        ("id\tالنص\n1\tفرحان، جدا\n2\tزعلان\n", "utf-16"),
        ('id,TWEET\n1,"فرحان، جدا"\n2,زعلان', "utf-8"),
    ],
)
def test_good_files(tmp_path: Path, content: str, encoding: str) -> None:
    upload = read_upload(write(tmp_path, content.encode(encoding)))
    assert upload.texts == ["فرحان، جدا", "زعلان"]
    assert [row[0] for row in upload.rows] == ["1", "2"]


def test_a_text_may_have_lines_quotes_and_commas(tmp_path: Path) -> None:
    text = 'one, "two"\nthree'
    stream = io.StringIO()
    csv.writer(stream).writerows([["text"], [text]])
    assert read_upload(write(tmp_path, stream.getvalue())).texts == [text]


@pytest.mark.parametrize(
    ("content", "name", "parts"),
    [
        ("PK", "table.xlsx", ["table.xlsx", "not a CSV", "CSV UTF-8"]),
        ("", "texts.csv", ["empty", "text"]),
        ("\n \n", "texts.csv", ["empty"]),
        ("id,remark\n1,a\n", "texts.csv", ["“id”", "“remark”", "“text”"]),
        ("text\n", "texts.csv", ["no text", "“text”"]),
        ("id,text\n1,  \n", "texts.csv", ["no text"]),
        ("id,text\n1,a\n2,b,c\n", "texts.csv", ["line 3", "3 fields", "2", "quotes"]),
        ('id,text\n1,"open\n2,b\n', "texts.csv", ["line 2", "double quote is opened"]),
        (b"\x89PNG\x00\x00", "picture.csv", ["binary"]),
        ("text\nفرحان\n".encode("cp1256"), "old.csv", ["line 2", "UTF-8"]),
        ("text\n" + "a\n" * 6, "texts.csv", ["more than 5 rows"]),
        ("text\n" + "a" * MAX_BYTES, "texts.csv", ["5.0 MB", "Split"]),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path, content: str | bytes, name: str, parts: list[str]
) -> None:
    path = write(tmp_path, content, name)
    with pytest.raises(UserError) as caught:
        read_upload(path, max_rows=5)
    message = str(caught.value)
    assert name in message
    for part in parts:
        assert part in message
    assert str(tmp_path) not in message


def test_answers_stand_beside_the_columns(tmp_path: Path) -> None:
    upload = read_upload(write(tmp_path, "id,text\n1,فرحان\n2,\n"))
    text = with_answers(upload, ["joy,love", None], [{"joy": 0.9, "love": 0.75}, None])
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"id": "1", "text": "فرحان", "labels": "joy,love", "score_joy": "0.9000",
         "score_love": "0.7500"},
        {"id": "2", "text": "", "labels": "", "score_joy": "", "score_love": ""},
    ]  # fmt: skip


def test_columns_of_the_file_are_kept(tmp_path: Path) -> None:
    upload = read_upload(write(tmp_path, "text,labels\nفرحان,gold\n"))
    (row,) = csv.DictReader(io.StringIO(with_answers(upload, ["joy"], [{"joy": 0.5}])))
    assert row["labels"] == "gold"
    assert row["predicted_labels"] == "joy"
    assert row["predicted_score_joy"] == "0.5000"


def test_the_models_own_column_comes_first(tmp_path: Path) -> None:
    path = write(tmp_path, "Text,Beitrag\nno,yes\n")
    assert read_upload(path).texts == ["no"]
    assert read_upload(path, text_column="beitrag").texts == ["yes"]
    with pytest.raises(UserError, match="“Beitrag”"):
        read_upload(write(tmp_path, "id,other\n1,a\n"), text_column="Beitrag")


def test_no_cell_is_run_by_a_spreadsheet(tmp_path: Path) -> None:
    rows = ["=cmd()", "+1+1", "-2.5", "@sum", "plain", "\t=1", " =1+1", "-x"]
    path = tmp_path / "cells.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["text", "=head"], *([row, "1"] for row in rows)])
    upload = read_upload(path)
    text = with_answers(upload, ["=label"] * len(rows), [{"=joy": 0.5}] * len(rows))
    found = list(csv.reader(io.StringIO(text)))
    assert found[0] == ["text", "'=head", "labels", "score_=joy"]
    safe = ["'=cmd()", "'+1+1", "-2.5", "'@sum", "plain", "'\t=1", "' =1+1", "'-x"]
    assert [row[0] for row in found[1:]] == safe
    assert {row[2] for row in found[1:]} == {"'=label"}
