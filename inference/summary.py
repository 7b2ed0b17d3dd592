"""A stack at a glance: its encoders, its parts and its labels, in a few lines."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from ..common.inert_text import printable
from ..common.tables import markdown_table
from .decisions import Decision


class Summary:
    """What a stack's configuration says, for people; a notebook shows it as tables.

    Args:
        config: a `StackedEmotionConfig`, a model that has one, or the content of `config.json`.

    Raises:
        ValueError: a field that does not fit, with its name.

    Example:
        >>> from stacked_emotion.inference import StackedEmotionPredictor
        >>> print(StackedEmotionPredictor.from_pretrained("user/name").summary)
        a stack of 2 encoders, word by word: ...
        ...
    """

    def __init__(self, config: Any) -> None:
        config = getattr(config, "config", config)
        values: Mapping[str, Any] = config if isinstance(config, Mapping) else config.to_dict()
        decision = Decision.from_config(values)
        encoders = [(name, values["encoders"][name]) for name in values["encoder_names"]]
        parts = {"use_meta_learner": "meta-learner", "use_lstm": "Bi-LSTM",
                 "use_classifier": "classifier"}  # fmt: skip
        off = [key for key in parts if not values.get(key, True)]
        if "use_classifier" in off:  # then there is no Bi-LSTM either
            off.append("use_lstm")
        used = [part for key, part in parts.items() if key not in off]
        many = f"a stack of {len(encoders)} encoders" if len(encoders) > 1 else "one encoder"
        level = "word by word" if values.get("stacking_level", "word") == "word" else "by text"
        self.title = f"{many}, {level}: {', '.join(used) or 'the mean of their answers'}"
        dropped = [part for key, part in parts.items() if key in off]
        self.note = (
            f"Without {' and '.join(dropped)}: training leaves out what the data does not support."
            if "use_classifier" in off
            else ""
        )
        self.encoders = [
            (name, one.get("model_type"), _first(one, "num_hidden_layers", "n_layers"),
             _first(one, "hidden_size", "dim"), _first(one, "vocab_size"))
            for name, one in encoders
        ]  # fmt: skip
        self.rule = decision.rule
        limits = zip(decision.labels, decision.thresholds, strict=True)
        self.labels = [(label, f"{limit:.3f}") for label, limit in limits]

    @property
    def _tables(self) -> list[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
        return [
            (("encoder", "kind", "layers", "width", "vocabulary"), list(self.encoders)),
            (("label", f"threshold ({self.rule})"), list(self.labels)),
        ]

    def __repr__(self) -> str:
        tables = (
            markdown_table(head, [[printable(str(cell)) for cell in row] for row in rows], True)
            for head, rows in self._tables
        )
        return "\n\n".join([self.title, *([self.note] if self.note else []), *tables])

    def _repr_html_(self) -> str:
        def row(cells: tuple[Any, ...], tag: str) -> str:
            shown = (f"<{tag}><bdi>{html.escape(str(cell))}</bdi></{tag}>" for cell in cells)
            return f"<tr>{''.join(shown)}</tr>"

        tables = "".join(
            f"<table>{row(head, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"
            for head, rows in self._tables
        )
        title = " ".join([self.title + "." * bool(self.note), self.note]).strip()
        return f"<p>{html.escape(title)}</p>{tables}"


def _first(values: Mapping[str, Any], *names: str) -> Any:
    """The first of several names of one size; encoders do not agree on them."""
    return next((values[name] for name in names if values.get(name) is not None), "?")
