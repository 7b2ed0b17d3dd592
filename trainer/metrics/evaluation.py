"""A finished model on labeled texts: the command `evaluate` and `Run.evaluate`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...common.errors import DataError, listed, quoted, spelled
from ...common.tables import markdown_table
from ...data.arguments import DataArguments, check_same_set
from ...data.label_cells import FORMAT_NAMES
from ...data.labeled_texts import LabeledTexts, load_labeled_texts
from ..choosing.abstention import abstention_record, abstention_table
from ..results import label_table, source_name, split_record
from .scores import emotion_scores
from .titles import TITLES

if TYPE_CHECKING:
    from ...inference import StackedEmotionPredictor

ORDERED = ("ids", "multi_hot")  # label formats that mean places in the set of labels
logger = logging.getLogger(__name__)


@dataclass
class Evaluation:
    """The figures of a model.

    Attributes:
        texts: what it was scored on.
        scores: as `emotion_scores` returns them.
        computed: by which backend, in which numbers, and what else is not the default.
        truncated: texts whose end was not read.
        thresholds: by label, where the model decides by thresholds.
        abstain: the share of texts that get labels, where it is not all.
        abstention: the figures of the surest texts; see `abstention_record`.
    """

    texts: LabeledTexts = field(repr=False)
    scores: dict[str, float]
    computed: str
    truncated: int = 0
    thresholds: dict[str, float] | None = None
    abstain: float | None = None
    abstention: dict[str, Any] | None = None

    def to_markdown(self) -> str:
        """The figures that `results.md` and the card show: overall, by label, of the surest texts.

        The columns are padded, for a terminal; `to_dict` has every figure.
        """
        names, scores = self.texts.label_names, self.scores
        overall = [(TITLES[name], f"{scores[name]:.4f}") for name in TITLES if name in scores]
        by_label = {name: {"mean": score, "values": [score]} for name, score in scores.items()}
        cut = f"Texts that were too long and were truncated: {self.truncated:,}."
        parts = [
            f"Computed with {self.computed}. {cut}",
            markdown_table(["metric", "value"], overall, aligned=True),
            label_table(by_label, names, self.thresholds, aligned=True),
        ]
        if self.abstention is not None:
            table = abstention_table(self.abstention)
            parts.append(f"With abstain {self.abstain:g}:\n\n{table}")
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The texts, without their content, and all figures."""
        found: dict[str, Any] = {"data": split_record(self.texts), "scores": self.scores}
        found |= {"computed": self.computed, "truncated": self.truncated}
        return found | {"abstention": self.abstention}


def labeled_for(names: list[str], test: Any, reading: Mapping[str, Any]) -> LabeledTexts:
    """Texts with the labels of a model; neither torch nor the model is loaded.

    Args:
        names: the labels, in their order.
        test: a file or a table, as `read_table` takes it.
        reading: options of `DataArguments`; the label names are `names` by default.

    Raises:
        DataError: the texts cannot be used, or have other labels.
    """
    if columns := reading.get("label_columns"):
        check_same_set("--label_columns", columns, "the labels of the model", names)
    data = DataArguments(test_file=test, **{"label_names": names, **reading})
    texts = load_labeled_texts(data, "test", names)
    if texts is None:
        raise DataError("There are no texts to score. Give a file or a table as --test_file.")
    read = texts.inventory
    own_names = read is None or read.facts.get("format") in ("parquet", "dataset")  # of its classes
    if read and not own_names and read.label_format in ORDERED and "label_names" not in reading:
        logger.warning(
            "%s: its %s are read in the order of the model's labels, %s. If they have another "
            "order, give it by %s.",
            texts.source, FORMAT_NAMES[read.label_format], quoted(names), spelled("--label_names"),
        )  # fmt: skip
    return texts


def evaluate(predictor: StackedEmotionPredictor, texts: LabeledTexts) -> Evaluation:
    """Score a model; with abstention all texts first, then the surest ones alone.

    Args:
        predictor: the model.
        texts: with its labels; see `labeled_for`.
    """
    names, decision = list(predictor.labels), predictor.decision
    found = predictor.score(texts.texts)
    scores = emotion_scores(
        texts.labels.astype(int),
        found.probabilities,
        label_names=names,
        decisions=decision.abstaining(1.0)(found.logits, found.has_words).astype(int),
    )
    ways = ["adaptive stacking"] * (predictor.adaptive is not None)
    ways += ["windows over long texts"] * (predictor.long_texts == "window")
    computed, truncated = listed([predictor.backend, *ways]), int(found.truncated.sum())
    result = Evaluation(texts, scores, computed, truncated)
    if decision.rule == "threshold":
        result.thresholds = dict(zip(names, predictor.thresholds, strict=True))
    if decision.may_abstain:
        name = source_name(texts.source)
        result.abstain = decision.abstain
        result.abstention = abstention_record({name: found.logits}, {name: texts.labels}, decision)
    return result
