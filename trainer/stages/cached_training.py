"""What stages `meta` and `head` share: training the layers on top on cached features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PrinterCallback, TrainerCallback

from ...common.errors import UserError
from ...common.files import fingerprint
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..arguments import StackArguments
from ..choosing.decision_rules import OBJECTIVE_WEIGHTS, Decision, choose_decision
from ..data_collator import EncodedTexts, FeatureCollator, model_inputs
from ..features.cache import FeatureCache
from ..losses import EmotionLoss
from ..losses.contrastive import add_projection
from ..metrics.bootstrap import difference_with_error
from ..parameter_groups import top_parameter_groups, top_parameters
from ..running.tracking import EpochTracker, held_out_figures, send_tensorboard_to
from ..trainer import StackedEmotionTrainer
from ..training_sections import MetaTraining
from .context import RunContext
from .encoders import fine_tuned_folder

# Raised when the same settings come to other weights: finished stages of before then run again.
TOP_VERSION = 4

META_PARTS = ("stacked.meta_learner.", "stacked.stack_norm.")
HEAD_OPTIONS = frozenset(
    ["use_lstm", "ensemble_start", "lstm_hidden_size", "classifier_hidden_size", "contrastive_dim"]
)


@dataclass
class TopPlan:
    """How a stage trains the layers on top.

    Attributes:
        output: the output that is trained and scored, "logits" or "meta_logits".
        parts: beginnings of the names of the parameters that are trained; empty for all on top.
        epochs: most epochs.
        settings: how they are optimized.
        stage: meta or head.
        loss: the loss.
    """

    output: str
    parts: tuple[str, ...]
    epochs: int
    settings: MetaTraining
    stage: str
    loss: EmotionLoss = field(repr=False)

    @property
    def meta_only(self) -> bool:
        """Whether nothing behind the meta-learner has a say, so that the stage does without it."""
        return self.output == "meta_logits" and not self.loss.uses_embedding


def stack_options(stack: StackArguments, meta_only: bool = False) -> dict[str, Any]:
    """Fields of `StackedEmotionConfig` of the stack that a stage trains.

    Args:
        stack: the recipe's.
        meta_only: without Bi-LSTM, projection and classifier. What the recipe says of them is left
            out, so that two recipes that differ in it alone have one stage `meta`.
    """
    options = stack.config_options()
    if not meta_only:
        return options
    kept = {name: value for name, value in options.items() if name not in HEAD_OPTIONS}
    return kept | {"use_lstm": False, "use_classifier": False, "contrastive_dim": 0}


def build_stack(
    context: RunContext,
    stack_words: bool = True,
    meta_only: bool = False,
    sources: Mapping[str, Any] | None = None,
    **changes: Any,
) -> StackedEmotionForSequenceClassification:
    """The stack on fine-tuned encoders, its other layers untrained.

    Args:
        context: the run.
        stack_words: stack the word vectors; else only the encoders' logits.
        meta_only: see `stack_options`.
        sources: folder of each encoder; by default that of the final fine-tuned one.
        **changes: fields of `StackedEmotionConfig` that differ from the recipe.

    Raises:
        UserError: stage `encoders` has not run.
    """
    sources = sources or {name: fine_tuned_folder(context, name, "final") for name in context.names}
    statistics = context.statistics
    options = stack_options(context.recipe.stack, meta_only) | changes
    projection = options.pop("contrastive_dim")
    model = StackedEmotionForSequenceClassification.from_encoders(
        sources,
        labels=context.label_names,
        label_prevalence=statistics.prevalence.tolist(),
        label_correlation=statistics.correlation.tolist(),
        use_word_embeddings=stack_words,
        **options,
    )
    add_projection(model, projection)
    return model


def reset_top(model: StackedEmotionForSequenceClassification, seed: int) -> None:
    """Give everything on top of the encoders its initial weights again.

    Each module draws from its own seed, made of `seed` and its name: with another part left
    out or of another size it begins the same.
    """
    tops = {
        name: child
        for name, child in model.stacked.named_children()
        if not name.startswith(("encoder_", "head_"))
    }
    if model.config.use_classifier:
        tops["classifier"] = model.classifier
    for top, child in tops.items():
        for name, module in child.named_modules(prefix=top):
            torch.manual_seed(int(fingerprint(seed, name)[:15], 16))
            _forget_initialization(module)
            model._init_weights(module)
    torch.manual_seed(seed)


def _forget_initialization(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        if hasattr(parameter, "_is_hf_initialized"):
            del parameter._is_hf_initialized
    if hasattr(module, "_is_hf_initialized"):
        del module._is_hf_initialized


def top_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights on top of the encoders and their heads."""
    return {name: value.detach().cpu().clone() for name, value in top_parameters(model)}


