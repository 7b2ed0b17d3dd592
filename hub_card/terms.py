"""The terms that the base models and the data came under, for whoever chooses the license."""

from __future__ import annotations

from dataclasses import dataclass

from .run_record import RunRecord

SEMEVAL = "SemEvalWorkshop/sem_eval_2018_task_1"
KNOWN_DATA = {
    SEMEVAL: (
        "unknown on the Hub; its README asks to cite the task's paper and forbids passing the data "
        "on, https://competitions.codalab.org/competitions/17751"
    ),
}
EMBEDDED_SAMPLE = "apache-2.0 (synthetic, part of stacked_emotion)"
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Term:
    """One source of the weights and what is known of its terms.

    Attributes:
        kind: "base model" or "data".
        name: Hub id, or the name of a file or folder.
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
        ask_hub: read the licenses from the Hub's cards; else, and where it cannot be reached, they
            are "not known here".
    """
    terms = []
    for name in record.encoder_names:
        source = record.base_models.get(name)
        if source is None:
            text = "local files, their terms are not known here"
            terms.append(Term("base model", record.encoder_sources[name], text))
        else:
            license = _license(source, "model", token) if ask_hub else None
            terms.append(Term("base model", source, license or "not known here", f"{HUB}/{source}"))
    data = record.dataset_name
    if record.synthetic:
        terms.append(Term("data", "embedded sample", EMBEDDED_SAMPLE))
    elif data is None:
        source = ((record.results.get("data") or {}).get("train") or {}).get("source")
        name = str(source).rsplit("/", 1)[-1] if source else "training texts"
        terms.append(Term("data", name, "your own files, their terms are not known here"))
    else:
        known = (record.results.get("data") or {}).get("license") or KNOWN_DATA.get(data)
        if known is None and ask_hub:
            known = _license(data, "dataset", token)
        terms.append(Term("data", data, known or "not known here", f"{HUB}/datasets/{data}"))
    return terms


def _license(repo_id: str, kind: str, token: str | None) -> str | None:
    """License in a repository's card; None where there is none or the Hub cannot be asked."""
    from huggingface_hub import HfApi

    from .hub_errors import hub_errors

    try:
        info = HfApi().repo_info(repo_id, repo_type=kind, token=token, timeout=10)
    except hub_errors():
        return None
    card = getattr(info, "card_data", None)
    license = card.get("license") if card else None
    return ", ".join(license) if isinstance(license, list) else license
