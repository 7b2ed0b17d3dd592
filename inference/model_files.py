"""The one door to a model's files, in a folder or on the Hub. Needs neither torch nor transformers.

A folder may come from anyone. Every file that is read is inside it, weights are safetensors and
never pickles, and everything malformed gives one `ModelError` that names the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..common.errors import UserError, did_you_mean, reason_of, shorten
from ..common.files import file_digest, fingerprint, parse_json
from ..common.finished import Form, read_record
from ..folders_stacked_emotion import WEIGHTS, WEIGHTS_INDEX, leads_out
from .adaptive.rule import AdaptiveRule
from .decisions import Decision

CONFIG = "config.json"
TOKENIZER = "tokenizer_config.json"
ONNX_REPORT = "onnx/report.json"
EXPORT_VERSION = 4
"""Raised when the same model comes to another graph; older graphs have to be exported again."""
EXPORT_FORM = Form(
    {"made_of": dict, "files": {str: [str]}, "differences": {str: dict}}, ("*.onnx",)
)
WRITTEN = re.compile(
    r"(generation_)?config\.json|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|(tokenizer(_config)?|special_tokens_map|added_tokens|vocab)\.json|(vocab|merges)\.txt"
    r"|tokenizers/\w+/tokenizer\.json|\w+_stacked_emotion\.py|[\w.-]+\.model"
    r"|onnx/(report\.json|[\w.-]+\.onnx(\.data)?)"
)
"""The files that a run writes into the folder of its model."""
EXPORTED = re.compile(r"report\.json|[\w.-]+\.onnx(\.data)?")
"""The files that an export writes into `onnx/`."""
MAX_JSON_BYTES = 64 << 20
MAX_SIZE = 10_000_000
"""The largest vocabulary, width or number of positions that is taken for sane."""
_NOT_TRACED = {
    "thresholds", "decision", "decision_scale", "min_labels", "abstain", "abstain_limits",
    "adaptive", "label_prevalence", "class_weights", "label_correlation", "id2label", "label2id",
    "auto_map", "custom_pipelines", "architectures", "transformers_version", "dtype", "torch_dtype",
    "_name_or_path",
}  # fmt: skip
_HUB_OPTIONS = ("token", "cache_dir", "local_files_only", "force_download")
_KEYWORDS = (*_HUB_OPTIONS, "dtype", "device", "revision", "backend", "long_texts", "pooling",
             "adaptive")  # fmt: skip
"""What a predictor is loaded with."""
_SIZE_FIELD = re.compile(r"(size|dim|layers|heads|embeddings|positions)$")
_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILE_NAME = re.compile(r"[\w-][\w.-]*")


class ModelError(UserError, OSError):
    """A model's files are missing, malformed or unsafe; the message names the file."""


