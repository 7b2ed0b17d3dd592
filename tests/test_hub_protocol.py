"""What the test Hub answers on the wire, past what a well-behaved client would send."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server.card_yaml import validate_card
from hub_server.server import HubServer

API = "/api/models/user/wire"
LFS = "/user/wire.git/info/lfs"


class Wire:
    """A bare HTTP client with the token of `user`."""

    def __init__(self, server: HubServer) -> None:
        self.server = server

    def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request; `headers` may override the token with `Authorization`."""
        connection = http.client.HTTPConnection(self.server.endpoint.removeprefix("http://"))
        if isinstance(body, dict):
            body = json.dumps(body)
        headers = {"Authorization": "Bearer hf_test", **headers}
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content

    def commit(self, *operations: tuple[str, dict[str, Any]], summary: str = "change") -> Any:
        """Commit to main; the id, or the status and `X-Error-Code` of the refusal."""
        lines = [("header", {"summary": summary, "description": ""}), *operations]
        body = "\n".join(json.dumps({"key": key, "value": value}) for key, value in lines)
        status, headers, content = self("POST", f"{API}/commit/main", body)
        if status == 200:
            return json.loads(content)["commitOid"]
        return status, headers.get("x-error-code")

    def grant(self, content: bytes) -> tuple[str, str | None]:
        """SHA-256 and upload path for `content`; no path if it is stored already."""
        sha256 = hashlib.sha256(content).hexdigest()
        body = {"operation": "upload", "objects": [{"oid": sha256, "size": len(content)}]}
        granted = json.loads(self("POST", f"{LFS}/objects/batch", body)[2])["objects"][0]
        if "actions" not in granted:
            return sha256, None
        href = granted["actions"]["upload"]["href"]
        return sha256, href.removeprefix(self.server.endpoint)


def text_file(path: str, content: bytes) -> tuple[str, dict[str, Any]]:
    encoded = base64.b64encode(content).decode()
    return "file", {"path": path, "content": encoded, "encoding": "base64"}


@pytest.fixture(scope="module")
def wire(hub_server: HubServer) -> Wire:
    client = Wire(hub_server)
    assert client("POST", "/api/repos/create", {"name": "wire", "organization": "user"})[0] == 200
    return client


def test_create_again_is_a_conflict_with_the_url(wire: Wire) -> None:
    status, _, body = wire("POST", "/api/repos/create", {"name": "wire", "organization": None})
    assert (status, json.loads(body)["url"]) == (409, f"{wire.server.endpoint}/user/wire")


def test_ranges(wire: Wire) -> None:
    wire.commit(text_file("digits.txt", b"0123456789"))
    path = "/user/wire/resolve/main/digits.txt"
    for asked, body, span in [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ]:
        status, headers, content = wire("GET", path, Range=asked)
        assert (status, content, headers["content-range"]) == (206, body, span)
    status, headers, _ = wire("GET", path, Range="bytes=10-")
    assert (status, headers["content-range"]) == (416, "bytes */10")
    status, headers, content = wire("HEAD", path)
    assert (status, headers["content-length"], content) == (200, "10", b"")
    assert headers["etag"] == '"ad471007bd7f5983d273b9584e5629230150fd54"'  # git hash-object
    assert "x-linked-etag" not in headers


def test_lfs_upload_is_checked_at_every_step(wire: Wire) -> None:
    content = b"weights" * 999
    sha256, href = wire.grant(content)
    assert href is not None
    pointer = ("lfsFile", {"path": "w.safetensors", "oid": sha256, "size": len(content)})
    assert wire.commit(pointer) == (400, None), "nothing was uploaded yet"
    assert wire("PUT", href.split("?")[0] + "?key=guessed", content)[0] == 403
    assert wire("PUT", href, content[:-1] + b"!")[0] == 400, "wrong SHA-256"
    assert wire.commit(pointer) == (400, None)
    assert wire("PUT", href, iter([content[:5], content[5:]]))[0] == 200, "chunked encoding"
    check = {"oid": sha256, "size": len(content)}
    assert wire("POST", f"{LFS}/verify", check)[0] == 200
    assert wire("POST", f"{LFS}/verify", {**check, "size": 1})[0] == 400
    assert wire.grant(content) == (sha256, None), "stored objects are not asked for again"
    commit = wire.commit(pointer)
    status, headers, body = wire("GET", f"/user/wire/resolve/{commit}/w.safetensors")
    assert (status, body) == (200, content)
    assert headers["x-repo-commit"] == commit
    assert headers["x-linked-etag"] == headers["etag"] == f'"{sha256}"'
    assert headers["x-linked-size"] == str(len(content))
    assert "x-xet-hash" not in headers


