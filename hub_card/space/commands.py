"""The commands `demo-app` and `publish-space` of the command line."""

from __future__ import annotations

import argparse

from ...common.command_line import Commands, Parser


def _add_demo_app(app: Parser) -> None:
    app.add_argument("model", metavar="MODEL", help="folder of a model or run, or Hub ID")
    app.add_argument("--revision", help="commit, tag or branch of a Hub ID")
    app.add_argument("--language", help="language of the texts (ar, en, …); default: the model's")
    app.add_argument("--host", default="127.0.0.1", help="address to listen on")
    app.add_argument(
        "--port", type=int, help="port to listen on; default: the first free one from 7860 on"
    )
    app.set_defaults(run=_demo_app)


def _add_publish_space(space: Parser) -> None:
    space.add_argument("--repo_id", required=True, metavar="USER/NAME", help="the Space on the Hub")
    space.add_argument("--model", required=True, metavar="USER/NAME", help="Hub ID of the model")
    space.add_argument("--revision", help="commit, tag or branch of the model; pinned as a commit")
    space.add_argument("--title", help="heading; default: the name of the model")
    space.add_argument("--language", help="language of the texts (ar, en, …); default: the model's")
    space.add_argument(
        "--static", action="store_true",
        help="run a student in the visitor's browser, without a server (needs npm once)",
    )  # fmt: skip
    space.add_argument(
        "--private", action="store_true", help="make the Space private, if it is new"
    )
    space.set_defaults(run=_publish_space)


DEMO_COMMANDS: Commands = {
    "demo-app": ("try a model in the browser (a stack needs the extra `space`)", _add_demo_app),
    "publish-space": ("put the app for a published model on the Hub", _add_publish_space),
}


def _demo_app(options: argparse.Namespace) -> int:
    from .publishing import demo_app

    demo_app(options.model, options.revision, options.language, options.host, options.port)
    return 0


def _publish_space(options: argparse.Namespace) -> int:
    from .publishing import publish_space

    url = publish_space(
        options.repo_id, options.model, options.revision, options.title, options.language,
        private=options.private, static=options.static,
    )  # fmt: skip
    print(f"The Space is at {url}.")
    return 0
