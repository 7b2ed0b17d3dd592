"""Publish the metric, so that `evaluate.load("user/multilabel_emotion")` finds it."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, SpaceCard
from jinja2 import Environment

from ..common.errors import UserError
from .hub_errors import hub_errors, hub_problem
from .publishing import Publication
from .repository import digest_of, list_files

METRICS = Path(__file__).parent.parent / "trainer" / "metrics"
_CARD = Path(__file__).with_name("templates") / "metric_card.md.jinja"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Multilabel emotion</title>
<p>A metric for <code>evaluate.load("{repo_id}")</code>; see its <code>README.md</code>.</p>
"""


def gather_metric(repo_id: str, folder: Path) -> None:
    """Write the metric's repository into a folder.

    Args:
        repo_id: `user/name`; `evaluate` looks for a file `name.py`.
        folder: an existing folder.

    Raises:
        UserError: the name cannot be that of a Python file.
    """
    owner, _, name = repo_id.partition("/")
    if not owner or not _NAME.fullmatch(name):
        raise UserError(f"{repo_id!r} cannot hold a metric: give user/name, of letters, digits, _.")
    if name == "scores":
        raise UserError("The metric cannot be called scores: a file beside it has that name.")
    shutil.copyfile(METRICS / "multilabel_emotion.py", folder / f"{name}.py")
    shutil.copyfile(METRICS / "scores.py", folder / "scores.py")
    requirements = "evaluate>=0.4.6\ndatasets>=4.1\nnumpy>=1.26\n"
    (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    template = Environment(keep_trailing_newline=True).from_string(_CARD.read_text("utf-8"))
    (folder / "README.md").write_text(template.render(repo_id=repo_id), encoding="utf-8")
    (folder / "index.html").write_text(_PAGE.replace("{repo_id}", repo_id), encoding="utf-8")


def publish_metric(
    repo_id: str,
    *,
    private: bool = False,
    revision_tag: str | None = None,
    dry_run: bool = False,
    token: str | None = None,
) -> Publication:
    """Publish the metric as the Space that `evaluate.load` looks for.

    Args:
        repo_id: `user/name`; created if it does not exist.
        private: make it private, if it is created.
        revision_tag: a tag for this version.
        dry_run: list the files only.
        token: by default the one you are logged in with.

    Raises:
        UserError: a bad name, or the Hub refused.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        gather_metric(repo_id, folder)
        files = list_files(folder)
        publication = Publication(repo_id, files, digest_of(files), folder)
        if dry_run:
            return publication
        api = HfApi(token=token)
        try:
            api.create_repo(
                repo_id, repo_type="space", space_sdk="static", private=private, exist_ok=True
            )
            SpaceCard.load(folder / "README.md").validate(repo_type="space")
            commit = api.create_commit(
                repo_id,
                [CommitOperationAdd(file.path, str(folder / file.path)) for file in files],
                commit_message="Publish the metric",
                repo_type="space",
            )
            if revision_tag:
                api.create_tag(
                    repo_id, tag=revision_tag, revision=commit.oid, repo_type="space", exist_ok=True
                )
        except hub_errors() as error:
            raise hub_problem(error, repo_id, "uploading to") from error
    return Publication(
        repo_id, files, publication.digest, folder, commit.oid, commit.commit_url, revision_tag
    )
