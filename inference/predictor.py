"""The one predictor: torch, ONNX Runtime or OpenVINO behind it, the same labels from each."""

from __future__ import annotations

import logging
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..alignment_stacked_emotion import AlignedBatchEncoder
from ..common.errors import UserError
from ..configuration_stacked_emotion import StackedEmotionConfig
from ..layers_stacked_emotion import WordMean
from ..modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..tokenization_stacked_emotion import StackedEmotionTokenizer
from ..tokenizer_files_stacked_emotion import read_tokenizers
from .adaptive.graphs import GraphStages
from .adaptive.stack import adaptive_rule
from .backends.fastest import fastest
from .backends.onnx import OnnxRunner, exported
from .backends.openvino import OpenVinoRunner, export_for
from .backends.weight_conversion import check_finite, converted_weights
from .decisions import Decision
from .model_files import CONFIG, TOKENIZER, ModelError, ModelFiles
from .summary import Summary
from .text_predictor import BATCH_TOKENS, Runner, TextPredictor

BACKENDS = ("auto", "torch", "onnx", "openvino")
GPU_BATCH_TOKENS = 32768
_TORCH_DTYPES = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16,
}  # fmt: skip

logger = logging.getLogger(__name__)


class TorchRunner:
    """Logits by the model itself."""

    backend = "torch"
    workers = 1

    def __init__(self, model: StackedEmotionForSequenceClassification) -> None:
        self.model = model
        self.device = str(model.device)
        self.batch_tokens = BATCH_TOKENS if model.device.type == "cpu" else GPU_BATCH_TOKENS
        self.dtype = str(model.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(texts, sequence, encoders) arrays to (texts, labels) float32 logits."""
        return self.model(**self._tensors(batch)).logits.float().cpu().numpy()

    @torch.inference_mode()
    def encode(self, place: int, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Word vectors and logits of one encoder; see `adaptive.stack.StagedRunner`."""
        words, logits = self.model.stacked.encode_one(place, **self._tensors(batch))
        return words.float().cpu().numpy(), logits.float().cpu().numpy()

    @torch.inference_mode()
    def top(
        self, batch: dict[str, np.ndarray], words: list[np.ndarray], logits: list[np.ndarray]
    ) -> np.ndarray:
        """The full stack's logits from all encoders; see `adaptive.stack.StagedRunner`."""
        counts = batch["word_index"].max((1, 2))[:, None]
        inputs = {
            "word_embeddings": np.concatenate(words, axis=-1),
            "word_mask": np.arange(words[0].shape[1]) < counts,
            "encoder_logits": np.stack(logits, axis=1),
        }
        return self(inputs)

    def _tensors(self, batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
        return {
            name: torch.from_numpy(np.ascontiguousarray(values)).to(self.model.device)
            for name, values in batch.items()
        }


class StackedEmotionPredictor(TextPredictor):
    """Predicts emotions with a stack, from one text to a stream without end.

    Args:
        model: the stack.
        tokenizer: its tokenizer; one made for other encoders is refused.
        device: where the model runs.
        long_texts, pooling: see `TextPredictor`.
        adaptive: skip encoders where the labels are certain enough, by the model's own limits.
        abstain: see `from_pretrained`.

    Raises:
        UserError: `adaptive` or `abstain`, and the model has no limits.

    Example:
        >>> from stacked_emotion.inference import StackedEmotionPredictor
        >>> predictor = StackedEmotionPredictor.from_pretrained("user/name", dtype="float32")
        >>> predictor.backend
        'torch float32'
        >>> prediction = predictor.predict("فرحان جدا")[0]
        >>> prediction.truncated, prediction.has_words
        (False, True)
        >>> predictor.predict_proba(["فرحان جدا", "يوم حزين"]).shape
        (2, 11)
    """

    def __init__(
        self,
        model: StackedEmotionForSequenceClassification,
        tokenizer: StackedEmotionTokenizer,
        device: str | torch.device = "cpu",
        long_texts: str = "truncate",
        pooling: str = "max",
        source: str = "",
        adaptive: bool = False,
        abstain: float | None = None,
    ) -> None:
        self._files: ModelFiles | None = None
        self._model: StackedEmotionForSequenceClassification | None = model.to(device).eval()
        decision = Decision.from_config(model.config.to_dict()).abstaining(abstain)
        self._set_up(tokenizer, model.config, decision, TorchRunner(self._model), long_texts,
                     pooling, source)  # fmt: skip
        if adaptive:
            self.adapted(model.config.to_dict())

    def _set_up(
        self, tokenizer: StackedEmotionTokenizer, config: StackedEmotionConfig,
        decision: Decision, runner: Runner, *options: str,
    ) -> None:  # fmt: skip
        tokenizer.check_model(config)
        self.tokenizer, self.config = tokenizer, config
        encoder = AlignedBatchEncoder.from_settings(tokenizer._settings(), tokenizer.backends)
        super().__init__(encoder, decision, runner, *options)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        dtype: str | torch.dtype = "auto",
        device: str = "auto",
        revision: str | None = None,
        backend: str = "auto",
        long_texts: str = "truncate",
        pooling: str = "max",
        adaptive: bool = False,
        abstain: float | None = None,
        **hub_options: Any,
    ) -> StackedEmotionPredictor:
        """Load a folder or a Hub repository.

        Args:
            path_or_id: the folder of a model or of its run, or the Hub ID.
            dtype: "float32", "bfloat16", "float16" (torch on a GPU), or "int8" (onnx, openvino);
                "auto" for float32, unless an export measured another one to be exact enough.
            device: "auto" for the first GPU, if there is one.
            revision: commit, tag or branch of a Hub ID.
            backend: "torch"; "onnx" or "openvino" for what `stacked-emotion export` wrote; "auto"
                for the fastest on this CPU that is installed and that the export found exact
                enough (see `fastest.exact_enough`). Without an export, on a GPU or with a dtype,
                "auto" is torch (with int8 ONNX Runtime). The attribute `backend` says which it is.
            long_texts, pooling: see `TextPredictor`.
            adaptive: skip encoders where the labels are certain enough, by the model's own limits.
            abstain: the share of texts that get labels, the surest ones, such as 0.9; 1 for all,
                None for what the model's config says, which is all by default.
            **hub_options: `token`, `cache_dir`, `local_files_only`.

        Raises:
            ModelError: there is no such model, or a file of it is missing, malformed or unsafe.
            UserError: an unknown backend or dtype, or `adaptive` or `abstain` and the model has no
                limits.
        """
        files = ModelFiles(path_or_id, revision, **hub_options)
        if adaptive:
            adaptive_rule(files.config(), files.location)
        decision = files.decision().abstaining(abstain)
        where = device_of(device)
        backend, name = runtime(files, backend, dtype, where)
        config = load_config(files)
        tokenizer = load_tokenizer(files)
        if backend == "torch":
            model = load_model(files, name)
            with files.reading(TOKENIZER):  # it may be that of another model
                self = cls(model, tokenizer, where, long_texts, pooling, files.location, adaptive,
                           abstain)  # fmt: skip
            return self.verified(files)
        self = cls.__new__(cls)
        self._files, self._model = files, None
        runner = _exported_runner(files, backend, name, where, adaptive)
        with files.reading(TOKENIZER):
            self._set_up(tokenizer, config, decision, runner, long_texts, pooling, files.location)
        if adaptive:
            self.adapted(files.config())
        return self.verified(files)

    @property
    def summary(self) -> Summary:
        """Encoders, parts, labels and thresholds at a glance."""
        return Summary(self.config)

    @property
    def model(self) -> StackedEmotionForSequenceClassification:
        """The model in torch; with another backend it is loaded, in float32, when first asked."""
        if self._model is None:
            assert self._files is not None
            self._model = load_model(self._files, torch.float32)
        return self._model


def load_sharing(
    folder: str, model: StackedEmotionForSequenceClassification
) -> StackedEmotionPredictor | None:
    """What `from_pretrained` gives for a folder, with the weights of its model in float32.

    Args:
        folder: of the model.
        model: the model of that folder, already loaded; only its weights are shared.

    Returns:
        The predictor; None if it would not run in torch in float32 where the model is.
    """
    files, device = ModelFiles(folder), device_of("auto")
    if runtime(files, "auto", "auto", device) != ("torch", "float32") or model.device != device:
        return None
    tensors = model.state_dict(keep_vars=True).values()
    sharing = deepcopy(model, {id(tensor): tensor for tensor in tensors})
    without_dead_parts(sharing)
    tokenizer = load_tokenizer(files)
    return StackedEmotionPredictor(sharing, tokenizer, device, source=files.location)


def load_config(files: ModelFiles) -> StackedEmotionConfig:
    """The configuration of a model.

    Raises:
        ModelError: it is missing or malformed.
    """
    files.config()  # checks the sizes
    with files.reading(CONFIG):
        return StackedEmotionConfig.from_pretrained(files.location, **files.options)


def load_tokenizer(files: ModelFiles) -> StackedEmotionTokenizer:
    """The tokenizer of a model.

    Raises:
        ModelError: a file is missing or malformed.
    """
    files.tokenizer_settings()
    with files.reading(TOKENIZER):
        settings, backends = read_tokenizers(files, files.location)
        return StackedEmotionTokenizer(backends=backends, name_or_path=files.location, **settings)


def load_model(
    files: ModelFiles, dtype: str | torch.dtype, **options: Any
) -> StackedEmotionForSequenceClassification:
    """The model in torch, in evaluation mode; weights of another format are converted as read.

    A classifier whose training was not kept adds zero and is taken out.

    Args:
        files: of the model.
        dtype: of the weights.
        **options: of `from_pretrained`, such as `attn_implementation`.

    Raises:
        ModelError: a file is missing, malformed or unsafe, or weights are not finite.
        UserError: an unknown dtype.
    """
    if isinstance(dtype, str):
        if dtype not in _TORCH_DTYPES:
            raise UserError(
                f"dtype={dtype!r} is not one of torch's; there are {sorted(_TORCH_DTYPES)}."
            )
        dtype = _TORCH_DTYPES[dtype]
    config = load_config(files)
    with files.reading("the weights"):
        paths = files.weight_files()
        StackedEmotionForSequenceClassification.refuse_large(
            config, sum(path.stat().st_size for path in paths)
        )
        weights = converted_weights(files, dtype)
        # The folder of the Hub's cache, for what else a repository has is not to be read.
        source = str(paths[0].parent) if weights is None else None
        given = {} if weights is None else {"state_dict": weights}
        model, report = StackedEmotionForSequenceClassification.from_pretrained(
            source, config=config, dtype=dtype, output_loading_info=True, use_safetensors=True,
            **given, **options,
        )  # fmt: skip
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"The weights of {files.location} lack {len(missing)} tensors, such as {missing[0]}: "
            "they are not whole, or not those of this config.json. Fetch or save them again."
        )
    check_finite(model.state_dict(), files.location)
    if without_dead_parts(model):
        logger.info("%s: %s", files.location, SKIPPED)
    return model.eval()


