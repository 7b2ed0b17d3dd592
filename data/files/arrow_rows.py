"""Parquet files and data sets of the Hub or of a folder, read in constant memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow
import pyarrow.parquet as parquet

from ...common.errors import DataError, did_you_mean, quoted, reason_of
from .text import check_columns, file_facts

_COMMIT = re.compile(r"[0-9a-f]{40}")
_READ_BUFFER = 1 << 20
_SAVED = ("dataset_dict.json", "state.json")


class ArrowRows(Protocol):
    """Tables of rows with fixed columns and types.

    Attributes:
        name: Path or description, for messages.
        columns: The names of the columns.
        schema: Their types.
        facts: JSON values that are equal if and only if the rows are.
        total: Number of rows, if that is known before reading.
    """

    name: str
    columns: list[str]
    schema: pyarrow.Schema
    facts: dict[str, Any]
    total: int | None

    def tables(self, rows: int) -> Iterator[pyarrow.Table]:
        """All rows in order, in tables of about `rows` rows."""
        ...


class ParquetRows:
    """A Parquet file.

    Raises:
        DataError: It is not a Parquet file, or has a column name twice.
    """

    def __init__(self, path: Path) -> None:
        self.name, self.path = str(path), path
        self.facts = file_facts(path)
        try:
            file = self._open()
        except pyarrow.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{path}: the file cannot be read as Parquet, it is not valid Parquet ({reason})."
            ) from None
        self.schema: pyarrow.Schema = file.schema_arrow
        self.columns = list(file.schema_arrow.names)
        self.total: int | None = file.metadata.num_rows
        check_columns(self.columns, self.name)

    def _open(self) -> parquet.ParquetFile:
        return parquet.ParquetFile(self.path, buffer_size=_READ_BUFFER, pre_buffer=False)

    def tables(self, rows: int) -> Iterator[pyarrow.Table]:
        """See `ArrowRows`."""
        batches = self._open().iter_batches(min(rows, 1024), use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pyarrow.ArrowException, OSError) as error:
                raise DataError(f"{self.name}: the file is damaged ({error}).") from None
            if batch is None:
                return
            yield pyarrow.Table.from_batches([batch], self.schema)


class MemoryRows:
    """A `datasets.Dataset`, or an Arrow table with the types of one.

    Raises:
        DataError: A column name occurs twice.
    """

    def __init__(self, dataset: Any, name: str, facts: dict[str, Any] | None = None) -> None:
        self.name, self.facts = name, facts or {"rows": len(dataset)}
        self._dataset = dataset.with_format("arrow")
        self.schema: pyarrow.Schema = dataset.features.arrow_schema
        self.columns = list(self.schema.names)
        self.total: int | None = len(dataset)
        check_columns(self.columns, name)

    def tables(self, rows: int) -> Iterator[pyarrow.Table]:
        """See `ArrowRows`."""
        yield from self._dataset.iter(rows)


class DatasetRows:
    """A data set of the Hub or of a folder, streamed through `datasets`.

    A Hub data set is read at the commit that `revision` stands for now; without `split` the only
    one is read.

    Raises:
        DataError: It cannot be found or loaded, or a split has to be named.
    """

    total: int | None = None

    def __init__(
        self, name: str, config: str | None, split: str | None, revision: str | None
    ) -> None:
        import datasets

        folder = Path(name).is_dir()
        commit = revision if folder else _commit_now(name, revision)
        try:
            splits = datasets.get_dataset_split_names(name, config, revision=commit)
            split = _choose_split(name, splits, split)
            stream = datasets.load_dataset(
                name, config, split=split, revision=commit, streaming=True
            )
        except DataError:
            raise
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"The data set {name} cannot be loaded: {reason_of(error)}") from error
        self.name = f"{name}, split {split}"
        self.facts: dict[str, Any] = {
            "dataset": name, "config": config, "split": split, "revision": commit,
        }  # fmt: skip
        if folder:
            self.facts["files"] = _folder_facts(name)
        self._stream = stream.with_format("arrow")
        try:
            first = next(iter(self._stream.iter(1)), None)
        except Exception as error:  # readers of all formats, each with errors of its own
            raise DataError(f"{self.name} cannot be read: {error}") from error
        if stream.features:
            self.schema: pyarrow.Schema = stream.features.arrow_schema
        elif first is not None:
            self.schema = first.schema
        else:
            raise DataError(f"{self.name} has no rows, and its columns are not known.")
        self.columns = list(self.schema.names)

    def tables(self, rows: int) -> Iterator[pyarrow.Table]:
        """See `ArrowRows`."""
        try:
            yield from self._stream.iter(rows)
        except Exception as error:  # as above
            raise DataError(f"{self.name} cannot be read: {error}") from error


def open_dataset(
    name: str, config: str | None = None, split: str | None = None, revision: str | None = None
) -> ArrowRows:
    """Open a folder written by `save_to_disk`, another folder of data, or a Hub data set.

    Raises:
        DataError: It cannot be found or loaded, or a split has to be named.
    """
    saved = load_saved(name)
    if saved is None:
        return DatasetRows(name, config, split, revision)
    if isinstance(saved, dict):
        split = _choose_split(name, list(saved), split)
        saved = saved[split]
    return MemoryRows(
        saved, f"{name}, split {split}" if split else name,
        {"dataset": name, "split": split, "files": _folder_facts(name)},
    )  # fmt: skip


def load_saved(name: str) -> Any:
    """Return the data set that `save_to_disk` wrote into a folder, or None for anything else."""
    if not any((Path(name) / file).is_file() for file in _SAVED):
        return None
    import datasets

    try:
        return datasets.load_from_disk(name)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"The data set saved in {name} cannot be read: {error}") from error


def load_hub_split(
    name: str, config: str | None, split: str, revision: str | None, may_be_absent: bool
) -> tuple[ArrowRows, dict[str, Any]] | None:
    """Load one split through the cache of `datasets`, or None where it is absent and may be.

    A `revision` that moves, a branch or tag, is resolved to its commit now. `name` is a Hub ID, a
    folder of data files, or one written by `save_to_disk`.

    Returns:
        The rows, and where they come from, with the commit that was read.

    Raises:
        DataError: It cannot be loaded, or has no such split.
    """
    import datasets

    described = f"{name} ({config})" if config else name
    record = {"dataset": name, "config": config, "split": split, "revision": revision}
    try:
        splits = load_saved(name)
        commit = None
        if splits is None:
            commit = None if Path(name).exists() else _resolved(name, revision)
            splits = datasets.load_dataset(name, config, revision=commit or revision)
        elif not isinstance(splits, dict):
            splits = {"train": splits}
    except DataError:
        raise
    except Exception as error:  # the library raises a dozen kinds, from requests' to pyarrow's
        raise DataError(
            f"The data set {described} cannot be loaded: {reason_of(error)} Check --dataset_name, "
            "--dataset_config_name, --dataset_revision and the network, or give files by "
            "--train_file, --validation_file and --test_file."
        ) from error
    if split not in splits:
        if may_be_absent:
            return None
        raise DataError(
            f"The data set {described} has no split {split!r}{did_you_mean(split, splits)}. "
            f"Its splits are {quoted(splits)}. Set --train_split, --validation_split or "
            "--test_split to one of them."
        )
    cached = _cached_commit(splits[split])
    pinned = revision if revision and _COMMIT.fullmatch(revision) else commit
    if pinned and cached and cached != pinned:
        # Without the Hub, `datasets` takes the newest rows of its cache, of any revision.
        raise DataError(
            f"The data set {described} is in the cache at the commit {cached}, not at {pinned}, "
            "and the Hub cannot be reached. Set --dataset_revision to that commit, or load the "
            "other one once with a network."
        )
    record["commit"] = pinned or cached
    return MemoryRows(splits[split], f"{described}, split {split}"), record


def class_names(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """Return the names of the classes of each `ClassLabel` column that a schema describes."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = described.get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    found = {}
    for name, feature in features.items():
        inner = feature[0] if isinstance(feature, list) and feature else feature
        inner = inner.get("feature", inner) if isinstance(inner, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            found[name] = [str(class_name) for class_name in inner["names"]]
    return found


def python_values(column: pyarrow.ChunkedArray) -> list[Any]:
    """Return an Arrow column as Python values; strings that are not UTF-8 stay bytes."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        if pyarrow.types.is_nested(column.type):
            raise
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values = column.cast(pyarrow.large_binary()).to_pylist()
    return [_decoded(value) for value in values]


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _folder_facts(name: str) -> list[dict[str, Any]]:
    return [file_facts(path) for path in sorted(Path(name).rglob("*")) if path.is_file()]


def _commit_now(name: str, revision: str | None) -> str | None:
    """Return the commit of a Hub data set, so that a resumed run reads the same rows."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        return HfApi().dataset_info(name, revision=revision).sha
    except (HfHubHTTPError, OfflineModeIsEnabled, HFValidationError, OSError) as error:
        raise DataError(
            f"There is no file or folder {name}, and no such data set on the Hub can be read: "
            f"{reason_of(error)}"
        ) from error


def _resolved(name: str, revision: str | None) -> str | None:
    """Return the commit that a revision stands for now, or None where the Hub does not say."""
    if revision and _COMMIT.fullmatch(revision):
        return revision
    try:
        return _commit_now(name, revision)
    except DataError:
        return None


def _cached_commit(dataset: Any) -> str | None:
    """Return the commit of a data set in the cache of `datasets`: its folder is named after it."""
    files = [Path(entry["filename"]) for entry in dataset.cache_files]
    found = files[0].parent.name if files else ""
    return found if _COMMIT.fullmatch(found) else None


def _choose_split(name: str, splits: list[str], asked: str | None) -> str:
    if asked is None:
        if len(splits) == 1:
            return splits[0]
        raise DataError(f"{name} has the splits {quoted(splits)}: set --dataset_split to one.")
    if asked not in splits:
        raise DataError(
            f"{name} has no split {asked!r}{did_you_mean(asked, splits)}; it has {quoted(splits)}."
        )
    return asked
