"""The model card: a data class filled from a run, a template, and the metadata the Hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, StrictUndefined

from ..trainer.errors import UserError
from .label_definitions import definitions
from .run_record import RunRecord, public_values
from .terms import SEMEVAL, Term

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
METRICS = {
    "jaccard": ("Jaccard", "mean over texts of |y ∩ ŷ| / |y ∪ ŷ|, 1 where both sets are empty"),
    "micro_f1": ("micro-F1", "F1 of all (text, label) cells together"),
    "macro_f1": ("macro-F1", "mean over labels of the label's F1, 0 where it is undefined"),
    "macro_ap": ("macro AP", "mean over labels of the average precision, without any threshold"),
    "rare_ap": ("rare AP", "the same over labels that under a tenth of the training texts have"),
    "hamming_loss": ("Hamming loss", "share of wrong (text, label) cells; lower is better"),
    "subset_accuracy": ("subset accuracy", "share of texts whose whole label set is right"),
    "micro_precision": ("micro-precision", "precision of all cells together"),
    "micro_recall": ("micro-recall", "recall of all cells together"),
    "macro_precision": ("macro-precision", "mean over labels of the label's precision"),
    "macro_recall": ("macro-recall", "mean over labels of the label's recall"),
    "brier": ("Brier score", "mean squared difference of probability and label; lower is better"),
    "ece": (
        "ECE",
        (
            "expected calibration error of the label probabilities, 15 equal-width bins, mean over "
            "labels; lower is better"
        ),
    ),
}
"""Title and definition of each overall metric, in the order of the tables."""
COMPARED = ("jaccard", "micro_f1", "macro_f1", "macro_ap", "hamming_loss")
CLASS_WISE = ("precision", "recall", "f1", "ap")
_LANGUAGES = {"arabic": "ar", "english": "en", "spanish": "es"}
_LANGUAGE_NAMES = {"ar": "Arabic", "en": "English", "es": "Spanish"}
_LANGUAGE = re.compile(r"[a-z]{2,3}|multilingual")
_STAGES = {
    "encoders": "each encoder is fine-tuned on the labels with a head of its own",
    "meta": "the meta-learner learns, word by word, which encoder to trust",
    "head": "Bi-LSTM and classifier learn to correct the meta-learner",
    "joint": "all parts end to end",
}
_METHOD = """@misc{aslam2024stacked,
  title = {Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid
           Loss Function},
  author = {Aslam, Muhammad Azeem and Jun, Wang and Ahmed, Nisar and Zaman, Muhammad Imran and
            Yanan, Li and Hongfei, Hu and Shiyu, Wang and Liu, Xin},
  eprint = {2410.03979},
  archivePrefix = {arXiv},
  year = {2024}
}"""
_SEMEVAL = """@inproceedings{mohammad2018semeval,
  title = {{SemEval}-2018 Task 1: Affect in Tweets},
  author = {Mohammad, Saif and Bravo-Marquez, Felipe and Salameh, Mohammad and
            Kiritchenko, Svetlana},
  booktitle = {Proceedings of the 12th International Workshop on Semantic Evaluation},
  year = {2018}
}"""
_WEAK_F1 = 0.4
_WEAK_SHARE = 0.1


@dataclass
class CardContent:
    """All that the template shows; nothing in it may be blank.

    Attributes:
        record: the run.
        repo_id: where it is published.
        license: identifier of the licence of the weights.
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

    def metadata(self) -> ModelCardData:
        """The YAML head of the card."""
        record = self.record
        data = ModelCardData(
            library_name="transformers",
            pipeline_tag="text-classification",
            language=self.languages,
            license=self.license,
            base_model=sorted(set(record.base_models.values())) or None,
            datasets=[record.dataset_name] if record.dataset_name else None,
            metrics=["f1", "precision", "recall", "jaccard", "average_precision", "hamming_loss"],
            tags=[
                "emotion",
                "emotion-classification",
                "multi-label-classification",
                "stacked-emotion",
                "custom_code",
                *(["arabic"] if "ar" in self.languages else []),
            ],
            model_name=self.repo_id.split("/")[-1],
            eval_results=self.eval_results() or None,
        )
        if self.examples:
            data.widget = [
                {"text": example["text"], "output": example["output"]} for example in self.examples
            ]
        return data

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
    def language_names(self) -> str:
        """The languages in words."""
        return ", ".join(_LANGUAGE_NAMES.get(code, code) for code in self.languages)

    def render(self) -> str:
        """The whole README.md.

        Raises:
            jinja2.UndefinedError: the template asks for something that is not there.
        """
        environment = Environment(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
        )
        environment.filters["cell"] = _cell
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        body = template.render(card=self, record=self.record, **self._sections())
        body = re.sub(r"\n{3,}", "\n\n", body)
        return f"---\n{self.metadata().to_yaml()}\n---\n\n{body.strip()}\n"

    def model_card(self) -> ModelCard:
        """The rendered card as `huggingface_hub` knows it."""
        return ModelCard(self.render())

    def _sections(self) -> dict[str, Any]:
        record = self.record
        system = record.published_system
        return {
            "system": system,
            "overall": {split: self._overall(split) for split in record.splits},
            "class_wise": {split: self._class_wise(split) for split in record.splits},
            "comparison": {split: self._comparison(split) for split in record.splits},
            "intervals": {split: self._intervals(split) for split in record.splits},
            "several_seeds": bool(system)
            and any(
                len(score.values) > 1
                for split in record.splits
                if (score := record.score(str(system), split, "jaccard"))
            ),
            "metric_definitions": self._metric_definitions(),
            "weak_labels": self._weak_labels(),
            "splits": self._splits(),
            "stages": self._stages(),
            "loss": self._loss(),
            "environment": self._environment(),
            "citations": self._citations(),
            "limit_lines": json.dumps(
                {label: round(value, 4) for label, value in record.thresholds.items()},
                ensure_ascii=False,
            ),
        }

    def _overall(self, split: str) -> list[tuple[str, str, str]]:
        rows = []
        for metric, (title, _) in METRICS.items():
            score = self.record.score(str(self.record.published_system), split, metric)
            if score is not None:
                rows.append((title, str(score), f"{score.values[0]:.3f}"))
        return rows

    def _class_wise(self, split: str) -> list[list[str]]:
        record, rows = self.record, []
        for label in record.labels:
            found = [
                record.score(str(record.published_system), split, f"{kind}_{label}")
                for kind in ("support", *CLASS_WISE)
            ]
            if any(score is None for score in found):
                continue
            support, *scores = [score for score in found if score is not None]
            rows.append([label, f"{support.mean:.0f}", *map(str, scores)])
        return rows

    def _comparison(self, split: str) -> list[list[str]]:
        rows = []
        for system in self.record.systems:
            scores = [self.record.score(system, split, metric) for metric in COMPARED]
            rows.append([system, *("not computed" if s is None else str(s) for s in scores)])
        return rows

    def _intervals(self, split: str) -> list[tuple[str, str, str, str]]:
        pairs = (self.record.results.get("comparisons") or {}).get(split) or {}
        return [
            (
                pair.replace(" - ", " − "),
                METRICS.get(metric, (metric, ""))[0],
                f"{entry['difference']:+.3f}",
                f"[{entry['low']:+.3f}, {entry['high']:+.3f}]",
            )
            for pair, metrics in pairs.items()
            for metric, entry in metrics.items()
        ]

    def _metric_definitions(self) -> list[tuple[str, str]]:
        record, system = self.record, self.record.published_system
        return [
            definition
            for metric, definition in METRICS.items()
            if any(record.score(str(system), split, metric) for split in record.splits)
        ]

    def _weak_labels(self) -> list[str]:
        """Labels to be told of: an F1 below 0.4, or rare in training."""
        record, weak = self.record, []
        prevalence = ((record.results.get("data") or {}).get("train") or {}).get("prevalence") or {}
        for label in record.labels:
            split = record.splits[0] if record.splits else ""
            score = record.score(str(record.published_system), split, f"f1_{label}")
            facts = []
            if score is not None and score.mean < _WEAK_F1:
                facts.append(f"F1 {score.mean:.2f} on {split}")
            if prevalence.get(label, 1.0) < _WEAK_SHARE:
                facts.append(f"{100 * prevalence[label]:.1f} % of the training texts")
            if facts:
                weak.append(f"{label} ({', '.join(facts)})")
        return weak

    def _splits(self) -> list[tuple[str, str, str]]:
        data = self.record.results.get("data") or {}
        return [
            (split, f"{entry['rows']:,}", str(entry.get("fingerprint") or "not recorded")[:16])
            for split, entry in data.items()
            if isinstance(entry, Mapping) and "rows" in entry
        ]

    def _stages(self) -> list[tuple[str, str, str]]:
        done = self.record.results.get("stages") or {}
        seconds = self.record.results.get("seconds_by_part") or {}
        rows = []
        for stage, what in _STAGES.items():
            if stage in done:
                took = [
                    value
                    for part, value in seconds.items()
                    if part == stage or part.startswith(f"{stage},")
                ]
                rows.append((stage, what, f"{sum(took):,.0f} s" if took else "not recorded"))
        return rows

    def _loss(self) -> dict[str, Any] | None:
        loss = self.record.results.get("loss")
        if not loss:
            return None
        citation = loss.get("citation")
        if not citation:
            losses = import_module("..trainer.losses", __package__).LOSSES
            known = losses.get(loss["name"])
            citation = known.citation if known else ""
        return {
            "name": loss["name"],
            "settings": list((loss.get("config") or {}).items()),
            "citation": citation,
        }

    def _environment(self) -> list[tuple[str, str]]:
        found = self.record.results.get("environment") or {}
        rows = [(name, str(value)) for name, value in (found.get("versions") or {}).items()]
        rows.append(("hardware", found.get("hardware") or "not recorded"))
        if found.get("git"):
            rows.append(("code", str(found["git"])))
        parts = self.record.results.get("seconds_by_part") or {}
        total = sum(parts.values()) or self.record.results.get("seconds")
        rows.append(("training time", f"{total / 3600:.2f} h" if total else "not recorded"))
        energy = self.record.results.get("energy")
        rows.append(("energy", str(public_values(energy)) if energy else "not measured"))
        return rows

    def _citations(self) -> list[str]:
        found = [_METHOD]
        if self.record.dataset_name == SEMEVAL:
            found.append(_SEMEVAL)
        loss = self._loss()
        if loss and loss["citation"] and loss["citation"] not in found:
            found.append(loss["citation"])
        return found


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
        license: identifier of the licence of the weights.
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
