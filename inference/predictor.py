"""The one predictor: torch, ONNX Runtime or OpenVINO behind it, the same labels from each."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from ..common.precision import native_dtype
from ..configuration_stacked_emotion import StackedEmotionConfig
from ..modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..tokenization_stacked_emotion import StackedEmotionTokenizer
from .backends.fastest import fastest
from .backends.onnx import ONNX_DTYPES, OnnxRunner, graph_path, missing_export
from .backends.openvino import OPENVINO_DTYPES, OpenVinoRunner
from .backends.weight_conversion import converted_weights
from .decisions import Decision
from .encoding import TextEncoder
from .model_files import ModelFiles
from .text_predictor import BATCH_TOKENS, WINDOW, Prediction, Runner, TextPredictor

__all__ = [
    "BATCH_TOKENS",
    "WINDOW",
    "Prediction",
    "StackedEmotionPredictor",
    "TorchRunner",
]

BACKENDS = ("auto", "torch", "onnx", "openvino")
GPU_BATCH_TOKENS = 32768

logger = logging.getLogger(__name__)


class TorchRunner:
    """Logits by the model itself."""

    backend = "torch"
    workers = 1

    def __init__(self, model: StackedEmotionForSequenceClassification) -> None:
        self.model = model
        self.batch_tokens = BATCH_TOKENS if model.device.type == "cpu" else GPU_BATCH_TOKENS
        self.dtype = str(model.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(texts, sequence, encoders) arrays to (texts, labels) float32 logits."""
        device = self.model.device
        inputs = {
            name: torch.from_numpy(np.ascontiguousarray(values)).to(device)
            for name, values in batch.items()
        }
        return self.model(**inputs).logits.float().cpu().numpy()


class StackedEmotionPredictor(TextPredictor):
    """Predicts emotions with a stack, from one text to a stream without end.

    Args:
        model: the stack.
        tokenizer: its tokenizer; one made for other encoders is refused.
        device: where the model runs.

    Example:
        >>> predictor = StackedEmotionPredictor.from_pretrained("user/name")  # doctest: +SKIP
        >>> predictor.backend  # doctest: +SKIP
        'torch bfloat16'
        >>> predictor.predict(["فرحان جدا"])[0].labels  # doctest: +SKIP
        ['joy']
    """

    def __init__(
        self,
        model: StackedEmotionForSequenceClassification,
        tokenizer: StackedEmotionTokenizer,
        device: str | torch.device = "cpu",
    ) -> None:
        tokenizer.check_model(model.config)
        self._source: tuple[ModelFiles, dict[str, Any]] | None = None
        self._model: StackedEmotionForSequenceClassification | None = model.to(device).eval()
        self.tokenizer = tokenizer
        config = model.config
        decision = Decision(
            config.label_names,
            list(config.thresholds or [0.5] * config.num_labels),
            config.decision,
            config.decision_scale,
        )
        super().__init__(TextEncoder.of(tokenizer), decision, TorchRunner(self._model))

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str,
        dtype: str | torch.dtype = "auto",
        device: str = "auto",
        revision: str | None = None,
        backend: str = "auto",
        **hub_options: Any,
    ) -> StackedEmotionPredictor:
        """Load a folder or a Hub repository.

        Args:
            path_or_id: the folder, or the id.
            dtype: "float32", "bfloat16", "float16" (torch on a GPU), or "int8" (onnx, openvino);
                "auto" for the fastest that is exact enough: bfloat16 where the device computes in
                it natively, int8 where the export measured it, float32 elsewhere.
            device: "auto" for the first GPU, if there is one.
            revision: commit, tag or branch of a Hub id.
            backend: "torch"; "onnx" or "openvino" for what `stacked-emotion export` wrote; "auto"
                for the fastest that is installed and that the export found exact enough (see
                `choice.exact_enough`). With a dtype, or without an export, "auto" is torch. The
                attribute `backend` says which it is.
            **hub_options: `token`, `cache_dir`, `local_files_only`.

        Raises:
            OSError: what is there is not a whole model, with what is missing.
            ValueError: a backend or dtype there is none of.
        """
        if backend not in BACKENDS:
            raise ValueError(f"backend={backend!r} is not known; there are {BACKENDS}.")
        where = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        )
        name = str(dtype).removeprefix("torch.")
        files = ModelFiles(path_or_id, revision, **hub_options)
        if backend == "auto":
            backend = "torch"
            if name == "auto" and where.type == "cpu":
                report = files.onnx_report()
                if report is not None:
                    backend, name = fastest(report).split()
                    logger.info("%s: backend %s %s", path_or_id, backend, name)
        options = {"revision": revision or "main", **hub_options}
        if backend == "torch":
            model = _load(files, native_dtype(where) if name == "auto" else name, options)
            tokenizer = StackedEmotionTokenizer.from_pretrained(path_or_id, **options)
            return cls(model, tokenizer, where)
        self = cls.__new__(cls)
        self._source, self._model = (files, options), None
        self.tokenizer = StackedEmotionTokenizer.from_pretrained(path_or_id, **options)
        TextPredictor.__init__(
            self,
            TextEncoder.of(self.tokenizer),
            files.decision(),
            _exported_runner(files, backend, name, where),
        )
        return self

    @property
    def model(self) -> StackedEmotionForSequenceClassification:
        """The model in torch; with another backend it is loaded, in float32, when first asked."""
        if self._model is None:
            assert self._source is not None
            self._model = _load(self._source[0], torch.float32, self._source[1]).eval()
        return self._model


def _load(
    files: ModelFiles, dtype: str | torch.dtype, options: dict[str, Any]
) -> StackedEmotionForSequenceClassification:
    """The model in torch; weights in another format are converted as they are read."""
    if isinstance(dtype, str):
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        if dtype not in kinds:
            raise ValueError(f"dtype={dtype!r} is not one of torch's; there are {sorted(kinds)}.")
        dtype = kinds[dtype]
    weights = converted_weights(files, dtype)
    source: str | None = files.location
    given = options
    if weights is not None:
        config = StackedEmotionConfig.from_pretrained(files.location, **options)
        source, given = None, {"config": config, "state_dict": weights}
    model, report = StackedEmotionForSequenceClassification.from_pretrained(
        source, dtype=dtype, output_loading_info=True, **given
    )
    if missing := sorted(report["missing_keys"]):
        raise OSError(
            f"The weights of {files.location} lack {len(missing)} tensors, such as {missing[0]}: "
            "they are not whole, or not those of this config.json. Fetch or save them again."
        )
    return model


def _exported_runner(files: ModelFiles, backend: str, dtype: str, device: torch.device) -> Runner:
    """The runner of what was exported.

    Raises:
        OSError: there is no export.
        ValueError: a dtype the backend does not have.
    """
    if device.type != "cpu":
        raise ValueError(f"backend={backend!r} runs on the CPU; for {device} take 'torch'.")
    report = files.onnx_report()
    if report is None:
        raise OSError(missing_export(files))
    kinds = ONNX_DTYPES if backend == "onnx" else OPENVINO_DTYPES
    if dtype == "auto":
        chosen = fastest(report, installed=lambda module: module.startswith(backend))
        dtype = chosen.split()[1] if chosen.startswith(backend) else "float32"
    if dtype not in kinds:
        raise ValueError(f"dtype={dtype!r} is not one of {backend}'s; there are {kinds}.")
    if backend == "onnx":
        return OnnxRunner(graph_path(files, report, dtype), dtype)
    return OpenVinoRunner(graph_path(files, report, "float32"), dtype)
