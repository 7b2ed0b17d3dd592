"""What goes into a Hub repository: an explicit list of files, gathered in one folder.

No file is uploaded because it happens to be in a folder. Each one is listed by its own name or
named by the model's own files.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..common.errors import UserError, quoted
from ..common.files import file_digest, read_json, remove, write_json
from ..common.finished import find
from ..configuration_stacked_emotion import AUTO_MAP
from ..inference.model_files import EXPORT_FORM, ONNX_REPORT, ModelFiles
from .packaged_files import needed_files, needed_requirements, remote_code
from .run_record import RunRecord

HANDLER = "inference/serving/handler.py"
STOCK_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model",
    "spm.model",
)  # fmt: skip
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_ONNX = re.compile(r"[\w.-]+\.(onnx|onnx\.data|onnx_data|json)")
_OURS = re.compile(
    r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|[a-z_]+_stacked_emotion\.py|(handler|limits)\.py|tokenizers/[^/]+/tokenizer\.json"
    r"|plots/[^/]+\.(png|svg)|onnx/.+"
)
_REPORTS = re.compile(r"README\.md|results\.json|training_args\.json|\.gitattributes|plots/.+")
_GATHERED = re.compile(
    rf"{_OURS.pattern}|{_REPORTS.pattern}|config\.json|requirements\.txt|"
    + "|".join(map(re.escape, STOCK_TOKENIZER_FILES))
)
_PLACES = ("_name_or_path", "name_or_path", "tokenizer_file", "vocab_file")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


@dataclass(frozen=True)
class RepositoryFile:
    """One file of a repository.

    Attributes:
        path: its place there, with slashes.
        size: bytes.
        sha256: of its content.
    """

    path: str
    size: int
    sha256: str


def gather(record: RunRecord, folder: Path) -> None:
    """Put model, tokenizers, code, `handler.py` and the run's figures into an empty folder.

    Large files are hard links where possible. `README.md` and `plots/` are not made here.

    Args:
        record: the run.
        folder: emptied if it exists.

    Raises:
        UserError: a file of the model is missing, there are no safetensors, or the folder holds
            files that were not gathered.
    """
    if others := [file.path for file in list_files(folder) if not _GATHERED.fullmatch(file.path)]:
        raise UserError(
            f"{folder} holds {quoted(others, 3)}, which publish did not write: move it away."
        )
    remove(folder)
    folder.mkdir(parents=True)
    model = record.model_folder
    for name in weight_files(model):
        _link(model / name, folder / name)
    write_json(folder / "config.json", _public_config(record))
    if record.kind == "stack":
        write_json(folder / "tokenizer_config.json", _model_json(model / "tokenizer_config.json"))
        for name in record.encoder_names:
            place = Path("tokenizers") / name / "tokenizer.json"
            (folder / place).parent.mkdir(parents=True)
            shutil.copyfile(_existing(model / place), folder / place)
        code = [*remote_code(), *needed_files([HANDLER], packages=False)]
        for file in code:
            shutil.copyfile(file, folder / file.name)
        requirements = "\n".join(needed_requirements(code)) + "\n"
        (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    else:
        _existing(model / "tokenizer.json")
        for name in STOCK_TOKENIZER_FILES:
            if name == "tokenizer_config.json" and (model / name).is_file():
                write_json(folder / name, _model_json(model / name))
            elif (model / name).is_file():
                shutil.copyfile(model / name, folder / name)
    for file in onnx_files(record):
        _link(file, folder / "onnx" / file.name)
    write_json(folder / "results.json", record.public_results())
    write_json(folder / "training_args.json", record.public_training_args())


def weight_files(model: Path) -> list[str]:
    """The names of the safetensors of a model folder, with the index of a sharded one.

    Raises:
        UserError: there are none, one that the index names is missing, or the only weights are
            pickles.
    """
    index = model / "model.safetensors.index.json"
    if (model / "model.safetensors").is_file():
        return ["model.safetensors"]
    if index.is_file():
        shards = sorted(set(read_json(index)["weight_map"].values()))
        for shard in shards:
            if not _SHARD.fullmatch(shard):
                raise UserError(f"{index} names {shard!r}, which is not a shard of this model.")
            _existing(model / shard)
        return [index.name, *shards]
    pickles = sorted(file.name for file in model.glob("*") if file.suffix in _PICKLES)
    advice = (
        f"It has only {pickles}, which are pickles: load the model and save_pretrained it again."
        if pickles
        else "Save the model there with save_pretrained."
    )
    raise UserError(f"{model} has no safetensors weights. {advice}")


def onnx_files(record: RunRecord) -> list[Path]:
    """The exported graphs in `onnx/` of the model's folder, with their weights and report.

    Raises:
        UserError: they were exported from other weights, or a file of them is damaged.
    """
    folder = record.model_folder / "onnx"
    if not folder.is_dir() or not any(map(_ONNX.fullmatch, os.listdir(folder))):
        return []
    report = folder / Path(ONNX_REPORT).name
    found, problem = find(folder, None, report.name, EXPORT_FORM)
    files = ModelFiles(record.model_folder)
    made_of = None if found is None else found.record["made_of"]
    if found is None or made_of != files.export_inputs():
        raise UserError(
            f"{folder} {problem or 'is not an export of these weights by this version'}: export "
            "them again, or remove it."
        )
    return sorted([report, *(folder / name for name in found.files)])


def list_files(folder: Path) -> list[RepositoryFile]:
    """Every file of a folder, with its SHA-256, by path."""
    files = []
    for file in folder.rglob("*"):
        if file.is_file():
            path = PurePosixPath(file.relative_to(folder)).as_posix()
            files.append(RepositoryFile(path, file.stat().st_size, file_digest(file)))
    return sorted(files, key=lambda file: file.path)


def digest_of(files: Iterable[RepositoryFile]) -> str:
    """SHA-256 over path and content of all that decides what a repository computes.

    Card, figures and pictures are left out; everything else in the repository counts, so that
    an added file changes the digest as an altered one does.
    """
    lines = [
        f"{file.sha256}  {file.path}\n"
        for file in sorted(files, key=lambda file: file.path)
        if not _REPORTS.fullmatch(file.path)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def outdated(present: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """The files of an earlier publication that this one does not have; others are left alone."""
    return sorted(path for path in set(present) - set(wanted) if _OURS.fullmatch(path))


def _public_config(record: RunRecord) -> dict[str, Any]:
    """`config.json` with the full `auto_map` and without local paths."""
    config = _model_json(record.model_folder / "config.json")
    if record.kind == "stack":
        config["auto_map"] = dict(AUTO_MAP)
    elif "auto_map" in config:
        raise UserError(
            f"{record.model_folder / 'config.json'} has an auto_map: a student must be a stock "
            "model without custom code."
        )
    return config


def _model_json(file: Path) -> dict[str, Any]:
    """A JSON file of a model without the places it was loaded from."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(entry) for key, entry in value.items() if key not in _PLACES}
        return [clean(entry) for entry in value] if isinstance(value, list) else value

    return clean(read_json(_existing(file)))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:  # not a symbolic link: what leads out of a model's folder is not loaded
        os.link(source.resolve(strict=True), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"{file} is missing: save model and tokenizer there with save_pretrained.")
    return file
