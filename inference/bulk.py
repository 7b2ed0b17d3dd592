"""Emotions of whole files: constant memory, columns kept, resumed after a kill."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..trainer.errors import UserError, did_you_mean
from .predictor import BATCH_TOKENS, StackedEmotionPredictor

PART_ROWS = 5000
TEXT_COLUMNS = ("text", "Text", "tweet", "Tweet", "sentence", "content")
_FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def predict_file(
    model: str,
    input_file: str | Path,
    output_file: str | Path,
    text_column: str | None = None,
    revision: str | None = None,
    batch_tokens: int = BATCH_TOKENS,
    part_rows: int = PART_ROWS,
    dtype: str = "auto",
) -> Path:
    """Write the input's rows with `labels` and one `score_<label>` column a label.

    The output is made of parts in `<output>.parts`; after a kill the same command does only those
    that are missing. A row whose text is missing, empty or not a text is kept, without an answer,
    and told in `<output>.problems.jsonl`.

    Args:
        model: folder or Hub id.
        input_file: .csv, .tsv (no quoting), .jsonl or .parquet.
        output_file: one of these formats, not necessarily the same.
        text_column: the column of texts; by default `text`, `tweet`, `sentence` or `content`.
        revision: commit, tag or branch of a Hub id.
        batch_tokens: positions a batch.
        part_rows: rows a part.
        dtype: of the weights, see `StackedEmotionPredictor.from_pretrained`.

    Returns:
        The output's path.

    Raises:
        UserError: a missing file or column, or an unknown format.
    """
    source, target = Path(input_file), Path(output_file)
    for path in (source, target):
        if path.suffix not in _FORMATS:
            raise UserError(f"{path}: the format must be one of {', '.join(_FORMATS)}.")
    if not source.is_file():
        raise UserError(f"There is no file {source}.")
    if source.resolve() == target.resolve():
        raise UserError("--output must be another file than --input.")
    predictor = StackedEmotionPredictor.from_pretrained(model, revision=revision, dtype=dtype)
    parts = target.with_name(f"{target.name}.parts")
    _claim(parts, source, model, revision, part_rows)
    rows = _read(source)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{source} has no rows.")
    column = _text_column(source, first, text_column)
    rows = chain([first], rows)
    number = 0
    with tqdm(unit="rows", desc=source.name) as bar:
        while chunk := list(islice(rows, part_rows)):
            part = parts / f"{number:06d}{target.suffix}"
            if not part.exists():
                _predict_part(predictor, chunk, column, part, number * part_rows, batch_tokens)
            bar.update(len(chunk))
            number += 1
    _join(parts, target)
    return target


def _claim(parts: Path, source: Path, model: str, revision: str | None, part_rows: int) -> None:
    """Use the parts that are there only if they belong to the same input and model."""
    state = source.stat()
    facts = [
        str(source.resolve()),
        state.st_size,
        state.st_mtime_ns,
        str(model),
        revision,
        part_rows,
    ]
    weights = sorted(Path(model).glob("*.safetensors")) if Path(model).is_dir() else []
    facts += [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in weights]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    marker = parts / "key.txt"
    if parts.exists() and not (marker.exists() and marker.read_text() == key):
        shutil.rmtree(parts)
    parts.mkdir(parents=True, exist_ok=True)
    marker.write_text(key)


def _text_column(source: Path, row: dict[str, Any], asked: str | None) -> str:
    if asked is not None:
        if asked not in row:
            raise UserError(
                f"{source} has no column {asked!r}; it has {', '.join(row)}."
                f"{did_you_mean(asked, list(row))}"
            )
        return asked
    for name in TEXT_COLUMNS:
        if name in row:
            return name
    raise UserError(
        f"{source}: which column holds the texts? Set --text_column to one of {', '.join(row)}."
    )


def _predict_part(
    predictor: StackedEmotionPredictor,
    rows: list[dict[str, Any]],
    column: str,
    part: Path,
    offset: int,
    batch_tokens: int,
) -> None:
    problems, good = [], []
    for index, row in enumerate(rows):
        text = row.get(column)
        if isinstance(text, str) and text.strip():
            good.append(index)
        else:
            reason = "not a text" if not isinstance(text, str) else "an empty text"
            problems.append({"row": offset + index + 1, "column": column, "problem": reason})
    answers = (
        predictor.predict([rows[index][column] for index in good], batch_tokens) if good else []
    )
    found = dict(zip(good, answers, strict=True))
    flat = part.suffix in (".csv", ".tsv")
    output = []
    for index, row in enumerate(rows):
        answer = found.get(index)
        labels = None if answer is None else answer.labels
        scores: dict[str, float | None] = {
            f"score_{name}": None if answer is None else round(answer.scores[name], 6)
            for name in predictor.labels
        }
        joined = ",".join(labels) if labels is not None and flat else labels
        output.append(row | {"labels": joined} | scores)
    if problems:
        lines = "".join(json.dumps(entry) + "\n" for entry in problems)
        _put(part.with_suffix(".problems"), lines)
    _write(part, output)


def _put(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        for batch in parquet.ParquetFile(path).iter_batches(PART_ROWS):
            yield from batch.to_pylist()
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    try:
                        yield dict(json.loads(line))
                    except (ValueError, TypeError) as error:
                        raise UserError(f"{path}, line {number}: not a JSON object.") from error
    else:
        options: dict[str, Any] = {"delimiter": ","}
        if path.suffix == ".tsv":
            options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.DictReader(stream, **options):
                if None in row or None in row.values():
                    raise UserError(f"{path}, row {row}: more or fewer fields than the header.")
                yield dict(row)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet as parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), partial)
    elif path.suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        partial.write_text("".join(lines), encoding="utf-8")
    else:
        delimiter = "," if path.suffix == ".csv" else "\t"
        with partial.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    os.replace(partial, path)


def _join(parts: Path, target: Path) -> None:
    """Put the parts together, then the result in place, then remove them."""
    partial = target.with_name(f"{target.name}.partial")
    files = sorted(parts.glob(f"[0-9]*{target.suffix}"))
    if target.suffix == ".parquet":
        import pyarrow.parquet as parquet

        schema = parquet.read_schema(files[0])
        with parquet.ParquetWriter(partial, schema) as writer:
            for file in files:
                writer.write_table(parquet.read_table(file).cast(schema))
    else:
        header = target.suffix in (".csv", ".tsv")
        with partial.open("wb") as stream:
            for number, file in enumerate(files):
                with file.open("rb") as part:
                    if header and number:
                        part.readline()
                    shutil.copyfileobj(part, stream)
    problems = "".join(
        file.read_text(encoding="utf-8") for file in sorted(parts.glob("[0-9]*.problems"))
    )
    report = target.with_name(f"{target.name}.problems.jsonl")
    if problems:
        report.write_text(problems, encoding="utf-8")
    else:
        report.unlink(missing_ok=True)
    os.replace(partial, target)
    shutil.rmtree(parts)
