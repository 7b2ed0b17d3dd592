"""The figures of a run as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

NO_SCORES = "No scores: the run had neither validation nor test texts."
_OBJECTIVE = "jaccard + micro_f1 + macro_f1 / 2"
"""What decisions are chosen by, out of fold; see `decision_rules.decision_objective`."""


class Results:
    """The figures of a run.

    Args:
        values: the content of `results.json`.

    Example:
        >>> from stacked_emotion import Run
        >>> results = Run("runs/mine").results
        >>> scores = results.to_pandas()
        >>> list(scores.columns[:3])
        ['jaccard', 'micro_f1', 'macro_f1']
        >>> list(scores.index[-2:])
        [('validation', 'meta'), ('validation', 'stack')]
        >>> results["splits"]
        ['validation']
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def to_dict(self) -> dict[str, Any]:
        """The content of `results.json`."""
        return self.values

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def to_pandas(self, by_label: bool = False, all_metrics: bool = False) -> pandas.DataFrame:
        """The scores, means over the seeds, as a DataFrame.

        Without validation and test texts it is what the decision of each system was chosen by, out
        of fold on the training texts.

        Args:
            by_label: a row per split, system and label, instead of one per split and system.
            all_metrics: every metric, not only the main ones.

        Returns:
            Metrics as columns; split, system (and label) as the index.
        """
        import pandas

        from ..results import MAIN_METRICS

        names, rows = self.values["labels"], []
        for split in self.values["splits"]:
            for system, entry in self.values["systems"].items():
                scores = {metric: found["mean"] for metric, found in entry[split].items()}
                for label in names if by_label else [""]:
                    own = {
                        metric.removesuffix(f"_{label}"): score
                        for metric, score in scores.items()
                        if (_label_of(metric, names) or "") == label
                    }
                    rows.append({"split": split, "system": system, "label": label} | own)
        if not (rows or by_label):
            all_metrics = True
            for system, decision in self.values.get("decisions", {}).items():
                row = {"split": "out of fold", "system": system, "label": ""}
                rows.append(row | {_OBJECTIVE: decision["score"]})
        frame = pandas.DataFrame(rows, columns=None if rows else ["split", "system", "label"])
        if not by_label:
            frame = frame.drop(columns="label")
            if rows and not all_metrics:
                kept = [metric for metric in MAIN_METRICS if metric in frame]
                frame = frame[["split", "system", *kept]]
        return frame.set_index(["split", "system", "label"][: 3 if by_label else 2])

    def differences(self) -> pandas.DataFrame:
        """The differences between systems, with intervals of a paired bootstrap.

        Returns:
            A row per split, pair and metric, with the fields of `BootstrapResult`.
        """
        import pandas

        index = ["split", "pair", "metric"]
        rows = [
            {**entry, "split": split, "pair": pair, "metric": metric}
            for split, pairs in self.values.get("comparisons", {}).items()
            for pair, metrics in pairs.items()
            for metric, entry in metrics.items()
        ]
        return pandas.DataFrame(rows, columns=None if rows else index).set_index(index)

    def _repr_html_(self) -> str:
        table = self._marked().to_html(float_format="{:.3f}".format)
        return table if self.values["splits"] else f"<p>{NO_SCORES}</p>{table}"

    def __repr__(self) -> str:
        table = self._marked().to_string(float_format="{:.3f}".format)
        return table if self.values["splits"] else f"{NO_SCORES}\n{table}"

    def _marked(self) -> pandas.DataFrame:
        """`to_pandas`, with the best encoder and the stages that were not kept marked."""
        from ..results import system_marks

        table = self.to_pandas()
        if not self.values["splits"]:
            return table
        marks = {split: system_marks(self.values, split) for split in self.values["splits"]}
        table.index = table.index.map(
            lambda row: (row[0], row[1] + marks.get(row[0], {}).get(row[1], ""))
        )
        return table.rename_axis(["split", "system"])


def _label_of(metric: str, names: Sequence[str]) -> str | None:
    """The label that a metric such as `f1_joy` is about."""
    kinds = ("precision", "recall", "f1", "ap", "support")
    return next((n for n in names for kind in kinds if metric == f"{kind}_{n}"), None)
