"""Publishing from end to end: the real Hub client in processes of its own, against the test Hub."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from run_folders import BASE_MODELS
from tiny_models import LABELS, ROOT

TEXTS = ["فرحان جدا 😍", "لا أعرف ماذا أفعل، خائف", "a b c"]

PUBLISH = """
import os, shutil
import torch
from huggingface_hub import HfApi
from stacked_emotion import StackedEmotionForSequenceClassification as Model
from stacked_emotion.hub_card import publish, verify_published
from stacked_emotion.common.errors import UserError

run, api = pathlib.Path(given["run"]), HfApi()
told = {}

def attempt(name, *arguments, **options):
    try:
        publish(*arguments, languages=["ar"], plots=False, **options)
    except UserError as error:
        told[name] = str(error)

license = "cc-by-nc-4.0"
attempt("no license", run, "user/emotions")
attempt("wrong token", run, "user/emotions", license, token="hf_wrong")
token = os.environ.pop("HF_TOKEN")
attempt("no token", run, "user/emotions", license)
os.environ["HF_TOKEN"] = token
attempt("somebody else's", run, "stranger/emotions", license)
attempt("cut", run, "user/emotions", license, private=True)  # the test cuts this upload
steps = []
first = publish(run, "user/emotions", license, languages=["ar"], revision_tag="v1", plots=False,
                report=steps.append)
folder = verify_published("user/emotions", first.commit, first.digest)

for name in ("notes.md", "old_stacked_emotion.py", "plots/old.png"):
    api.upload_file(path_or_fileobj=b"x", path_in_repo=name, repo_id="user/emotions")
model = Model.from_pretrained(run / "model")
with torch.no_grad():
    model.classifier.output.bias.add_(1.0)
model.save_pretrained(run / "model")
attempt("tag taken", run, "user/emotions", license, revision_tag="v1")
second = publish(run, "user/emotions", license, languages=["ar"], revision_tag="v2")
give({
    "told": told, "steps": steps, "verified": folder.name,
    "commits": [first.commit, second.commit],
    "digests": [first.digest, second.digest],
    "titles": [commit.title for commit in api.list_repo_commits("user/emotions")],
})
"""


@pytest.fixture(scope="module")
def published(
    hub_server: Any, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("publisher")
    run = shutil.copytree(run_folder, work / "arabic")
    hub_server.cut_next_upload(50_000, revoke_url=True)
    start = len(hub_server.requests)
    answer = hub_server.run(work, PUBLISH, run=str(run))
    return {**answer, "requests": hub_server.requests[start:]}


def test_without_a_license_the_terms_are_listed(published: dict[str, Any]) -> None:
    told = published["told"]["no license"]
    assert "no default license" in told
    for source in BASE_MODELS.values():
        assert f"base model {source}: not known here (https://huggingface.co/{source})" in told
    assert "data tweets.csv" in told


def test_refusals_are_told(published: dict[str, Any]) -> None:
    told = published["told"]
    assert "HF_TOKEN" in told["no token"]
    assert "HF_TOKEN" in told["wrong token"]
    assert "may not write" in told["somebody else's"]
    assert "'v1' already" in told["tag taken"]
    assert not [text for text in told.values() if "hf_test" in text or "hf_wrong" in text]


def test_a_cut_upload_is_continued(published: dict[str, Any]) -> None:
    assert "continue" in published["told"]["cut"]
    requests = published["requests"]
    creations = [line for line in requests if line == "POST /api/models/user/emotions/commit/main"]
    assert len(creations) == 5, "two publications and three single files; none for the cut upload"
    puts = [line for line in requests if line.startswith("PUT /lfs-storage/")]
    twice = {line for line in puts if puts.count(line) > 1}
    assert len(twice) == 1, "only what was cut goes up again"


def test_one_commit_with_everything(hub_server: Any, published: dict[str, Any]) -> None:
    first, second = published["commits"]
    repository = hub_server.repository("user/emotions")
    assert repository.private
    assert repository.tags == {"v1": first, "v2": second}
    files = hub_server.files("user/emotions", first)
    assert {
        "README.md", "config.json", "model.safetensors", "tokenizer_config.json", "handler.py",
        "requirements.txt", "results.json", "training_args.json", ".gitattributes", "limits.py",
        *(file.name for file in ROOT.glob("*_stacked_emotion.py")),
        *(f"tokenizers/{name}/tokenizer.json" for name in BASE_MODELS),
    } == set(files)  # fmt: skip
    card = files["README.md"].decode()
    assert published["digests"][0] in card
    assert "](plots/" not in card
    assert published["verified"] == first


def test_what_is_outdated_goes_and_what_is_yours_stays(
    hub_server: Any, published: dict[str, Any]
) -> None:
    files = hub_server.files("user/emotions", "v2")
    assert "notes.md" in files
    assert "old_stacked_emotion.py" not in files
    pictures = {path for path in files if path.startswith("plots/")}
    assert "plots/old.png" not in pictures
    assert {path.rsplit(".", 1)[1] for path in pictures} == {"png", "svg"}
    shown = re.findall(r"\]\((plots/[^)]+)\)", files["README.md"].decode())
    assert set(shown) == {path for path in pictures if path.endswith(".png")} != set()


def test_commits_say_what_they_are(published: dict[str, Any]) -> None:
    assert published["titles"][0] == "Publish model, card and code"
    assert published["digests"][0] != published["digests"][1]


READ = """
import sys
sys.modules["stacked_emotion"] = None
import torch
from transformers import (AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer,
                          Trainer, TrainingArguments, pipeline)