class ModelFiles:
    """The files of one model.

    Args:
        path_or_id: a model's folder, the folder of a run (its `model/` is taken), or a Hub ID
            (which needs `huggingface_hub`).
        revision: commit, tag or branch of a Hub ID; all files come from the commit it names now.
        **hub_options: `token`, `cache_dir`, `local_files_only`.

    Attributes:
        location: the folder or Hub ID.
        folder: the folder, None for a Hub ID.
        options: `revision` and the Hub options, as `from_pretrained` takes them.

    Raises:
        ModelError: there is no such folder, or no such model on the Hub.
        UserError: an option that is not known.
    """

    def __init__(
        self, path_or_id: str | Path, revision: str | None = None, **hub_options: Any
    ) -> None:
        if unknown := sorted(set(hub_options).difference(_HUB_OPTIONS)):
            near = did_you_mean(unknown[0], _KEYWORDS)
            raise UserError(f"{unknown[0]}= is not known{near}.")
        self.folder = local_folder(path_or_id, revision)
        self.location = str(path_or_id if self.folder is None else self.folder)
        self.options: dict[str, Any] = {"revision": revision or "main", **hub_options}
        if self.folder is None:
            snapshot = Path(self._download(CONFIG)).parent
            if snapshot.parent.name == "snapshots":
                self.options["revision"] = snapshot.name

    @property
    def commit(self) -> str | None:
        """The commit of a Hub ID; None for a folder, and where the Hub's cache has none."""
        revision = str(self.options["revision"])
        return revision if self.folder is None and _COMMIT.fullmatch(revision) else None

    def __call__(self, name: str) -> str:
        """The path of a file on this machine; a Hub file is downloaded.

        Raises:
            ModelError: there is no such file, or it is outside the model's folder.
        """
        if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name:
            raise ModelError(f"{self.location}: {shorten(name)} is not the name of a file in it.")
        if self.folder is None:
            return self._download(name)
        path = self.folder / name
        if not path.is_file():
            raise ModelError(f"{self.location} has no {name}.")
        if leads_out(path, self.folder):
            raise ModelError(f"{path} is a link to a file outside the model's folder: copy it in.")
        return str(path)

    def _download(self, name: str) -> str:
        if find_spec("huggingface_hub") is None:
            raise ModelError(
                f"There is no folder {self.location}. To load a Hub ID, install huggingface_hub."
            )
        return hub_file(self.location, name, **self.options)

    def find(self, name: str) -> str | None:
        """As the call, but None where there is no such file."""
        if self.folder is not None and not os.path.lexists(self.folder / name):
            return None
        try:
            return self(name)
        except ModelError:
            if self.folder is not None:
                raise
            return None

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file's object.

        Raises:
            ModelError: it is missing, too large, or not a JSON object.
        """
        path = Path(self(name))
        with self.reading(name):
            if path.stat().st_size > MAX_JSON_BYTES:
                raise ValueError(f"it is larger than {MAX_JSON_BYTES >> 20} MB")
            return parse_json(path)

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Turn any error of a malformed file into one that names the file.

        Args:
            name: of the file that is read, or what to call several.

        Raises:
            ModelError: in place of any other error.
        """
        try:
            yield
        except (UserError, ImportError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except MemoryError as error:
            raise ModelError(f"{name} of {self.location} needs more memory than there is.") from (
                error
            )
        except BaseException as error:  # libraries raise many kinds; Rust's panics are no Exception
            kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
            text = " ".join(str(error).split())[:600]
            where = "" if self.location in text else f"{name} of {self.location} cannot be used: "
            raise ModelError(f"{where}{kind}{text}") from error

    def config(self) -> dict[str, Any]:
        """`config.json`, with the sizes and the decision in it checked.

        Raises:
            ModelError: it is not that of a stack, or a field does not fit, with its name.
        """
        config = self.read_json(CONFIG)
        with self.reading(CONFIG):
            if config.get("model_type") != "stacked_emotion":
                raise ValueError(
                    f"model_type is {config.get('model_type')!r}, not 'stacked_emotion'"
                )
            for name, encoder in _object(config, "encoders").items():
                if not isinstance(encoder, Mapping):
                    raise ValueError(f"encoders[{name!r}] is not an object")
                _check_fields(encoder, f"encoders[{name!r}].")
            _check_fields(config, "")
            Decision.from_config(config)
            AdaptiveRule.from_config(config)
        return config

    def tokenizer_settings(self) -> dict[str, Any]:
        """`tokenizer_config.json`, with what decides which files are read checked.

        Raises:
            ModelError: it is not that of a stack's tokenizer.
        """
        settings = self.read_json(TOKENIZER)
        with self.reading(TOKENIZER):
            names, length = settings.get("encoder_names"), settings.get("model_max_length")
            if not isinstance(names, list) or not names:
                raise ValueError(f"encoder_names is {shorten(names)}, not a list of names")
            for name in names:
                _plain_name(name, "encoder_names", "")
            if type(length) is not int or not 2 <= length <= MAX_SIZE:
                raise ValueError(f"model_max_length is {shorten(length)}, not a whole number")
        return settings

    def decision(self) -> Decision:
        """Labels, thresholds and rule from `config.json`.

        Raises:
            ModelError: a field does not fit, with its name.
        """
        return Decision.from_config(self.config())

    def weight_files(self) -> list[Path]:
        """The safetensors files of the weights.

        Raises:
            ModelError: there are none, or the index names files outside the folder.
        """
        if (whole := self.find(WEIGHTS)) is not None:
            return [Path(whole)]
        if self.find(WEIGHTS_INDEX) is None:
            raise ModelError(
                f"{self.location} has no {WEIGHTS}. Pickled weights, such as pytorch_model.bin, "
                "are never loaded: save the model as safetensors."
            )
        index = self.read_json(WEIGHTS_INDEX)
        with self.reading(WEIGHTS_INDEX):
            names = sorted(set(_object(index, "weight_map").values()), key=str)
            for name in names:
                _plain_name(name, "weight_map", ".safetensors")
            if not names:
                raise ValueError("weight_map is empty")
        return [Path(self(name)) for name in names]

    def export_inputs(self) -> dict[str, Any]:
        """What a graph is made of: how, and digests of the weights and the configuration's fields.

        Without the thresholds and other fields that a graph does not hold, and without the weights
        where they are on the Hub or were removed.
        """
        local = self.folder is not None and (self.find(WEIGHTS) or self.find(WEIGHTS_INDEX))
        weights = {path.name: file_digest(path) for path in self.weight_files()} if local else None
        config = fingerprint(_traced(self.read_json(CONFIG)))
        return {"version": EXPORT_VERSION, "weights": weights, "config": config}

    def onnx_report(self) -> dict[str, Any] | None:
        """What the export measured; None if there is no export, or one of other weights.

        Returns:
            The report, and `digests` of the files beside it.

        Raises:
            ModelError: the report is not what `stacked-emotion export` wrote.
        """
        if self.find(ONNX_REPORT) is None:
            return None
        path = Path(self(ONNX_REPORT))
        found, problem = read_record(path.parent, path.name, EXPORT_FORM)
        if found is None:
            raise ModelError(f"{path.parent} {problem}. Run: {export_command(self)}")
        made_of, inputs = found.record["made_of"], self.export_inputs()
        if any(made_of.get(name) != value for name, value in inputs.items() if value is not None):
            return None
        report = found.record
        with self.reading(ONNX_REPORT):
            for names in report["files"].values():
                if not names:
                    raise ValueError("files must have a list of names per dtype")
                for name in names:
                    _plain_name(name, "files", ".onnx", ".onnx.data")
            for name, measured in report["differences"].items():
                for field in ("label_agreement", "jaccard_difference"):
                    value = measured.get(field, 0.0)
                    if not (isinstance(value, int | float) and abs(value) <= 1):
                        raise ValueError(f"differences[{name!r}].{field} is {shorten(value)}")
        return report | {"digests": {name: entry[2] for name, entry in found.files.items()}}

    def graph(self, report: Mapping[str, Any], dtype: str) -> str:
        """The path of an exported graph, with its external data beside it.

        Args:
            report: of the export.
            dtype: which graph.

        Raises:
            ModelError: it was not exported, or a file is not the one that was exported.
        """
        names = report["files"].get(dtype)
        if names is None:
            there = [kind for kind in sorted(report["files"]) if " " not in kind]
            fix = f" Run: {export_command(self, dtype)}" if dtype == "int8" else ""
            raise ModelError(
                f"dtype={dtype!r} was not exported to {self.location}/onnx; there are {there}.{fix}"
            )
        paths = [self.exported_file(report, name) for name in sorted(names, key=len)]
        return paths[0]  # the graph; its data follow

    def exported_file(self, report: Mapping[str, Any], name: str) -> str:
        """The path of a file that an export wrote.

        Raises:
            ModelError: it is missing, or not the one that was exported.
        """
        path = self(f"onnx/{name}")
        if report["digests"].get(name) != file_digest(Path(path)):
            raise ModelError(
                f"{path} is not the file that was exported. Run: "
                f"{export_command(self, 'int8' if 'int8' in report['files'] else '')}"
            )
        return path


def local_folder(path_or_id: str | Path, revision: str | None = None) -> Path | None:
    """The folder of a model: the one given, or `model/` in that of a run; None for a Hub ID.

    Raises:
        ModelError: what can only be a path, and is not a folder.
    """
    path = Path(path_or_id).expanduser()
    if str(path_or_id) and path.is_dir():
        if not (path / CONFIG).is_file() and (path / "model" / CONFIG).is_file():
            return path / "model"
        return path
    text = str(path_or_id)
    if path.is_file():
        raise ModelError(f"{text} is a file: give the folder of the model.")
    beside = revision is None and len(path.parts) > 1 and path.parent.is_dir()
    if isinstance(path_or_id, Path) or beside or not _HUB_ID.fullmatch(text):
        raise ModelError(f"There is no such folder: {text or repr(text)}.")
    return None


def hub_file(repo_id: str, name: str, revision: str | None = None, **hub_options: Any) -> str:
    """The path of a file of the Hub on this machine.

    A file that is not in the cache is asked for once; `hf_hub_download` by itself tries six times,
    for more than a minute, where there is no network.

    Args:
        repo_id: the Hub ID.
        name: of the file.
        revision: commit, tag or branch.
        **hub_options: `token`, `cache_dir`, `local_files_only`.

    Raises:
        ModelError: it cannot be fetched.
    """
    import huggingface_hub as hub

    revision = revision or "main"
    try:
        known = hub.try_to_load_from_cache(
            repo_id, name, cache_dir=hub_options.get("cache_dir"), revision=revision
        )
        if not (isinstance(known, str) or hub_options.get("local_files_only")):
            url = hub.hf_hub_url(repo_id, name, revision=revision)
            hub.get_hf_file_metadata(url, token=hub_options.get("token"))
        return str(hub.hf_hub_download(repo_id, name, revision=revision, **hub_options))
    except Exception as error:  # the HTTP client has errors of its own, which changed with versions
        missing = f"There is no folder {repo_id}, and " if name == CONFIG else ""
        raise ModelError(
            f"{missing}{name} of {repo_id}@{revision} cannot be fetched from the Hub: "
            f"{reason_of(error)}"
        ) from error


def export_command(files: ModelFiles, dtype: str = "") -> str:
    """The command that writes a model's ONNX graphs, also that of int8."""
    return f"stacked-emotion export {files.location}{' --quantize int8' * (dtype == 'int8')}"


def _traced(value: Any) -> Any:
    """The fields of a configuration that a graph depends on."""
    if isinstance(value, dict):
        return {key: _traced(entry) for key, entry in value.items() if key not in _NOT_TRACED}
    return [_traced(entry) for entry in value] if isinstance(value, list) else value


def _object(value: Mapping[str, Any], field: str) -> dict[str, Any]:
    found = value.get(field)
    if not isinstance(found, dict):
        raise ValueError(f"{field} is not an object, but {shorten(found)}")
    return found


def _check_fields(fields: Mapping[str, Any], where: str) -> None:
    for name, value in fields.items():
        if "attn_implementation" in name and "/" in str(value):  # transformers would fetch its code
            raise ValueError(f"{where}{name} is {shorten(value)}: code from the Hub is never run")
        if not _SIZE_FIELD.search(name) or isinstance(value, bool):
            continue
        if isinstance(value, int | float) and not 0 <= value <= MAX_SIZE:
            raise ValueError(f"{where}{name} is {value}; it must be in 0..{MAX_SIZE:,}")


def _plain_name(name: Any, field: str, *suffixes: str) -> None:
    if not (isinstance(name, str) and _FILE_NAME.fullmatch(name) and name.endswith(suffixes)):
        raise ValueError(f"{field} names {shorten(name)}, which is not a file of this model")
