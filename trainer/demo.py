"""`stacked-emotion demo`: every stage on the embedded sample with tiny encoders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .arguments import RECIPES, parse_recipe
from .baselines import constant_system, tfidf_system
from .data import DataArguments, LabelledTexts, load_labelled_texts
from .results import HEADLINES
from .tiny_encoders import make_tiny_encoders
from .train import quieten, run_training

CAPTION = (
    "Synthetic texts and tiny encoders with random weights: these figures prove the plumbing, not "
    "the method. Baselines on words may well be above it."
)
SENTENCES = (
    "الحمد لله نجحت في الامتحان، فرحانة ومش مصدقة 😍",
    "والله تعبت، كل يوم نفس الهم ولا أحد يسمعني 💔",
    "شنو هاد الخدمة الخايبة؟ عصبتوني بزاف 😡",
)
_PIPELINE = """
import json, sys
sys.modules["stacked_emotion"] = None  # the folder alone has to do
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], trust_remote_code=True, top_k=None)
print(json.dumps(classify(json.loads(sys.argv[2]))))
"""


def run_demo(output_dir: Path) -> dict[str, Any]:
    """Train, compare with baselines, and load the finished folder without this package.

    Args:
        output_dir: where everything goes; what is there already is not done again.

    Returns:
        The results of the run.
    """
    quieten()
    sample = RECIPES / "sample"
    files = {split: str(sample / f"{split}.jsonl") for split in ("train", "validation")}
    data = DataArguments(train_file=files["train"], validation_file=files["validation"])
    texts = load_labelled_texts(data, "train")
    assert texts is not None
    encoders = make_tiny_encoders(output_dir / "tiny_encoders", texts.texts)
    recipe = parse_recipe(
        ["--config", "demo", "--train_file", files["train"], "--validation_file",
         files["validation"], "--output_dir", str(output_dir), "--encoders",
         *(f"{name}={folder}" for name, folder in encoders.items())]
    )  # fmt: skip
    results = run_training(recipe)
    print(demo_table(results, texts, data))
    print(f"\n{CAPTION}\n")
    model = output_dir / "model"
    print(f"{model}, loaded by transformers.pipeline in a process that cannot import this package:")
    for text, scores in zip(SENTENCES, pipeline_scores(model, SENTENCES), strict=True):
        print(f"\n  {text}")
        print(bars(scores, results["thresholds"]))
    return results


def demo_table(results: dict[str, Any], train_texts: LabelledTexts, data: DataArguments) -> str:
    """The run's systems beside a constant answer and TF-IDF, as Markdown."""
    validation = load_labelled_texts(data, "validation", train_texts.label_names)
    assert validation is not None
    scored = {"validation": validation}
    recipe = results["recipe"]
    baselines = (
        constant_system(train_texts, scored),
        tfidf_system(
            train_texts, scored, recipe["threshold_objective"], recipe["threshold_candidates"]
        ),
    )
    rows = {
        system.name: system.scores(
            "validation", validation.labels.astype(int), validation.label_names, []
        )
        for system in baselines
    } | {name: entry["validation"] for name, entry in results["systems"].items()}
    width = max(map(len, rows))
    lines = [f"| {'system':{width}} | " + " | ".join(HEADLINES) + " |"]
    lines.append("| " + "-" * width + " |" + "|".join("-" * (len(m) + 2) for m in HEADLINES) + "|")
    for name, scores in rows.items():
        cells = " | ".join(f"{scores[metric]['mean']:{len(metric)}.3f}" for metric in HEADLINES)
        lines.append(f"| {name:{width}} | {cells} |")
    return "\n".join(lines)


def pipeline_scores(model: Path, texts: tuple[str, ...]) -> list[list[dict[str, Any]]]:
    """Scores of `pipeline("text-classification")` in a fresh process without this package."""
    command = [sys.executable, "-c", _PIPELINE, str(model.resolve()), json.dumps(list(texts))]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"The pipeline failed on {model}:\n{answer.stderr[-2000:]}")
    return json.loads(answer.stdout.strip().splitlines()[-1])


def bars(scores: list[dict[str, Any]], thresholds: dict[str, float], width: int = 30) -> str:
    """Scores as bars, most likely first; `*` marks the labels above their thresholds."""
    longest = max(len(entry["label"]) for entry in scores)
    lines = []
    for entry in sorted(scores, key=lambda one: -one["score"]):
        mark = "*" if entry["score"] >= thresholds[entry["label"]] else " "
        bar = "█" * round(entry["score"] * width)
        lines.append(f"  {mark} {entry['label']:<{longest}} {entry['score']:.2f} {bar}")
    return "\n".join(lines)
