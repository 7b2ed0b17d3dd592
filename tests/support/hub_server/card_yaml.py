"""The checks of `POST /api/validate-yaml`: the metadata block of a README.md."""

from __future__ import annotations

import re
from typing import Any

import yaml

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual|code")
_REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
_TEXT_FIELDS = "language tags datasets metrics base_model license library_name"
_LICENSE_IDS = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0
cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 ecl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1
ncsa unlicense zlib pddl wtfpl llama2 llama3 gemma other unknown
"""
_LICENSES = frozenset(_LICENSE_IDS.split())


def _strings(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _model_index_errors(model_index: Any) -> list[str]:
    if not isinstance(model_index, list):
        return ['"model-index" must be an array']
    errors = []
    for i, entry in enumerate(model_index):
        where = f'"model-index[{i}]'
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            errors.append(f'{where}.name" is required')
            continue
        for j, result in enumerate(entry.get("results") or []):
            for part, fields in {"task": ["type"], "dataset": ["name", "type"]}.items():
                holder = result.get(part) if isinstance(result, dict) else None
                errors += [
                    f'{where}.results[{j}].{part}.{name}" is required'
                    for name in fields
                    if not isinstance(holder, dict) or not isinstance(holder.get(name), str)
                ]
            metrics = result.get("metrics") if isinstance(result, dict) else None
            for k, metric in enumerate(metrics if isinstance(metrics, list) else [None]):
                if not isinstance(metric, dict) or not {"type", "value"} <= set(metric):
                    errors.append(f'{where}.results[{j}].metrics[{k}]" needs type and value')
    return errors


def _field_errors(metadata: dict[str, Any], repo_type: str) -> list[str]:
    errors = []
    for name in (
        "language",
        "tags",
        "datasets",
        "metrics",
        "base_model",
        "license",
        "library_name",
    ):
        if name in metadata:
            bad = [v for v in _strings(metadata[name]) if not isinstance(v, str) or not v]
            if bad:
                errors.append(f'"{name}" must be a string or an array of strings, got {bad!r}')
                continue
        for value in _strings(metadata.get(name, [])):
            if name == "language" and not _LANGUAGE.fullmatch(value):
                errors.append(f'"language": {value!r} is not an ISO 639 code')
            if name == "license" and value not in _LICENSES:
                errors.append(f'"license": {value!r} is not a known identifier')
            if name == "base_model" and not _REPO_ID.fullmatch(value):
                errors.append(f'"base_model": {value!r} is not a repository id')
    if not isinstance(metadata.get("pipeline_tag", ""), str):
        errors.append('"pipeline_tag" must be a string')
    if "model-index" in metadata:
        errors += _model_index_errors(metadata["model-index"])
    if repo_type == "space":
        if metadata.get("sdk") not in ("gradio", "streamlit", "docker", "static"):
            errors.append('"sdk" must be one of gradio, streamlit, docker, static')
        errors += [
            f'"{name}" must be one of {sorted(_COLORS)}'
            for name in ("colorFrom", "colorTo")
            if name in metadata and metadata[name] not in _COLORS
        ]
    return errors


def card_metadata(content: str) -> dict[str, Any]:
    """The metadata block of a card; empty if there is none or it is broken."""
    match = _FRONT_MATTER.match(content)
    try:
        metadata = yaml.safe_load(match.group(1)) if match else None
    except yaml.YAMLError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def validate_card(content: str, repo_type: str) -> tuple[list[str], list[str]]:
    """Errors and warnings about the metadata block at the head of a card.

    Args:
        content: The whole README.md.
        repo_type: `model`, `dataset` or `space`.
    """
    match = _FRONT_MATTER.match(content)
    try:
        metadata = yaml.safe_load(match.group(1)) if match else None
    except yaml.YAMLError as error:
        return [f"The metadata block is not YAML: {error}"], []
    if metadata is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(metadata, dict):
        return ["The metadata block must be a mapping"], []
    return _field_errors(metadata, repo_type), []
