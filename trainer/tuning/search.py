"""`stacked-emotion tune`: Optuna over the layers on top, on cached features, out of fold."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState

from ...common.environment import environment
from ...common.errors import UserError, counted
from ...common.files import fingerprint, replace_text, write_json
from ...common.finished import NUMBER, Form
from ..arguments import TrainingRecipe
from ..commands import command_main
from ..features.cache import FeatureCache
from ..running.once import CHECKPOINTS, run_folder, run_once
from ..running.processes import join_ranks, prepare_process
from ..running.progress import announce, duration
from ..stages.cached_training import TOP_VERSION, build_stack
from ..stages.context import RunContext
from ..stages.encoders import (
    encoder_parts,
    finished_encoders,
    run_encoders,
    weights_digest,
)
from ..stages.features import FEATURES_VERSION, training_features
from ..stages.meta_and_head import (
    choose_out_of_fold,
    stacks_words,
    stage_folder,
    stage_key,
    top_plan,
)
from .search_space import SearchSpace, current_values, recipe_lines, space_of

_SCRATCH = "tuning_trial"
_TRIAL = Form({"epoch": int, "score": NUMBER}, ("fold_*.safetensors",))


def hyperparameter_search(
    recipe: TrainingRecipe,
    trials: int = 20,
    seconds: float = float("inf"),
    parameters: Sequence[str] = (),
) -> dict[str, Any]:
    """Search the hyper-parameters of stages `meta` and `head`; what is finished is not done again.

    The objective is `decision_objective` (Jaccard + micro-F1 + macro-F1 / 2) of the out-of-fold
    logits at the best epoch (without regard to `gain_in_errors`), with the decision rule
    cross-validated. The best of many is too good as an estimate: score a run with the values found
    on texts that were not used here.

    Args:
        recipe: all arguments. The first of `head_seeds` is the seed of every trial.
        trials: finished trials in all, those of earlier calls included.
        seconds: no trial begins after this time.
        parameters: see `space_of`.

    Returns:
        What is in `<output_dir>/tuning.json`: `best` and `recipe` (values and objective), `lines`
        for a recipe, and every trial.

    Raises:
        UserError: Optuna is not installed, several processes, or options that do not fit.
    """
    optuna = _optuna()
    if join_ranks().num_processes > 1:
        raise UserError("tune runs in one process: leave --num_processes out.")
    space = space_of(recipe, parameters)
    loaded = RunContext.load(recipe)
    train = {"train": loaded.splits["train"]}  # without the texts that are only scored
    context = replace(loaded, splits=train, encoded={"train": loaded.encoded["train"]})
    with run_folder(context.output, recipe.stages.verify):
        return _search(optuna, context, space, trials, seconds)


def _search(
    optuna: Any, context: RunContext, space: SearchSpace, trials: int, seconds: float
) -> dict[str, Any]:
    recipe = context.recipe
    finished_encoders(context) if recipe.stages.encoders_from else run_encoders(context)
    features = training_features(context)
    _, stack_words = stacks_words(context, features)
    study = _open_study(optuna, context.output / "tuning.db", _study_name(context, space))
    _requeue_killed(optuna, study)
    study.sampler = optuna.samplers.TPESampler(seed=recipe.stages.seed + len(study.trials))
    if not study.trials:
        study.enqueue_trial(current_values(recipe, space))
    begin = time.monotonic()
    while len(_finished(study)) < trials and time.monotonic() - begin < seconds:
        announce(_progress(study, trials))
        trial = study.ask()
        values = {name: domain.suggest(trial, name) for name, domain in space.items()}
        score, details = _run_trial(context, values, features, stack_words)
        attributes = details | {"values": values}
        attributes["digest"] = _trial_digest(attributes, score)
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        study.tell(trial, score)
        write_json(context.output / "tuning.json", _outcome(context, study, space))
    shutil.rmtree(context.output / _SCRATCH, ignore_errors=True)
    if not _finished(study):
        raise UserError("No trial was finished: give --trials or --minutes a larger number.")
    outcome = _outcome(context, study, space)
    write_json(context.output / "tuning.json", outcome)
    replace_text(context.output / "tuned.yaml", outcome["lines"])
    return outcome


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError("tune needs Optuna: pip install 'stacked_emotion[tuning]'.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _open_study(optuna: Any, path: Path, name: str) -> Any:
    """The study in a database, which is set aside if it is damaged."""
    options: dict[str, Any] = {"study_name": name, "storage": f"sqlite:///{path.resolve()}"}
    options |= {"direction": "maximize", "load_if_exists": True}
    try:
        _check_database(path)
        study = optuna.create_study(**options)
        damaged = len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))
        damaged -= len(_finished(study))
    except UserError:
        raise
    except Exception as error:  # of sqlite3, SQLAlchemy, Optuna and JSON
        if not path.exists() or "locked" in str(error):
            raise
        aside = path.with_name(f"{path.name}.damaged")
        os.replace(path, aside)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)  # not that of a new database
        announce(
            f"{path} is damaged ({error}). It is set aside in {aside}, and the trials start again."
        )
        return optuna.create_study(**options)
    if damaged:
        announce(f"{path} holds {damaged} damaged trials, which are left out and run again.")
    return study


def _check_database(path: Path) -> None:
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            (found, *_) = connection.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)


def _trial_digest(attributes: dict[str, Any], score: float | None) -> str:
    """Of all that a trial says, its own digest left out."""
    return fingerprint([{k: v for k, v in attributes.items() if k != "digest"}, score])


def _study_name(context: RunContext, space: SearchSpace) -> str:
    """One study for one set of features, ranges and fixed options."""
    names = ("meta", "head", "trust_factor", "decisions", "threshold_objective", "probe_gap_limit")
    recipe = context.recipe.to_dict()
    stages, parts = context.recipe.stages, sorted(encoder_parts(context))
    key = fingerprint(
        [TOP_VERSION, FEATURES_VERSION],
        context.data_fingerprint,
        [weights_digest(context, name, part) for name in context.names for part in parts],
        [stages.cross_fit, stages.seed, stages.head_seeds[0]],
        context.recipe.stack.config_options(),
        {name: repr(domain) for name, domain in space.items()},
        {name: recipe[name] for name in names},
    )
    return f"stack-{key[:16]}"


def _requeue_killed(optuna: Any, study: Any) -> None:
    """Trials that were running when the process died are closed, and their values tried next."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)


