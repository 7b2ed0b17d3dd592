"""`push_to_hub` of a model and of a trainer, with the result of `stacked-emotion publish`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel
from transformers.utils import logging

from ..common.environment import environment
from ..common.errors import UserError
from ..tokenization_stacked_emotion import StackedEmotionTokenizer
from .publishing import Publication, publish
from .repository import weight_files

logger = logging.get_logger(__name__)

_STOCK_OPTIONS = {"use_temp_dir", "safe_serialization", "tags", "commit_description"}


def push_model(
    model: PreTrainedModel,
    repo_id: str,
    *,
    tokenizer: StackedEmotionTokenizer | None = None,
    run: str | Path | None = None,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    training_args: Mapping[str, Any] | None = None,
    note: str | None = None,
    max_shard_size: int | str = "5GB",
    create_pr: bool = False,
    revision: str | None = None,
    **options: Any,
) -> Publication:
    """Publish a loaded model as `publish` does a run.

    The figures of the run are published with it only if the weights are still those of the run.

    Args:
        model: a stack with its classifier.
        repo_id: `user/name`.
        tokenizer: its tokenizer; by default that of the folder or Hub id the model came from.
        run: the run it came from; by default the folder around the one it was loaded from, if that
            is a run.
        scores: for a model without a run: metric by name, by split.
        training_args: the same: what it was trained with.
        note: the same: a remark on the figures.
        max_shard_size: of the weights.
        create_pr: refused.
        revision: the branch to commit to.
        **options: as `publish`: `license` (there is no default), `private`, `revision_tag`,
            `dry_run`, `languages`, `commit_message`, `token` and so on.

    Raises:
        UserError: as `publish`; or there is no tokenizer.
    """
    if create_pr:
        raise UserError("create_pr is not supported: push to a branch with revision=….")
    for name in _STOCK_OPTIONS & set(options):
        if options.pop(name) is not None:
            logger.warning("push_to_hub of a stack ignores %s.", name)
    source = Path(model.name_or_path or ".")
    tokenizer = tokenizer or _tokenizer_of(model)
    tokenizer.check_model(model.config)
    if run is None and (source.parent / "results.json").is_file():
        run = source.parent
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / repo_id.split("/")[-1]
        model.save_pretrained(folder / "model", max_shard_size=max_shard_size)
        tokenizer.save_pretrained(folder / "model")
        if run is not None and _same_weights(model, Path(run) / "model"):
            for file in ("results.json", "training_args.json", "predictions_test.npz",
                         "predictions_validation.npz"):  # fmt: skip
                if (Path(run) / file).is_file():
                    shutil.copyfile(Path(run) / file, folder / file)
            if (Path(run) / "model" / "onnx").is_dir():
                shutil.copytree(Path(run) / "model" / "onnx", folder / "model" / "onnx")
        else:
            if run is not None:
                logger.warning("The weights are no longer those of %s: its figures stay out.", run)
            _write_results(folder, model, scores, note)
            args = json.dumps(dict(training_args or {}), ensure_ascii=False, default=str)
            (folder / "training_args.json").write_text(args + "\n", encoding="utf-8")
        return publish(folder, repo_id, branch=revision or "main", **options)


def push_trainer(
    trainer: Any,
    commit_message: str | None = "End of training",
    token: str | None = None,
    revision: str | None = None,
    private: bool | None = None,
    **options: Any,
) -> Publication | None:
    """Publish the model of a `Trainer`; nothing else of its `output_dir` goes up.

    Args:
        trainer: its `args.hub_model_id`, `hub_token`, `hub_private_repo` and `hub_revision` count;
            its last evaluation goes into the card.
        commit_message: of the commit.
        token: in place of `args.hub_token`.
        revision: the branch.
        private: make the repository private, if it is made.
        **options: as `push_model`; `license` is needed.

    Returns:
        What was published; None on other ranks than the first.
    """
    from huggingface_hub import HfApi

    from .hub_errors import hub_errors, hub_problem

    if not trainer.is_world_process_zero():
        return None
    args = trainer.args
    token = token or args.hub_token
    repo_id = args.hub_model_id or Path(args.output_dir).name
    if "/" not in repo_id:
        try:
            repo_id = f"{HfApi(token=token).whoami()['name']}/{repo_id}"
        except hub_errors() as error:
            raise hub_problem(error, repo_id, "asking who publishes") from error
    model = trainer.accelerator.unwrap_model(trainer.model)
    if private is None:
        private = bool(args.hub_private_repo)
    figures = _last_evaluation(trainer)
    return push_model(
        model,
        repo_id,
        tokenizer=trainer.processing_class,
        scores={"validation": figures} if figures else None,
        training_args=args.to_sanitized_dict(),
        note="They were measured with the single threshold that is best on these very texts."
        if "threshold" in figures
        else None,
        commit_message=commit_message,
        token=token,
        revision=revision or getattr(args, "hub_revision", None),
        private=private,
        **options,
    )


def _last_evaluation(trainer: Any) -> dict[str, float]:
    for entry in reversed(trainer.state.log_history):
        found = {
            key.removeprefix("eval_"): float(value)
            for key, value in entry.items()
            if key.startswith("eval_") and isinstance(value, int | float)
        }
        if found:
            timing = ("runtime", "samples_per_second", "steps_per_second", "loss")
            return {key: value for key, value in found.items() if key not in timing}
    return {}


def _tokenizer_of(model: PreTrainedModel) -> StackedEmotionTokenizer:
    if not model.name_or_path:
        raise UserError("Give the tokenizer: model.push_to_hub(…, tokenizer=tokenizer).")
    try:
        return StackedEmotionTokenizer.from_pretrained(model.name_or_path)
    except OSError as error:
        raise UserError(
            f"There is no tokenizer in {model.name_or_path}: give it, as in "
            "model.push_to_hub(…, tokenizer=tokenizer)."
        ) from error


def _same_weights(model: PreTrainedModel, folder: Path) -> bool:
    """Whether the weights are those of the folder, bit by bit."""
    state, seen = model.state_dict(), 0
    try:
        files = [name for name in weight_files(folder) if name.endswith(".safetensors")]
    except UserError:
        return False
    for name in files:
        with safe_open(folder / name, framework="pt") as weights:
            for key in weights.keys():  # noqa: SIM118  (not a dict)
                if key not in state or not torch.equal(state[key].cpu(), weights.get_tensor(key)):
                    return False
                seen += 1
    return seen == len(state)


def _write_results(
    folder: Path,
    model: PreTrainedModel,
    scores: Mapping[str, Mapping[str, float]] | None,
    note: str | None,
) -> None:
    config = model.config
    results: dict[str, Any] = {
        "format": 1,
        "labels": config.label_names,
        "splits": list(scores or {}),
        "encoders": {
            name: {"source": config.encoders[name].name_or_path} for name in config.encoder_names
        },
        "systems": {
            "model": {
                split: {metric: {"mean": value, "std": 0.0, "values": [value]}
                        for metric, value in metrics.items()}
                for split, metrics in scores.items()
            }
        }
        if scores
        else {},
        "environment": environment(),
        "note": note,
    }  # fmt: skip
    text = json.dumps(results, ensure_ascii=False) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")
