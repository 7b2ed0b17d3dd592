"""Stage `joint`: the whole stack trained end to end from what stage `head` left."""

from __future__ import annotations

from functools import partial
from typing import Any

from accelerate import PartialState
from safetensors.numpy import save_file
from safetensors.torch import load_file as read_top

from ...common.files import fingerprint
from ...common.finished import Finished, Form, find
from ..choosing.thresholds import DECISION_FORM
from ..data_collator import EncodedTextCollator
from ..parameter_groups import freeze_parts, parameter_groups
from ..running.checkpoints import newest_checkpoint
from ..running.once import CHECKPOINTS, run_once
from ..running.progress import show_loss
from ..running.tracking import send_tensorboard_to, text_gates
from ..trainer import StackedEmotionTrainer
from ..training_arguments import learned_from
from .cached_training import build_stack, load_top, predict_logits
from .context import CHECKPOINTING, RunContext, stage_loss
from .encoders import weights_digest
from .meta_and_head import finished_stage, stage_folder

# Raised when the same settings leave something else: the finished stage then runs again.
JOINT_VERSION = 2
JOINT_FORM = Form(
    {"decision": DECISION_FORM, "stack_words": bool}, ("model/*.safetensors", "model/config.json")
)


def run_joint(context: RunContext) -> dict[str, Any]:
    """Train end to end with a small learning rate, for a number of epochs the recipe fixes.

    The encoders have seen every training row by now, so nothing can be chosen on out-of-fold
    predictions here: epochs and thresholds are not, the thresholds stay those of stage `head`.
    """
    work = partial(_train, context)
    return run_once(stage_folder(context, "joint"), joint_key(context), work, JOINT_FORM)


def finished_joint(context: RunContext) -> Finished | None:
    """What this stage left, if it belongs to this recipe and to what stage `head` left."""
    return find(stage_folder(context, "joint"), joint_key(context), form=JOINT_FORM)[0]


def joint_key(context: RunContext) -> str:
    """Fingerprint of everything the outcome depends on."""
    joint, stages = context.recipe.joint, context.recipe.stages
    head = finished_stage(context, "head")
    return fingerprint(
        JOINT_VERSION,
        [head.key, head.digest()],
        [weights_digest(context, name, "final") for name in context.names],
        [stages.seed, context.encoders_in_bf16, stages.fp16],
        [context.splits[split].fingerprint() for split in context.held_out_splits],
        [context.recipe.head.loss.name, context.recipe.head.loss.options],
        vars(joint) | {"training_arguments": learned_from(joint)},
    )


def _train(context: RunContext, folder: Any) -> dict[str, Any]:
    recipe = context.recipe
    joint, seed = recipe.joint, recipe.stages.head_seeds[0]
    head = finished_stage(context, "head").record
    model = build_stack(context, head["stack_words"])
    load_top(model, read_top(stage_folder(context, "head") / f"seed_{seed}.safetensors"))
    fitted = [n for n in context.names if recipe.encoders[n].probe or recipe.encoders[n].ngrams]
    freeze_parts(model, [*joint.frozen_parts, *fitted])
    trainer = StackedEmotionTrainer(
        model=model,
        args=context.training_arguments(
            folder / CHECKPOINTS,
            joint,
            "joint",
            epochs=joint.epochs,
            learning_rate=joint.learning_rate,
            bf16=context.encoders_in_bf16,
            seed=seed,
            ddp_find_unused_parameters=True,
            **CHECKPOINTING,
        ),
        train_dataset=context.encoded["train"],
        data_collator=EncodedTextCollator(),
        loss=stage_loss("head", recipe.head, context.statistics),
        optimizer_groups=parameter_groups(
            model,
            dict.fromkeys(context.names, joint.learning_rate),
            joint.head_factor,
            joint.weight_decay,
            joint.layer_decay,
        ),
    )
    show_loss(trainer, joint, recipe.stages.logging_steps)
    send_tensorboard_to(trainer, context.output / "tensorboard" / "joint")
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder / CHECKPOINTS))
    trainer.save_finished(folder / "model")
    for split in context.held_out_splits:
        logits = predict_logits(model, context.encoded[split], batch_size=64)
        gates = text_gates(model, context.encoded[split], batch_size=64)
        if PartialState().is_main_process:
            save_file({"logits": logits[None], "gates": gates}, folder / f"{split}.safetensors")
    return {"decision": head["decision"], "stack_words": head["stack_words"]}
