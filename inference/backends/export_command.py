"""`stacked-emotion export`: a model's folder gets graphs for ONNX Runtime and OpenVINO."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ...common.command_line import Parser, add_settings, settings_given
from ...data.arguments import READING_OPTIONS, DataArguments


def add_export_options(parser: Parser) -> None:
    """Declare the options of `export`; nothing heavy is imported."""
    parser.set_defaults(run=partial(run_export, parser))
    parser.add_argument(
        "model", type=Path, metavar="MODEL",
        help="folder of a model or run; the graphs go into onnx/ of the model",
    )  # fmt: skip
    parser.add_argument("--quantize", choices=("int8",), help="write an int8 graph too")
    parser.add_argument(
        "--test_file",
        help="labeled texts to compare on; default: the bundled sample, which never allows int8",
    )
    add_settings(parser, DataArguments, only=READING_OPTIONS, heading="reading")


def run_export(parser: Parser, options: argparse.Namespace) -> int:
    """Run `export` and return its exit code.

    Raises:
        UserError: what `export.export_onnx` or `student_export.export_student` refuses.
    """
    from ...common.disk import disk_errors
    from ...common.locks import locked
    from ..model_files import CONFIG, ModelFiles

    files, check = ModelFiles(options.model), None
    if files.read_json(CONFIG).get("model_type") != "stacked_emotion":
        return _export_student(options, Path(files.location))
    from .export import CheckTexts, export_onnx

    if options.test_file:
        from ...data.labeled_texts import load_labeled_texts

        names = files.decision().labels
        reading = {"label_names": names} | settings_given(parser, options)
        data = DataArguments(test_file=options.test_file, **reading)
        texts = load_labeled_texts(data, "test", names)
        assert texts is not None
        check = CheckTexts(list(texts.texts), texts.labels, Path(options.test_file).name)
    folder = Path(files.location)
    with disk_errors(folder, "model"), locked(folder / ".lock", folder, "model"):
        report = export_onnx(
            folder, options.quantize, check, lambda line: print(line, file=sys.stderr)
        )
    print(what_was_written(folder, report))
    return 0


def what_was_written(folder: Path, report: dict[str, Any]) -> str:
    """What `export` prints: the graphs, how exact they are, and what `--backend auto` makes of it.

    Args:
        folder: of the model.
        report: what `export_onnx` returned.
    """
    from ...common.errors import counted
    from .export import GRAPHS, report_table
    from .fastest import fastest

    whole = [dtype for dtype in GRAPHS if dtype in report["files"]]
    lines = [f"{folder / 'onnx'} has the whole stack in {' and in '.join(whole)}."]
    if len(report["files"]) > len(whole):
        lines.append("It also has a graph per encoder, for --adaptive.")
    if kept := report["kept_float32"]:
        lines.append(f"The int8 graph keeps these encoder layers in float32: {', '.join(kept)}.")
    texts = counted(report["texts"]["count"], "text")
    lines += ["", f"Differences from torch float32 on {texts}:", report_table(report), ""]
    if "int8" in whole and not report["texts"]["labeled"]:
        lines.append("To let --backend auto choose int8, measure it on labeled texts: --test_file.")
    lines.append(f"On this CPU, --backend auto now takes {fastest(report)}.")
    return "\n".join(lines)


def _export_student(options: argparse.Namespace, folder: Path) -> int:
    from ...common.disk import disk_errors
    from ...common.errors import UserError
    from ...common.locks import locked
    from .student_export import export_student

    if options.test_file:
        raise UserError(
            f"{folder} is a student, whose graphs are compared on texts of their own: leave out "
            "--test_file."
        )
    with disk_errors(folder, "model"), locked(folder / ".lock", folder, "model"):
        export = export_student(folder, int8=options.quantize == "int8")
    print(f"{export.fp32}: logits differ from torch by at most {export.fp32_difference:.1e}")
    if export.int8:
        print(f"{export.int8}: by at most {export.int8_difference:.2g}")
    return 0