trust, texts = {"trust_remote_code": True}, given["texts"]
found = {}
for revision in given["revisions"]:
    tokenizer = AutoTokenizer.from_pretrained("user/emotions", revision=revision, **trust)
    model = AutoModelForSequenceClassification.from_pretrained(
        "user/emotions", revision=revision, **trust)
    base = AutoModel.from_pretrained("user/emotions", revision=revision, **trust)
    with torch.no_grad():
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        found[revision] = [model(**batch).logits.tolist(), base(**batch).meta_logits.tolist()]
classify = pipeline("text-classification", model="user/emotions", revision=given["revisions"][0],
                    top_k=None, **trust)
found["pipeline"] = [{s["label"]: s["score"] for s in row} for row in classify(texts)]
"""
TUNE = """
config = AutoConfig.from_pretrained("user/emotions", revision=given["revisions"][0],
                                    id2label={0: "ja", 1: "nein"}, **trust)
tuned = AutoModelForSequenceClassification.from_pretrained(
    "user/emotions", revision=given["revisions"][0], config=config, ignore_mismatched_sizes=True,
    **trust)
rows = [{**tokenizer(text), "labels": [1.0, 0.0]} for text in texts]
trainer = Trainer(model=tuned, processing_class=tokenizer, train_dataset=rows,
    args=TrainingArguments(output_dir="tuned", max_steps=2, report_to="none", use_cpu=True,
                           save_strategy="no", hub_model_id="user/tuned"))
trainer.train()
trainer.push_to_hub()
loaded = AutoModelForSequenceClassification.from_pretrained("user/tuned", **trust)
its_tokenizer = AutoTokenizer.from_pretrained("user/tuned", **trust)
with torch.no_grad():
    before = tuned.eval()(**batch).logits
    after = loaded(**its_tokenizer(texts, padding=True, return_tensors="pt")).logits
found["tuned"] = [torch.equal(before, after), loaded.config.id2label, loaded.config.thresholds]
"""
GIVE = "\ngive(found)\n"


def test_load_by_id_fine_tune_push_and_load_offline(
    hub_server: Any, published: dict[str, Any], tiny_stack: Any, tmp_path: Path
) -> None:
    first = published["commits"][0]
    asked = {"revisions": [first, "v2"], "texts": TEXTS}
    found = hub_server.run(tmp_path, READ + TUNE + GIVE, **asked)
    model, tokenizer = tiny_stack
    with torch.no_grad():
        batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
        expected = model(**batch).logits
        meta = model.stacked(**batch).meta_logits
    old, old_meta = map(torch.tensor, found[first])
    torch.testing.assert_close(old, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(old_meta, meta, atol=1e-5, rtol=0)
    moved = expected + model.calibration.scale  # the bias before the calibration grew by 1
    torch.testing.assert_close(torch.tensor(found["v2"][0]), moved, atol=1e-5, rtol=0)
    scores = [[row[label] for label in LABELS] for row in found["pipeline"]]
    torch.testing.assert_close(torch.tensor(scores), torch.sigmoid(expected), atol=1e-5, rtol=0)

    equal, labels, thresholds = found["tuned"]
    assert equal
    assert labels == {"0": "ja", "1": "nein"}
    assert thresholds is None
    files = hub_server.files("user/tuned")
    for name, content in hub_server.files("user/emotions", first).items():
        if name.endswith("_stacked_emotion.py"):
            assert files[name] == content

    requests = len(hub_server.requests)
    offline = {"revisions": [first], "texts": TEXTS}
    again = hub_server.run(tmp_path, READ + GIVE, offline=True, **offline)
    assert again[first] == found[first]
    assert len(hub_server.requests) == requests


CHECK = """
import evaluate
from stacked_emotion.hub_card import publish_metric, verify_published
from stacked_emotion.common.errors import UserError
told = {}
for commit, digest in zip(given["commits"], given["digests"]):
    try:
        told[commit] = verify_published("user/emotions", commit, digest).name
    except UserError as error:
        told[commit] = str(error)
publication = publish_metric("user/multilabel_emotion", revision_tag="v1")
metric = evaluate.load("user/multilabel_emotion", revision=publication.commit)
scores = metric.compute(predictions=[[0.9, 0.2], [0.4, 0.1]], references=[[1, 1], [0, 0]],
                        thresholds=0.5, label_names=["joy", "love"])
try:
    publish_metric("user/no metric")
except UserError as error:
    told["name"] = str(error)
give({"told": told, "scores": scores, "files": [file.path for file in publication.files]})
"""


def test_altered_repositories_are_refused_and_the_metric_loads(
    hub_server: Any, published: dict[str, Any], tmp_path: Path
) -> None:
    first, second = published["commits"]
    files = hub_server.files("user/emotions", first)
    code = files["modeling_stacked_emotion.py"] + b"\nprint('altered')\n"
    hub_server.tamper("user/emotions", "modeling_stacked_emotion.py", code, first)
    weights = bytearray(hub_server.files("user/emotions", second)["model.safetensors"])
    weights[-1] ^= 1
    hub_server.tamper("user/emotions", "model.safetensors", bytes(weights), second)
    found = hub_server.run(
        tmp_path, CHECK, commits=[first, second], digests=published["digests"][:2]
    )
    for commit in (first, second):
        assert "is refused" in found["told"][commit]
        assert "altered" in found["told"][commit]
    assert found["scores"]["jaccard"] == 0.75
    assert found["scores"]["f1_joy"] == 1.0
    assert found["files"] == [
        "README.md", "index.html", "multilabel_emotion.py", "requirements.txt", "scores.py",
    ]  # fmt: skip
    assert "cannot hold a metric" in found["told"]["name"]
    card = hub_server.files("user/multilabel_emotion", kind="space")["README.md"].decode()
    assert 'evaluate.load("user/multilabel_emotion", revision="<commit>")' in card
