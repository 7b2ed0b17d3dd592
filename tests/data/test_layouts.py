"""Public layouts of the field, with made-up texts: read right, or refused with the remedy."""

from __future__ import annotations

import json

import pytest
from labeled_files import assert_in, labels, look, refusal, write_lines

GOEMOTIONS = [f"emotion{number}" for number in range(28)]


def test_semeval_2018(tmp_path):
    header = "ID\tTweet\tanger\tanticipation\tjoy"
    lines = ['2018-Ar-1\t"بدأت بعلامة اقتباس\t1\t0\t0', "2018-Ar-2\tيوم جميل 😍\t0\t1\t1"]
    path = write_lines(tmp_path / "train.txt", header, *lines)
    assert labels(path) == [["anger"], ["anticipation", "joy"]]
    assert look(path).texts.ids == ["2018-Ar-1", "2018-Ar-2"]
    assert look(path).texts.texts[0][0] == '"'
    unlabeled = write_lines(tmp_path / "test.txt", header, "2018-Ar-3\tنص\tNONE\tNONE\tNONE")
    assert_in(refusal(unlabeled), "no labels", "stacked-emotion predict")


def test_semeval_2025(tmp_path):
    header = "id,text,anger,disgust,fear,joy,sadness,surprise"
    lines = [
        "ary_train_track_a_00001,كلام,1,0,0,0,1,0",
        'ary_train_track_a_00002,"نعم, لا",0,0,0,1,0,0',
    ]
    path = write_lines(tmp_path / "track_a.csv", header, *lines)
    assert labels(path) == [["anger", "sadness"], ["joy"]]
    lines = ["ary_train_track_b_00001,كلام,3,0,0,0,2,0", "ary_train_track_b_00002,نعم,0,0,0,1,0,0",
             "ary_train_track_b_00003,لا,0,2,0,0,0,1"]  # fmt: skip
    path = write_lines(tmp_path / "track_b.csv", header, *lines)
    assert_in(refusal(path), "intensities 0 to 3", "--positive_from 1")
    assert labels(path, positive_from=1) == [
        ["anger", "sadness"], ["joy"], ["disgust", "surprise"]
    ]  # fmt: skip


def test_goemotions(tmp_path):
    lines = ["That was a very nice thing to say\t27\teb1", "Oh no\t2,14\teb2", "Fine\t0\teb3"]
    path = write_lines(tmp_path / "train.tsv", *lines)
    assert_in(refusal(path), "looks like data", "--column_names")
    options = {"column_names": ["text", "labels", "id"]}
    assert_in(refusal(path, **options), "'27' is a number", "--label_names")
    assert labels(path, **options, label_names=GOEMOTIONS) == [
        ["emotion27"], ["emotion2", "emotion14"], ["emotion0"]
    ]  # fmt: skip
    header = (
        "text,id,author,subreddit,link_id,parent_id,created_utc,rater_id,example_very_unclear,"
        "admiration,joy,neutral"
    )
    rows = ["Great,e1,ann,cats,t3,t1,1548381039.0,1,False,1,0,0",
            "What,e2,bob,cats,t3,t1,1548381040.0,3,True,0,0,0",
            "Yes,e3,cem,dogs,t3,t1,1548381041.0,0,False,0,1,1"]  # fmt: skip
    path = write_lines(tmp_path / "goemotions_1.csv", header, *rows)
    found = look(path)
    assert found.inventory.metadata_columns == ["example_very_unclear"]
    assert found.inventory.ignored_columns == [
        "author", "subreddit", "link_id", "parent_id", "created_utc", "rater_id"
    ]  # fmt: skip
    assert_in("\n".join(found.warnings), "--ignore_columns 'example_very_unclear'")
    kept = labels(path, ignore_columns=["example_very_unclear"])
    assert kept == [["admiration"], [], ["joy", "neutral"]]


