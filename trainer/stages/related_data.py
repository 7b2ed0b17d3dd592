"""Related data: other labeled texts that encoders are fine-tuned on before the run's own."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ...common.errors import UserError, counted
from ...common.files import fingerprint
from ...common.settings import plain
from ...data.inventory import plain_text
from ...data.label_statistics import LabelStatistics
from ...data.labeled_texts import LabeledTexts, load_labeled_texts
from ...data.tables import read_table
from ..arguments import TrainingRecipe
from ..running.progress import announce
from ..training_sections import RelatedData

_MOST_NAMED = 10
_SAMPLE_TEXTS = 2000
_MUCH_UNKNOWN = 0.005
_ACCENTS = re.compile("[\u0300-\u036f]")


@dataclass
class RelatedTexts:
    """The labeled texts of one step of pretraining.

    Attributes:
        files: what was read, a file or a split of a data set each, without the texts left out.
        left_out: number of texts that are among the run's training texts.
        names: of the files, in the inventory of the run.
    """

    files: list[LabeledTexts] = field(repr=False)
    left_out: int
    names: list[str]

    @property
    def label_names(self) -> list[str]:
        """The labels, in the order of the logits."""
        return self.files[0].label_names

    @property
    def texts(self) -> list[str]:
        """The texts of all files."""
        return [text for file in self.files for text in file.texts]

    @property
    def labels(self) -> np.ndarray:
        """(texts, labels) of 0 and 1."""
        return np.concatenate([file.labels for file in self.files])

    @property
    def statistics(self) -> LabelStatistics:
        """Label statistics of all files."""
        return LabelStatistics.from_labels(self.labels, self.label_names)

    def fingerprint(self) -> str:
        """Of texts, labels and their order."""
        return fingerprint([file.fingerprint() for file in self.files])

    def record(self) -> dict[str, Any]:
        """What the finished work says of its data; no texts."""
        counts = self.labels.sum(0, dtype=np.int64).tolist()
        return {
            "sources": [file.source for file in self.files],
            "texts": len(self.labels),
            "left_out": self.left_out,
            "labels": dict(zip(self.label_names, counts, strict=True)),
            "fingerprint": self.fingerprint(),
        }


def load_related(
    recipe: TrainingRecipe, splits: Mapping[str, LabeledTexts]
) -> dict[str, list[RelatedTexts]]:
    """Read the related data of each encoder and compare them with the run's own texts.

    Texts that are among the training texts are left out: encoders that had seen them could not
    predict them out of fold.

    Args:
        recipe: the related data by encoder.
        splits: the run's own texts.

    Returns:
        A list by encoder name, one entry per step. Data that several encoders use are read once.

    Raises:
        UserError: data that cannot be read, or texts that are among those that are only scored.
    """
    known: dict[str, RelatedTexts] = {}
    found: dict[str, list[RelatedTexts]] = {}
    for name, encoder in recipe.encoders.items():
        found[name] = []
        for place, step in enumerate(encoder.pretraining):
            key = json.dumps([plain(step.data), step.strip_accents], default=str)
            if key not in known:
                with _errors_of(f"encoders.{name}.pretraining.{place}"):
                    files = _without_own(_read(step), splits)
                first = 1 + sum(len(related.files) for related in known.values())
                names = [f"related_{first + number}" for number in range(len(files[0]))]
                known[key] = RelatedTexts(*files, names)
            found[name].append(known[key])
    return found


def report_related(
    recipe: TrainingRecipe,
    related: Mapping[str, Sequence[RelatedTexts]],
    backends: Mapping[str, Tokenizer],
    label_names: Sequence[str],
) -> None:
    """Say what was read as related data and what each encoder does with them.

    Args:
        recipe: how each encoder is trained.
        related: what `load_related` returned.
        backends: tokenizer by encoder name.
        label_names: the run's own labels.
    """
    files = related_files(related)
    if not files:
        return
    inventories = [
        f"{name}: {texts.inventory.to_text()}" for name, texts in files.items() if texts.inventory
    ]
    announce("The related data:\n" + "\n".join(inventories))
    for name, steps in related.items():
        for place, step in enumerate(steps):
            given = recipe.encoders[name].pretraining[place]
            following = steps[place + 1].label_names if place + 1 < len(steps) else label_names
            kept = keeps_head(given, step.label_names, following)
            sample = step.texts[:: -(-len(step.labels) // _SAMPLE_TEXTS)]
            share = _unknown_share(backends[name], sample)
            facts = [
                f"{counted(len(step.labels), 'text')}, {counted(len(step.label_names), 'label')}",
                "1 epoch" if given.epochs == 1 else f"{given.epochs:g} epochs",
                "its head is kept" if kept else "then it gets a new head",
                f"{share:.1%} of the tokens are unknown",
            ]
            if step.left_out:
                left = counted(step.left_out, "text")
                verb = "is" if step.left_out == 1 else "are"
                facts.append(f"{left} of the training split {verb} left out")
            announce(f"{name} is first fine-tuned on {', '.join(step.names)}: {', '.join(facts)}.")
            plain = [without_accents(text) for text in sample]
            if share > _MUCH_UNKNOWN and _unknown_share(backends[name], plain) < share / 2:
                announce("  Most of the unknown tokens have accents: set strip_accents: true.")


def related_files(related: Mapping[str, Sequence[RelatedTexts]]) -> dict[str, LabeledTexts]:
    """Every file of related data, once, by its name in the inventory."""
    return {
        name: file
        for steps in related.values()
        for step in steps
        for name, file in zip(step.names, step.files, strict=True)
    }


def keeps_head(step: RelatedData, labels: Sequence[str], following: Sequence[str]) -> bool:
    """Whether the head of a step goes on to the data that follow, which have these labels."""
    return step.keep_head and set(labels) == set(following)


def without_accents(text: str) -> str:
    """A text with the plain letter for each one with an accent; Arabic marks stay."""
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))


@contextmanager
def _errors_of(where: str) -> Iterator[None]:
    """Name the section in errors of reading, whose options are its keys."""
    try:
        yield
    except UserError as error:
        said = re.sub("--(?=[a-z])", "", str(error))
        raise UserError(
            f"{where}: {said} To train without related data, set pretraining to []."
        ) from error


def _read(step: RelatedData) -> list[tuple[LabeledTexts, Any]]:
    """The texts of each file or data set, and where they are."""
    found: list[tuple[LabeledTexts, Any]] = []
    files = step.data.train_file if isinstance(step.data.train_file, list) else None
    for file in files or [step.data.train_file]:
        options = replace(step.data, train_file=file)
        names = found[0][0].label_names if found else None
        texts = load_labeled_texts(options, "train", names)
        assert texts is not None
        found.append((texts, options))
        if step.strip_accents:
            texts.texts = [without_accents(text) for text in texts.texts]
    return found


def _without_own(
    found: list[tuple[LabeledTexts, Any]], splits: Mapping[str, LabeledTexts]
) -> tuple[list[LabeledTexts], int]:
    """The files without the training texts, and their number."""
    own = {split: _compared(texts) for split, texts in splits.items()}
    kept, left_out = [], 0
    for texts, options in found:
        rows = [_forms(text) for text in texts.texts]
        for split in own:
            hits = [forms & own[split] for forms in rows]
            if split != "train" and any(hits):
                raise UserError(_leaked(texts, options, set().union(*hits), split, splits[split]))
        mask = np.array([not forms & own["train"] for forms in rows])
        if not mask.any():
            raise UserError(
                f"every text of {texts.source} is among the training texts. Leave the file out."
            )
        left_out += int((~mask).sum())
        kept.append(texts.select(mask) if not mask.all() else texts)
    return kept, left_out


def _compared(texts: LabeledTexts) -> set[str]:
    return {form for text in texts.texts for form in _forms(text)}


def _forms(text: str) -> set[str]:
    """A text as texts are compared, with and without accents."""
    plain = plain_text(text)
    return {plain, without_accents(plain)}


def _leaked(
    texts: LabeledTexts, options: Any, hits: set[str], split: str, scored: LabeledTexts
) -> str:
    """The message about related texts that are among those that are only scored."""
    unit = "row"
    rows: Sequence[int] = [r for r, text in enumerate(texts.texts, 1) if _forms(text) & hits]
    if options.train_file is not None and texts.inventory is not None:
        table = read_table(options.train_file, options)
        column, unit = table.columns[texts.inventory.text_column], table.problems.unit
        rows = [
            number
            for number, value in zip(table.row_numbers, column, strict=True)
            if isinstance(value, str) and _forms(value) & hits
        ]
    named = ", ".join(map(str, rows[:_MOST_NAMED]))
    more = f" and {len(rows) - _MOST_NAMED:,} more" if len(rows) > _MOST_NAMED else ""
    return (
        f"{texts.source}: the texts of {unit}s {named}{more} are also among the {split} texts "
        f"({scored.source}), which must not be trained on. Remove these rows."
    )


def _unknown_share(backend: Tokenizer, texts: Sequence[str]) -> float:
    """Share of unknown tokens in texts."""
    model = json.loads(backend.to_str())["model"]
    unknown = model.get("unk_id")
    if unknown is None and model.get("unk_token"):
        unknown = backend.token_to_id(model["unk_token"])
    rows = backend.encode_batch(list(texts), add_special_tokens=False)
    ids = [token for row in rows for token in row.ids]
    return ids.count(unknown) / max(1, len(ids))