SKIPPED = (
    "the classifier adds zero, because its training was not kept: Bi-LSTM, pooling and classifier "
    "are skipped, with the same logits"
)


def without_dead_parts(model: StackedEmotionForSequenceClassification) -> bool:
    """Take out Bi-LSTM, pooling and classifier, in place, where they add exactly zero.

    Returns:
        Whether they did.
    """
    config, stack = model.config, model.stacked
    if not (config.use_classifier and config.ensemble_start):
        return False
    if any(weight.any() for weight in model.classifier.output.parameters()):
        return False
    config.use_classifier = config.use_lstm = False
    del model.classifier
    stack._modules.pop("lstm", None)
    stack.pooling = WordMean()
    return True


def device_of(device: str) -> torch.device:
    """The device of that name; "auto" for the first GPU, if there is one.

    Raises:
        UserError: torch does not know it, or has none here.
    """
    gpu = torch.cuda.is_available()
    try:
        found = torch.device(("cuda" if gpu else "cpu") if device == "auto" else device)
    except RuntimeError as error:
        raise UserError(f"device={device!r} is not known: {error}") from error
    if found.type == "cuda" and not gpu:
        raise UserError(f"device={device!r}: torch finds no GPU here. Use 'cpu' or 'auto'.")
    return found


def runtime(
    files: ModelFiles, backend: str, dtype: str | torch.dtype, device: torch.device
) -> tuple[str, str]:
    """The backend and dtype that `StackedEmotionPredictor.from_pretrained` takes.

    Args:
        files: of the model.
        backend, dtype: as given there, perhaps "auto".
        device: where it runs.

    Raises:
        ModelError: there is no usable export.
        UserError: an unknown backend, or one that does not run on the device.
    """
    if backend not in BACKENDS:
        raise UserError(f"backend={backend!r} is not known; there are {BACKENDS}.")
    name = str(dtype).removeprefix("torch.")
    if name != "auto":
        if backend == "auto":
            backend = "onnx" if name == "int8" else "torch"
        return backend, name
    if backend in ("auto", "torch"):
        report = files.onnx_report() if device.type == "cpu" else None
    else:
        report = exported(files)
    only = None if backend == "auto" else (lambda module: module.startswith(backend))
    found, name = fastest(report, installed=only).split()
    if backend not in ("auto", found):
        return backend, "float32"
    logger.info("%s: backend %s %s", files.location, found, name)
    return found, name


def _exported_runner(
    files: ModelFiles, backend: str, dtype: str, device: torch.device, adaptive: bool
) -> Runner:
    """The runner of what was exported.

    Raises:
        ModelError: there is no usable export.
        UserError: a dtype the backend does not have.
    """
    if device.type != "cpu":
        raise UserError(f"backend={backend!r} runs on the CPU; for {device} use 'torch'.")
    report, kind = export_for(files, backend, dtype)
    graph = files.graph(report, kind)
    runner: type[OnnxRunner] | type[OpenVinoRunner]
    runner = OnnxRunner if backend == "onnx" else OpenVinoRunner
    with files.reading("the exported graph"):
        if adaptive:
            return GraphStages(files, report, kind, lambda path: runner(path, dtype))
        return runner(graph, dtype)
