"""Do ideas for a better head gain anything out of fold?

Works on a finished run, with its recipe, encoders, features and stage `meta`. Every idea is trained
by folds, on the rows of the other folds, from the encoders and the meta-learner that did not see
the fold. Each is compared with stage `meta` on the same rows, by a paired bootstrap.

    python benchmarks/head_ideas.py runs/arabic --ideas heads weights small joint

heads      several heads (seeds 0 to 4), their logits averaged
weights    one head, its weights averaged over the epochs so far (Izmailov et al. 2018)
small      one small head (16 units a direction) with dropout 0.5 and weight decay 0.1
joint      encoders, meta-learner and head trained end to end with the hybrid loss, 2 epochs
joint_bce  the same with plain binary cross-entropy
scratch    the same as joint, but from the pretrained encoders; alone, and averaged with `meta`

The epoch of an idea is the one that is best out of fold, which favors the idea. "kept" tells
whether stage `head` would keep it: its gain exceeds its standard error.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, TrainerCallback

from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.common.tables import markdown_table
from stacked_emotion.trainer import parse_recipe
from stacked_emotion.trainer.choosing.decision_rules import OBJECTIVE_WEIGHTS, choose_decision
from stacked_emotion.trainer.data_collator import EncodedTextCollator
from stacked_emotion.trainer.metrics.bootstrap import difference_with_error, paired_bootstrap
from stacked_emotion.trainer.parameter_groups import (
    freeze_parts,
    parameter_groups,
    width_scaled_learning_rate,
)
from stacked_emotion.trainer.stages.cached_training import (
    build_stack,
    load_top,
    predict_logits,
    reset_top,
)
from stacked_emotion.trainer.stages.context import RunContext, stage_loss
from stacked_emotion.trainer.stages.encoders import fine_tuned_folder
from stacked_emotion.trainer.stages.features import training_features
from stacked_emotion.trainer.stages.meta_and_head import (
    finished_stage,
    fold_runs,
    out_of_fold_logits,
    start_top,
)
from stacked_emotion.trainer.trainer import StackedEmotionTrainer

METRICS = ("jaccard", "micro_f1", "macro_f1", "macro_ap")
EPOCHS = 2


class Keeper(TrainerCallback):
    """Logits of some rows after every epoch."""

    def __init__(self, model: Any, texts: Any) -> None:
        self.model, self.texts = model, texts
        self.logits: list[np.ndarray] = []

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Keep them."""
        self.logits.append(predict_logits(self.model, self.texts, batch_size=64))
        self.model.train()


def heads(context: RunContext) -> np.ndarray:
    """(epochs + 1, rows, labels) average over several seeds."""
    model, found = build_stack(context, stacks_words(context)), []
    for seed in range(5):
        stages = replace(context.recipe.stages, head_seeds=[seed])
        run = replace(context, recipe=replace(context.recipe, stages=stages))
        found.append(fold_runs(run, "head", training_features(run), model)[0])
    return np.mean(found, axis=0)


def weights(context: RunContext) -> np.ndarray:
    """(epochs + 1, rows, labels) of the weights averaged over the epochs so far."""
    model, features = build_stack(context, stacks_words(context)), training_features(context)
    held_out, states, _ = fold_runs(context, "head", features, model)
    for fold, by_epoch in enumerate(states):
        inside = np.flatnonzero(context.fold_of_row == fold)
        for epoch in range(1, len(by_epoch)):
            past = by_epoch[1 : epoch + 1]
            mean = {name: torch.stack([one[name] for one in past]).mean(0) for name in past[0]}
            load_top(model, mean)
            held_out[epoch, inside] = predict_logits(model, features.select(inside))
    return held_out


def small(context: RunContext) -> np.ndarray:
    """(epochs + 1, rows, labels) of a small head, strongly regularized."""
    recipe = context.recipe
    stack = replace(recipe.stack, lstm_hidden_size=16, classifier_hidden_size=16, dropout=0.5)
    head = replace(recipe.head, weight_decay=0.1)
    run = replace(context, recipe=replace(recipe, stack=stack, head=head))
    model = build_stack(run, stacks_words(context))
    return fold_runs(run, "head", training_features(run), model)[0]


