"""Stage `joint`: the whole stack trained end to end from what stage `head` left."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from safetensors.numpy import save_file

from ...common.batching import batches_by_length
from ...common.files import fingerprint, read_json
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..data_collator import EncodedTextCollator, EncodedTexts
from ..parameter_groups import freeze_parts, parameter_groups
from ..running.checkpoints import newest_checkpoint
from ..running.tracking import send_tensorboard_to
from ..trainer import StackedEmotionTrainer
from ..training_arguments import learned_from
from .cached_training import build_stack, load_top, read_top
from .context import CHECKPOINTING, CHECKPOINTS, RunContext, run_once, stage_loss
from .meta_and_head import stage_folder


def run_joint(context: RunContext) -> dict[str, Any]:
    """Train end to end with a small learning rate, for a number of epochs the recipe fixes.

    The encoders have seen every training row by now, so nothing can be chosen on out-of-fold
    predictions here: epochs and thresholds are not, the thresholds stay those of stage `head`.
    """
    head = read_json(stage_folder(context, "head") / "done.json")
    joint = context.recipe.joint
    key = fingerprint(head["key"], vars(joint) | {"training_arguments": learned_from(joint)})
    return run_once(stage_folder(context, "joint"), key, lambda folder: _train(context, folder))


@torch.inference_mode()
def predict_encoded(
    model: StackedEmotionForSequenceClassification, texts: EncodedTexts, batch_size: int = 64
) -> np.ndarray:
    """Logits of encoded texts, (rows, labels) float32, in their order."""
    model.eval()
    collate = EncodedTextCollator()
    logits = np.zeros((len(texts), model.config.num_labels), np.float32)
    for rows in batches_by_length(texts.lengths, size=batch_size):
        batch = collate([texts[int(row)] for row in rows])
        batch.pop("labels", None)
        batch = {name: value.to(model.device) for name, value in batch.items()}
        logits[rows] = model(**batch).logits.float().cpu().numpy()
    return logits


def _train(context: RunContext, folder: Any) -> dict[str, Any]:
    recipe = context.recipe
    joint, seed = recipe.joint, recipe.stages.head_seeds[0]
    head = read_json(stage_folder(context, "head") / "done.json")
    model = build_stack(context, head["stack_words"])
    load_top(model, read_top(stage_folder(context, "head") / f"seed_{seed}.safetensors"))
    freeze_parts(model, joint.frozen_parts)
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
    send_tensorboard_to(trainer, context.output / "tensorboard" / "joint")
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder / CHECKPOINTS))
    trainer.save_finished(folder / "model")
    for split in context.held_out_splits:
        logits = predict_encoded(model, context.encoded[split])
        if PartialState().is_main_process:
            save_file({"logits": logits[None]}, folder / f"{split}.safetensors")
    return {"decision": head["decision"], "stack_words": head["stack_words"]}
