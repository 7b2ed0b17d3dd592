"""Publish a run: everything a Hub repository needs, in one commit, after proof that it loads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, get_token

from ..common.environment import git_state
from ..common.errors import UserError, counted, keywords_named
from ..common.privacy import refuse_secrets
from .card.content import CardContent, card_content, card_languages
from .card.known_data import definitions, known_data
from .card.terms import Term, terms_of
from .hub_errors import hub_errors, hub_problem
from .packaged_files import PACKAGE
from .repository import (
    RepositoryFile,
    digest_of,
    gather,
    list_files,
    onnx_files,
    outdated,
    weight_files,
)
from .run_model import RunModel
from .run_record import RunRecord
from .verification import check_loads

STAGING = "repository"
_NO_TOKEN = "You are not logged in: run `hf auth login`, or set HF_TOKEN."


@dataclass(frozen=True)
class Publication:
    """What was published, or would be.

    Attributes:
        repo_id: the repository.
        files: all its files.
        digest: SHA-256 over code and weights, for `verify_published`.
        folder: where the files were gathered.
        commit: the 40-hex commit; None for a dry run.
        url: address of that commit.
        tag: the tag that was set.
    """

    repo_id: str
    files: list[RepositoryFile]
    digest: str
    folder: Path
    commit: str | None = None
    url: str | None = None
    tag: str | None = None


@keywords_named(
    language="languages", definitions="label_definitions", example="examples",
    base_model="base_models", no_plots="plots=False", tag="revision_tag",
)  # fmt: skip
def publish(
    run: str | Path,
    repo_id: str,
    license: str | None = None,
    *,
    private: bool = False,
    revision_tag: str | None = None,
    dry_run: bool = False,
    languages: Sequence[str] | str | None = None,
    language: Sequence[str] | str | None = None,
    label_definitions: Mapping[str, str] | None = None,
    examples: Sequence[str] | None = None,
    base_models: Mapping[str, str] | None = None,
    teacher: str | None = None,
    student: str | None = None,
    license_name: str | None = None,
    license_link: str | None = None,
    responsible_use: str | None = None,
    plots: bool = True,
    token: str | None = None,
    commit_message: str | None = None,
    branch: str = "main",
    report: Callable[[str], Any] | None = None,
) -> Publication:
    """Publish the model of a finished run, a stack or a distilled student.

    The files are gathered in `<run>/repository`, loaded from there in a fresh process without this
    package, and uploaded in one commit. The same call continues a broken upload: files that arrived
    are not sent again, and there is no commit before all have arrived.

    Args:
        run: the `--output_dir` of a training or a distillation.
        repo_id: `user/name`; created if it does not exist.
        license: identifier of the license of the weights; there is no default.
        private: make the repository private, if it is created.
        revision_tag: a tag for this version.
        dry_run: do everything but touch the repository.
        languages: ISO 639 codes, or one; by default those of the data, where they are known.
        language: another name of `languages`.
        label_definitions: definition by label; by default those of the data, where they are known.
        examples: texts for the card; by default invented ones, where the data is known.
        base_models: Hub ID by encoder name, for encoders that were trained from local copies.
        teacher: Hub ID of the stack that a student was distilled from; by default the one that the
            run recorded.
        student: Hub ID of the student that was distilled from a stack.
        license_name: name of a license called "other".
        license_link: address of its text.
        responsible_use: Markdown in place of the card's own words on responsible use.
        plots: draw the pictures.
        token: by default the one you are logged in with.
        commit_message: by default "Publish model, card and code".
        branch: the branch to commit to; created if it does not exist.
        report: called with a line at each step.

    Raises:
        UserError: something is missing (one message lists all of it, with the terms of base models
            and data if there is no license), the run is not finished, the folder does not load
            back, or the Hub refused.

    Example, not run: it uploads to the Hub.
        >>> from stacked_emotion.hub_card import publish
        >>> publish("runs/mine", "user/name", license="apache-2.0")  # doctest: +SKIP
    """
    say = report or (lambda line: None)
    languages = language if languages is None else languages
    try:
        record, wrong = RunRecord.from_folder(run, base_models), []
    except UserError as error:
        if not base_models:
            raise
        record, wrong = RunRecord.from_folder(run), [str(error)]  # raises what is not about them
    terms = terms_of(record, token)
    missing = [
        *wrong,
        *_unusable_files(record),
        *_wrong_names(record, repo_id, teacher, student),
        *_missing_license(terms, license, license_name, license_link),
        *_missing_words(record, languages, label_definitions, plots),
        *([] if dry_run or token or get_token() else [_NO_TOKEN]),
    ]
    if missing:
        raise UserError("\n".join([_listed(missing), *_unnamed(record)]))
    for line in _unnamed(record):
        say(line)
    api = HfApi(token=token)
    if not dry_run:
        _check_account(api, repo_id, revision_tag, branch)

    folder = record.folder / STAGING
    say(f"gathering the files in {folder}")
    gather(record, folder)
    model = RunModel.load(record)
    texts = dict.fromkeys(examples) if examples else _swapped(known_data(record).examples)
    names = []
    if plots:
        from .plots import plot_run

        say("drawing the plots")
        names = plot_run(record, folder / "plots")
    files = list_files(folder)
    card = card_content(
        record,
        repo_id,
        str(license),
        terms,
        languages,
        label_definitions,
        examples=[
            {**answer, "caption": caption}
            for answer, caption in zip(model.answers(list(texts)), texts.values(), strict=True)
        ],
        plots=names,
        digest=digest_of(files),
        code_digest=digest_of(file for file in files if file.path.endswith(".py")),
        code_version=_code_version(),
        has_onnx=(folder / "onnx").is_dir(),
        tag=revision_tag,
        parameters=model.parameters,
        max_length=model.max_length,
        teacher=teacher or record.teacher_id,
        student=student,
        license_name=license_name,
        license_link=license_link,
        responsible_use=responsible_use,
    )
    publication = _checked(card, model, folder, say)
    if dry_run:
        return publication
    say(f"uploading {counted(sum(file.size for file in publication.files), 'byte')} to {repo_id}")
    message = commit_message or "Publish model, card and code"
    try:
        commit, url = _upload(api, publication, private, branch, message)
    except hub_errors() as error:
        raise hub_problem(error, repo_id, "uploading to") from error
    except RuntimeError as error:  # the client wraps what broke off an upload
        if not isinstance(error.__cause__, hub_errors()):
            raise
        raise hub_problem(error.__cause__, repo_id, "uploading to") from error
    return replace(publication, commit=commit, url=url)


def _checked(
    card: CardContent, model: RunModel, folder: Path, say: Callable[[str], Any]
) -> Publication:
    """Write the card, and load the folder as its users will."""
    (folder / "README.md").write_text(card.render(), encoding="utf-8")
    refuse_secrets(folder)
    say("loading them in a fresh process without this package")
    stack = card.record.kind == "stack"
    probes = [*(example["text"] for example in card.examples), "a b c", "😍 ✨", *([""] * stack)]
    check_loads(folder, probes, model.logits(probes), remote_code=stack)
    return Publication(card.repo_id, list_files(folder), str(card.digest), folder, tag=card.tag)


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
                f"{repo_id} was published as {commit.oid}, but the tag {publication.tag!r} already "
                f"names {tags[publication.tag]}. Publish again with another tag."
            )
        if publication.tag not in tags:
            api.create_tag(repo_id, tag=publication.tag, revision=commit.oid)
    return commit.oid, commit.commit_url


def _check_account(api: HfApi, repo_id: str, revision_tag: str | None, branch: str) -> None:
    """Find out before the work starts that the token or the tag cannot be used."""
    try:
        api.whoami()
        if revision_tag and api.repo_exists(repo_id):
            refs = api.list_repo_refs(repo_id)
            tags = {ref.name: ref.target_commit for ref in refs.tags}
            heads = [ref.target_commit for ref in refs.branches if ref.name == branch]
            if revision_tag in tags and tags[revision_tag] not in heads:
                raise UserError(
                    f"{repo_id} has the tag {revision_tag!r} already, at {tags[revision_tag]}. "
                    "Choose another one: a tag that moves does not name a version."
                )
    except hub_errors() as error:
        raise hub_problem(error, repo_id, "asking about") from error


def _unusable_files(record: RunRecord) -> list[str]:
    """Why the weights or the exported graphs cannot be published."""
    found = []
    for check in (lambda: weight_files(record.model_folder), lambda: onnx_files(record)):
        try:
            check()
        except UserError as error:
            found.append(str(error))
    return found


def _wrong_names(
    record: RunRecord, repo_id: str, teacher: str | None, student: str | None
) -> list[str]:
    found = [
        f"{name!r} is not a repository ID: give user/name or organization/name."
        for name in (repo_id, teacher, student)
        if name is not None and (name.count("/") != 1 or not all(name.split("/")))
    ]
    for name, given, kind in (("teacher", teacher, "student"), ("student", student, "stack")):
        if given and record.kind != kind:
            found.append(f"A {name} is given, but the model in {record.folder} is a {record.kind}.")
    return found


def _missing_license(
    terms: Sequence[Term], license: str | None, name: str | None, link: str | None
) -> list[str]:
    if not license:
        return [_license_question(terms)]
    if license == "other" and not (name and link):
        return ["--license other needs --license_name and --license_link."]
    return []


def _missing_words(
    record: RunRecord,
    languages: Sequence[str] | str | None,
    label_definitions: Mapping[str, str] | None,
    plots: bool,
) -> list[str]:
    """What the card still needs from the publisher."""
    found = []
    for check in (
        lambda: card_languages(record, languages),
        lambda: definitions(record.labels, {}, label_definitions),
    ):
        try:
            check()
        except ValueError as error:  # a UserError is one
            found.append(str(error))
    if plots and find_spec("matplotlib") is None:
        found.append(
            "The plots need matplotlib: pip install 'stacked_emotion[plots]', or use --no_plots."
        )
    return found


def _unnamed(record: RunRecord) -> list[str]:
    """One line about all encoders whose Hub ID is not known; naming them is optional."""
    names = [] if record.synthetic else record.unnamed_encoders
    if not names:
        return []
    options = " ".join(f"--base_model {name}=USER/NAME" for name in names)
    advice = (
        f"If they are copies of Hub models, {options} gives them the credit. If they are your own, "
        "leave that out."
    )
    return [f"Note: these encoders came from local folders: {', '.join(names)}. {advice}"]


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = "\n".join(f"{place}. {problem}" for place, problem in enumerate(problems, 1))
    return f"Nothing was published yet. {len(problems)} things to settle:\n{lines}"


def _license_question(terms: Sequence[Term]) -> str:
    lines = "\n".join(f"  - {term}" for term in terms)
    return (
        "There is no default license for weights. They were made from:\n"
        f"{lines}\n"
        "Read these terms, choose a license that they allow, and give its identifier with "
        "--license, such as cc-by-nc-4.0, or other with --license_name and "
        "--license_link."
    )


def _code_version() -> str:
    """Version of this package, and its commit where it runs from a repository."""
    name = f"`stacked_emotion` {version('stacked_emotion')}"
    state = git_state(PACKAGE) if (PACKAGE / ".git").exists() else None
    if state is None:
        return name
    return f"{name}, commit `{state['commit']}`{' with changes' if state['dirty'] else ''}"


def _swapped(examples: Mapping[str, str]) -> dict[str, str]:
    """Caption by text."""
    return {text: caption for caption, text in examples.items()}


def choose_license(run: str | Path, base_models: Mapping[str, str] | None = None) -> str | None:
    """Ask on the terminal, after showing the terms; None where nobody answers."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    print(_license_question(terms_of(RunRecord.from_folder(run, base_models))), file=sys.stderr)
    try:
        return input("license of the weights: ").strip() or None
    except EOFError:
        return None
