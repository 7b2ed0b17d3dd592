"""The commands `publish`, `publish-metric` and `verify`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.command_line import Commands, Parser, pairs
from ..common.errors import counted

if TYPE_CHECKING:
    from .publishing import Publication


def _add_publish(publish: Parser) -> None:
    publish.add_argument(
        "folder", type=Path, metavar="RUN", help="the --output_dir of a training or a distillation"
    )
    publish.add_argument(
        "--repo_id", required=True, metavar="USER/NAME", help="the repository on the Hub"
    )
    publish.add_argument(
        "--license",
        help="license of the weights; without it you see the terms of base models and data",
    )  # fmt: skip
    publish.add_argument("--license_name", help="name of a license called other")
    publish.add_argument("--license_link", help="address of its text")
    publish.add_argument(
        "--private", action="store_true", help="make the repository private, if it is new"
    )
    publish.add_argument(
        "--dry_run", action="store_true", help="gather, draw, check and list; upload nothing"
    )
    publish.add_argument("--revision_tag", metavar="TAG", help="a tag for this version, such as v1")
    publish.add_argument("--branch", default="main", help="the branch to commit to")
    publish.add_argument(
        "--language", action="append", metavar="CODE",
        help="ISO 639 code of the language, if the data do not say; may be repeated",
    )  # fmt: skip
    publish.add_argument(
        "--definitions", type=Path, metavar="FILE", help="JSON file with a definition per label"
    )
    publish.add_argument(
        "--example", action="append", metavar="TEXT", help="a text for the card; may be repeated"
    )
    publish.add_argument(
        "--base_model", action="append", default=[], metavar="ENCODER=USER/NAME",
        help="Hub ID of an encoder that was trained from a local copy; may be repeated",
    )  # fmt: skip
    publish.add_argument(
        "--teacher", metavar="USER/NAME", help="for a student: the stack it was distilled from"
    )
    publish.add_argument(
        "--student", metavar="USER/NAME", help="for a stack: the student distilled from it"
    )
    publish.add_argument(
        "--responsible_use", type=Path, metavar="FILE",
        help="Markdown that replaces the card's section on responsible use",
    )  # fmt: skip
    publish.add_argument(
        "--no_plots", action="store_true", help="draw no pictures (needs no matplotlib)"
    )
    publish.set_defaults(run=_publish)


def _add_publish_metric(metric: Parser) -> None:
    metric.add_argument(
        "--repo_id", required=True, metavar="USER/NAME", help="the repository on the Hub"
    )
    metric.add_argument(
        "--private", action="store_true", help="make the repository private, if it is new"
    )
    metric.add_argument("--dry_run", action="store_true", help="check and list; upload nothing")
    metric.add_argument("--revision_tag", metavar="TAG", help="a tag for this version, such as v1")
    metric.set_defaults(run=_publish_metric)


def _add_verify(verify: Parser) -> None:
    verify.add_argument("repo_id", metavar="USER/NAME", help="the repository on the Hub")
    verify.add_argument("--revision", required=True, help="the 40-hex commit")
    verify.add_argument(
        "--digest", required=True, help="the digest that publish printed and the card names"
    )
    verify.set_defaults(run=_verify)


PUBLISHING_COMMANDS: Commands = {
    "publish": ("put the model of a run on the Hub, with its card, plots and code", _add_publish),
    "publish-metric": ("put the metric on the Hub, for evaluate.load", _add_publish_metric),
    "verify": ("check a repository against the digest that publish printed", _add_verify),
}


def _publish(options: argparse.Namespace) -> int:
    from .publishing import choose_license, publish

    base_models = pairs("base_model", options.base_model, "ENCODER=USER/NAME")
    definitions = _definitions(options.definitions) if options.definitions else None
    use = options.responsible_use
    publication = publish(
        options.folder,
        options.repo_id,
        options.license or choose_license(options.folder, base_models),
        private=options.private,
        revision_tag=options.revision_tag,
        dry_run=options.dry_run,
        languages=options.language,
        label_definitions=definitions,
        examples=options.example,
        base_models=base_models,
        teacher=options.teacher,
        student=options.student,
        license_name=options.license_name,
        license_link=options.license_link,
        responsible_use=_text(use) if use else None,
        plots=not options.no_plots,
        branch=options.branch,
        report=lambda line: print(line if line.endswith(".") else f"{line} …", flush=True),
    )
    print(summary(publication))
    return 0


def _publish_metric(options: argparse.Namespace) -> int:
    from .metric_publishing import publish_metric

    publication = publish_metric(
        options.repo_id,
        private=options.private,
        revision_tag=options.revision_tag,
        dry_run=options.dry_run,
    )
    print(summary(publication))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from .verification import verify_published

    print(verify_published(options.repo_id, options.revision, options.digest))
    return 0


def summary(publication: Publication) -> str:
    """What was published, or would be, for people."""
    lines = [f"{file.size:>13,}  {file.path}" for file in publication.files]
    total = sum(file.size for file in publication.files)
    lines.append(f"{total:>13,}  bytes in {counted(len(publication.files), 'file')}")
    if publication.commit is None:
        lines.append(f"Nothing was uploaded. The files are in {publication.folder}.")
    else:
        lines.append(f"commit   {publication.commit}")
        if publication.tag:
            lines.append(f"tag      {publication.tag}")
        lines.append(f"page     {publication.url}")
    lines.append(f"digest   {publication.digest}")
    return "\n".join(lines)


def _text(file: Path) -> str:
    from ..common.errors import UserError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}).") from error


def _definitions(file: Path) -> dict[str, str]:
    from ..common.errors import UserError
    from ..common.files import read_json

    found: Any = read_json(file)
    if not all(isinstance(text, str) for text in found.values()):
        raise UserError(f'{file} must hold a JSON object such as {{"joy": "its definition"}}.')
    return found
