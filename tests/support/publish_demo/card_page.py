"""A model card as a page: Markdown rendered, the widget's texts with their stored answers."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

STYLE = """
body { font: 16px/1.55 "DejaVu Sans", sans-serif; color: #1f2937; margin: 0; background: #fff; }
main { display: grid; grid-template-columns: minmax(0, 1fr) 330px; gap: 40px; max-width: 1180px;
       margin: 0 auto; padding: 24px; }
header { background: #f3f4f6; border-bottom: 1px solid #d1d5db; padding: 20px 24px; }
header > * { max-width: 1180px; margin: 0 auto 8px; }
header b { font-size: 24px; }
.tag { display: inline-block; border: 1px solid #9ca3af; border-radius: 8px; padding: 0 8px;
       margin: 2px 4px 2px 0; font-size: 13px; background: #fff; }
table { border-collapse: collapse; font-size: 14px; margin: 12px 0; }
th, td { border: 1px solid #d1d5db; padding: 4px 10px; text-align: left; }
pre { background: #f6f8fa; padding: 12px; border-radius: 8px; overflow-x: auto; font-size: 13px; }
code { font-family: "DejaVu Sans Mono", monospace; background: #f6f8fa; }
img { max-width: 100%; }
blockquote { border-left: 4px solid #D55E00; margin: 12px 0; padding: 0 16px; }
aside p { margin: 16px 0 4px; padding: 8px; border: 1px solid #d1d5db; border-radius: 8px; }
.bar { display: grid; grid-template-columns: 100px 1fr 44px; font-size: 13px; gap: 6px; }
.bar i { background: #0072B2; height: 10px; align-self: center; border-radius: 3px; }
@media (max-width: 800px) { main { display: block; } }
"""


def card_page(card: str, repo_id: str) -> str:
    """The whole page.

    Args:
        card: README.md with its metadata.
        repo_id: for the heading.
    """
    _, head, body = card.split("---\n", 2)
    data: dict[str, Any] = yaml.safe_load(head)
    text = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(body)
    names = ("pipeline_tag", "library_name", "license", "language", "tags", "base_model")
    values = [data.get(name) for name in names]
    tags = [tag for value in values for tag in (value if isinstance(value, list) else [value])]
    chips = "".join(f'<span class="tag">{html.escape(str(tag))}</span>' for tag in tags if tag)
    return (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(repo_id)}</title>'
        f"<style>{STYLE}</style><header><div><b>{html.escape(repo_id)}</b></div>"
        f"<div>{chips}</div></header>"
        f"<main><article>{text}</article><aside>{_widget(data)}</aside></main>\n"
    )


def _widget(data: dict[str, Any]) -> str:
    parts = ["<h3>Text classification</h3>"]
    for entry in data.get("widget") or []:
        parts.append(f'<p dir="auto">{html.escape(entry["text"])}</p>')
        for answer in entry.get("output", [])[:5]:
            width = round(100 * answer["score"])
            parts.append(
                f'<div class="bar"><span>{html.escape(answer["label"])}</span>'
                f'<span><i style="display:block;width:{width}%"></i></span>'
                f"<span>{answer['score']:.2f}</span></div>"
            )
    return "\n".join(parts)


def write_card_page(repository: Path, repo_id: str, target: Path) -> None:
    """Render `README.md` of a repository; its pictures are shown from there."""
    page = card_page((repository / "README.md").read_text(encoding="utf-8"), repo_id)
    base = f'<base href="{repository.resolve().as_uri()}/">'
    target.write_text(page.replace("<style>", f"{base}<style>", 1), encoding="utf-8")
