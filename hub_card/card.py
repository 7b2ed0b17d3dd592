"""The model card: a data class filled from a run, a template, and the metadata the Hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..common.errors import UserError
from .card_sections import METRICS, card_sections
from .label_definitions import definitions
from .run_record import RunRecord
from .terms import SEMEVAL, Term

TEMPLATES = Path(__file__).with_name("templates")
_LANGUAGES = {"arabic": "ar", "english": "en", "spanish": "es"}
_LANGUAGE_NAMES = {"ar": "Arabic", "en": "English", "es": "Spanish"}
_LANGUAGE = re.compile(r"[a-z]{2,3}|multilingual")


@dataclass
class CardContent:
    """All that the template shows; nothing in it may be blank.

    Attributes:
        record: the run.
        repo_id: where it is published.
        license: identifier of the license of the weights.
        languages: ISO 639 codes, or "multilingual".
        terms: of base models and data.
        label_definitions: a definition by label.
        examples: texts with the answers of this very model: `text`, `output` (label and score of
            every label, most likely first) and `given` (the labels decided on).
        plots: names (without ending) of the pictures in `plots/`.
        digest: what `verify_published` compares with.
        has_onnx: whether `onnx/` is part of the repository.
        tag: the tag it gets, if any.
        parameters: number of weights.
        max_length: sub-words after which a text is cut.
        teacher: Hub id of the stack that this student was distilled from.
        student: Hub id of a student that was distilled from this stack.
        license_name, license_link: of a license called "other".
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
    has_onnx: bool = False
    tag: str | None = None
    parameters: int | None = None
    max_length: int = 128
    teacher: str | None = None
    student: str | None = None
    license_name: str | None = None
    license_link: str | None = None

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
            datasets=[record.dataset_name] if record.dataset_name else None,
            metrics=["f1", "precision", "recall", "jaccard", "average_precision", "hamming_loss"],
            tags=[
                "emotion",
                "emotion-classification",
                "multi-label-classification",
                "stacked-emotion",
                "custom_code" if record.kind == "stack" else "distillation",
                *(["arabic"] if "ar" in self.languages else []),
            ],
            model_name=self.repo_id.split("/")[-1],
            eval_results=self.eval_results() or None,
            **extra,
        )

    def _widget(self, example: dict[str, Any]) -> dict[str, Any]:
        """A text; with its answer where the Hub runs no live widget."""
        if self.record.kind == "student":
            return {"text": example["text"]}
        return {"text": example["text"], "output": [dict(entry) for entry in example["output"]]}

    def eval_results(self) -> list[EvalResult]:
        """The overall scores of the published system, for `model-index`."""
        record, system = self.record, self.record.published_system
        results = []
        for split in record.splits if system else []:
            for metric, (title, _) in METRICS.items():
                score = record.score(str(system), split, metric)
                if score is None:
                    continue
                results.append(
                    EvalResult(
                        task_type="text-classification",
                        task_name="Multi-label emotion classification",
                        dataset_type=record.dataset_name or self.data_name,
                        dataset_name=self.data_name,
                        dataset_config=record.dataset_config,
                        dataset_split=split,
                        metric_type=metric,
                        metric_name=f"{title} (mean over {len(score.values)} seeds)"
                        if len(score.values) > 1
                        else title,
                        metric_value=round(score.mean, 5),
                    )
                )
        return results

    @property
    def data_name(self) -> str:
        """How the data is called in the text."""
        if self.record.dataset_name == SEMEVAL:
            return "SemEval-2018 Task 1, E-c"
        if self.record.synthetic:
            return "embedded synthetic sample"
        if self.record.dataset_name:
            return self.record.dataset_name
        return self.terms[-1].name

    @property
    def license_words(self) -> str:
        """The license for the text: its identifier, or the name of another one with a link."""
        if self.license_name:
            return f"[{self.license_name}]({self.license_link})"
        return f"**{self.license}**"

    @property
    def example_text(self) -> str:
        """A text in quotes for the code of the card."""
        text = self.examples[0]["text"] if self.examples else "…"
        return json.dumps(text, ensure_ascii=False)

    @property
    def language_names(self) -> str:
        """The languages in words."""
        return ", ".join(_LANGUAGE_NAMES.get(code, code) for code in self.languages)

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
        environment.filters["cell"] = _cell
        template = environment.get_template(f"{self.record.kind}_card.md.jinja")
        body = template.render(card=self, record=self.record, **card_sections(self.record))
        body = re.sub(r"\n{3,}", "\n\n", body)
        return f"---\n{self.metadata().to_yaml()}\n---\n\n{body.strip()}\n"

    def model_card(self) -> ModelCard:
        """The rendered card as `huggingface_hub` knows it."""
        return ModelCard(self.render())


def card_languages(record: RunRecord, given: Sequence[str] | None) -> list[str]:
    """The languages of the card: those given, or those the recipe's data is known to be in.

    Raises:
        UserError: none given and none known, or something that is no ISO 639 code.
    """
    if given:
        for code in given:
            if not _LANGUAGE.fullmatch(code):
                raise UserError(f"--language {code!r} is not an ISO 639 code such as ar, en, es.")
        return list(given)
    if record.synthetic:
        return ["ar"]
    if record.dataset_name == SEMEVAL:
        config = (record.dataset_config or "").rsplit(".", 1)[-1]
        if config in _LANGUAGES:
            return [_LANGUAGES[config]]
    raise UserError("The language of the texts is not known: give it, as in --language ar.")


def card_content(
    record: RunRecord,
    repo_id: str,
    license: str,
    terms: list[Term],
    languages: Sequence[str] | None = None,
    label_definitions: Mapping[str, str] | None = None,
    **options: Any,
) -> CardContent:
    """The content of a card, filled from a run.

    Args:
        record: the run.
        repo_id: where it is published.
        license: identifier of the license of the weights.
        terms: see `terms_of`.
        languages: ISO 639 codes; by default those of the recipe's data, where they are known.
        label_definitions: definitions of labels that are not SemEval's.
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
        label_definitions=definitions(record.labels, label_definitions),
        **options,
    )


def _cell(value: Any) -> str:
    """A value for a Markdown table."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