def end_to_end(context: RunContext, loss: str, from_sources: bool = False) -> np.ndarray:
    """(epochs + 1, rows, labels) of stacks trained end to end by folds; first stage `meta`."""
    recipe, train = context.recipe, context.encoded["train"]
    start: dict[str, Any] = {}
    seed = recipe.stages.head_seeds[0]
    epochs, rates = EPOCHS, dict.fromkeys(context.names, recipe.joint.learning_rate)
    fitted = [n for n in context.names if recipe.encoders[n].probe or recipe.encoders[n].ngrams]
    if from_sources:
        start = {name: recipe.encoders[name].source for name in context.names}
        epochs = int(max(recipe.encoders[name].epochs for name in context.names))
    given = recipe.head.loss
    given = given if given.name == loss else replace(given, name=loss, options={})
    held_out = np.zeros((epochs + 1, *context.splits["train"].labels.shape), np.float32)
    held_out[0] = out_of_fold_logits(context, "meta")
    for fold in range(context.folds):
        inside = context.fold_of_row == fold
        part = f"fold_{fold}"
        sources = start or {name: fine_tuned_folder(context, name, part) for name in context.names}
        model = build_stack(context, stacks_words(context), sources=sources)
        if from_sources:
            reset_top(model, seed)
            sizes = {name: model.config.encoders[name].hidden_size for name in context.names}
            rates = {name: width_scaled_learning_rate(size) for name, size in sizes.items()}
        else:
            start_top(context, model, "head", seed, part)
            freeze_parts(model, fitted)
        keeper = Keeper(model, train.select(np.flatnonzero(inside)))
        trainer = StackedEmotionTrainer(
            model=model,
            args=context.training_arguments(
                context.output / "trainer", recipe.joint, "joint", epochs=epochs,
                learning_rate=max(rates.values()), bf16=context.encoders_in_bf16, seed=seed,
                save_strategy="no", disable_tqdm=True,
            ),
            train_dataset=train.select(np.flatnonzero(~inside)),
            data_collator=EncodedTextCollator(),
            loss=stage_loss("head", replace(recipe.head, loss=given), context.statistics),
            optimizer_groups=parameter_groups(
                model, rates, 10.0 if from_sources else recipe.joint.head_factor, 0.01
            ),
            callbacks=[keeper],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        held_out[1:, inside] = keeper.logits
        print(f"  fold {fold + 1} of {context.folds}", flush=True)
    return held_out


IDEAS: dict[str, Callable[[RunContext], np.ndarray]] = {
    "heads": heads,
    "weights": weights,
    "small": small,
    "joint": partial(end_to_end, loss="hybrid"),
    "joint_bce": partial(end_to_end, loss="bce"),
    "scratch": partial(end_to_end, loss="hybrid", from_sources=True),
}


def stacks_words(context: RunContext) -> bool:
    """Whether stage `meta` of the run stacked word vectors."""
    return bool(finished_stage(context, "meta").record["stack_words"])


def row(context: RunContext, idea: str, by_epoch: np.ndarray, minutes: float) -> list[str]:
    """The line of an idea: its best epoch against stage `meta`."""
    labels = context.splits["train"].labels.astype(np.int64)
    start = out_of_fold_logits(context, "meta")
    candidates = context.recipe.stages.decisions
    choices = [choose_decision(logits, labels, candidates) for logits in by_epoch[1:]]
    best = int(np.argmax([choice.score for choice in choices]))
    after = choices[best].decide(by_epoch[1 + best])
    before = choose_decision(start, labels, candidates).decide(start)
    gain, error = difference_with_error(labels, after, before, OBJECTIVE_WEIGHTS)
    cells = []
    for metric in METRICS:
        one, other = after, before
        if metric == "macro_ap":
            one, other = sigmoid(by_epoch[1 + best]), sigmoid(start)
        found = paired_bootstrap(labels, one, other, metric, resamples=2000)
        cells.append(f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]")
    kept = "yes" if gain > error else "no"
    return [idea, str(best + 1), *cells, f"{gain:+.4f} ± {error:.4f}", kept, f"{minutes:.0f}"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--ideas", nargs="+", choices=IDEAS, default=list(IDEAS))
    arguments = parser.parse_args()
    recipe = parse_recipe(
        ["--config", str(arguments.run / "recipe.yaml"), "--output_dir", str(arguments.run)]
    )
    context = RunContext.load(recipe)
    rows = []
    for idea in arguments.ideas:
        began = time.process_time()
        found = IDEAS[idea](context)
        minutes = (time.process_time() - began) / 60
        rows.append(row(context, idea, found, minutes))
        if idea == "scratch":
            beside = (found + found[0]) / 2
            rows.append(row(context, "scratch, averaged with meta", beside, 0.0))
        print("\t".join(rows[-1]), flush=True)
    titles = ["idea", "epoch", "Jaccard", "micro-F1", "macro-F1", "macro AP", "objective", "kept",
              "CPU minutes"]  # fmt: skip
    print(markdown_table(titles, rows))


if __name__ == "__main__":
    main()
