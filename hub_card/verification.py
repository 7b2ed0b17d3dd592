"""Checks that a repository works alone, and that it is the one that was published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common.errors import UserError
from .checking.process import Loaded, measured
from .hub_errors import hub_errors, hub_problem
from .repository import digest_of, list_files

TOLERANCE = 1e-4


def check_loads(
    folder: Path, texts: Sequence[str], logits: np.ndarray, remote_code: bool = True
) -> None:
    """Load a folder in a fresh process without this package, and compare its logits.

    Args:
        folder: what is going to be published.
        texts: texts to compare with.
        logits: (texts, labels) of the model in the run.
        remote_code: load with `trust_remote_code`; a stock model must load without it.

    Raises:
        UserError: it does not load, or gives other logits.
    """
    place = Loaded(folder, str(folder.resolve()), None, remote_code)
    answers = measured(place, texts, ("load", "pipelines")).steps
    for answer in answers.values():
        if "error" in answer:
            raise UserError(
                f"Nothing was published: {folder} does not load without this package: "
                f"{answer['error']} Train or save the model again with this version."
            )
    found = np.array(answers["load"]["logits"])
    if found.shape != logits.shape or not np.isfinite(found).all():
        raise UserError(
            f"Nothing was published: {folder} loads, but gives logits of the shape {found.shape} "
            f"that are not all finite or not {logits.shape}."
        )
    difference = max(float(np.abs(found - logits).max()), answers["pipelines"]["scores"])
    if difference > TOLERANCE:
        raise UserError(
            f"Nothing was published: {folder} loads, but its answers are up to {difference:.2g} "
            "away from those of the model in the run. Save model and tokenizer again."
        )


def verify_published(repo_id: str, revision: str, digest: str, token: str | None = None) -> Path:
    """Download a repository, and refuse it if its code or weights were changed.

    A commit id alone is a promise of the host. The digest covers the files themselves. `publish`
    returns it and the card names it; keep it where the host cannot change it.

    Args:
        repo_id: the repository.
        revision: the 40-hex commit.
        digest: 64 hexadecimal digits, `Publication.digest`.
        token: for a private repository.

    Returns:
        The folder with the compared files; load from there.

    Raises:
        UserError: the repository cannot be read, or the digest is another.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repo_id, revision=revision, token=token))
    except hub_errors() as error:
        raise hub_problem(error, repo_id, "downloading from") from error
    found = digest_of(list_files(folder))
    if found != digest.strip().lower():
        raise UserError(
            f"{repo_id} at {revision} is refused: the digest of its code and weights is {found}, "
            f"not {digest}. They were altered, or the digest is that of another version."
        )
    return folder
