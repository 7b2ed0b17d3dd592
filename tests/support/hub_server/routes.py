"""The routes of the Hub that `huggingface_hub` calls, with the status codes that it looks at."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from .card_yaml import card_metadata, validate_card
from .messages import Account, Answer, ConnectionCut, Request
from .storage import Commit, File, HubError, Repository, lfs_pointer

Route = Callable[..., Answer]
_ROUTES: list[tuple[frozenset[str], re.Pattern[str], Route]] = []
_PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_API = r"/api/(?P<kind>model|dataset|space)s/(?P<repo>[^/]+/[^/]+)"
_REPO = r"/(?:(?P<kind>dataset|space)s/)?(?P<repo>[^/]+/[^/]+)"


def _route(methods: str, pattern: str) -> Callable[[Route], Route]:
    def register(function: Route) -> Route:
        _ROUTES.append((frozenset(methods.split()), re.compile(pattern), function))
        return function

    return register


def answer(request: Request) -> Answer:
    """Find the route of a request and run it.

    Raises:
        HubError: For every answer that is an error.
    """
    for methods, pattern, function in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match is not None and request.method in methods:
            groups = {k: unquote(v) for k, v in match.groupdict().items() if v is not None}
            try:
                return function(request, **groups)
            except (KeyError, TypeError, AttributeError) as error:
                raise HubError(400, f"Malformed request: {error!r}") from error
    raise HubError(404, "Sorry, we can't find the page you are looking for.", "RepoNotFound")


def _writer(request: Request, namespace: str) -> Account:
    account = request.account()
    if account is None:
        raise HubError(401, "Invalid username or password.", "RepoNotFound")
    if namespace not in account.namespaces:
        raise HubError(403, f"You don't have the rights to write under the namespace {namespace!r}")
    return account


def _repository(request: Request, kind: str, repo: str, write: bool = False) -> Repository:
    account = request.account()
    namespace = repo.split("/")[0]
    repository = request.hub.storage.repositories.get((kind, repo))
    allowed = account is not None and namespace in account.namespaces
    if repository is None or (repository.private and not allowed):
        # The Hub does not tell a stranger whether a repository exists: 401 without a token.
        status, message = (401, "Invalid username or password.") if account is None else (404, "")
        raise HubError(status, message or "Repository not found", "RepoNotFound")
    if write:
        _writer(request, namespace)
    return repository


def _url(request: Request, repository: Repository) -> str:
    return f"{request.hub.endpoint}/{_PREFIXES[repository.kind]}{repository.id}"


@_route("GET", r"/api/whoami-v2")
def whoami(request: Request) -> Answer:
    account = request.account()
    if account is None:
        raise HubError(401, "Invalid username or password.")
    token = {"displayName": "test", "role": "write"}
    return Answer.json(
        {
            "type": "user",
            "id": account.name,
            "name": account.name,
            "fullname": account.name,
            "orgs": [{"type": "org", "name": n} for n in account.namespaces if n != account.name],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


@_route("POST DELETE", r"/api/repos/(?:create|delete)")
def create_or_delete(request: Request) -> Answer:
    fields = request.json()
    account = request.account()
    namespace = fields.get("organization") or (account.name if account else "")
    account = _writer(request, namespace)
    kind, repo = fields.get("type") or "model", f"{namespace}/{fields['name']}"
    storage = request.hub.storage
    with storage.lock:
        if request.method == "DELETE":
            _repository(request, kind, repo, write=True)
            del storage.repositories[kind, repo]
            return Answer.json({})
        existing = storage.repositories.get((kind, repo))
        if existing is not None:
            url = _url(request, existing)
            raise HubError(409, f"You already created this {kind} repo", body={"url": url})
        private = fields.get("visibility") == "private" or bool(fields.get("private"))
        extra = {"sdk": fields["sdk"]} if kind == "space" else {}
        created = storage.create(kind, repo, private, account.name, extra)
    return Answer.json({"url": _url(request, created), "name": repo, "id": repo})


@_route("PUT", _API + "/settings")
def settings(request: Request, kind: str, repo: str) -> Answer:
    repository = _repository(request, kind, repo, write=True)
    fields = request.json()
    repository.private = fields.get("visibility", "") == "private" or bool(fields.get("private"))
    return Answer.json({"private": repository.private})


@_route("POST", r"/api/validate-yaml")
def validate_yaml(request: Request) -> Answer:
    fields = request.json()
    errors, warnings = validate_card(fields["content"], fields.get("repoType") or "model")
    messages = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    return Answer.json(messages, 400 if errors else 200)


@_route("POST", _API + r"/preupload/(?P<revision>[^/]+)")
def preupload(request: Request, kind: str, repo: str, revision: str) -> Answer:
    repository = _repository(request, kind, repo, write=True)
    tree = repository.resolve(revision).tree
    files = []
    for item in request.json()["files"]:
        sample = base64.b64decode(item.get("sample", ""))
        mode = request.hub.storage.upload_mode(item["path"], item["size"], sample)
        known = tree.get(item["path"])
        oid = known.etag if known is not None and known.lfs == (mode == "lfs") else None
        files.append({"path": item["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Answer.json({"files": files})


@_route("POST", _REPO + r"\.git/info/lfs/objects/batch")
def lfs_batch(request: Request, repo: str, kind: str = "model") -> Answer:
    _repository(request, kind, repo, write=True)
    hub, objects = request.hub, []
    for item in request.json()["objects"]:
        entry: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
        if not hub.storage.objects.has(item["oid"]):
            key = hub.grant_upload(item["oid"])
            prefix = f"{hub.endpoint}/{_PREFIXES[kind]}{repo}.git/info/lfs"
            entry["actions"] = {
                "upload": {"href": f"{hub.endpoint}/lfs-storage/{item['oid']}?key={key}"},
                "verify": {"href": f"{prefix}/verify"},
            }
        objects.append(entry)
    return Answer.json({"transfer": "basic", "objects": objects})


@_route("PUT", r"/lfs-storage/(?P<sha256>[0-9a-f]{64})")
def lfs_put(request: Request, sha256: str) -> Answer:
    hub = request.hub
    key = request.query.get("key", [""])[0]
    if hub.upload_keys.get(key) != sha256:
        raise HubError(403, "The upload address has expired or was not signed for this object")
    cut = hub.next_cut()

    def until_cut(after_bytes: int) -> Iterator[bytes]:
        while after_bytes > 0 and (chunk := next(request.chunks(min(after_bytes, 1 << 16)), b"")):
            after_bytes -= len(chunk)
            yield chunk
        if cut is not None and cut.revoke_url:
            del hub.upload_keys[key]
        raise ConnectionCut("in the middle of an upload, as the test asked")

    chunks = request.chunks() if cut is None else until_cut(cut.after_bytes)
    hub.storage.objects.receive(chunks, sha256)
    return Answer(headers={"ETag": f'"{sha256}"'})


@_route("POST", _REPO + r"\.git/info/lfs/verify")
def lfs_verify(request: Request, repo: str, kind: str = "model") -> Answer:
    _repository(request, kind, repo, write=True)
    item = request.json()
    stored = request.hub.storage.lfs_file(item["oid"])
    if stored.size != item["size"]:
        raise HubError(400, f"{item['oid']} has {stored.size} bytes, not {item['size']}")
    return Answer.json({})


@_route("POST", _API + r"/commit/(?P<revision>[^/]+)")
def commit(request: Request, kind: str, repo: str, revision: str) -> Answer:
    repository = _repository(request, kind, repo, write=True)
    if request.flag("create_pr"):
        raise HubError(400, "This server has no pull requests")
    try:
        operations = [json.loads(line) for line in request.body().splitlines() if line.strip()]
    except ValueError as error:
        raise HubError(400, f"The body is not NDJSON: {error}") from error
    account = _writer(request, repo.split("/")[0])
    storage = request.hub.storage
    with storage.lock:
        made = storage.apply(repository, revision, operations, account.name)
    url = f"{_url(request, repository)}/commit/{made.oid}"
    return Answer.json({"success": True, "commitOid": made.oid, "commitUrl": url})


@_route("POST DELETE", _API + r"/branch/(?P<branch>[^/]+)")
def branch(request: Request, kind: str, repo: str, branch: str) -> Answer:
    repository = _repository(request, kind, repo, write=True)
    with request.hub.storage.lock:
        if request.method == "POST":
            start = json.loads(request.body() or b"{}").get("startingPoint") or "main"
            repository.add_branch(branch, start)
        elif repository.branches.pop(branch, None) is None:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    return Answer.json({})


@_route("POST DELETE", _API + r"/tag/(?P<revision>[^/]+)")
def tag(request: Request, kind: str, repo: str, revision: str) -> Answer:
    repository = _repository(request, kind, repo, write=True)
    with request.hub.storage.lock:
        if request.method == "POST":
            repository.add_tag(request.json()["tag"], revision)
        elif repository.tags.pop(revision, None) is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return Answer.json({})


@_route("GET", _API + "/refs")
def refs(request: Request, kind: str, repo: str) -> Answer:
    repository = _repository(request, kind, repo)

    def listed(names: dict[str, str], folder: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid}
            for name, oid in names.items()
        ]

    return Answer.json(
        {
            "branches": listed(repository.branches, "heads"),
            "tags": listed(repository.tags, "tags"),
            "converts": [],
            "pullRequests": [],
        }
    )


@_route("GET", _API + r"/commits/(?P<revision>[^/]+)")
def commits(request: Request, kind: str, repo: str, revision: str) -> Answer:
    repository = _repository(request, kind, repo)
    return Answer.json(
        [
            {
                "id": made.oid,
                "title": made.title,
                "message": made.description,
                "authors": [{"user": made.author}],
                "date": made.date,
            }
            for made in repository.history(repository.resolve(revision))
        ]
    )


def _entry(path: str, file: File, key: str = "path") -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, key: path}
    if file.lfs:
        pointer = len(lfs_pointer(file.sha256, file.size))
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": pointer}
        entry["lfs"]["sha256"] = file.sha256
    return entry


@_route("GET", _API + r"/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?")
def tree(request: Request, kind: str, repo: str, revision: str, folder: str = "") -> Answer:
    repository = _repository(request, kind, repo)
    at = repository.resolve(revision)
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    inside = {path: file for path, file in at.tree.items() if path.startswith(prefix)}
    if folder and not inside:
        raise HubError(404, f"{folder} does not exist on {revision!r}", "EntryNotFound")
    recursive = request.flag("recursive")
    entries: dict[str, dict[str, Any]] = {}
    for path, file in inside.items():
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            name = prefix + "/".join(parts[:depth])
            entries[name] = {"type": "directory", "oid": at.oid, "size": 0, "path": name}
        if recursive or len(parts) == 1:
            entries[path] = _entry(path, file)
    return Answer.json(list(entries.values()), headers={"X-Repo-Commit": at.oid})


@_route("POST", _API + r"/paths-info/(?P<revision>[^/]+)")
def paths_info(request: Request, kind: str, repo: str, revision: str) -> Answer:
    at = _repository(request, kind, repo).resolve(revision)
    entries = []
    for path in request.json()["paths"]:
        if path in at.tree:
            entries.append(_entry(path, at.tree[path]))
        elif any(name.startswith(f"{path}/") for name in at.tree):
            entries.append({"type": "directory", "oid": at.oid, "size": 0, "path": path})
    return Answer.json(entries)


def _card(request: Request, at: Commit) -> dict[str, Any]:
    readme = at.tree.get("README.md")
    if readme is None:
        return {}
    return card_metadata(b"".join(request.hub.storage.objects.read(readme.sha256)).decode())


@_route("GET", _API + r"(?:/revision/(?P<revision>[^/]+))?")
def info(request: Request, kind: str, repo: str, revision: str = "main") -> Answer:
    repository = _repository(request, kind, repo)
    at = repository.resolve(revision)
    card = _card(request, at)
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in at.tree]
    if request.flag("blobs"):
        siblings = [
            {"blobId": file.oid, **_entry(path, file, key="rfilename")}
            for path, file in at.tree.items()
        ]
    fields = {
        "id": repo,
        "author": repo.split("/")[0],
        "sha": at.oid,
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "lastModified": at.date,
        "createdAt": list(repository.history(at))[-1].date,
        "downloads": 0,
        "likes": 0,
        "tags": card.get("tags") or [],
        "cardData": card,
        "siblings": siblings,
        **repository.extra,
    }
    fields |= {k: card[k] for k in ("pipeline_tag", "library_name", "model-index") if k in card}
    return Answer.json(fields)


def _byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or match.group(1) == match.group(2) == "":
        return None
    if match.group(1) == "":
        return max(size - int(match.group(2)), 0), size
    start = int(match.group(1))
    stop = min(int(match.group(2)) + 1, size) if match.group(2) else size
    if start >= stop:
        raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return start, stop


@_route("GET HEAD", _REPO + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(request: Request, repo: str, revision: str, path: str, kind: str = "model") -> Answer:
    repository = _repository(request, kind, repo)
    at = repository.resolve(revision)
    file = repository.file(at, path)
    headers = {
        "X-Repo-Commit": at.oid,
        "ETag": f'"{file.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream" if file.lfs else "text/plain; charset=utf-8",
    }
    if file.lfs:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    span = _byte_range(request.headers.get("Range"), file.size)
    if span is None:
        return Answer(headers=headers, stored=(file.sha256, 0, file.size))
    headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{file.size}"
    return Answer(status=206, headers=headers, stored=(file.sha256, *span))
