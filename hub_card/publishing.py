"""Publish a run: everything a Hub repository needs, in one commit, after proof that it loads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard

from ..common.errors import UserError
from .card import card_content, card_languages
from .hub_errors import hub_errors, hub_problem
from .label_definitions import EXAMPLES
from .repository import (
    RepositoryFile,
    digest_of,
    gather,
    list_files,
    outdated,
    refuse_secrets,
)
from .run_model import RunModel
from .run_record import RunRecord
from .terms import Term, terms_of
from .verification import check_loads

STAGING = "repository"


@dataclass(frozen=True)
class Publication:
    """What was published, or would be.

    Attributes:
        repo_id: the repository.
        files: all its files.
        digest: SHA-256 over code and weights, for `verify_published`.
        folder: where the files were gathered.
        commit: the 40-hex commit; None for a dry run.
        url: of that commit.
        tag: the tag that was set.
    """

    repo_id: str
    files: list[RepositoryFile]
    digest: str
    folder: Path
    commit: str | None = None
    url: str | None = None
    tag: str | None = None


def publish(
    run: str | Path,
    repo_id: str,
    license: str | None = None,
    *,
    private: bool = False,
    revision_tag: str | None = None,
    dry_run: bool = False,
    languages: Sequence[str] | None = None,
    label_definitions: Mapping[str, str] | None = None,
    examples: Sequence[str] | None = None,
    base_models: Mapping[str, str] | None = None,
    teacher: str | None = None,
    student: str | None = None,
    license_name: str | None = None,
    license_link: str | None = None,
    plots: bool = True,
    token: str | None = None,
    commit_message: str | None = None,
    branch: str = "main",
    report: Callable[[str], Any] | None = None,
) -> Publication:
    """Publish the model of a finished run, a stack or a distilled student.

    The files are gathered in `<run>/repository`, loaded from there in a fresh process without this
    package, and go up in one commit. A broken upload is continued by the same call: files that
    arrived are not sent again, and no commit is made before all are there.

    Args:
        run: the `--output_dir` of a training or a distillation.
        repo_id: `user/name`; made if it is not there.
        license: identifier of the license of the weights; there is no default.
        private: make the repository private, if it is made.
        revision_tag: a tag for this version.
        dry_run: do everything but touch the repository.
        languages: ISO 639 codes; by default those of the recipe's data, where they are known.
        label_definitions: definitions of labels that are not SemEval's.
        examples: texts for the card; by default invented ones in the card's languages.
        base_models: Hub id by encoder name, for encoders that were trained from local copies.
        teacher: Hub id of the stack that a student was distilled from; by default the one it was
            distilled from, if that had one.
        student: Hub id of the student that was distilled from a stack.
        license_name: name of a license called "other".
        license_link: where to read it.
        plots: draw the pictures.
        token: by default the one you are logged in with.
        commit_message: by default a plain one.
        branch: the branch to commit to; made if it is not there.
        report: called with a line at each step.

    Raises:
        UserError: no license was chosen (with the terms of base models and data), the run is not
            finished, the folder does not load back, or the Hub refused.
    """
    say = report or (lambda line: None)
    _check_names(repo_id, teacher, student)
    record = RunRecord.from_folder(run, base_models)
    for name, given, kind in (("teacher", teacher, "student"), ("student", student, "stack")):
        if given and record.kind != kind:
            raise UserError(f"A {name} is given, but the model in {run} is a {record.kind}.")
    languages = card_languages(record, languages)
    terms = terms_of(record, token)
    if not license:
        raise UserError(_license_question(terms))
    if license == "other" and not (license_name and license_link):
        raise UserError("--license other needs --license-name and --license-link.")
    api = HfApi(token=token)
    if not dry_run:
        _check_account(api, repo_id, revision_tag, branch)

    folder = record.folder / STAGING
    say(f"gathering the files in {folder}")
    gather(record, folder)
    model = RunModel.load(record)
    texts = list(examples or [text for code in languages for text in EXAMPLES.get(code, [])])
    names = []
    if plots:
        from .plots import plot_run

        say("drawing the plots")
        names = plot_run(record, folder / "plots")
    digest = digest_of(list_files(folder))
    card = card_content(
        record,
        repo_id,
        license,
        terms,
        languages,
        label_definitions,
        examples=model.answers(texts),
        plots=names,
        digest=digest,
        has_onnx=(folder / "onnx").is_dir(),
        tag=revision_tag,
        parameters=model.parameters,
        max_length=model.max_length,
        teacher=teacher or record.teacher_id,
        student=student,
        license_name=license_name,
        license_link=license_link,
    )
    (folder / "README.md").write_text(card.render(), encoding="utf-8")
    refuse_secrets(folder)
    say("loading them in a fresh process without this package")
    probes = (
        [*texts, "a b c", "😍 ✨", ""] if record.kind == "stack" else [*texts, "a b c", "😍 ✨"]
    )
    check_loads(folder, probes, model.logits(probes), remote_code=record.kind == "stack")
    files = list_files(folder)
    publication = Publication(repo_id, files, digest, folder, tag=revision_tag)
    if dry_run:
        return publication
    say(f"uploading {sum(file.size for file in files):,} bytes to {repo_id}")
    message = commit_message or f"Publish {record.folder.name}"
    try:
        commit, url = _upload(api, publication, private, branch, message)
    except hub_errors() as error:
        raise hub_problem(error, repo_id, "uploading to") from error
    except RuntimeError as error:  # the client wraps what broke off an upload
        if not isinstance(error.__cause__, hub_errors()):
            raise
        raise hub_problem(error.__cause__, repo_id, "uploading to") from error
    return Publication(repo_id, files, digest, folder, commit, url, revision_tag)


def _upload(
    api: HfApi, publication: Publication, private: bool, branch: str, message: str
) -> tuple[str, str]:
    """One commit, then the tag; returns commit id and address."""
    repo_id, folder = publication.repo_id, publication.folder
    api.create_repo(repo_id, private=private, exist_ok=True)
    if branch != "main":
        api.create_branch(repo_id, branch=branch, exist_ok=True)
    try:
        ModelCard.load(folder / "README.md").validate(repo_type="model")
    except ValueError as error:
        raise UserError(f"The Hub refuses the card's metadata: {error}") from error
    present = api.list_repo_files(repo_id, revision=branch)
    wanted = [file.path for file in publication.files]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(path, str(folder / path)) for path in wanted
    ]
    operations += [CommitOperationDelete(path) for path in outdated(present, wanted)]
    commit = api.create_commit(repo_id, operations, commit_message=message, revision=branch)
    if publication.tag:
        tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo_id).tags}
        if tags.get(publication.tag, commit.oid) != commit.oid:
            raise UserError(
                f"{repo_id} was published as {commit.oid}, but the tag {publication.tag!r} is "
                f"that of {tags[publication.tag]}: publish again with another tag."
            )
        if publication.tag not in tags:
            api.create_tag(repo_id, tag=publication.tag, revision=commit.oid)
    return commit.oid, commit.commit_url


def _check_account(api: HfApi, repo_id: str, revision_tag: str | None, branch: str) -> None:
    """Find out now, not after an hour, that the token or the tag will not do."""
    try:
        api.whoami()
        if revision_tag and api.repo_exists(repo_id):
            refs = api.list_repo_refs(repo_id)
            tags = {ref.name: ref.target_commit for ref in refs.tags}
            heads = [ref.target_commit for ref in refs.branches if ref.name == branch]
            if revision_tag in tags and tags[revision_tag] not in heads:
                raise UserError(
                    f"{repo_id} has a tag {revision_tag!r} already, at {tags[revision_tag]}. "
                    "Choose another: a tag that moves is no version."
                )
    except hub_errors() as error:
        raise hub_problem(error, repo_id, "asking about") from error


def _check_names(repo_id: str, *others: str | None) -> None:
    for name in (repo_id, *others):
        if name is not None and (name.count("/") != 1 or not all(name.split("/"))):
            raise UserError(f"{name!r} is no repository id: give user/name or organization/name.")


def _license_question(terms: Sequence[Term]) -> str:
    lines = "\n".join(f"  - {term}" for term in terms)
    return (
        "There is no default license for weights. They were made from:\n"
        f"{lines}\n"
        "Read these terms, choose a license that they allow, and give its identifier with "
        "--license (license=… in Python), such as cc-by-nc-4.0, or other with --license-name and "
        "--license-link."
    )


def choose_license(run: str | Path, base_models: Mapping[str, str] | None = None) -> str | None:
    """Ask on the terminal, after showing the terms; None where nobody can answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    print(_license_question(terms_of(RunRecord.from_folder(run, base_models))), file=sys.stderr)
    return input("license of the weights: ").strip() or None