def test_cut_upload_leaves_no_object(wire: Wire) -> None:
    content = b"x" * 500_000
    sha256, href = wire.grant(content)
    wire.server.cut_next_upload(100_000, revoke_url=True)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        wire("PUT", str(href), content)
    objects = wire.server.storage.objects
    assert not objects.has(sha256)
    assert list(objects.folder.glob("partial-*")) == []
    assert wire("PUT", str(href), content)[0] == 403, "the address was revoked"
    assert wire("PUT", str(wire.grant(content)[1]), content)[0] == 200


def test_bad_commits_change_nothing(wire: Wire) -> None:
    wire.commit(text_file("kept.txt", b"1"), text_file("folder/a.txt", b"2"), summary="base")
    head = wire.server.repository("user/wire").branches["main"]
    good = text_file("new.txt", b"3")
    assert wire.commit(good, ("deletedFile", {"path": "none.txt"})) == (404, "EntryNotFound")
    assert wire.commit(good, ("deletedFile", {"path": "folder"})) == (404, "EntryNotFound")
    assert wire.commit(good, text_file("../outside.txt", b"4")) == (400, None)
    assert wire.commit(good, ("renamedFile", {"path": "kept.txt"})) == (400, None)
    assert wire.commit(good, summary="") == (400, None)
    assert wire("POST", f"{API}/commit/main", "no json")[0] == 400
    status, headers, _ = wire("POST", f"{API}/commit/none", '{"key": "header"}')
    assert (status, headers["x-error-code"]) == (404, "RevisionNotFound")
    assert wire.server.repository("user/wire").branches["main"] == head
    commit = wire.commit(("deletedFolder", {"path": "folder/"}))
    assert "folder/a.txt" in wire.server.files("user/wire", head)
    assert "folder/a.txt" not in wire.server.files("user/wire", commit)


def test_commit_ids_are_made_from_content(tmp_path: Path) -> None:
    ids = []
    for name, text in [("one", b"same"), ("two", b"same"), ("three", b"other")]:
        with HubServer(tmp_path / name) as server:
            client = Wire(server)
            client("POST", "/api/repos/create", {"name": "wire", "organization": "user"})
            ids.append(client.commit(text_file("a.txt", text)))
    assert ids[0] == ids[1] != ids[2]
    assert len(ids[0]) == len(ids[2]) == 40


def test_tampering_keeps_the_commit_id(wire: Wire) -> None:
    commit = wire.commit(text_file("modeling.py", b"honest = True"), summary="code")
    wire.server.tamper("user/wire", "modeling.py", b"honest = False")
    status, headers, body = wire("GET", f"/user/wire/resolve/{commit}/modeling.py")
    assert (status, headers["x-repo-commit"], body) == (200, commit, b"honest = False")


def test_log_holds_neither_tokens_nor_queries(wire: Wire) -> None:
    wire("GET", f"{API}?token=hf_test&blobs=true")
    assert wire.server.requests[-1] == f"GET {API}"
    assert not [line for line in wire.server.requests if "hf_test" in line or "?" in line]


def test_pytest_does_not_import_the_package_a_second_time() -> None:
    root = Path(__file__).parents[1]
    inits = [name for name, module in sys.modules.items() if _is_at(module, root / "__init__.py")]
    assert inits in ([], ["stacked_emotion"])


def _is_at(module: Any, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file) == path


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("license: mit\nlanguage: [ar, en]\nbase_model: a/b", None),
        ("license: my own", "license"),
        ("language: Arabic", "language"),
        ("language: no", "language"),
        ("base_model: a/b/c", "base_model"),
        ("tags: [1]", "tags"),
        ("model-index: [{results: []}]", "name"),
        ("model-index: [{name: m, results: [{task: {type: t}}]}]", "dataset.name"),
        ("a: [", "not YAML"),
    ],
)
def test_card_metadata(block: str, complaint: str | None) -> None:
    errors, warnings = validate_card(f"---\n{block}\n---\n# Card\n", "model")
    assert warnings == []
    assert bool(errors) == (complaint is not None)
    assert complaint is None or complaint in " ".join(errors)


def test_card_without_metadata_is_a_warning(wire: Wire) -> None:
    body = {"content": "# Card", "repoType": "model"}
    status, _, content = wire("POST", "/api/validate-yaml", body)
    assert (status, len(json.loads(content)["warnings"])) == (200, 1)
    body = {"content": "---\nlicense: none\n---\n", "repoType": "model"}
    assert wire("POST", "/api/validate-yaml", body)[0] == 400