def load_top(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put back what `top_state` took."""
    parameters = dict(top_parameters(model))
    if set(parameters) != set(state):
        raise UserError(
            "These weights belong to another stack: they differ in "
            f"{sorted(set(parameters) ^ set(state))[:4]}. Remove the stage's folder and run again."
        )
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)


@torch.inference_mode()
def predict_logits(
    model: StackedEmotionForSequenceClassification,
    texts: FeatureCache | EncodedTexts,
    output: str = "logits",
    batch_size: int = 128,
) -> np.ndarray:
    """Logits of cached or encoded texts, (rows, labels) float32, in their order."""
    logits = np.zeros((len(texts), model.config.num_labels), np.float32)
    for rows, batch in model_inputs(model, texts, batch_size):
        logits[rows] = model(**batch)[output].float().cpu().numpy()
    return logits


class HeldOutLogits(TrainerCallback):
    """Keeps weights and logits of held-out rows after every epoch, step 0 first."""

    def __init__(
        self,
        model: StackedEmotionForSequenceClassification,
        features: FeatureCache,
        output: str,
    ) -> None:
        self.model, self.features, self.output = model, features, output
        self.logits: list[np.ndarray] = []
        self.states: list[dict[str, torch.Tensor]] = []

    def scores(self) -> dict[str, float]:
        """How the held-out rows are scored now; see `held_out_figures`."""
        labels = self.features.labels
        assert labels is not None
        return held_out_figures(self.logits[-1], labels[self.features.rows])

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """`logits` (epochs + 1, rows, labels), and the weights as `<epoch>/<name>`."""
        tensors = {"logits": torch.from_numpy(np.stack(self.logits))}
        for epoch, state in enumerate(self.states):
            tensors |= {f"{epoch}/{name}": value for name, value in state.items()}
        return tensors

    @staticmethod
    def from_tensors(
        tensors: dict[str, torch.Tensor],
    ) -> tuple[np.ndarray, list[dict[str, torch.Tensor]]]:
        """Logits (epochs + 1, rows, labels) and the weights by epoch."""
        logits = tensors["logits"].numpy()
        states: list[dict[str, torch.Tensor]] = [{} for _ in logits]
        for key, value in tensors.items():
            if key != "logits":
                epoch, _, name = key.partition("/")
                states[int(epoch)][name] = value
        return logits, states

    def _keep(self) -> None:
        self.states.append(top_state(self.model))
        self.logits.append(predict_logits(self.model, self.features, self.output))

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Keep the state before the first step: it is a candidate."""
        self._keep()

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Keep the state after the epoch."""
        self._keep()
        self.model.train()


class StopAfterEpochs(TrainerCallback):
    """Stops a longer schedule after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Ask for the stop."""
        if round(state.epoch) >= self.epochs:
            control.should_training_stop = True
        return control


@contextmanager
def encoders_aside(model: StackedEmotionForSequenceClassification) -> Iterator[None]:
    """Take the encoders and their heads out of the model, and put them back in the end.

    On cached features they have nothing to do, but `Trainer` goes through every module and every
    parameter of the model several times a step: `train()`, `zero_grad()`, the clipping of
    gradients.

    Args:
        model: the stack; meanwhile it takes `word_embeddings` only. Its modules come back in their
            old order, so that its parameters and its state dict are as before.
    """
    modules = model.stack._modules
    before = dict(modules)
    for name in model.config.encoder_names:
        del modules[f"encoder_{name}"], modules[f"head_{name}"]
    try:
        yield
    finally:
        added = {name: module for name, module in modules.items() if name not in before}
        modules.clear()
        modules.update(before | added)


def train_top(
    context: RunContext,
    model: StackedEmotionForSequenceClassification,
    features: FeatureCache,
    plan: TopPlan,
    seed: int,
    callbacks: list[TrainerCallback],
    part: str,
    constants: dict[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Train the layers on top in place.

    Args:
        context: the run.
        model: the stack.
        features: the rows to train on.
        plan: how.
        seed: of dropout and of the order of the rows.
        callbacks: further callbacks; the rows of a `HeldOutLogits` are scored after every epoch.
        part: names the run for the trackers, such as `head/seed_0`.
        constants: figures for the trackers, logged at the start.

    Returns:
        The trainer's log: loss and its parts by step; gates and held-out scores by epoch.
    """
    model.requires_grad_(False)
    for name, parameter in top_parameters(model):
        parameter.requires_grad_(not plan.parts or name.startswith(plan.parts))
    if not any(parameter.requires_grad for _, parameter in top_parameters(model)):
        for callback in callbacks:  # a plain average has nothing to train
            callback.on_train_begin()
        return []
    with encoders_aside(model):
        trainer = StackedEmotionTrainer(
            model=model,
            args=context.training_arguments(
                context.output / "trainer",
                plan.settings,
                plan.stage,
                epochs=plan.epochs,
                learning_rate=plan.settings.learning_rate,
                save_strategy="no",
                seed=seed,
                disable_tqdm=True,
            ),
            train_dataset=features,
            data_collator=FeatureCollator(),
            loss=plan.loss,
            optimized=plan.output,
            optimizer_groups=top_parameter_groups(
                model,
                plan.settings.learning_rate,
                context.recipe.stages.trust_factor,
                plan.settings.weight_decay,
            ),
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)
        keeper = next((one for one in callbacks if isinstance(one, HeldOutLogits)), None)
        tracker = EpochTracker(
            trainer,
            model,
            keeper.features if keeper else features,
            epoch_figures=keeper.scores if keeper else None,
            constants=constants,
        )
        trainer.add_callback(tracker)
        send_tensorboard_to(trainer, context.output / "tensorboard" / part)
        trainer.train()
        return [entry for entry in trainer.state.log_history if "train_runtime" not in entry]


def choose_epoch(
    logits_by_epoch: np.ndarray,
    labels: np.ndarray,
    objective: str,
    candidates: list[str],
    gain_in_errors: float = 0.0,
) -> tuple[int, list[float], Decision]:
    """The epoch whose out-of-fold logits score best, with the decision chosen on them.

    Step 0, where the stage began, is a candidate: it is kept unless the best epoch's gain over it
    is more than `gain_in_errors` of its standard errors (paired bootstrap over the rows), as in the
    one-standard-error rule of Breiman et al. (1984).

    Args:
        logits_by_epoch: (epochs + 1, rows, labels), epoch 0 being the start.
        labels: (rows, labels).
        objective: what thresholds maximize, see `thresholds.OBJECTIVES`.
        candidates: see `decisions.DECISIONS`.
        gain_in_errors: 0 takes the best epoch, however small its gain; below 0, training may even
            lose that many standard errors.

    Returns:
        The epoch, the objective of every epoch (`decision_objective`, cross-validated), and the
        `Decision` at the best.
    """
    choices = [
        choose_decision(logits, labels.astype(np.int64), candidates, objective)
        for logits in logits_by_epoch
    ]
    scores = [choice.score for choice in choices]
    best = int(np.argmax(scores))
    if gain_in_errors and len(scores) > 1:
        best = 1 + int(np.argmax(scores[1:]))
        start, finish = (choices[at].decide(logits_by_epoch[at]) for at in (0, best))
        gain, error = difference_with_error(
            labels.astype(np.int64), finish, start, OBJECTIVE_WEIGHTS
        )
        limit = gain_in_errors * error
        if gain < limit or (gain == limit and gain_in_errors > 0):  # error 0: equal decisions
            best = 0
    return best, scores, choices[best]
