"""The card itself: a data class filled from a run, templates, and the metadata the Hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...common.errors import UserError, counted
from ...common.inert_text import in_markdown, one_line
from ...trainer.arguments import LANGUAGE_CODE
from ...trainer.metrics.titles import TITLES
from ..run_record import RunRecord
from .known_data import (
    ARABIC,
    EMOTIONS,
    LANGUAGE_NAMES,
    NO_DEFINITION,
    definitions,
    known_data,
    related_credits,
)
from .sections import card_sections
from .terms import Term

TEMPLATES = Path(__file__).parent.parent / "templates"
PLOT_TEXTS = {
    "class_wise_f1": "Bar chart of each label's F1 on the {split} split, with its precision, "
    "recall and support: F1 {f1}",
    "label_correlation": "Two matrices of phi coefficients between labels: in the data, and as "
    "the model gives them",
    "precision_recall": "One precision-recall curve per label on the {split} split: the average "
    "precision {ap}",
    "reliability": "One panel per label on the {split} split: the share of texts with the label at "
    "each score, before and after calibration",
    "encoder_use": "Stacked bars: how much each of {encoders} counts for each label, and box plots "
    "of how that varies between texts",
    "training_curves": "Line charts of the training losses, and of the out-of-fold objective by "
    "epoch",
}
"""What each picture shows, for readers who cannot see it."""
SYNTHETIC_TAG = "synthetic-sample"
_FIRST_PLOT = "class_wise_f1"


@dataclass
class CardContent:
    """Everything that the templates show; nothing in it may be blank.

    Attributes:
        record: the run.
        repo_id: where it is published.
        license: identifier of the license of the weights.
        languages: ISO 639 codes, or "multilingual".
        terms: of base models and data.
        label_definitions: definition by label.
        examples: texts with the answers of this very model: `text`, `output` (label and score of
            every label, most likely first), `given` (the labels decided on), and perhaps a
            `caption`.
        plots: names (without ending) of the pictures in `plots/`.
        digest: what `verify_published` compares with.
        code_digest: SHA-256 over the code files alone.
        code_version: version and commit of the package that the code comes from.
        has_onnx: whether `onnx/` is part of the repository.
        tag: the tag it gets, if any.
        parameters: number of weights.
        max_length: longest text in sub-words; what is longer is cut.
        teacher: Hub ID of the stack that this student was distilled from.
        student: Hub ID of a student that was distilled from this stack.
        license_name, license_link: of a license called "other".
        responsible_use: Markdown in place of the section's own words.
    """

    record: RunRecord
    repo_id: str
    license: str
    languages: list[str]
    terms: list[Term]
    label_definitions: dict[str, str]
    examples: list[dict[str, Any]] = field(default_factory=list)
    plots: list[str] = field(default_factory=list)
    digest: str | None = None
    code_digest: str | None = None
    code_version: str = "stacked_emotion"
    has_onnx: bool = False
    tag: str | None = None
    parameters: int | None = None
    max_length: int = 128
    teacher: str | None = None
    student: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    responsible_use: str | None = None

    def metadata(self) -> ModelCardData:
        """The YAML head of the card."""
        record = self.record
        base_models = sorted(set(record.base_models.values()))
        if self.teacher:
            base_models.append(self.teacher)
        extra: dict[str, Any] = {}
        if base_models:
            extra["base_model_relation"] = "finetune"
        if self.license_name:
            extra |= {"license_name": self.license_name, "license_link": self.license_link}
        if self.examples:
            extra["widget"] = [self._widget(example) for example in self.examples]
        return ModelCardData(
            library_name="transformers",
            pipeline_tag="text-classification",
            language=self.languages,
            license=self.license,
            base_model=base_models or None,
            datasets=self._datasets() or None,
            metrics=["f1", "precision", "recall", "jaccard", "average_precision", "hamming_loss"],
            tags=[
                *(["emotion", "emotion-classification"] if self.about_emotions else []),
                "multi-label-classification",
                "stacked-emotion",
                "custom_code" if record.kind == "stack" else "distillation",
                *(["arabic"] if self.arabic else []),
                *([SYNTHETIC_TAG] if record.synthetic else []),
            ],
            model_name=self.repo_id.split("/")[-1],
            eval_results=self.eval_results() or None,
            **extra,
        )

    def _datasets(self) -> list[str]:
        """Hub IDs of the data, related data included."""
        credits = [known_data(self.record).credit]
        credits += [credit for _, credit in related_credits(self.record).values()]
        found = [self.record.dataset_name, *(credit.hub_id for credit in credits)]
        return list(dict.fromkeys(name for name in found if name))

    def _widget(self, example: dict[str, Any]) -> dict[str, Any]:
        """A text; with its answer where the Hub runs no live widget."""
        entry: dict[str, Any] = {"text": example["text"]}
        if example.get("caption"):
            entry["example_title"] = example["caption"]
        if self.record.kind == "stack":
            entry["output"] = [
                {"label": one_line(answer["label"]), "score": answer["score"]}
                for answer in example["output"]
            ]
        return entry

    def eval_results(self) -> list[EvalResult]:
        """The overall scores of the published system, for `model-index`."""
        record, system = self.record, self.record.published_system
        results = []
        for split in record.splits if system else []:
            leaked = record.leaked(split)
            mark = (
                f" (leaked: {counted(leaked, 'text is', 'texts are')} in an earlier split)"
                if leaked
                else ""
            )
            for metric, title in TITLES.items():
                score = record.score(str(system), split, metric)
                if score is None:
                    continue
                results.append(
                    EvalResult(
                        task_type="text-classification",
                        task_name=self.task,
                        dataset_type=self._data_type(split),
                        dataset_name=self.data_name(split),
                        dataset_config=record.dataset_config,
                        dataset_split=split,
                        metric_type=metric,
                        metric_name=(
                            f"{title} (mean over {counted(len(score.values), 'seed')}){mark}"
                            if len(score.values) > 1
                            else f"{title}{mark}"
                        ),
                        metric_value=round(score.mean, 5),
                    )
                )
        return results

    def _data_type(self, split: str) -> str:
        """The Hub ID of the data of a split; without one its name."""
        record = self.record
        if not record.setting(f"{split}_file"):
            known = record.dataset_name
        else:
            known = known_data(record).credit.hub_id if record.beside_training(split) else None
        return known or self.data_name(split)

    def data_name(self, split: str) -> str:
        """What the texts of a split are called: the data set, or the file they were read from.

        A file beside the training file, of data that the recipe names, is called by both:
        `lab/data (dev.csv)`.
        """
        record, known = self.record, known_data(self.record).credit.name
        if record.setting(f"{split}_file") and not record.synthetic_file(split):
            file = one_line(record.data_file(split) or "")
            return f"{one_line(known)} ({file})" if record.beside_training(split) else file
        known = known or record.dataset_name or ""
        return known or one_line(record.data_file(split) or "own texts")

    @property
    def defined(self) -> bool:
        """Whether any label has a definition."""
        return any(text != NO_DEFINITION for text in self.label_definitions.values())

    @property
    def corrector(self) -> str:
        """What corrects the encoders' own answers; "" where no such part is in the model."""
        config = self.record.config
        if not config.get("use_classifier", True):
            return ""
        return "a Bi-LSTM with a classifier" if config.get("use_lstm", True) else "a classifier"

    @property
    def about_emotions(self) -> bool:
        """Whether the labels name emotions that are known here."""
        return not EMOTIONS.isdisjoint(self.record.labels)

    @property
    def arabic(self) -> bool:
        """Whether the texts are Arabic, of any kind."""
        return not ARABIC.isdisjoint(self.languages)

    @property
    def task(self) -> str:
        """What the model does."""
        return f"Multi-label {'emotion' if self.about_emotions else 'text'} classification"

    @property
    def single(self) -> bool:
        """Whether it is a stack of one encoder."""
        return self.record.single

    @property
    def first_plots(self) -> list[str]:
        """The picture that stands near the top."""
        return [name for name in self.plots if name == _FIRST_PLOT]

    @property
    def other_plots(self) -> list[str]:
        """The pictures that stand with the results."""
        return [name for name in self.plots if name != _FIRST_PLOT]

    def plot_text(self, name: str) -> str:
        """What a picture shows."""
        record = self.record
        text = PLOT_TEXTS.get(name, name.replace("_", " "))
        return text.format(
            split=next(iter(record.splits), ""),
            encoders=", ".join(map(in_markdown, record.encoder_names)),
            f1=self._range("f1"),
            ap=self._range("ap"),
        )

    def _range(self, metric: str) -> str:
        """A metric of the best and of the worst label, in words."""
        record, found = self.record, []
        for split in record.splits[:1]:
            for label in record.labels:
                score = record.score(str(record.published_system), split, f"{metric}_{label}")
                found += [] if score is None else [(score.mean, label)]
        if not found:
            return "by label"
        (best, highest), (worst, lowest) = max(found), min(found)
        if f"{best:.2f}" == f"{worst:.2f}":
            return f"is {best:.2f} for every label"
        return (
            f"goes from {best:.2f} ({in_markdown(highest)}) to {worst:.2f} ({in_markdown(lowest)})"
        )

    @property
    def license_words(self) -> str:
        """The license for the text: its identifier, or the name of another one with a link."""
        if self.license_name:
            return f"[{in_markdown(self.license_name)}]({self.license_link})"
        return f"**{in_markdown(self.license)}**"

    @property
    def example_text(self) -> str:
        """A text in quotes for the code of the card."""
        text = self.examples[0]["text"] if self.examples else "…"
        return json.dumps(one_line(text), ensure_ascii=False).replace("`", "\\u0060")

    @property
    def language_names(self) -> str:
        """The languages in words."""
        return ", ".join(LANGUAGE_NAMES.get(code, code) for code in self.languages)

    def render(self) -> str:
        """The whole README.md.

        Raises:
            jinja2.UndefinedError: the template asks for something that is not there.
        """
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
        )
        environment.filters |= {"inert": in_markdown, "counted": counted}
        template = environment.get_template(f"{self.record.kind}_card.md.jinja")
        body = template.render(card=self, record=self.record, **card_sections(self.record))
        body = re.sub(r"\n{3,}", "\n\n", body)
        return f"---\n{self.metadata().to_yaml()}\n---\n\n{body.strip()}\n"


