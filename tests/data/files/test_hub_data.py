"""A data set of the Hub, by the real client: configuration, commit, cache, and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labeled_files import LABELS, ROWS, assert_in

PUSH = """
import datasets
from huggingface_hub import HfApi
def push(rows, split):
    table = {"ID": [row[0] for row in rows], "Tweet": [row[1] for row in rows]}
    table |= {name: [bool(row[2][place]) for row in rows]
              for place, name in enumerate(given["labels"])}
    datasets.Dataset.from_dict(table).push_to_hub(
        "lab/emotions", "subtask5.arabic", split=split, set_default=False)
push(given["rows"], "train")
push(given["rows"][:2], "validation")
first = HfApi().repo_info("lab/emotions", repo_type="dataset").sha
push(given["rows"][:1], "train")
give(first)
"""
LOAD = """
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.common.errors import DataError
def load(split, **options):
    try:
        texts = load_labeled_texts(DataArguments(**options), split)
    except DataError as error:
        return str(error)
    return None if texts is None else [
        texts.texts, texts.labels.tolist(), texts.label_names, texts.inventory.facts["commit"]]
give([load(split, **options) for split, options in given["tasks"]])
"""


def test_a_data_set_of_the_hub(hub_server: Any, tmp_path: Path) -> None:
    commit = hub_server.run(tmp_path, PUSH, labels=LABELS, rows=ROWS)
    name = {"dataset_name": "lab/emotions", "dataset_config_name": "subtask5.arabic"}
    pinned = name | {"dataset_revision": commit}
    tasks = [
        ("train", pinned),
        ("validation", pinned),
        ("test", pinned),
        ("train", name),
        ("train", name | {"dataset_config_name": "subtask5.klingon"}),
        ("train", name | {"dataset_revision": "no-such-branch"}),
        ("train", {"dataset_name": "lab/emotion"}),
        ("train", pinned | {"train_split": "trian"}),
    ]
    (
        train, validation, test, newest, no_config, no_revision, no_name, no_split
    ) = hub_server.run(tmp_path, LOAD, tasks=tasks)  # fmt: skip
    texts = [text for _, text, _ in ROWS]
    assert train == [texts, [list(labels) for *_, labels in ROWS], LABELS, commit]
    assert validation[0] == texts[:2]
    assert test is None
    assert newest[0] == texts[:1]
    assert len(newest[3]) == 40  # a moving reference is recorded as the commit that was read
    assert newest[3] != commit
    for message in (no_config, no_revision, no_name):
        assert_in(message, "cannot be loaded", "--dataset_name", "--train_file")
        assert "hf_test" not in message  # the token
    assert_in(no_config, "subtask5.klingon")
    assert_in(no_split, "no split 'trian' (did you mean 'train'?)", "--train_split")
    offline = hub_server.run(tmp_path, LOAD, tasks=[tasks[3], tasks[0]], offline=True)
    assert offline[0] == newest
    assert_in(offline[1], f"not at {commit}", "--dataset_revision")  # other rows are in the cache
