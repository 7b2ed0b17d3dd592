"""`stacked-emotion export`: a model's folder gets graphs for ONNX Runtime and OpenVINO."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

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
        help="labeled texts to compare on; default: the bundled sample, which never admits int8",
    )
    add_settings(parser, DataArguments, only=READING_OPTIONS, heading="reading")


def run_export(parser: Parser, options: argparse.Namespace) -> int:
    """Run `export` and return its exit code.

    Raises:
        UserError: what `export.export_onnx` or `student_export.export_student` refuses.
    """
    from ...common.disk import disk_errors
    from ...common.errors import counted, listed
    from ...common.locks import locked
    from ..model_files import CONFIG, ModelFiles
    from .fastest import fastest

    files, check = ModelFiles(options.model), None
    if files.read_json(CONFIG).get("model_type") != "stacked_emotion":
        return _export_student(options, Path(files.location))
    from .export import CheckTexts, export_onnx, report_table

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
    graphs = sorted(kind for kind in report["files"] if " " not in kind)
    print(f"{Path(files.location) / 'onnx'}: {listed(graphs)}")
    if len(graphs) < len(report["files"]):
        print("and each encoder alone, for adaptive stacking")
    if options.quantize:
        kept = ", ".join(report["kept_float32"]) or "none"
        print(f"kinds of encoder layers kept in float32: {kept}")
    print(f"differences from torch float32 on {counted(report['texts']['count'], 'text')}:")
    print(report_table(report))
    print(f"--backend auto on this machine: {fastest(report)}")
    return 0


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