def card_languages(record: RunRecord, given: Sequence[str] | str | None) -> list[str]:
    """The languages of the card: those given, or those of the data, where they are known.

    Args:
        record: the run.
        given: ISO 639 codes, or one of them.

    Raises:
        UserError: none given and none known, or something that is not an ISO 639 code.
    """
    given = [given] if isinstance(given, str) else given
    for code in given or ():
        if not LANGUAGE_CODE.fullmatch(code):
            raise UserError(f"--language {code!r} is not an ISO 639 code such as ar, en, es.")
    languages = list(given or known_data(record).languages)
    if not languages:
        raise UserError(
            "The language of the texts is not known: give its code with --language, such as ar."
        )
    return languages


def card_content(
    record: RunRecord,
    repo_id: str,
    license: str,
    terms: list[Term],
    languages: Sequence[str] | str | None = None,
    label_definitions: Mapping[str, str] | None = None,
    **options: Any,
) -> CardContent:
    """The content of a card, filled from a run.

    Args:
        record: the run.
        repo_id: where it is published.
        license: identifier of the license of the weights.
        terms: see `terms_of`.
        languages: ISO 639 codes, or one; by default those of the data, where they are known.
        label_definitions: definition by label; by default those of the data, where they are known.
        **options: other fields of `CardContent`.

    Raises:
        UserError: the language is not known.
        ValueError: a definition of an unknown label.
    """
    return CardContent(
        record=record,
        repo_id=repo_id,
        license=license,
        languages=card_languages(record, languages),
        terms=terms,
        label_definitions=definitions(
            record.labels, known_data(record).definitions, label_definitions
        ),
        **options,
    )
