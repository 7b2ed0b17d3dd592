"""Pages of the site that are not files of docs/: README.md and its like, and the API reference."""

from __future__ import annotations

import posixpath
import re
from argparse import _SubParsersAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "outputs/site_sources"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "recipes/sample/README.md": "recipes/sample.md",
}
"""Pages from outside docs/, and their places on the site."""
FILES = ["CITATION.cff", "LICENSE", *(f"recipes/{p.name}" for p in ROOT.glob("recipes/*.yaml"))]
"""Files that pages link to."""
REFERENCE = {
    "runs": (
        "Train and runs",
        "Training from Python, and what a finished run holds.",
        ["train", "Run", "runs.Results", "register"],
    ),
    "inference": (
        "Prediction",
        "Predictors, explanations, whole files, and exports for CPUs.",
        [
            *(f"inference.{name}" for name in (
                "StackedEmotionPredictor", "Prediction", "Predictions", "TextScores", "explain",
                "Explanation", "WordExplanation", "html_page", "predict_file", "BulkReport",
                "PartitionPredictor", "export_onnx", "OnnxEmotionPredictor", "Limits",
                "ModelError",
            )),
        ],
    ),
    "model": (
        "Model and tokenizer",
        "The remote code that every saved stack carries. It needs only torch and transformers.",
        [
            "StackedEmotionConfig", "StackedEmotionModel",
            "StackedEmotionForSequenceClassification", "StackedEmotionTokenizer",
            "pipeline_stacked_emotion.StackedEmotionPipeline",
        ],
    ),
    "trainer": (
        "Trainer and data",
        "The Trainer, the keys of a recipe, and labeled texts.",
        [
            *(f"trainer.{name}" for name in (
                "StackedEmotionTrainer", "TrainingRecipe", "run_training", "choose_thresholds",
                "DataArguments", "LabeledTexts", "load_labeled_texts", "LabelStatistics",
                "UserError",
            )),
        ],
    ),
    "losses": (
        "Losses",
        "Every loss takes logits and labels of shape (texts, labels) and returns named parts.",
        [
            *(f"trainer.losses.{name}" for name in (
                "build_loss", "loss_options", "EmotionLoss", "HybridLoss",
                "BinaryCrossEntropyLoss", "WeightedBinaryCrossEntropyLoss", "CorrelationLoss",
                "ContrastiveLoss", "FocalLoss", "AsymmetricLoss", "LabelCorrelationAwareLoss",
            )),
        ],
    ),
    "metrics": (
        "Metrics",
        "The metrics of SemEval-2018 E-c and more, in numpy and for `evaluate`.",
        [
            *(f"trainer.metrics.{name}" for name in (
                "emotion_scores", "jaccard_per_row", "average_precision",
                "expected_calibration_error", "paired_bootstrap", "BootstrapResult",
                "MultilabelEmotion",
            )),
        ],
    ),
    "hub_card": (
        "Publishing",
        "Model card, plots, publishing, verification and the demo app.",
        [
            *(f"hub_card.{name}" for name in (
                "publish", "Publication", "check_model", "CheckReport", "verify_published",
                "RunRecord", "plot_run", "terms_of", "publish_metric", "publish_space", "demo_app",
            )),
        ],
    ),
}  # fmt: skip
"""Page: its title, one sentence, and the names it documents."""


def on_config(config: Any) -> Any:
    """Show mkdocstrings the package alone: a folder of links without tests and environments."""
    package = SOURCES / "stacked_emotion"
    package.mkdir(parents=True, exist_ok=True)
    for path in ROOT.iterdir():
        part = (path.suffix == ".py" and path.name != "setup.py") or (
            path / "__init__.py"
        ).is_file()
        if part and not (package / path.name).is_symlink():
            (package / path.name).symlink_to(path)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files that are not in docs/."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text("utf-8")))
    for source in FILES:
        files.append(File.generated(config, source, abs_src_path=str(ROOT / source)))
    for name, (title, about, entries) in REFERENCE.items():
        body = "".join(f"\n::: stacked_emotion.{entry}\n" for entry in entries)
        page = f"# {title}\n\n{about}\n{body}"
        files.append(File.generated(config, f"reference/{name}.md", content=page))
    page = "\n".join(_command_line())
    files.append(File.generated(config, "reference/command_line.md", content=page))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Turn links of the repository into links of the site, with titles in place of file names.

    Raises:
        PluginError: a link to a file that is not on the site.
    """
    place = page.file.src_uri
    source = next((known for known, at in PAGES.items() if at == place), f"docs/{place}")

    def link(found: re.Match[str]) -> str:
        target, sign, anchor = found[2].partition("#")
        if not target or re.match(r"[a-z]+:", found[2]):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        at = PAGES.get(path, path.removeprefix("docs/"))
        if not path.startswith("docs/") and path not in PAGES and path not in FILES:
            raise PluginError(f"{source} links to {path}, which is not on the site.")
        return found[1] + posixpath.relpath(at, posixpath.dirname(place) or ".") + sign + anchor

    titles = dict(_titles(config.nav))

    def title(found: re.Match[str]) -> str:
        return f"[{titles[found[1]]}](" if found[1] in titles else found[0]

    markdown = re.sub(r"\[`?(?:docs/)?(\w+\.md)`?\]\(", title, markdown)
    parts = re.split(r"(^```.*?^```|`[^`\n]*`)", markdown, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [re.sub(r'(\]\(|(?:src|href)=")([^)"\s]+)', link, part) for part in parts[::2]]
    return "".join(parts)


def _titles(nav: Any) -> Iterator[tuple[str, str]]:
    """The pages of the navigation and their titles."""
    for entry in nav:
        for title, inside in entry.items():
            if isinstance(inside, str):
                yield inside, title
            else:
                yield from _titles(inside)


class ExampleSections(griffe.Extension):
    """Read "Example:" and "Example, not run: …" in docstrings as sections of examples."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the headings in the docstring of an object."""
        if obj.docstring:
            text = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
            obj.docstring.value = re.sub(
                r"(?m)^Example, not run: (.*)$", r"Examples:\n    Not run: \1\n", text
            )


def _command_line() -> Iterator[str]:
    """The help of every command."""
    from stacked_emotion.cli import build_parser

    yield "# Command line\n\nWhat `stacked-emotion COMMAND --help` prints, for every command.\n"
    (commands,) = (a for a in build_parser()._actions if isinstance(a, _SubParsersAction))
    for name, parser in commands.choices.items():
        yield f"## {name}\n\n```text\n{parser.format_help().rstrip()}\n```\n"
