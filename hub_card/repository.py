"""What goes into a Hub repository: an explicit list of files, gathered in one folder.

Nothing is uploaded because it happens to lie in a folder. Each file is on the list by its own name
or by the name that the model's own files give it, and every text file is searched for secrets.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import get_token
from transformers.dynamic_module_utils import get_relative_import_files

from ..common.errors import UserError
from ..configuration_stacked_emotion import AUTO_MAP
from ..inference.model_files import ONNX_REPORT, ModelFiles
from .run_record import RunRecord, public_values

PACKAGE = Path(__file__).parent.parent
ENTRY_POINTS = ("configuration", "modeling", "tokenization")
STOCK_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model",
    "spm.model",
)  # fmt: skip
REQUIREMENTS = ("torch>=2.6", "transformers>=5.5", "safetensors>=0.5", "numpy>=1.26")
"""What `handler.py` needs on an endpoint."""
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_ONNX = re.compile(r"[\w.-]+\.(onnx|onnx\.data|onnx_data|json)")
_OURS = re.compile(
    r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|[a-z_]+_stacked_emotion\.py|handler\.py|tokenizers/[^/]+/tokenizer\.json"
    r"|plots/[^/]+\.(png|svg)|onnx/.+"
)
_REPORTS = re.compile(r"README\.md|results\.json|training_args\.json|\.gitattributes|plots/.+")
_SECRET = re.compile(
    r"hf_[A-Za-z0-9]{16,}|hf_oauth_\w+|ghp_[A-Za-z0-9]{20,}|github_pat_\w{20,}|sk-[A-Za-z0-9_-]{20,}"
    r"|AKIA[A-Z0-9]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_TEXTS = (".json", ".md", ".py", ".txt", ".svg")
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

    Weights are linked, not copied. `README.md` and `plots/` are not made here.

    Args:
        record: the run.
        folder: is emptied if it is there.

    Raises:
        UserError: a file of the model is missing, or there are no safetensors.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    model = record.model_folder
    for name in weight_files(model):
        _link(model / name, folder / name)
    _write_json(folder / "config.json", _public_config(record))
    if record.kind == "stack":
        _write_json(folder / "tokenizer_config.json", _read(model / "tokenizer_config.json"))
        for name in record.encoder_names:
            place = Path("tokenizers") / name / "tokenizer.json"
            _link(_existing(model / place), folder / place)
        for file in code_files():
            shutil.copyfile(file, folder / file.name)
        shutil.copyfile(Path(__file__).with_name("handler.py"), folder / "handler.py")
        (folder / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n", encoding="utf-8")
    else:
        _existing(model / "tokenizer.json")
        for name in STOCK_TOKENIZER_FILES:
            if (model / name).is_file():
                shutil.copyfile(model / name, folder / name)
    for file in onnx_files(record):
        _link(file, folder / "onnx" / file.name)
    _write_json(folder / "results.json", record.public_results())
    _write_json(folder / "training_args.json", record.public_training_args())


def code_files() -> list[Path]:
    """The files of the remote code: the entry points and all that they import."""
    found: set[Path] = set()
    for name in ENTRY_POINTS:
        file = PACKAGE / f"{name}_stacked_emotion.py"
        found |= {file, *map(Path, get_relative_import_files(str(file)))}
    return sorted(found)


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
        shards = sorted(set(_read(index)["weight_map"].values()))
        for shard in shards:
            if not _SHARD.fullmatch(shard):
                raise UserError(f"{index} names {shard!r}, which is no shard of this model.")
            _existing(model / shard)
        return [index.name, *shards]
    pickles = sorted(file.name for file in model.glob("*") if file.suffix in _PICKLES)
    advice = (
        f"Only {pickles} are there, which are pickles: load the model and save_pretrained it again."
        if pickles
        else "Save the model there with save_pretrained."
    )
    raise UserError(f"{model} has no safetensors weights. {advice}")


def onnx_files(record: RunRecord) -> list[Path]:
    """The exported graphs in `onnx/` of the model's folder, with their weights and report.

    Raises:
        UserError: they were exported from other weights.
    """
    folder = record.model_folder / "onnx"
    if not folder.is_dir():
        return []
    found = sorted(
        file for file in folder.iterdir() if file.is_file() and _ONNX.fullmatch(file.name)
    )
    if record.kind == "stack" and found:
        files = ModelFiles(record.model_folder)
        if files.find(ONNX_REPORT) is None or files.onnx_report() is None:
            raise UserError(
                f"{folder} is no export of these weights: run stacked-emotion export "
                f"{record.model_folder} again, or remove it."
            )
    return found


def list_files(folder: Path) -> list[RepositoryFile]:
    """Every file of a folder, with its SHA-256, by path."""
    files = []
    for file in folder.rglob("*"):
        if file.is_file():
            path = PurePosixPath(file.relative_to(folder)).as_posix()
            files.append(RepositoryFile(path, file.stat().st_size, _sha256(file)))
    return sorted(files, key=lambda file: file.path)


def digest_of(files: Iterable[RepositoryFile]) -> str:
    """SHA-256 over path and content of all that decides what a repository computes.

    Card, figures and pictures are left out; whatever else lies in the repository counts, so that
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


def refuse_secrets(folder: Path) -> None:
    """Refuse to publish a text file that holds a token or a private key.

    Raises:
        UserError: with the file and the kind of secret, never the secret itself.
    """
    own = get_token()
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.suffix not in _TEXTS:
            continue
        if file.name == "tokenizer.json" or file.stat().st_size > 50_000_000:
            continue  # vocabularies hold all kinds of strings
        text = file.read_text(encoding="utf-8", errors="replace")
        found = _SECRET.search(text)
        if found or (own and len(own) > 6 and own in text):
            kind = found[0][:4] + "…" if found else "your own Hub token"
            raise UserError(
                f"{file.relative_to(folder)} would publish what looks like a secret ({kind}). "
                "Take it out of the run's folder (and revoke it), then publish again."
            )


def _public_config(record: RunRecord) -> dict[str, Any]:
    """`config.json` with the full `auto_map` and without local paths."""
    config = {key: value for key, value in record.config.items() if key != "_name_or_path"}
    if record.kind == "stack":
        config["auto_map"] = dict(AUTO_MAP)
    elif "auto_map" in config:
        raise UserError(
            f"{record.model_folder / 'config.json'} has an auto_map: a student must be a stock "
            "model without custom code."
        )
    return config if record.kind == "stack" else public_values(config)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source.resolve(strict=True))
    except OSError:  # no links on this file system
        shutil.copyfile(source, target)


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"{file} is missing: save model and tokenizer there with save_pretrained.")
    return file


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(_existing(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is no JSON ({error}).") from error


def _write_json(file: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
    file.write_text(text + "\n", encoding="utf-8")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
