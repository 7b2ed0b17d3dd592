"""The shapes of text-embeddings-inference: `/predict` and `/info`."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .predictor_handler import PredictorHandler


def to_handler(data: Any) -> tuple[dict[str, Any], bool]:
    """A request to `/predict` as the handler reads it.

    `inputs` is one text (also as a list of one), or a batch, which is a list of lists of one text.
    `raw_scores` asks for logits; without it the scores are probabilities (sigmoid, not softmax).
    Texts that are too long are truncated with and without `truncate`.

    Returns:
        The request, and whether it is for one text, whose answer is not a list of lists.

    Raises:
        ValueError: the request is malformed; the message says what it must be.
    """
    if not isinstance(data, dict) or "inputs" not in data:
        raise ValueError('The body must be a JSON object with "inputs": a text, or [["…"], ["…"]].')
    inputs = data["inputs"]
    single = isinstance(inputs, str)
    if isinstance(inputs, list):
        single = bool(inputs) and isinstance(inputs[0], str)
        batch = [inputs] if single else inputs
        if any(isinstance(one, list) and len(one) > 1 for one in batch):
            raise ValueError(
                '"inputs" has texts side by side, which means a pair. This model reads single '
                'texts: send [["…"], ["…"]] for several.'
            )
        inputs = [one[0] if isinstance(one, list) and one else one for one in batch]
    for name in ("raw_scores", "truncate"):
        if not isinstance(data.get(name), bool | None):
            raise ValueError(f'"{name}" must be true or false.')
    function = "none" if data.get("raw_scores") else "sigmoid"
    return {"inputs": inputs, "parameters": {"function_to_apply": function}}, single


def info(handler: PredictorHandler, model: str, queue: int) -> dict[str, Any]:
    """The answer of `/info`.

    Args:
        handler: serves the model.
        model: folder or Hub ID; of a folder, only the name is shown.
        queue: texts that may wait.
    """
    predictor = handler.predictor
    labels = dict(enumerate(predictor.labels))
    folder = Path(model).expanduser()
    return {
        "model_id": folder.resolve().name if folder.is_dir() else model,
        "model_sha": handler.commit,
        "model_dtype": predictor.runner.dtype,
        "backend": predictor.runner.backend,
        "adaptive": None if predictor.adaptive is None else predictor.adaptive.rule.order,
        "model_type": {
            "classifier": {
                "id2label": {str(index): label for index, label in labels.items()},
                "label2id": {label: index for index, label in labels.items()},
            }
        },
        "decision": predictor.decision.rule,
        "thresholds": dict(zip(predictor.labels, predictor.thresholds, strict=True))
        if predictor.decision.rule == "threshold"
        else None,
        "max_concurrent_requests": queue,
        "max_input_length": predictor.encoder.max_length,
        "max_batch_tokens": handler.batch_tokens,
        "max_client_batch_size": handler.limits.texts,
        "auto_truncate": True,
        "tokenization_workers": 1,
        "version": version("stacked_emotion"),
    }
