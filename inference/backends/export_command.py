"""`stacked-emotion export`: a model's folder gets graphs for ONNX Runtime and OpenVINO."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `export`; nothing heavy is imported."""
    parser.add_argument(
        "model", type=Path, help="folder of a model or run; the graphs go into onnx/ of the model"
    )
    parser.add_argument("--quantize", choices=("int8",), help="write an int8 graph too")
    parser.add_argument(
        "--test_file",
        help="labeled texts to measure the differences on; default: the bundled "
        "sample, with which --backend auto never uses int8",
    )
    parser.add_argument("--text_column", help="the column of texts of --test_file")
    parser.add_argument("--labels_column", help="the column of labels of --test_file")


def run_export(options: argparse.Namespace) -> int:
    """Run `export` and return its exit code.

    Raises:
        UserError: what `export.export_onnx` refuses.
    """
    from ...common.disk import disk_errors
    from ...common.locks import locked
    from ..model_files import ModelFiles
    from .export import CheckTexts, export_onnx, report_table

    files, check = ModelFiles(options.model), None
    if options.test_file:
        from ...data.labeled_texts import DataArguments, load_labeled_texts

        names = files.decision().labels
        data = DataArguments(
            test_file=options.test_file,
            text_column=options.text_column,
            labels_column=options.labels_column,
            label_names=names,
        )
        texts = load_labeled_texts(data, "test", names)
        assert texts is not None
        check = CheckTexts(list(texts.texts), texts.labels, Path(options.test_file).name)
    folder = Path(files.location)
    with disk_errors(folder, "model"), locked(folder / ".lock", folder, "model"):
        report = export_onnx(
            folder, options.quantize, check, lambda line: print(line, file=sys.stderr)
        )
    print(f"{Path(files.location) / 'onnx'}: {', '.join(sorted(report['files']))}")
    if options.quantize:
        kept = ", ".join(report["kept_float32"]) or "none"
        print(f"kinds of encoder layers kept in float32: {kept}")
    print(f"differences from torch float32 on {report['texts']['count']} texts:")
    print(report_table(report))
    return 0
