"""The training rows whose labels look wrong, from predictions of models that did not see them.

cleanlab finds the labels, one by one, by confident learning (Northcutt, Jiang and Chuang 2021). The
rows are ordered by the trust in all their labels: the exponential moving average of the sorted
probabilities of what was given, the lowest last (Thyagarajan et al. 2022, "Identifying Incorrect
Annotations in Multi-Label Classification Data").
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import UserError
from ...common.files import read_json
from ...common.numerics import sigmoid
from ...common.settings import hints_of
from ...data.arguments import DataArguments
from ...data.labeled_texts import LabeledTexts, load_labeled_texts
from ..distillation.teacher import read_run
from ..running.provenance import settings_of
from .near_duplicates import conflicting_pairs

if TYPE_CHECKING:
    import pandas

_FEWEST = 5
_FORGETTING = 0.8


@dataclass
class Review:
    """What looks wrong with the labels of a run's training texts.

    Attributes:
        texts: the training texts.
        probabilities: (rows, labels), out of fold.
        doubted: (rows, labels) bool, the labels that look wrong, given or not.
        quality: (rows,) trust in the labels of each row, 0 to 1.
        rows: a DataFrame of the rows to check, the most doubtful first; see `Run.review`.
        pairs: (pairs, 2) row numbers from 0 of near-duplicates with different labels.
        similarities: (pairs,) their similarity, up to 1.
        confusions: a DataFrame of label pairs; see `confused_labels`.
    """

    texts: LabeledTexts
    probabilities: np.ndarray = field(repr=False)
    doubted: np.ndarray = field(repr=False)
    quality: np.ndarray = field(repr=False)
    rows: pandas.DataFrame = field(repr=False)
    pairs: np.ndarray = field(repr=False)
    similarities: np.ndarray = field(repr=False)
    confusions: pandas.DataFrame = field(repr=False)


def training_texts(folder: Path, train_file: str | Path | None = None) -> LabeledTexts:
    """Read the training texts of a run again, as its recipe says.

    Args:
        folder: of the run.
        train_file: where the training file is now; by default where the recipe says.

    Raises:
        UserError: the run has not finished, or the texts cannot be read.
    """
    given = {} if train_file is None else {"train_file": str(train_file)}
    texts = load_labeled_texts(data_of_run(folder, run_results(folder), given), "train")
    assert texts is not None
    return texts


def run_results(folder: Path) -> dict[str, Any]:
    """The content of a run's `results.json`.

    Raises:
        UserError: the run has not finished, or there is none.
    """
    if not (folder / "results.json").is_file():
        raise UserError(
            f"{folder} holds no finished run: results.json is missing. Give the folder of a "
            "finished training, not that of a model."
        )
    return read_json(folder / "results.json")


def data_of_run(
    folder: Path, results: Mapping[str, Any], given: Mapping[str, Any],
    splits: Sequence[str] = ("train",),
) -> DataArguments:  # fmt: skip
    """The data options of a run, to read its texts again.

    Args:
        folder: of the run.
        results: the content of its `results.json`.
        given: options that have changed since.
        splits: those that are read.

    Raises:
        UserError: a file is not there, or the recipe does not say where the texts are.
    """
    recipe = settings_of(folder, results)
    options = {name: recipe[name] for name in hints_of(DataArguments) if name in recipe} | {**given}
    if options.get("train_file") is None and not options.get("dataset_name"):
        raise UserError(
            f"The recipe of {folder} does not say where the training texts are: give --train_file."
        )
    for option in (f"{split}_file" for split in splits):
        file = options.get(option)
        if file and not Path(file).expanduser().exists():
            raise UserError(
                f"The {option} of the run, {file}, is not here. Run the command where you trained, "
                f"or say where the file is by --{option}."
            )
    return DataArguments(**options)


def review_run(folder: str | Path, train_file: str | Path | None = None) -> Review:
    """Review the labels of the texts a run was trained on.

    Args:
        folder: of the run.
        train_file: where the training file is now; by default where the recipe says.

    Raises:
        UserError: the training file has changed since the run, the run has no out-of-fold
            predictions or they are damaged, or cleanlab is not installed.
    """
    folder = Path(folder)
    texts = training_texts(folder, train_file)
    run, problem = read_run(folder, texts)
    if run is None:
        changed = "other texts" in problem
        advice = " The texts or labels have changed since: train again." if changed else ""
        raise UserError(f"There is nothing to review: {problem}.{advice}")
    decision, logits = run.decision, run.out_of_fold_logits()
    return review_labels(texts, sigmoid(decision.calibrated(logits)), decision.decide(logits))


def review_labels(texts: LabeledTexts, probabilities: np.ndarray, decided: np.ndarray) -> Review:
    """Review labels, given predictions of models that did not see them.

    Args:
        texts: the labeled texts.
        probabilities: (rows, labels), out of fold.
        decided: (rows, labels) of 0 and 1, the labels given for these probabilities.

    Raises:
        UserError: cleanlab is not installed.
    """
    doubted, quality = label_issues(texts.labels, probabilities)
    pairs, similarities = conflicting_pairs(texts.texts, texts.labels)
    rows = _rows(texts, decided, doubted, quality, pairs)
    confusions = confused_labels(texts.labels, decided, texts.label_names)
    return Review(texts, probabilities, doubted, quality, rows, pairs, similarities, confusions)


def label_issues(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which labels look wrong, and how trustworthy the labels of each row are.

    Args:
        labels: (rows, labels) of 0 and 1.
        probabilities: (rows, labels), out of fold.

    Returns:
        (rows, labels) bool, and (rows,) from 0 to 1.

    Raises:
        UserError: cleanlab is not installed.
    """
    try:
        from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
    except ImportError as error:
        raise UserError("review needs cleanlab: pip install 'stacked_emotion[review]'.") from error
    given = [np.flatnonzero(row).tolist() for row in labels]
    scores = np.asarray(probabilities, np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that few texts have
        doubted = np.asarray(find_multilabel_issues_per_class(given, scores, n_jobs=1), bool)
    confidence = np.sort(np.where(labels, scores, 1 - scores))[:, ::-1]
    quality = confidence[:, 0]
    for column in confidence.T[1:]:
        quality = _FORGETTING * column + (1 - _FORGETTING) * quality
    return doubted, quality


def confused_labels(
    labels: np.ndarray, decided: np.ndarray, label_names: list[str]
) -> pandas.DataFrame:
    """Pairs of labels of which one is given where the other one is predicted.

    Args:
        labels: (rows, labels) of 0 and 1, as given.
        decided: (rows, labels) of 0 and 1, as predicted.
        label_names: of the columns.

    Returns:
        A row per pair that occurs in at least 5 texts and more often than by chance: `given` (and
        not predicted), `predicted` (and not given), `texts`, `share` of the texts in which the
        first is missed, and `phi`, the correlation of the two mistakes, by which the rows are
        ordered.
    """
    import pandas

    missed = (labels > decided).astype(np.float64)
    added = (labels < decided).astype(np.float64)
    together = missed.T @ added
    chance = missed.mean(0)[:, None] * added.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = (together / len(labels) - chance) / np.outer(missed.std(0), added.std(0))
        share = together / missed.sum(0)[:, None]
    rows = [
        (label_names[one], label_names[other], int(together[one, other]),
         share[one, other], phi[one, other])
        for one, other in zip(*np.nonzero(together >= _FEWEST), strict=True)
        if phi[one, other] > 0
    ]  # fmt: skip
    frame = pandas.DataFrame(rows, columns=["given", "predicted", "texts", "share", "phi"])
    return frame.sort_values("phi", ascending=False, ignore_index=True)


def _rows(
    texts: LabeledTexts, decided: np.ndarray, doubted: np.ndarray, quality: np.ndarray,
    pairs: np.ndarray,
) -> pandas.DataFrame:  # fmt: skip
    """The rows that look wrong or that have near-duplicates with other labels."""
    import pandas

    alike: dict[int, list[int]] = {}
    for one, other in pairs.tolist():
        alike.setdefault(one, []).append(other)
        alike.setdefault(other, []).append(one)
    found = {*alike, *np.flatnonzero(doubted.any(1)).tolist()}
    order = [row for row in np.argsort(quality, kind="stable").tolist() if row in found]
    given, numbers = texts.labels.astype(bool), texts.row_numbers

    def names(table: np.ndarray, row: int) -> list[str]:
        return [texts.label_names[place] for place in np.flatnonzero(table[row])]

    columns: dict[str, list[Any]] = {
        "rank": list(range(1, len(order) + 1)),
        "quality": quality[order].round(4).tolist(),
        "file": [texts.inventory.source if texts.inventory else texts.source] * len(order),
        texts.unit: [numbers[row] for row in order],
        "id": [] if texts.ids is None else [texts.ids[row] for row in order],
        "text": [texts.texts[row] for row in order],
        "given": [names(given, row) for row in order],
        "predicted": [names(decided, row) for row in order],
        "doubtful": [names(doubted & given, row) for row in order],
        "missing": [names(doubted & ~given, row) for row in order],
        "similar": [[numbers[other] for other in alike.get(row, [])] for row in order],
    }
    if texts.ids is None:
        del columns["id"]
    return pandas.DataFrame(columns)
