"""The real `huggingface_hub` client, in processes of its own, against the test Hub."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

BIG = 300_000
CARD = "---\nlanguage: ar\nlicense: mit\npipeline_tag: fill-mask\ntags: [emotion]\n---\n# Tiny\n"

PUBLISH = """
import os, torch
from huggingface_hub import HfApi
from transformers import AutoModel, BertConfig, BertModel, BertTokenizer

folder = pathlib.Path("out")
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "فرح", "حزن", "غضب"]
pathlib.Path("words.txt").write_text("\\n".join(words), encoding="utf-8")
BertTokenizer("words.txt").save_pretrained(folder)
config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=16, max_position_embeddings=16)
torch.manual_seed(0)
model = BertModel(config)
model.save_pretrained(folder)
(folder / "README.md").write_text(given["card"], encoding="utf-8")
(folder / "nested").mkdir()
(folder / "nested" / "ملف مع فراغ.txt").write_text("نص", encoding="utf-8")
(folder / "nested" / "empty.txt").write_text("")
(folder / "table.dat").write_bytes(bytes(range(256)) * (given["big"] // 256))

api = HfApi()
url = api.create_repo("user/tiny-bert")
again = api.create_repo("user/tiny-bert", exist_ok=True)
first = api.upload_folder(repo_id="user/tiny-bert", folder_path=folder, commit_message="first")
unchanged = api.upload_folder(repo_id="user/tiny-bert", folder_path=folder, commit_message="same")
api.create_tag("user/tiny-bert", tag="v1", tag_message="first release")
api.create_branch("user/tiny-bert", branch="trials/lr", revision=first.oid)
first_weight = model.embeddings.word_embeddings.weight[5].tolist()

with torch.no_grad():
    model.embeddings.word_embeddings.weight.add_(1.0)
model.save_pretrained(folder)
second = api.upload_folder(repo_id="user/tiny-bert", folder_path=folder, commit_message="second",
                           delete_patterns="table.dat", ignore_patterns="table.dat",
                           parent_commit=first.oid)
api.upload_file(path_or_fileobj=b"only here", path_in_repo="note.txt", repo_id="user/tiny-bert",
                revision="trials/lr")
refs = api.list_repo_refs("user/tiny-bert")
give({
    "me": api.whoami()["name"], "url": str(url), "again": str(again), "first": first.oid,
    "unchanged": unchanged.oid, "second": second.oid, "first_weight": first_weight,
    "branches": {ref.name: ref.target_commit for ref in refs.branches},
    "tags": {ref.name: ref.target_commit for ref in refs.tags},
    "titles": [commit.title for commit in api.list_repo_commits("user/tiny-bert")],
})
"""


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("publisher")


@pytest.fixture(scope="module")
def published(hub_server: Any, publisher: Path) -> dict[str, Any]:
    return hub_server.run(publisher, PUBLISH, card=CARD, big=BIG)


def test_publish_makes_commits_branches_and_tags(hub_server: Any, published: Any) -> None:
    first, second = published["first"], published["second"]
    assert published["me"] == "user"
    assert published["url"] == published["again"] == f"{hub_server.endpoint}/user/tiny-bert"
    assert published["unchanged"] == first != second
    assert published["titles"] == ["second", "first", "initial commit"]
    assert published["tags"] == {"v1": first}
    assert published["branches"]["main"] == second
    assert published["branches"]["trials/lr"] not in (first, second)
    old, new = hub_server.files("user/tiny-bert", first), hub_server.files("user/tiny-bert")
    assert set(old) - set(new) == {"table.dat"}
    assert {path for path in new if new[path] != old[path]} == {"model.safetensors"}
    tree = hub_server.repository("user/tiny-bert").resolve("v1").tree
    assert {path for path in tree if tree[path].lfs} == {"model.safetensors", "table.dat"}


def test_snapshots_at_commit_tag_and_branch(
    hub_server: Any, published: Any, tmp_path: Path
) -> None:
    code = """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    def read(revision):
        folder = pathlib.Path(snapshot_download("user/tiny-bert", revision=revision))
        files = {str(p.relative_to(folder)): p.read_bytes().hex() for p in folder.rglob("*")
                 if p.is_file()}
        return folder.name, files

    deleted = None
    try:
        hf_hub_download("user/tiny-bert", "table.dat")
    except EntryNotFoundError as error:
        deleted = type(error).__name__
    kept = hf_hub_download("user/tiny-bert", "table.dat", revision=given["first"])
    api = HfApi()
    info = api.model_info("user/tiny-bert", revision="v1", files_metadata=True)
    paths = api.get_paths_info("user/tiny-bert", ["nested", "model.safetensors", "none"])
    give({
        "snapshots": {r: read(r) for r in (given["first"], "v1", "main", "trials/lr")},
        "deleted": deleted, "kept": pathlib.Path(kept).stat().st_size,
        "sizes": {s.rfilename: s.size for s in info.siblings}, "sha": info.sha,
        "tag": info.pipeline_tag, "license": info.card_data.license,
        "lfs": [s.lfs.sha256 for s in info.siblings if s.rfilename == "model.safetensors"],
        "paths": [p.path for p in paths],
        "top": sorted(p.path for p in api.list_repo_tree("user/tiny-bert")),
        "nested": sorted(p.path for p in api.list_repo_tree("user/tiny-bert", "nested")),
        "exists": [api.file_exists("user/tiny-bert", "config.json"),
                   api.file_exists("user/tiny-bert", "none.json"),
                   api.revision_exists("user/tiny-bert", "v1"),
                   api.revision_exists("user/tiny-bert", "v2"),
                   api.repo_exists("user/tiny-bert"), api.repo_exists("user/none")],
    })
    """
    got = hub_server.run(tmp_path, code, token=None, **published)
    for revision, (folder, files) in got["snapshots"].items():
        stored = hub_server.files("user/tiny-bert", revision)
        assert files == {path: content.hex() for path, content in stored.items()}
        assert folder == hub_server.repository("user/tiny-bert").resolve(revision).oid
    assert got["snapshots"]["v1"][0] == got["sha"] == published["first"]
    assert "note.txt" in got["snapshots"]["trials/lr"][1]
    assert got["deleted"] == "RemoteEntryNotFoundError"
    old = hub_server.files("user/tiny-bert", "v1")
    assert got["kept"] == len(old["table.dat"])
    assert got["sizes"] == {path: len(content) for path, content in old.items()}
    assert got["lfs"] == [hashlib.sha256(old["model.safetensors"]).hexdigest()]
    assert (got["tag"], got["license"]) == ("fill-mask", "mit")
    assert got["paths"] == ["nested", "model.safetensors"]
    assert "nested" in got["top"]
    assert "nested/empty.txt" not in got["top"]
    assert got["nested"] == ["nested/empty.txt", "nested/ملف مع فراغ.txt"]
    assert got["exists"] == [True, False, True, False, True, False]


LOAD = """
from huggingface_hub import hf_hub_download
from transformers import AutoConfig, AutoModel, AutoTokenizer

def weight(revision):
    model = AutoModel.from_pretrained("user/tiny-bert", revision=revision)
    return model.embeddings.word_embeddings.weight[5].tolist()

tokenizer = AutoTokenizer.from_pretrained("user/tiny-bert", revision="v1")
give({
    "hidden_size": AutoConfig.from_pretrained("user/tiny-bert").hidden_size,
    "ids": tokenizer("فرح حزن")["input_ids"],
    "weights": {r: weight(r) for r in (given["first"], "v1", "main")},
    "card": pathlib.Path(hf_hub_download("user/tiny-bert", "README.md")).read_text("utf-8"),
})
"""


def test_auto_classes_online_then_offline_from_the_cache(
    hub_server: Any, published: Any, tmp_path: Path
) -> None:
    online = hub_server.run(tmp_path, LOAD, token=None, **published)
    assert online["hidden_size"] == 16
    assert online["ids"] == [2, 5, 6, 3]
    assert online["card"] == CARD
    weights = online["weights"]
    assert weights[published["first"]] == weights["v1"] == published["first_weight"]
    assert weights["main"] == pytest.approx([w + 1 for w in published["first_weight"]], abs=1e-6)
    asked = len(hub_server.requests)
    assert hub_server.run(tmp_path, LOAD, token=None, offline=True, **published) == online
    assert hub_server.requests[asked:] == []


ERRORS = """
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

api = HfApi()
seen = {}

def attempt(name, function, *args, **options):
    try:
        function(*args, **options)
        seen[name] = None
    except HfHubHTTPError as error:
        seen[name] = [type(error).__name__, error.response.status_code]
    except LocalTokenNotFoundError as error:
        seen[name] = [type(error).__name__, None]

public, write = "user/tiny-bert", {"path_or_fileobj": b"x", "path_in_repo": "x.txt"}
attempt("whoami", api.whoami)
attempt("public file", hf_hub_download, public, "config.json")
attempt("private file", hf_hub_download, "user/secret", "config.json")
attempt("private folder", snapshot_download, "user/secret")
attempt("missing repo", hf_hub_download, "user/nothing", "config.json")
attempt("missing short id", hf_hub_download, "nothing", "config.json")
attempt("missing revision", hf_hub_download, public, "config.json", revision="v9")
attempt("missing sha", snapshot_download, public, revision="0" * 40)
attempt("missing file", hf_hub_download, public, "none.json")
attempt("write", api.upload_file, repo_id=public, **write)
attempt("create", api.create_repo, "user/mine")
attempt("tag", api.create_tag, public, tag="v1")
attempt("stale parent", api.upload_file, repo_id=public, parent_commit=given["first"],
        path_or_fileobj=b"changed", path_in_repo="x.txt")
give(seen)
"""

HIDDEN = ("private file", "private folder", "missing repo")
WRITES = ("write", "create", "tag", "stale parent")


def test_wrong_missing_and_foreign_tokens(
    hub_server: Any, published: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = """
    from huggingface_hub import HfApi
    api = HfApi()
    api.create_repo("user/secret", private=True)
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="user/secret")
    give(api.model_info("user/secret").private)
    """
    assert hub_server.run(tmp_path_factory.mktemp("secret"), secret) is True
    repository = hub_server.repository("user/tiny-bert")
    before = repository.resolve("main").oid
    tokens = {"stranger": "hf_other", "wrong": "hf_wrong", "none": None}
    seen = {
        who: hub_server.run(tmp_path_factory.mktemp(who), ERRORS, token=token, **published)
        for who, token in tokens.items()
    }
    assert repository.resolve("main").oid == before, "none of the three may write"
    owner = hub_server.run(tmp_path_factory.mktemp("owner"), ERRORS, **published)
    assert owner == {
        "whoami": None,
        "public file": None,
        "private file": None,
        "private folder": None,
        "missing repo": ["RepositoryNotFoundError", 404],
        "missing short id": ["RepositoryNotFoundError", 404],
        "missing revision": ["RevisionNotFoundError", 404],
        "missing sha": ["RevisionNotFoundError", 404],
        "missing file": ["RemoteEntryNotFoundError", 404],
        "write": None,
        "create": None,
        "tag": ["HfHubHTTPError", 409],
        "stale parent": ["HfHubHTTPError", 412],
    }
    assert repository.commits[repository.resolve("main").oid].parent == before
    forbidden = {what: ["HfHubHTTPError", 403] for what in WRITES}
    absent = {what: ["RepositoryNotFoundError", 404] for what in HIDDEN}
    assert seen["stranger"] == {**owner, **absent, **forbidden}
    unauthorized = {what: ["RepositoryNotFoundError", 401] for what in HIDDEN + WRITES}
    login = {"whoami": ["LocalTokenNotFoundError", None]}
    assert seen["none"] == {**owner, **unauthorized, **login}
    refused = ("public file", "missing revision", "missing file", *HIDDEN, *WRITES, "whoami")
    assert {tuple(seen["wrong"][what]) for what in refused} == {("HfHubHTTPError", 401)}


UPLOAD_TWO = """
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("user/cut", exist_ok=True)
folder = pathlib.Path("cut"); folder.mkdir(exist_ok=True)
(folder / "notes.txt").write_text("small")
(folder / "model.safetensors").write_bytes(bytes([given["byte"]]) * 2_000_000)
failure = None
try:
    api.upload_folder(repo_id="user/cut", folder_path=folder)
except Exception as error:
    chain = [error, error.__cause__, error.__context__]
    failure = [type(e).__name__ for e in chain if e is not None]
give({"failure": failure, "sha": api.model_info("user/cut").sha,
      "files": sorted(api.list_repo_files("user/cut"))})
"""


def test_upload_survives_a_cut_connection(hub_server: Any, tmp_path: Path) -> None:
    hub_server.cut_next_upload(700_000)
    start = len(hub_server.requests)
    got = hub_server.run(tmp_path, UPLOAD_TWO, byte=1)
    assert got["failure"] is None
    assert hub_server.files("user/cut")["model.safetensors"] == b"\1" * 2_000_000
    puts = [line for line in hub_server.requests[start:] if line.startswith("PUT /lfs-storage/")]
    assert len(puts) == 2, "the client itself repeats a cut upload"


def test_failed_upload_commits_nothing_and_can_be_repeated(hub_server: Any, tmp_path: Path) -> None:
    objects = hub_server.storage.objects.folder
    hub_server.cut_next_upload(700_000, revoke_url=True)
    failed = hub_server.run(tmp_path, UPLOAD_TWO, byte=2)
    assert "HfHubHTTPError" in failed["failure"]
    assert hub_server.repository("user/cut").resolve("main").oid == failed["sha"]
    assert hub_server.files("user/cut").get("model.safetensors") != b"\2" * 2_000_000
    assert list(objects.glob("partial-*")) == []
    repeated = hub_server.run(tmp_path, UPLOAD_TWO, byte=2)
    assert repeated["failure"] is None
    assert repeated["files"] == [".gitattributes", "model.safetensors", "notes.txt"]
    assert hub_server.files("user/cut")["model.safetensors"] == b"\2" * 2_000_000
    start = len(hub_server.requests)
    assert hub_server.run(tmp_path, UPLOAD_TWO, byte=2)["sha"] == repeated["sha"]
    assert not [line for line in hub_server.requests[start:] if line.startswith("PUT ")]


def test_spaces_and_datasets(hub_server: Any, tmp_path: Path) -> None:
    code = """
    from huggingface_hub import HfApi, hf_hub_download, hf_hub_url
    api = HfApi()
    got = {}
    for kind in ("dataset", "space"):
        options = {"space_sdk": "gradio"} if kind == "space" else {}
        url = api.create_repo("lab/things", repo_type=kind, **options)
        folder = pathlib.Path(kind); folder.mkdir()
        head = "sdk: gradio\\ncolorFrom: blue" if kind == "space" else "license: cc-by-4.0"
        (folder / "README.md").write_text(f"---\\n{head}\\n---\\n")
        (folder / "rows.parquet").write_bytes(kind.encode() * 9)
        api.upload_folder(repo_id="lab/things", repo_type=kind, folder_path=folder)
        api.create_tag("lab/things", tag="v1", repo_type=kind)
        path = hf_hub_download("lab/things", "rows.parquet", repo_type=kind, revision="v1")
        info = api.repo_info("lab/things", repo_type=kind)
        got[kind] = [str(url), pathlib.Path(path).read_text(), info.sha, getattr(info, "sdk", None)]
    bad = None
    try:
        api.upload_file(path_or_fileobj=b"---\\nsdk: perl\\n---\\n", path_in_repo="README.md",
                        repo_id="lab/things", repo_type="space")
    except ValueError as error:
        bad = str(error)
    api.delete_repo("lab/things", repo_type="dataset")
    give({**got, "bad": bad, "left": [api.repo_exists("lab/things", repo_type=kind)
                                      for kind in ("dataset", "space", "model")]})
    """
    got = hub_server.run(tmp_path, code)
    for kind in ("dataset", "space"):
        url, content, sha, sdk = got[kind]
        assert url == f"{hub_server.endpoint}/{kind}s/lab/things"
        assert content == kind * 9
        assert len(sha) == 40
        assert sdk == ("gradio" if kind == "space" else None)
    assert "sdk" in got["bad"]
    assert got["left"] == [False, True, False]


METRIC = """
import datasets
import evaluate

class Exact(evaluate.Metric):
    def _info(self):
        features = {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(description="", citation="", inputs_description="",
                                   features=datasets.Features(features))

    def _compute(self, predictions, references):
        return {"exact": float(predictions == references)}
"""


def test_load_dataset_and_metric_by_id(hub_server: Any, tmp_path: Path) -> None:
    code = """
    import datasets, evaluate
    from huggingface_hub import HfApi
    datasets.Dataset.from_dict({"text": ["فرح", "حزن"], "joy": [1, 0]}).push_to_hub("lab/rows")
    rows = datasets.load_dataset("lab/rows", split="train")
    api = HfApi()
    api.create_repo("user/exact", repo_type="space", space_sdk="static")
    api.upload_file(path_or_fileobj=given["metric"].encode(), path_in_repo="exact.py",
                    repo_id="user/exact", repo_type="space")
    metric = evaluate.load("user/exact")
    give([rows.to_dict(), metric.compute(predictions=[1, 0], references=[1, 0])])
    """
    rows, score = hub_server.run(tmp_path, code, metric=METRIC)
    assert rows == {"text": ["فرح", "حزن"], "joy": [1, 0]}
    assert score == {"exact": 1.0}


def test_environment_is_clean(hub_server: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_developer")
    environment = hub_server.environment(tmp_path, token=None)
    assert not {"HF_TOKEN", "HF_HUB_OFFLINE"} & set(environment)
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["HF_ENDPOINT"] == hub_server.endpoint
    assert hub_server.environment(tmp_path)["HF_TOKEN"] == "hf_test"
    assert hub_server.environment(tmp_path, offline=True)["HF_HUB_OFFLINE"] == "1"
