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
from mkdocs.plugins import event_priority
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
        "train Run runs.Results register",
    ),
    "inference": (
        "Prediction",
        "Predictors, explanations, whole files, and exports for CPUs.",
        (
            "inference.StackedEmotionPredictor inference.text_predictor.TextPredictor "
            "inference.Prediction inference.Predictions inference.TextScores inference.explain "
            "inference.Explanation inference.WordExplanation inference.without_word "
            "inference.html_page inference.predict_file inference.BulkReport "
            "inference.PartitionPredictor inference.export_onnx inference.OnnxEmotionPredictor "
            "inference.Limits inference.Summary inference.ModelError"
        ),
    ),
    "model": (
        "Model and tokenizer",
        "The remote code that every saved stack carries. It needs only torch and transformers.",
        (
            "StackedEmotionConfig StackedEmotionModel StackedEmotionForSequenceClassification "
            "StackedEmotionTokenizer pipeline_stacked_emotion.StackedEmotionPipeline"
        ),
    ),
    "trainer": (
        "Trainer and data",
        "The Trainer, the keys of a recipe, and labeled texts.",
        (
            "trainer.StackedEmotionTrainer trainer.TrainingRecipe trainer.parse_recipe "
            "trainer.run_training trainer.choose_thresholds trainer.DataArguments "
            "trainer.LabeledTexts trainer.load_labeled_texts trainer.LabelStatistics "
            "trainer.UserError"
        ),
    ),
    "losses": (
        "Losses",
        "Every loss takes logits and labels of shape (texts, labels) and returns named parts.",
        (
            "trainer.losses.build_loss trainer.losses.loss_options trainer.losses.EmotionLoss "
            "trainer.losses.HybridLoss trainer.losses.BinaryCrossEntropyLoss "
            "trainer.losses.WeightedBinaryCrossEntropyLoss trainer.losses.CorrelationLoss "
            "trainer.losses.ContrastiveLoss trainer.losses.FocalLoss trainer.losses.AsymmetricLoss "
            "trainer.losses.LabelCorrelationAwareLoss"
        ),
    ),
    "metrics": (
        "Metrics",
        "The metrics of SemEval-2018 E-c and more, in numpy and for `evaluate`.",
        (
            "trainer.metrics.emotion_scores trainer.metrics.decide trainer.metrics.jaccard_per_row "
            "trainer.metrics.average_precision trainer.metrics.expected_calibration_error "
            "trainer.metrics.paired_bootstrap trainer.metrics.BootstrapResult "
            "trainer.metrics.MultilabelEmotion"
        ),
    ),
    "hub_card": (
        "Publishing",
        "Model card, plots, publishing, checks and the demo app.",
        (
            "hub_card.publish hub_card.Publication hub_card.check_model hub_card.CheckReport "
            "hub_card.verify_published hub_card.RunRecord hub_card.card_content "
            "hub_card.CardContent hub_card.plot_run hub_card.terms_of "
            "hub_card.publish_metric hub_card.publish_space "
            "hub_card.demo_app"
        ),
    ),
}
"""Page: its title, one sentence, and the names it documents."""


@event_priority(100)
def on_config(config: Any) -> Any:
    """Show mkdocstrings the package alone: a folder of links without tests and environments.

    This comes before mkdocstrings, which drops search paths that do not exist. It would then read
    the checkout itself, environments included, and could fill the memory.
    """
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
        body = "".join(f"\n::: stacked_emotion.{entry}\n" for entry in entries.split())
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

    contents = r"\A(# .*\n\n)(?:- \[[^\]]*\]\(#.*\n(?:  .*\n)*)+"  # the site has its own
    markdown = re.sub(contents, r"\1", markdown)
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
