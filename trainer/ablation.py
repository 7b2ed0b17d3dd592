"""`stacked-emotion ablate`: what each part of the method gives, on shared encoders and features."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import TrainingRecipe, parse_recipe
from .results import System, compare, environment, rare_labels
from .stages.context import RunContext, announce, write_json
from .stages.encoders import run_encoders
from .stages.finish import all_systems
from .stages.meta_and_head import run_head, run_meta

FULL = "stack"
VARIANTS: dict[str, dict[str, Any]] = {
    FULL: {},
    "without meta-learner": {"use_meta_learner": False},
    "without Bi-LSTM": {"use_lstm": False},
    "without ensemble start": {"ensemble_start": False},
    "without cross-fitting": {"cross_fit": 0},
    "sentence level": {"stacking_level": "sentence"},
    "BCE": {"loss": "bce", "loss_options": []},
    "class-weighted BCE": {"loss": "weighted_bce", "loss_options": []},
    "focal": {"loss": "focal", "loss_options": []},
    "asymmetric (ASL)": {"loss": "asymmetric", "loss_options": []},
    "LCA": {"loss": "lca", "loss_options": []},
    "hybrid without class weights": {"loss_options": ["class_weights=none"]},
    "hybrid without correlation": {"loss_options": ["correlation_weight=0"]},
    "hybrid without contrastive": {"loss_options": ["contrastive_weight=0"]},
}
COLUMNS = ("jaccard", "micro_f1", "macro_f1", "macro_ap", "rare_ap", "hamming_loss")


def run_ablation(recipe: TrainingRecipe, variants: Sequence[str] | None = None) -> dict[str, Any]:
    """Train and score every variant; what is finished is not done again.

    The encoders and the features are those of the recipe's own run and are shared; each variant has
    the folder `<output_dir>/ablation/<variant>`.

    Args:
        recipe: all arguments; `head_seeds` are the seeds of every variant.
        variants: some of `VARIANTS`; by default all.

    Returns:
        `systems` (variant to split to metric to mean, std and values) and `comparisons` with the
        full stack; also written to `<output_dir>/ablation.json` and `ablation.md`.
    """
    chosen = list(variants or VARIANTS)
    root = Path(recipe.stages.output_dir)
    full = RunContext.load(recipe)
    run_encoders(full)
    systems: dict[str, System] = {}
    seconds: list[float] = []
    for place, name in enumerate(chosen):
        left = (
            f", about {np.mean(seconds) * (len(chosen) - place) / 60:.0f} min left"
            if seconds
            else ""
        )
        announce(f"Ablation {place + 1} of {len(chosen)}: {name}{left}.")
        begin = time.monotonic()
        context = variant_context(full, name, root)
        run_meta(context)
        run_head(context)
        found = {system.name: system for system in all_systems(context)}
        if name == FULL:
            systems |= {key: value for key, value in found.items() if key != FULL}
        systems[name] = found[FULL]
        seconds.append(time.monotonic() - begin)
        outcome = _score(full, systems)
        write_json(root / "ablation.json", outcome)
        (root / "ablation.md").write_text(to_markdown(outcome), encoding="utf-8")
    return outcome


def variant_context(full: RunContext, name: str, root: Path) -> RunContext:
    """The context of a variant: the same texts and encoders, its own options and folder."""
    changes = dict(VARIANTS[name])
    stack_fields = vars(full.recipe.stack)
    stack = replace(
        full.recipe.stack, **{key: value for key, value in changes.items() if key in stack_fields}
    )
    stage_changes = {key: value for key, value in changes.items() if key not in stack_fields}
    if "loss_options" in stage_changes and "loss" not in stage_changes:
        given = {text.partition("=")[0] for text in stage_changes["loss_options"]}
        kept = [
            text
            for text in full.recipe.stages.loss_options
            if text.partition("=")[0] not in given
            and not ("class_weights=none" in stage_changes["loss_options"]
                     and text.startswith("class_weight"))
        ]  # fmt: skip
        stage_changes["loss_options"] = kept + stage_changes["loss_options"]
    folder = root / "ablation" / name.replace(" ", "_").replace("(", "").replace(")", "")
    shared = str(full.shared)
    if stage_changes.get("cross_fit") == 0:
        shared = str(_in_sample_folder(full, folder))
    stages = replace(
        full.recipe.stages, output_dir=str(folder), encoders_from=shared, **stage_changes
    )
    recipe = replace(full.recipe, stack=stack, stages=stages)
    return RunContext(recipe, full.splits, full.tokenizer, full.encoded)


def _in_sample_folder(full: RunContext, folder: Path) -> Path:
    """A folder with the run's final encoders, for features of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "encoders"
    if not link.exists():
        link.symlink_to((full.shared / "encoders").resolve(), target_is_directory=True)
    return folder


def _score(context: RunContext, systems: dict[str, System]) -> dict[str, Any]:
    names = context.label_names
    rare = rare_labels(context.statistics.prevalence.tolist(), names)
    table: dict[str, Any] = {}
    comparisons: dict[str, Any] = {}
    for split in context.held_out_splits:
        labels = context.splits[split].labels.astype(np.int64)
        for name, system in systems.items():
            table.setdefault(name, {})[split] = system.scores(split, labels, names, rare)
            if name != FULL and FULL in systems:
                comparisons.setdefault(name, {})[split] = compare(
                    system, systems[FULL], split, labels
                )
    return {
        "labels": names,
        "rare_labels": rare,
        "splits": context.held_out_splits,
        "systems": table,
        "comparisons": comparisons,
        "decisions": {name: system.decision.to_dict() for name, system in systems.items()},
        "recipe": context.recipe.to_dict(),
        "environment": environment(),
    }


def to_markdown(outcome: dict[str, Any]) -> str:
    """The table of an ablation, with the difference of Jaccard from the full stack."""
    titles = {"jaccard": "Jaccard", "micro_f1": "micro-F1", "macro_f1": "macro-F1",
              "macro_ap": "macro AP", "rare_ap": "rare AP", "hamming_loss": "Hamming"}  # fmt: skip
    lines = ["# Ablation", ""]
    for split in outcome["splits"]:
        first = next(iter(outcome["systems"].values()))[split]
        columns = [column for column in COLUMNS if column in first]
        heads = [*(titles[column] for column in columns), "Jaccard − stack (95 %)"]
        lines += [f"## {split}", "", f"| system | {' | '.join(heads)} |"]
        lines += ["|" + " --- |" * (len(columns) + 2)]
        for name, entry in outcome["systems"].items():
            cells = []
            for column in columns:
                value = entry[split][column]
                spread = f" ± {value['std']:.3f}" if len(value["values"]) > 1 else ""
                cells.append(f"{value['mean']:.3f}{spread}")
            other = outcome["comparisons"].get(name, {}).get(split, {}).get("jaccard")
            difference = (
                f"{other['difference']:+.3f} [{other['low']:+.3f}, {other['high']:+.3f}]"
                if other
                else ""
            )
            lines.append(f"| {name} | {' | '.join(cells)} | {difference} |")
        lines.append("")
    lines += [f"Rare labels: {', '.join(outcome['rare_labels']) or 'none'}.", ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: the options of training, and `--variants NAME …`."""
    from .train import quieten

    quieten()
    words = list(sys.argv[1:] if arguments is None else arguments)
    variants: list[str] = []
    if "--variants" in words:
        place = words.index("--variants")
        end = place + 1
        while end < len(words) and not words[end].startswith("--"):
            end += 1
        variants = words[place + 1 : end]
        words = words[:place] + words[end:]
    outcome = run_ablation(parse_recipe(words), variants or None)
    print(to_markdown(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
