"""The `evaluate` metric of multi-label emotion classification.

It can also be used without the package: copy this file and `scores.py` into one folder and load it
with `evaluate.load("<folder>/multilabel_emotion.py")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from .scores import emotion_scores

_DESCRIPTION = """\
Scores of multi-label emotion classification by the official definitions of SemEval-2018 Task 1 E-c:
per-sample Jaccard (two empty label sets count 1), precision, recall and F1 (micro, macro, weighted,
samples), Hamming loss, subset accuracy; from probabilities also average precision, Brier score and
expected calibration error.
"""

_KWARGS_DESCRIPTION = """\
Args:
    predictions: one list per text with one number per label: 0/1, or probabilities together with
        `thresholds`.
    references: one list per text with 0/1 per label.
    thresholds: a float, or one per label; a label is on where its probability is at least its
        threshold. Leave it out when the predictions are 0/1.
    label_names: names of the labels, for precision, recall, f1, ap and support of each class.
Returns:
    A flat dict: jaccard, micro_f1 and so on; probabilities add macro_ap, micro_ap, brier, ece (per
    label, 15 equal-width bins on the probability of the label, mean over labels).
Examples:
    >>> metric.compute(predictions=[[1, 0], [0, 0]], references=[[1, 1], [0, 0]])["jaccard"]
    0.75
"""

_CITATION = """\
@inproceedings{mohammad2018semeval,
  title = {{SemEval}-2018 Task 1: Affect in Tweets},
  author = {Mohammad, Saif and Bravo-Marquez, Felipe and Salameh, Mohammad and
            Kiritchenko, Svetlana},
  booktitle = {Proceedings of the 12th International Workshop on Semantic Evaluation},
  year = {2018}
}
"""


class MultilabelEmotion(evaluate.Metric):
    """Multi-label emotion scores as an `evaluate.Metric`; works offline and across processes.

    Predictions and references are sequences of floats, one per label. `compute` takes the keyword
    arguments `thresholds` and `label_names`; the scores are those of `emotion_scores`. With
    `num_process`, `process_id` and one `experiment_id` for all, process 0 returns the scores of
    the rows of all processes and the others return None; every process must add at least one row.

    Example:
        ```python
        metric = MultilabelEmotion()
        metric.add_batch(predictions=probabilities, references=labels)
        metric.compute(thresholds=0.5, label_names=["anger", "joy"])["micro_f1"]
        ```
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Sequence(datasets.Value("float64")),
                }
            ),
            reference_urls=["https://aclanthology.org/S18-1001"],
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[float]],
        references: Sequence[Sequence[float]],
        thresholds: float | Sequence[float] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        return dict(
            emotion_scores(references, predictions, thresholds=thresholds, label_names=label_names)
        )