def _run_trial(
    context: RunContext, values: dict[str, Any], features: FeatureCache, stack_words: bool
) -> tuple[float, dict[str, Any]]:
    """Out-of-fold objective of stage `head` with these values, and the epochs and seconds."""
    begin = time.monotonic()
    changes = values | {
        "output_dir": str(context.output / _SCRATCH),
        "encoders_from": str(context.shared),
        "report_to": ["none"],
        "gain_in_errors": 0.0,  # else every trial whose gain is within the noise scores the same
    }
    recipe = context.recipe.changed(changes)
    trial = RunContext(context.splits, recipe, context.tokenizer, context.encoded)

    def work(stage: str) -> Callable[[Path], dict[str, Any]]:
        def run(folder: Path) -> dict[str, Any]:
            model = build_stack(trial, stack_words, top_plan(trial, stage).meta_only)
            model.to(PartialState().device)
            found = choose_out_of_fold(trial, stage, features, model, folder, folder / CHECKPOINTS)
            return {"epoch": found.epoch, "score": found.decision.score}

        return run

    meta, head = (
        run_once(stage_folder(trial, stage), stage_key(trial, stage), work(stage), _TRIAL)
        for stage in ("meta", "head")
    )
    seconds = round(time.monotonic() - begin, 1)
    return head["score"], {
        "meta_epoch": meta["epoch"], "head_epoch": head["epoch"], "meta_score": meta["score"],
        "seconds": seconds,
    }  # fmt: skip


def _finished(study: Any) -> list[Any]:
    """The finished trials that say what they said when they were finished."""
    return [
        trial
        for trial in study.trials
        if trial.state.name == "COMPLETE"
        and trial.user_attrs.get("digest") == _trial_digest(trial.user_attrs, trial.value)
    ]


def _best(study: Any) -> Any:
    return max(_finished(study), key=lambda trial: trial.value)


def _progress(study: Any, trials: int) -> str:
    done = _finished(study)
    if not done:
        return f"Trial 1 of {trials}: the unchanged recipe."
    seconds = float(np.mean([trial.user_attrs["seconds"] for trial in done]))
    return (
        f"Trial {len(done) + 1} of {trials}; best so far {_best(study).value:.4f} (trial "
        f"{_best(study).number}), recipe {done[0].value:.4f}; "
        f"{duration(seconds * (trials - len(done)))} left."
    )


def _outcome(context: RunContext, study: Any, space: SearchSpace) -> dict[str, Any]:
    done = _finished(study)
    best = _best(study)
    return {
        "format": 1,
        "study": study.study_name,
        "objective": "Jaccard + micro-F1 + macro-F1 / 2, out of fold, decision cross-validated",
        "space": {name: repr(domain) for name, domain in space.items()},
        "best": {"trial": best.number, "score": best.value, "values": best.user_attrs["values"]},
        "recipe": {"score": done[0].value, "values": done[0].user_attrs["values"]},
        "lines": recipe_lines(context.recipe, best.user_attrs["values"]),
        "trials": [
            {"trial": trial.number, "score": trial.value}
            | {name: value for name, value in trial.user_attrs.items() if name != "digest"}
            for trial in done
        ],
        "rows": len(context.splits["train"]),
        "environment": environment(context.recipe.source),
    }


def run_tuning_command(
    recipe: TrainingRecipe, trials: int, seconds: float, parameters: Sequence[str]
) -> None:
    """Search the hyper-parameters of a recipe and print the best; the command `tune`."""
    prepare_process()
    outcome = hyperparameter_search(recipe, trials, seconds, parameters)
    best, own = outcome["best"], outcome["recipe"]
    print(
        f"Best of {counted(len(outcome['trials']), 'trial')}, out of fold: {best['score']:.4f} "
        f"(the recipe as it is: {own['score']:.4f}).\nThe best of many is too good as an estimate: "
        "train with the lines below and score on texts that were not used here.\n"
    )
    print(outcome["lines"])


main = partial(command_main, "tune")


if __name__ == "__main__":
    sys.exit(main())
