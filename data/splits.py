"""The splits that a training or a distillation works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..common.errors import UserError
from .arguments import DataArguments
from .label_statistics import LabelStatistics
from .labeled_texts import LabeledTexts, load_labeled_texts, warn_about_overlap


@dataclass
class DataSplits:
    """What is known of the splits themselves.

    Attributes:
        splits: labeled texts by split: train, and validation and test where they are given.
    """

    splits: dict[str, LabeledTexts]

    @property
    def label_names(self) -> list[str]:
        """The labels, in the order of the logits."""
        return self.splits["train"].label_names

    @property
    def held_out_splits(self) -> list[str]:
        """The splits that are only scored."""
        return [split for split in ("validation", "test") if split in self.splits]

    @property
    def report(self) -> str:
        """What each split was read as, for people."""
        found = [texts.inventory for texts in self.splits.values() if texts.inventory]
        return "\n".join(inventory.to_text() for inventory in found)

    @cached_property
    def statistics(self) -> LabelStatistics:
        """Label statistics of the training split."""
        train = self.splits["train"]
        return LabelStatistics.from_labels(train.labels, train.label_names)


def load_splits(
    arguments: DataArguments, label_names: Sequence[str] | None = None
) -> dict[str, LabeledTexts]:
    """Read and check every split, and count the texts that occur in an earlier one.

    With `arguments.drop_leaked` these texts are left out; else the inventories note them. Without
    `label_names` the labels are those of the training split.

    Raises:
        UserError: no training texts, or a row that cannot be used.
    """
    train = load_labeled_texts(arguments, "train", label_names)
    if train is None:
        raise UserError("No training texts: give --train_file or a dataset_name.")
    splits = {"train": train}
    for split in ("validation", "test"):
        texts = load_labeled_texts(arguments, split, label_names or train.label_names)
        if texts is None:
            continue
        leaked = np.zeros(len(texts), dtype=bool)
        for earlier, known in splits.items():
            leaked |= warn_about_overlap(known, texts, earlier)
        if arguments.drop_leaked and leaked.any():
            if leaked.all():
                raise UserError(
                    f"{texts.source}: every text also occurs in an earlier split, so "
                    "--drop_leaked leaves none. Give other texts."
                )
            texts = texts.select(~leaked)
            assert texts.inventory is not None
            texts.inventory.leaked = {}
            texts.notes.append(
                f"{texts.source}: {leaked.sum():,} texts that occur in an earlier split were left "
                "out (--drop_leaked)."
            )
        elif texts.inventory is not None:
            texts.inventory.leaked_texts = int(leaked.sum())
        splits[split] = texts
    return splits
