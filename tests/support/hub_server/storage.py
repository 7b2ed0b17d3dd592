"""Content-addressed storage of a Hub for tests: objects on disk, commits and refs in memory.

A commit id is the SHA-1 of what the commit holds (repository, parent, message, paths and object
ids), so the same publication into two new servers gives the same 40-hex id, and no commit is ever
rewritten: every old one stays readable.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_LFS_SUFFIX_LIST = """
.arrow .bin .ckpt .gz .h5 .jpeg .jpg .joblib .model .msgpack .npy .npz .onnx .onnx_data
.parquet .pickle .pkl .png .pt .pth .safetensors .tar .tgz .zip
"""
LFS_SUFFIXES = frozenset(_LFS_SUFFIX_LIST.split())
INITIAL_GITATTRIBUTES = "".join(
    f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(LFS_SUFFIXES)
).encode()
_CHUNK_BYTES = 1 << 20


class HubError(Exception):
    """An answer other than 2xx.

    Args:
        status: HTTP status code.
        message: What `X-Error-Message` and the JSON body say.
        code: `X-Error-Code` (`RepoNotFound`, `RevisionNotFound`, `EntryNotFound`), if any.
        headers: Further response headers.
        body: Further fields of the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.body = body or {}


@dataclass(frozen=True)
class File:
    """One version of a file: `oid` is its git blob id (of the pointer text when in LFS)."""

    sha256: str
    size: int
    oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        """What the client names the cached blob after."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    """A snapshot of all paths, with its parent."""

    oid: str
    parent: str | None
    title: str
    description: str
    author: str
    date: str
    tree: dict[str, File]


def git_blob_id(content: bytes) -> str:
    """SHA-1 of `content` as git computes it for a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text that git keeps in place of an LFS file."""
    version = "version https://git-lfs.github.com/spec/v1"
    return f"{version}\noid sha256:{sha256}\nsize {size}\n".encode()


class ObjectStore:
    """Files named by their SHA-256 in one folder; a partial upload never becomes an object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._uploads = 0

    def path(self, sha256: str) -> Path:
        """Where the object is, or would be."""
        return self.folder / sha256

    def has(self, sha256: str) -> bool:
        """Whether the whole object is stored."""
        return self.path(sha256).is_file()

    def add(self, content: bytes) -> str:
        """Store `content` and return its SHA-256."""
        return self.receive(iter([content]), None)

    def receive(self, chunks: Iterator[bytes], expected_sha256: str | None) -> str:
        """Store a stream.

        Raises:
            HubError: 400 if the bytes do not have the announced SHA-256; nothing is kept then.
        """
        with self._lock:
            self._uploads += 1
            partial = self.folder / f"partial-{self._uploads}"
        digest = hashlib.sha256()
        try:
            with partial.open("wb") as stream:
                for chunk in chunks:
                    digest.update(chunk)
                    stream.write(chunk)
            sha256 = digest.hexdigest()
            if expected_sha256 is not None and sha256 != expected_sha256:
                raise HubError(
                    400, f"SHA-256 mismatch: announced {expected_sha256}, received {sha256}"
                )
            partial.replace(self.path(sha256))
        finally:
            partial.unlink(missing_ok=True)
        return sha256

    def read(self, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes `[start, stop)` of an object."""
        with self.path(sha256).open("rb") as stream:
            stream.seek(start)
            left = self.path(sha256).stat().st_size - start if stop is None else stop - start
            while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk


@dataclass
class Repository:
    """One model, dataset or space with its commits and refs."""

    kind: str
    id: str
    private: bool
    extra: dict[str, Any] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a full commit id points to.

        Raises:
            HubError: 404 RevisionNotFound.
        """
        name = re.sub(r"^refs/(heads|tags)/", "", revision)
        oid = self.branches.get(name) or self.tags.get(name) or revision
        if oid not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def file(self, commit: Commit, path: str) -> File:
        """The file at `path` in a commit.

        Raises:
            HubError: 404 EntryNotFound, with the commit in `X-Repo-Commit` (clients cache that).
        """
        if path not in commit.tree:
            raise HubError(
                404,
                f"Entry not found: {path}",
                "EntryNotFound",
                headers={"X-Repo-Commit": commit.oid},
            )
        return commit.tree[path]

    def history(self, commit: Commit) -> Iterator[Commit]:
        """Yield the commit and its ancestors, newest first."""
        current: Commit | None = commit
        while current is not None:
            yield current
            current = self.commits[current.parent] if current.parent else None

    def add_branch(self, name: str, start: str) -> None:
        """Create a branch at the revision `start`; 409 if there is one."""
        if name in self.branches:
            raise HubError(409, f"Reference already exists: refs/heads/{name}")
        self.branches[name] = self.resolve(start).oid

    def add_tag(self, name: str, revision: str) -> None:
        """Tag a revision; 409 if the tag exists."""
        if name in self.tags:
            raise HubError(409, f"Tag reference exists already: refs/tags/{name}")
        self.tags[name] = self.resolve(revision).oid

    def commit(
        self, branch: str, tree: dict[str, File], title: str, description: str, author: str
    ) -> Commit:
        """Put a new commit with the given full tree on a branch."""
        parent = self.branches.get(branch)
        content = json.dumps(
            [self.kind, self.id, parent, title, description, author]
            + [[path, file.oid] for path, file in sorted(tree.items())]
        )
        commit = Commit(
            oid=hashlib.sha1(content.encode()).hexdigest(),
            parent=parent,
            title=title,
            description=description,
            author=author,
            date=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            tree=dict(sorted(tree.items())),
        )
        self.commits[commit.oid] = commit
        self.branches[branch] = commit.oid
        return commit


class Storage:
    """All repositories of the server over one object store."""

    def __init__(self, folder: Path, lfs_threshold_bytes: int = 10 * 2**20) -> None:
        self.objects = ObjectStore(folder)
        self.lfs_threshold_bytes = lfs_threshold_bytes
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.lock = threading.RLock()

    def create(
        self, kind: str, repo_id: str, private: bool, author: str, extra: dict[str, Any]
    ) -> Repository:
        """Create a repository whose first commit holds `.gitattributes`, as on the Hub."""
        repository = Repository(kind, repo_id, private, extra)
        tree = {".gitattributes": self.regular_file(INITIAL_GITATTRIBUTES)}
        repository.commit("main", tree, "initial commit", "", author)
        self.repositories[kind, repo_id] = repository
        return repository

    def regular_file(self, content: bytes) -> File:
        """Store a file that git itself holds."""
        return File(self.objects.add(content), len(content), git_blob_id(content), lfs=False)

    def lfs_file(self, sha256: str) -> File:
        """A file whose object was uploaded before.

        Raises:
            HubError: 400 if it was not.
        """
        if not re.fullmatch(r"[0-9a-f]{64}", sha256) or not self.objects.has(sha256):
            raise HubError(400, f"LFS pointer to an object that was never uploaded: {sha256}")
        size = self.objects.path(sha256).stat().st_size
        return File(sha256, size, git_blob_id(lfs_pointer(sha256, size)), lfs=True)

    def upload_mode(self, path: str, size: int, sample: bytes) -> str:
        """`lfs` for known suffixes, big files and binary ones, otherwise `regular`."""
        big = size >= self.lfs_threshold_bytes
        return "lfs" if big or b"\0" in sample or Path(path).suffix in LFS_SUFFIXES else "regular"

    def apply(
        self,
        repository: Repository,
        branch: str,
        operations: list[dict[str, Any]],
        author: str,
    ) -> Commit:
        """Make one commit of the operations of the NDJSON body (its header among them).

        Raises:
            HubError: 404 for an unknown branch or a deletion of what is not there, 400 for a bad
                operation, 412 if the branch has moved on from `parentCommit`. Nothing changes then.
        """
        if branch not in repository.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head = repository.commits[repository.branches[branch]]
        tree = dict(head.tree)
        title, description = "", ""
        for operation in operations:
            key, value = operation.get("key"), operation.get("value", {})
            path = str(value.get("path", "")).rstrip("/")
            if key == "header":
                title, description = value["summary"], value.get("description", "")
                parent = value.get("parentCommit")
                if parent is not None and parent != head.oid:
                    raise HubError(412, f"{branch} is at {head.oid}, not at parentCommit {parent}")
            elif not path or path.startswith(("/", "../", ".git/")) or "/../" in path:
                raise HubError(400, f"Invalid path in repository: {path!r}")
            elif key == "file":
                tree[path] = self.regular_file(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                tree[path] = self.lfs_file(value["oid"])
            elif key in ("deletedFile", "deletedFolder"):
                gone = [p for p in tree if p == path or p.startswith(f"{path}/")]
                if not gone or (key == "deletedFile" and path not in tree):
                    raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
                for name in gone:
                    del tree[name]
            else:
                raise HubError(400, f"Unknown operation in commit: {key!r}")
        if not title:
            raise HubError(400, "The commit has no header with a summary")
        return repository.commit(branch, tree, title, description, author)
