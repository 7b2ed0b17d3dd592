"""Tables made from a random label matrix, in every kind, format and dialect, read back the same."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from labeled_files import look

NAMES = ["joy", "anger", "fear", "غضب", "حُزن", "very happy", "trust", "amor"]
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n,;\t|\"'،"), min_size=1
).map(lambda text: f"نص {text} x")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], np.ndarray, list[str]]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    rows = draw(st.lists(st.lists(st.integers(0, 1), min_size=len(names), max_size=len(names)),
                         min_size=1, max_size=8))  # fmt: skip
    matrix = np.array(rows, np.int8).reshape(len(rows), len(names))
    assume(matrix.any())
    texts = draw(st.lists(TEXTS, min_size=len(rows), max_size=len(rows)))
    return texts, matrix, names


def show(kind: str, form: str, row: list[int], names: list[str]) -> Any:
    """A label cell, as the value of a JSON record or as text."""
    numbers = [index for index, on in enumerate(row) if on]
    values: list[Any] = {"names": [names[index] for index in numbers], "ids": numbers,
                         "multi_hot": list(row)}[kind]  # fmt: skip
    if form == "list":
        return values
    if form == "json":
        return json.dumps(values, ensure_ascii=False)
    if form == "python":
        return repr(values)
    if form == "tuple":
        return repr(tuple(values))
    if form == "set":
        return repr(set(values)) if values else "set()"
    if form == "numpy":
        return str(np.array(values, dtype=object if not values else None)) if values else "[]"
    if form == "arabic":
        return str(values).translate({ord("0") + n: 0x660 + n for n in range(10)})
    return form.join(map(str, values))


FORMS = ["json", "python", "tuple", "numpy", ",", ";", "|", "/", "\t", "\n", "، "]
FORMS_OF = {"names": [*FORMS, "set"], "ids": [*FORMS, "set", "arabic"],
            "multi_hot": [*FORMS, " ", "arabic", ""]}  # fmt: skip


def write(path: Path, header: list[str], rows: list[list[Any]], draw: st.DataObject) -> dict:
    """Write a table in the format of its suffix; the options that reading it needs."""
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        return {}
    if path.suffix == ".json":
        records = [dict(zip(header, row, strict=True)) for row in rows]
        path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
        return {}
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
        return {}
    delimiter = draw.draw(st.sampled_from(",;\t|"))
    newline = draw.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    stream = io.StringIO(newline="")
    quoting = draw.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    if newline == "\r":  # Python quotes no line feed in such a file unless it quotes everything
        quoting = csv.QUOTE_ALL
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerows([header, *rows])
    first = draw.draw(st.sampled_from(["", f"sep={delimiter}\n"]))
    encoding = draw.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    path.write_bytes((first + stream.getvalue()).encode(encoding))
    return {"quoting": "csv"}


def check_cells(table: tuple[list[str], np.ndarray, list[str]], draw: st.DataObject) -> None:
    texts, matrix, names = table
    kind = draw.draw(st.sampled_from(sorted(FORMS_OF)))
    suffix = draw.draw(st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet"]))
    form = draw.draw(st.sampled_from(FORMS_OF[kind]))
    if suffix in (".jsonl", ".json", ".parquet") and draw.draw(st.booleans()):
        form = "list"
    cells = [show(kind, form, row, names) for row in matrix.tolist()]
    options: dict[str, Any] = {"label_names": names, "label_format": kind}
    if draw.draw(st.booleans()):
        del options["label_format"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"table{suffix}")
        rows = [[text, cell] for text, cell in zip(texts, cells, strict=True)]
        options |= write(path, ["text", "labels"], rows, draw)
        found = look(path, **options)
    if "label_format" not in options and found.problems:
        # Without the option, cells that fit two kinds are refused, and never guessed at.
        message = found.problems[0]
        assert "ambiguous" in message, message
        assert f"--label_format {kind}" in message
        return
    assert not found.problems, (kind, form, cells, found.problems)
    assert found.texts is not None
    assert found.texts.texts == texts
    assert found.texts.labels.tolist() == matrix.tolist(), (kind, form, cells)


def check_columns(table: tuple[list[str], np.ndarray, list[str]], draw: st.DataObject) -> None:
    texts, matrix, names = table
    suffix = draw.draw(st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet"]))
    pairs = [("0", "1"), ("٠", "١"), ("False", "True"), ("no", "yes"), ("0.0", "1.0")]
    if suffix in (".jsonl", ".json", ".parquet"):
        pairs += [(0, 1), (False, True), (0.0, 1.0)]
    signs = draw.draw(st.sampled_from(pairs))
    rows = [[text, *(signs[on] for on in row)]
            for text, row in zip(texts, matrix.tolist(), strict=True)]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"table{suffix}")
        options = write(path, ["text", *names], rows, draw)
        found = look(path, **options)
    assert not found.problems
    assert found.texts is not None
    assert (found.texts.texts, found.texts.label_names) == (texts, names)
    assert found.texts.labels.tolist() == matrix.tolist()


def check_mutation(table: tuple[list[str], np.ndarray, list[str]], draw: st.DataObject) -> None:
    """One cell of another kind: refused, or a bad row, or itself; never the others changed."""
    texts, matrix, names = table
    assume(len(texts) > 2)
    kind = draw.draw(st.sampled_from(sorted(FORMS_OF)))
    cells = [show(kind, "list", row, names) for row in matrix.tolist()]
    place = draw.draw(st.integers(0, len(cells) - 1))
    odd = draw.draw(st.sampled_from(
        ["2", "0", "1,0", [1, 1], [0], [0, 1], "joy", ["zeal"], "[joy", "", None, [], "nan", 0.5,
         {"joy": 1}, [0.5, 0.2], "yes", "0 1", True, [None]]
    ))  # fmt: skip
    rows = [{"text": text, "labels": cell} for text, cell in zip(texts, cells, strict=True)]
    before = look(rows, label_names=names)
    assume(not before.problems and before.inventory.label_format == kind)
    rows[place]["labels"] = odd
    after = look(rows, label_names=names)
    if after.texts is not None:
        kept = [index for index in range(len(texts)) if index != place]
        if not matrix[kept].any() and kind != "multi_hot":
            return  # the others are empty, of whatever kind
        if after.inventory.label_format != kind:  # every cell fits another kind now: that is said
            assert any(f"line {place + 1}," in text or f"record {place + 1}," in text
                       for text in after.warnings if "decided by one cell" in text)  # fmt: skip
            return
        assert after.texts.labels[kept].tolist() == matrix[kept].tolist()


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("check", [check_cells, check_columns, check_mutation])
def test_tables_are_read_back(check):
    QUICK(given(tables(), st.data())(lambda table, draw: check(table, draw)))()


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_cells, check_columns, check_mutation])
def test_thousands_of_tables_are_read_back(check):
    LONG(given(tables(), st.data())(lambda table, draw: check(table, draw)))()
