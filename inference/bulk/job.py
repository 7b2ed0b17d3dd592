"""Emotions of whole files and data sets: constant memory, resumed after a kill, by N processes."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from ...common.disk import disk_errors, make_folder
from ...common.errors import UserError, counted, keywords_named, quoted
from ...common.files import replace_file
from ...common.locks import locked
from ..adaptive.stack import adaptive_rule
from ..model_files import ModelFiles
from .joining import join_parts
from .ledger import Ledger, model_facts, refuse_existing
from .parts import FORMATS, part_suffix, write_lines, write_part
from .predictions import Columns, answer
from .processes import Processes
from .rows import Chunk, JsonRows, Problem, Source, choose_text_column
from .sources import expected_rows, open_source

if TYPE_CHECKING:
    from ..predictor import StackedEmotionPredictor

PART_ROWS = 4096
# Raised when the same rows come to other answers: parts of both are then not joined.
PREDICTION_VERSION = 1


@dataclass(frozen=True)
class BulkReport:
    """What became of the rows.

    Attributes:
        output: the file written.
        rows: rows in it.
        predicted: those with an answer.
        without_answer: those without, because they have no text.
        unreadable: lines of the input that are not rows; only the side file has them.
        problems: the side file, or None if there was nothing to tell.
    """

    output: Path
    rows: int
    predicted: int
    without_answer: int
    unreadable: int
    problems: Path | None

    def __str__(self) -> str:
        text = f"{self.output}: {counted(self.rows, 'row')}, {self.predicted:,} predicted"
        if self.without_answer:
            text += f", {self.without_answer:,} without a text"
        if self.unreadable:
            text += f"; {counted(self.unreadable, 'line')} of the input "
            text += "is not a row" if self.unreadable == 1 else "are not rows"
        return f"{text}. See {self.problems}." if self.problems else f"{text}."


@keywords_named(input="input_file", output="output_file")
def predict_file(
    model: str,
    input_file: str | Path,
    output_file: str | Path,
    text_column: str | None = None,
    revision: str | None = None,
    batch_tokens: int | None = None,
    part_rows: int = PART_ROWS,
    prefix: str = "",
    overwrite: bool = False,
    spreadsheet_safe: bool = False,
    source_options: dict[str, Any] | None = None,
    **predictor_options: Any,
) -> BulkReport | None:
    """Write the input's rows with the labels given and one column of scores per label.

    The output has the input's columns and rows in their order, then `labels` (most likely first; a
    list, or names between commas in CSV and TSV) and `score_<label>` (float32 probabilities); with
    `adaptive` also `encoders`, with `abstain` also `abstained`. A row whose text is missing, empty
    or not a text keeps its place without an answer. It is listed in `<output>.problems.jsonl`, as
    is every line of the input that cannot be read as a row, with what stood there.

    Work is done by parts, which are kept in `<output>.parts` until the end; after a kill the same
    call does only those that are missing. Under `accelerate launch` each process does every n-th
    part, and the output is the same.

    Args:
        model: folder of a model or run, or Hub ID.
        input_file: a file, folder or data set, see `open_source`.
        output_file: a .csv, .tsv, .jsonl or .parquet file.
        text_column: the column of texts; by default the one called `text`, `tweet` or similar.
        revision: commit, tag or branch of a Hub ID.
        batch_tokens: positions per batch; None for the backend's choice.
        part_rows: rows per part: what a kill can lose, and what one process does at a time.
        prefix: put before the names of the new columns.
        overwrite: replace an output, or parts of another run, that are there already.
        spreadsheet_safe: put an apostrophe before every cell of a CSV or TSV file, texts of the
            input included, that a spreadsheet would run as a formula.
        source_options: see `open_source`.
        **predictor_options: of `StackedEmotionPredictor.from_pretrained`, such as `dtype`.

    Returns:
        What became of the rows; None in all processes but the first, and where a run that was
        killed during its cleanup has nothing left to do.

    Raises:
        UserError: an input that cannot be read, an output that is in the way, or columns that
            clash.

    Example:
        >>> from stacked_emotion.inference import predict_file
        >>> Path("tweets.csv").write_text("id,text\\n1,فرحان جدا\\n2,\\n", "utf-8") > 0
        True
        >>> report = predict_file("user/name", "tweets.csv", "labeled.csv")
        >>> report.rows, report.without_answer
        (2, 1)
    """
    if not isinstance(input_file, str | Path):
        kind = type(input_file).__name__
        raise UserError(
            f"--input must be a path, not {kind}: a predictor's predict() takes tables."
        )
    target = Path(output_file).expanduser()
    if target.suffix not in FORMATS:
        raise UserError(f"{target}: the format must be one of {', '.join(FORMATS)}.")
    given = Path(input_file).expanduser()
    if given.exists() and target.exists() and given.samefile(target):
        raise UserError("--output must be another file than --input.")
    if target.is_dir():
        raise UserError(f"{target} is a folder: give --output a file.")
    if spreadsheet_safe and target.suffix not in (".csv", ".tsv"):
        raise UserError(f"--spreadsheet_safe is for .csv and .tsv, not for {target.name}.")
    if part_rows < 1:
        raise UserError(f"--part_rows is {part_rows}: give a number of rows from 1 up.")
    if not overwrite:
        refuse_existing(target)
    options = {"text_column": text_column} | (source_options or {})
    source = open_source(str(input_file), **options)
    column = choose_text_column(source, text_column)
    files = ModelFiles(model, revision)
    model, commit = files.location, files.commit
    adaptive = bool(predictor_options.get("adaptive"))
    if adaptive:
        adaptive_rule(files.config(), files.location)
    decision = files.decision().abstaining(predictor_options.get("abstain"))
    columns = Columns.of(decision, prefix, adaptive)
    if clash := [name for name in columns.all if name in source.columns]:
        raise UserError(
            f"{source.name} already has the columns {quoted(clash)}: set --prefix, such as "
            "predicted_."
        )
    processes = Processes.launched()
    facts = {
        "code": PREDICTION_VERSION,
        "runs_on": _runs_on(files, processes, **predictor_options),
        "input": source.facts,
        "text_column": column,
        "model": model_facts(model, commit),
        "output_format": target.suffix,
        "part_rows": part_rows,
        "batch_tokens": batch_tokens,
        "prefix": prefix,
        **({"spreadsheet_safe": True} if spreadsheet_safe else {}),
        "predictor": {key: str(value) for key, value in sorted(predictor_options.items())},
    }
    ledger = Ledger(target, part_suffix(source.schema, target.suffix), facts)
    job = _Job(model, commit or revision, source, column, columns, ledger, processes,
               batch_tokens, spreadsheet_safe, predictor_options)  # fmt: skip
    with disk_errors(target.parent, "--output"), ExitStack() as stack:
        if processes.rank == 0:
            make_folder(target.parent, "--output")
            lock = target.with_name(f".{target.name}.lock")
            stack.enter_context(locked(lock, target, "--output"))
        return job.run(part_rows, overwrite)


def _runs_on(
    files: ModelFiles,
    processes: Processes,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
    **others: Any,
) -> list[str]:
    """Device, backend and dtype, on which the answers depend in their last digits."""
    from ..predictor import device_of, runtime

    where = device_of(processes.device if device == "auto" else device)
    return [where.type, *runtime(files, backend, dtype, where)]


@dataclass
class _Job:
    model: str
    revision: str | None
    source: Source
    column: str
    columns: Columns
    ledger: Ledger
    processes: Processes
    batch_tokens: int | None
    spreadsheet_safe: bool
    predictor_options: dict[str, Any]
    predictor: StackedEmotionPredictor | None = None

    def run(self, part_rows: int, overwrite: bool) -> BulkReport | None:
        """Do what is left to do; see `predict_file`."""
        first = self.processes.rank == 0
        fresh = self.ledger.claim(overwrite) if first else True
        self.processes.wait()
        if not fresh or not self.ledger.folder.exists():
            return None
        count, rows = self.predict_parts(part_rows)
        self.processes.wait()
        return self.finish(count, rows) if first else None

    def predict_parts(self, part_rows: int) -> tuple[int, int]:
        """Do this process's missing parts; number of all parts and rows."""
        count = rows = 0
        if self.processes.rank == 0 and (finished := self.ledger.count()):
            print(f"Resuming: {counted(finished, 'part')} of {part_rows:,} rows are there already.",
                  file=sys.stderr)  # fmt: skip
        with tqdm(
            total=expected_rows(self.source), unit="rows", unit_scale=True,
            desc=Path(self.source.name).name, disable=self.processes.rank > 0 or None,
        ) as bar:  # fmt: skip
            for chunk in self.source.chunks(part_rows):
                mine = chunk.number % self.processes.count == self.processes.rank
                if mine and not self.ledger.has(chunk):
                    self._predict(chunk)
                    assert self.predictor is not None
                    where = f"{self.predictor.backend} on {self.predictor.runner.device}"
                    bar.set_postfix_str(where, refresh=False)
                    if bar.disable and self.processes.rank == 0:  # not a terminal
                        print(f"{Path(self.source.name).name}: {rows + len(chunk.rows):,} rows "
                              f"({where})", file=sys.stderr)  # fmt: skip
                count, rows = chunk.number + 1, rows + len(chunk.rows)
                bar.update(len(chunk.rows))
            bar.total = rows
        return count, rows

    def _predict(self, chunk: Chunk) -> None:
        if self.predictor is None:
            from ..predictor import StackedEmotionPredictor

            options = {"device": self.processes.device, **self.predictor_options}
            self.predictor = StackedEmotionPredictor.from_pretrained(
                self.model, revision=self.revision, **options
            )
        clashes = self._clashes(chunk)
        values = chunk.rows.values(self.column)
        answers = answer(self.predictor, values, self.batch_tokens, clashes)
        problems = list(chunk.unreadable)
        for index, problem in enumerate(answers.problems):
            if problem is not None:
                line = chunk.lines[index] if chunk.lines is not None else None
                row = chunk.first_row + index + 1
                clash = clashes is not None and clashes[index] is not None
                raw = chunk.rows.lines[index] if clash else None  # type: ignore[union-attr]
                problems.append(Problem(problem, row, line, self.column, raw))
        problems.sort(key=lambda problem: problem.line or 0)
        own_keys = self.ledger.target.suffix == ".jsonl"
        self.ledger.keep(
            chunk,
            problems,
            lambda path: write_part(
                path,
                self.ledger.suffix,
                chunk,
                answers,
                self.columns,
                own_keys,
                self.spreadsheet_safe,
            ),
        )

    def _clashes(self, chunk: Chunk) -> list[str | None] | None:
        """Records of JSONL that have a key of the answers' own, which is not overwritten."""
        if not isinstance(chunk.rows, JsonRows):
            return None
        new = set(self.columns.all)
        return [
            f"already has the keys {quoted(sorted(new & record.keys()))}: set --prefix"
            if new & record.keys()
            else None
            for record in chunk.rows.records
        ]

    def finish(self, count: int, rows: int) -> BulkReport:
        """Join the parts, put output and side file in their places, tidy up."""
        target, ledger = self.ledger.target, self.ledger
        parts = [ledger.part(number) for number in range(count)]
        changed = join_parts(
            parts, ledger.partial, target.suffix, self.source.schema, self.columns,
            self.spreadsheet_safe,
        )  # fmt: skip
        told = [0, 0]

        def lines() -> Any:
            for line in ledger.noted(count):
                entry = json.loads(line)
                told["row" in entry] += not entry["problem"].startswith("changed")
                yield line
            yield from (problem.to_json() for problem in changed)

        replace_file(ledger.problems, lambda path: write_lines(path, lines()), sync=True)
        has_problems = ledger.problems.stat().st_size > 0
        if not has_problems:
            ledger.problems.unlink()
        with ledger.partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(ledger.partial, target)
        ledger.finish()
        unreadable, without_answer = told
        return BulkReport(
            output=target,
            rows=rows,
            predicted=rows - without_answer,
            without_answer=without_answer,
            unreadable=unreadable,
            problems=ledger.problems if has_problems else None,
        )
