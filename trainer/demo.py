"""`stacked-emotion demo`: every stage on the embedded sample with tiny encoders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..common.settings import Whole, checked
from ..data.arguments import DataArguments
from ..data.labeled_texts import LabeledTexts, load_splits
from ..inference.model_files import ModelFiles
from ..inference.score_bars import bars
from ..recipes import RECIPES
from .ablation.untrained import constant_system, tfidf_system
from .arguments import TrainingRecipe
from .recipe import make_recipe
from .results import systems_table
from .running.processes import prepare_process
from .tiny_encoders import make_tiny_encoders
from .train import run_training

CAPTION = (
    "Synthetic texts and tiny encoders with random weights: these scores show that everything "
    "works, not how good the method is. A baseline on words may score higher."
)
SENTENCES = (
    "الحمد لله نجحت في الامتحان، فرحانة ومش مصدقة 😍",
    "والله تعبت، كل يوم نفس الهم ولا أحد يسمعني 💔",
    "شنو هاد الخدمة الخايبة؟ عصبتوني بزاف 😡",
)
_PIPELINE = """
import json, sys
sys.modules["stacked_emotion"] = None  # the folder alone has to do
import torch
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], trust_remote_code=True, top_k=None)
model, answers = classify.model, []
for found in classify(json.loads(sys.argv[2])):
    scores = {entry["label"]: entry["score"] for entry in found}
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    given = model.decide(torch.logit(torch.tensor([[scores[name] for name in names]])))[0]
    labels = [name for name, chosen in zip(names, given.tolist()) if chosen]
    answers.append({"scores": scores, "labels": labels})
print(json.dumps(answers))
"""


def run_demo(output_dir: Path) -> dict[str, Any]:
    """Train, compare with baselines, and load the finished folder without this package.

    Everything goes into `output_dir`; what is there already is not done again. The results of the
    run are returned.
    """
    prepare_process()
    sample = RECIPES / "sample"
    files: dict[str, Any] = {
        f"{s}_file": str(sample / f"{s}.jsonl") for s in ("train", "validation")
    }
    splits = load_splits(DataArguments(**files))
    encoders = make_tiny_encoders(output_dir / "tiny_encoders", splits["train"].texts)
    settings = files | {"output_dir": output_dir, "encoders": Whole(encoders)}
    results = run_training(make_recipe(checked(TrainingRecipe, settings), "demo"))
    print(demo_table(results, splits["train"], splits["validation"]))
    print(f"\n{CAPTION}\n")
    model = output_dir / "model"
    print(f"{model}, loaded by transformers.pipeline in a process that cannot import this package:")
    decision = ModelFiles(model).decision()
    for text, answer in zip(SENTENCES, pipeline_scores(model, SENTENCES), strict=True):
        print(f"\n  {text}\n{bars(answer['scores'], answer['labels'], decision)}")
    return results


def demo_table(results: dict[str, Any], train: LabeledTexts, validation: LabeledTexts) -> str:
    """The run's systems beside a constant answer and TF-IDF, as Markdown."""
    scored, labels = {"validation": validation}, validation.labels.astype(int)
    constant = constant_system(train, scored)
    tfidf = tfidf_system(train, scored, results["recipe"]["decisions"])
    names = validation.label_names
    rows = {one.name: one.scores("validation", labels, names, []) for one in (constant, tfidf)}
    rows |= {name: entry["validation"] for name, entry in results["systems"].items()}
    return systems_table(rows, aligned=True)


def pipeline_scores(model: Path, texts: tuple[str, ...]) -> list[dict[str, Any]]:
    """Scores and labels by the plain pipeline, in a fresh process without this package."""
    command = [sys.executable, "-c", _PIPELINE, str(model.resolve()), json.dumps(list(texts))]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"The pipeline failed on {model}:\n{answer.stderr[-2000:]}")
    return json.loads(answer.stdout.strip().splitlines()[-1])