def test_arsas(tmp_path):
    header = (
        "#Tweet_ID\tTweet_text\tTopic\tSentiment_label\tSentiment_label_confidence"
        "\tSpeech_act_label\tSpeech_act_label_confidence"
    )
    path = write_lines(
        tmp_path / "arsas.txt", header, "929\tيوم جميل\tx\tPositive\t0.7\tAssertion\t1.0",
        "930\tيوم حزين\tx\tNegative\t1.0\tExpression\t0.5",
    )  # fmt: skip
    message = refusal(path)
    assert_in(message, "'Sentiment_label', 'Speech_act_label'", "--labels_column")
    assert labels(path, labels_column="Sentiment_label") == [["Positive"], ["Negative"]]


def test_doccano(tmp_path):
    rows = [{"id": 1, "text": "يوم جميل", "label": ["joy", "love"], "Comments": []},
            {"id": 2, "text": "تعبت", "label": [], "Comments": []}]  # fmt: skip
    path = write_lines(tmp_path / "all.jsonl", *map(json.dumps, rows))
    assert labels(path) == [["joy", "love"], []]
    path = write_lines(tmp_path / "all.csv", "id,text,label", "1,يوم جميل,joy#love", "2,تعبت,joy")
    assert labels(path, label_separator="#") == [["joy", "love"], ["joy"]]


def test_label_studio(tmp_path):
    def task(number: int, text: str, *answers: list[str]) -> dict:
        results = [
            [{"from_name": "emotion", "to_name": "text", "type": "choices",
              "value": {"choices": answer}}] if answer else []
            for answer in answers
        ]  # fmt: skip
        annotations = [{"id": 5, "was_cancelled": False, "result": result} for result in results]
        return {"id": number, "data": {"text": text}, "annotations": annotations}

    tasks = [task(1, "يوم جميل", ["joy", "love"]), task(2, "تعبت", ["sadness"]), task(3, "لا", [])]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    assert labels(path) == [["joy", "love"], ["sadness"], []]
    path.write_text(json.dumps([*tasks, task(4, "نعم", ["joy"], ["anger"])]))
    assert_in(refusal(path), "record 4, column 'emotion'", "['anger']")
    path.write_text(json.dumps([*tasks, task(4, "نعم")]))
    assert_in(refusal(path), "record 4, column 'emotion'", "missing")
    small = [{"text": "a", "emotion": {"choices": ["joy", "love"]}, "annotator": 1, "id": 1},
             {"text": "b", "emotion": "joy", "annotator": 1, "id": 2}]  # fmt: skip
    path.write_text(json.dumps(small))
    assert labels(path) == [["joy", "love"], ["joy"]]
    header = "annotation_id,annotator,created_at,emotion,id,lead_time,text,updated_at"
    path = write_lines(
        tmp_path / "export.csv", header,
        '1,1,2026-01-01,"{""choices"":[""joy"",""love""]}",1,3.2,يوم جميل,2026-01-01',
        "2,1,2026-01-01,sadness,2,1.2,تعبت,2026-01-01",
    )  # fmt: skip
    assert labels(path) == [["joy", "love"], ["sadness"]]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_what_datasets_and_pandas_write(tmp_path, suffix):
    import datasets

    columns = {"text": ["يوم جميل", "a, b", "c"], "labels": [["joy", "love"], ["anger"], []]}
    vectors = {"text": columns["text"], "labels": [[1, 0, 1], [0, 1, 0], [0, 0, 0]]}
    names = ["joy", "anger", "love"]
    for given, options in ((columns, {}), (vectors, {"label_names": names})):
        table = datasets.Dataset.from_dict(given)
        path = tmp_path / f"a{suffix}"
        if suffix == ".jsonl":
            table.to_json(path, force_ascii=False)
        elif suffix == ".parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, sep="," if suffix == ".csv" else "\t")
        assert [set(row) for row in labels(path, **options)] == [{"joy", "love"}, {"anger"}, set()]
        if suffix in (".csv", ".tsv"):
            table.to_pandas().to_csv(path, sep="," if suffix == ".csv" else "\t")
            kept = [set(row) for row in labels(path, **options)]
            assert kept == [{"joy", "love"}, {"anger"}, set()]
