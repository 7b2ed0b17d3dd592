"""The terms of the base models and the data, to help you choose the license."""

from __future__ import annotations

from dataclasses import dataclass

from ...common.privacy import LOCAL, public_text
from ..run_record import RunRecord
from .known_data import Credit, known_data, related_credits

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
    credit = known_data(record).credit
    hub_id = record.dataset_name or credit.hub_id
    name = credit.name or hub_id or record.data_file("train") or "training texts"
    terms.append(_data_term(name, credit, hub_id, token, ask_hub))
    for name, (source, credit) in related_credits(record).items():
        name = f"{credit.name or public_text(source)} ({name})"
        terms.append(_data_term(name, credit, credit.hub_id, token, ask_hub))
    return terms


def _data_term(
    name: str, credit: Credit, hub_id: str | None, token: str | None, ask_hub: bool
) -> Term:
    """The term of a data set; its license is that of the recipe, or of the Hub's card."""
    license = credit.license
    if license is None and hub_id and ask_hub:
        license = _license(hub_id, "dataset", token)
    unknown = NOT_KNOWN if hub_id else "your own files, their terms are not known here"
    return Term("data", name, license or unknown, f"{HUB}/datasets/{hub_id}" if hub_id else "")


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
