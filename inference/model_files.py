"""Files of a model, in a folder or on the Hub, found without transformers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .decisions import Decision

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
ONNX_REPORT = "onnx/report.json"
_SAMPLES, _SAMPLE_BYTES = 64, 4096


class ModelFiles:
    """The files of one model.

    Args:
        path_or_id: a folder, or a Hub id (which needs `huggingface_hub`).
        revision: commit, tag or branch of a Hub id.
        **hub_options: `token`, `cache_dir`, `local_files_only`.
    """

    def __init__(
        self, path_or_id: str | Path, revision: str | None = None, **hub_options: Any
    ) -> None:
        self.location = str(path_or_id)
        self.folder = Path(path_or_id) if Path(path_or_id).is_dir() else None
        self.options = {"revision": revision, **hub_options}

    def __call__(self, name: str) -> str:
        """The path of a file on this machine; a Hub file is downloaded.

        Raises:
            OSError: there is no such file.
        """
        if self.folder is not None:
            path = self.folder / name
            if not path.is_file():
                raise OSError(f"{self.location} has no {name}.")
            return str(path)
        try:
            from huggingface_hub import hf_hub_download
        except ImportError as error:
            raise OSError(
                f"There is no folder {self.location}; to load a Hub id, install huggingface_hub."
            ) from error
        return hf_hub_download(self.location, name, **self.options)

    def find(self, name: str) -> str | None:
        """As the call, but None where there is no such file."""
        try:
            return self(name)
        except OSError:
            return None

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file's object.

        Raises:
            OSError: it is missing, or not JSON.
        """
        try:
            return dict(json.loads(Path(self(name)).read_text(encoding="utf-8")))
        except ValueError as error:
            raise OSError(f"{name} of {self.location} is not a JSON object: {error}") from error

    def decision(self) -> Decision:
        """Labels, thresholds and rule from `config.json`."""
        config = self.read_json(CONFIG)
        try:
            names = {int(index): str(label) for index, label in config["id2label"].items()}
            labels = [names[index] for index in range(len(names))]
        except (KeyError, ValueError, AttributeError) as error:
            raise OSError(
                f"{CONFIG} of {self.location} is not that of a StackedEmotion model: {error!r}."
            ) from error
        return Decision(
            labels,
            list(config.get("thresholds") or [0.5] * len(labels)),
            config.get("decision") or "threshold",
            float(config.get("decision_scale") or 1.0),
        )

    def onnx_report(self) -> dict[str, Any] | None:
        """What the export measured; None if there is no export, or one of other weights."""
        if self.find(ONNX_REPORT) is None:
            return None
        report = self.read_json(ONNX_REPORT)
        weights = self.folder / WEIGHTS if self.folder is not None else None
        if weights is None or not weights.is_file():
            return report
        return report if report.get("weights") == weights_fingerprint(weights) else None


def weights_fingerprint(path: Path) -> str:
    """A digest of a file's size and of samples over its whole length; reads 256 KB at most."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for sample in range(_SAMPLES):
            stream.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()
