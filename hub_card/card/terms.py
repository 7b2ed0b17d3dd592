"""The terms of the base models and the data, to help you choose the license."""

from __future__ import annotations

from dataclasses import dataclass

from ..privacy import LOCAL, public_text
from ..run_record import RunRecord
from .known_data import known_data

HUB = "https://huggingface.co"
NOT_KNOWN = "not known here"


@dataclass(frozen=True)
class Term:
    """One source of the weights and what is known of its terms.

    Attributes:
        kind: "base model" or "data".
        name: Hub ID, or the name of a file or folder.
        license: the license, or that it is not known.
        url: where to read on; empty for what is local.
    """

    kind: str
    name: str
    license: str
    url: str = ""

    def __str__(self) -> str:
        where = f" ({self.url})" if self.url else ""
        return f"{self.kind} {self.name}: {self.license}{where}"


def terms_of(record: RunRecord, token: str | None = None, ask_hub: bool = True) -> list[Term]:
    """What is known of the terms of each base model and of the data.

    Args:
        record: the run.
        token: for repositories that need one.
        ask_hub: read the licenses from the Hub's cards. Otherwise, and where the Hub cannot be
            reached, they are "not known here".
    """
    terms = []
    for name in record.encoder_names:
        if name in record.lexical:
            continue
        source = record.base_models.get(name)
        if source is None:
            what = f"{LOCAL} ({name})"
            terms.append(Term("base model", what, "its terms are not known here"))
        else:
            license = _license(source, "model", token) if ask_hub else None
            terms.append(Term("base model", source, license or NOT_KNOWN, f"{HUB}/{source}"))
    known, data = known_data(record), record.dataset_name
    if data is None:
        license = known.license or "your own files, their terms are not known here"
        name = known.title or record.data_file("train") or "training texts"
        terms.append(Term("data", name, license))
    else:
        license = (record.results.get("data") or {}).get("license") or known.license
        if license is None and ask_hub:
            license = _license(data, "dataset", token)
        terms.append(Term("data", data, license or NOT_KNOWN, f"{HUB}/datasets/{data}"))
    related = {
        name: source
        for steps in record.related_data.values()
        for step in steps
        for name, source in zip(step["names"], step["sources"], strict=True)
    }
    for name, source in related.items():
        terms.append(Term("data", f"{public_text(source)} ({name})", NOT_KNOWN))
    return terms


def _license(repo_id: str, kind: str, token: str | None) -> str | None:
    """License in a repository's card; None where there is none or the Hub cannot be asked."""
    from huggingface_hub import HfApi

    from ..hub_errors import hub_errors

    try:
        info = HfApi().repo_info(repo_id, repo_type=kind, token=token, timeout=10)
    except hub_errors():
        return None
    card = getattr(info, "card_data", None)
    license = card.get("license") if card else None
    return ", ".join(license) if isinstance(license, list) else license
