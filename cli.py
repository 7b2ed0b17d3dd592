"""`stacked-emotion`: the command line."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .hub_card.commands import add_publishing_commands
from .hub_card.space.commands import add_demo_commands
from .inference.backends.export_command import add_export_options, run_export
from .inference.command import add_predict_options

USER_MISTAKE = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words after the program's name; by default those of this process.

    Returns:
        The exit code: 0 when all went well, 1 for a failure, 2 for a mistake in what was asked,
        130 when interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    recipe_commands = {"train": _train, "ablate": _ablate, "tune": _tune, "distill": _distill}
    if words and words[0] in recipe_commands:  # their options are those of the recipe
        command = recipe_commands[words[0]]
        return _run(lambda _: command(words[1:]), argparse.Namespace(), debug)
    parser = build_parser()
    if not words:
        parser.print_help()
        return USER_MISTAKE
    options = parser.parse_args(words)
    return _run(options.run, options, debug)


def _run(command: Any, options: argparse.Namespace, debug: bool) -> int:
    from .common.errors import UserError

    try:
        return int(command(options) or 0)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except (UserError, OSError, ValueError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return USER_MISTAKE


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands but `train`, whose options are a recipe's."""
    parser = argparse.ArgumentParser(
        prog="stacked-emotion",
        description="Multi-label emotion classification with a stack of fine-tuned encoders.",
        epilog="`stacked-emotion COMMAND --help` says more; --debug shows an error's traceback.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="train and use a tiny stack on the embedded sample, in a few minutes"
    )
    demo.add_argument("--output_dir", type=Path, default=Path("outputs/demo"))
    demo.set_defaults(run=_demo)

    commands.add_parser("train", help="train a stack by a recipe", add_help=False)
    commands.add_parser(
        "ablate", help="train and score the stack without each of its parts", add_help=False
    )
    commands.add_parser(
        "tune", help="search hyper-parameters of the layers on top, out of fold", add_help=False
    )
    commands.add_parser("distill", help="distill a stack into one stock encoder", add_help=False)

    evaluate = commands.add_parser("evaluate", help="score a model on labeled texts")
    evaluate.add_argument("--model", required=True, help="folder or Hub id")
    evaluate.add_argument("--revision", help="commit, tag or branch of a Hub id")
    evaluate.add_argument("--test_file", required=True, help="labeled texts, as for training")
    evaluate.add_argument("--text_column")
    evaluate.add_argument("--labels_column")
    evaluate.add_argument("--output", type=Path, help="write all figures to this JSON file")
    evaluate.set_defaults(run=_evaluate)

    predict = commands.add_parser(
        "predict", help="emotions of texts: arguments, a file, or lines of standard input"
    )
    add_predict_options(predict)
    predict.set_defaults(run=_predict)

    export = commands.add_parser(
        "export", help="graphs for ONNX Runtime and OpenVINO, with a report of the differences"
    )
    add_export_options(export)
    export.set_defaults(run=run_export)
    add_publishing_commands(commands)
    add_demo_commands(commands)
    return parser


def _train(words: Sequence[str]) -> int:
    from .trainer.train import main as train_main

    return train_main(words)


def _ablate(words: Sequence[str]) -> int:
    from .trainer.ablation import main as ablation_main

    return ablation_main(words)


def _tune(words: Sequence[str]) -> int:
    from .trainer.tuning.search import main as tuning_main

    return tuning_main(words)


def _distill(words: Sequence[str]) -> int:
    from .trainer.distillation.command import main as distillation_main

    return distillation_main(words)


def _demo(options: argparse.Namespace) -> int:
    from .trainer.demo import run_demo

    run_demo(options.output_dir)
    print(
        f"\nThe model is in {options.output_dir / 'model'}. Next:\n"
        "  with real encoders and data   stacked-emotion train --config semeval2018_arabic "
        "--output_dir runs/arabic\n"
        "  with your own labels          copy recipes/your_labels.yaml, then "
        "stacked-emotion train --config my_recipe.yaml\n"
        f"  your own texts                stacked-emotion predict --model "
        f"{options.output_dir / 'model'} 'نص من عندك'"
    )
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from .common.environment import environment
    from .data.labeled_texts import DataArguments, load_labeled_texts
    from .inference import StackedEmotionPredictor
    from .trainer.metrics.scores import emotion_scores

    predictor = StackedEmotionPredictor.from_pretrained(options.model, revision=options.revision)
    names = list(predictor.labels)
    data = DataArguments(
        test_file=options.test_file,
        text_column=options.text_column,
        labels_column=options.labels_column,
        label_names=names,
    )
    texts = load_labeled_texts(data, "test", names)
    assert texts is not None
    probabilities = predictor.predict_proba(texts.texts)
    scores = emotion_scores(
        texts.labels.astype(int),
        probabilities,
        label_names=names,
        decisions=predictor.decide(probabilities).astype(int),
    )
    print(score_table(scores, names, dict(zip(names, predictor.thresholds, strict=True))))
    if options.output:
        report = {
            "model": str(options.model),
            "revision": options.revision,
            "data": {
                "source": texts.source,
                "rows": len(texts),
                "fingerprint": texts.fingerprint(),
            },
            "scores": scores,
            "environment": environment(),
        }
        options.output.write_text(
            json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return 0


def score_table(
    scores: dict[str, float], label_names: Sequence[str], thresholds: dict[str, float]
) -> str:
    """All figures of one model as Markdown: overall, then class-wise."""
    from .common.tables import markdown_table

    overall = [name for name in scores if not name.endswith(tuple(f"_{n}" for n in label_names))]
    kinds = ("precision", "recall", "f1", "ap")
    rows = [
        [name, f"{scores[f'support_{name}']:.0f}",
         *(f"{scores[f'{kind}_{name}']:.3f}" for kind in kinds), f"{thresholds[name]:.3f}"]
        for name in label_names
    ]  # fmt: skip
    header = ["label", "support", "precision", "recall", "F1", "AP", "threshold"]
    metrics = markdown_table(["metric", "value"], [(m, f"{scores[m]:.4f}") for m in overall])
    return f"{metrics}\n\n{markdown_table(header, rows)}"


def _predict(options: argparse.Namespace) -> int:
    from .inference.command import run_predict

    return run_predict(options)


if __name__ == "__main__":
    sys.exit(main())
