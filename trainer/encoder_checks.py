"""Checks of pretrained encoders, in seconds, before anything is trained.

An encoder can be unusable and still load: without tokenizer files `AutoTokenizer` returns a
tokenizer of a few special tokens, and missing weights are filled with random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import logging as hf_logging

from ..common.errors import UserError, counted, did_you_mean
from ..inference.model_files import CONFIG, ModelError, hub_file, local_folder
from ..tokenizer_files_stacked_emotion import take_backend

MAX_UNKNOWN = 0.5
WARN_UNKNOWN = 0.05
SAMPLE_TEXTS = 2000
MIN_TOKENS = 10
_TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model",
    "spm.model", "tokenizer.model", "bpe.codes",
)  # fmt: skip


@dataclass
class EncoderCheck:
    """What was found out about one encoder.

    Attributes:
        name: its name in the stack.
        source: Hub ID or folder.
        commit: commit of the Hub repository that was read; None for a folder.
        model_type: architecture, as in `config.json`.
        hidden_size: width of its hidden states.
        layers: number of hidden layers.
        vocabulary: number of tokens of its tokenizer.
        unknown_share: share of unknown tokens in the training texts; None where no text was given.
        max_length: positions it can use, at most the number asked for.
        warnings: what a user should know.
        problems: why it cannot be used, each with the remedy.
    """

    name: str
    source: str
    commit: str | None = None
    model_type: str | None = None
    hidden_size: int | None = None
    layers: int | None = None
    vocabulary: int | None = None
    unknown_share: float | None = None
    max_length: int | None = None
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A line with what it is, then a line per warning and problem."""
        facts = [self.source if self.commit is None else f"{self.source} at {self.commit[:12]}"]
        if self.model_type is not None:
            layers = counted(self.layers or 0, "layer")
            facts.append(f"{self.model_type}, {layers} of width {self.hidden_size}")
        if self.vocabulary is not None:
            facts.append(f"{self.vocabulary:,} tokens")
        if self.unknown_share is not None:
            facts.append(f"{self.unknown_share:.1%} unknown")
        if self.max_length is not None:
            facts.append(f"up to {self.max_length} positions")
        lines = [f"{self.name}: {', '.join(facts)}"]
        lines += [f"  warning: {text}" for text in self.warnings]
        lines += [f"  problem: {text}" for text in self.problems]
        return "\n".join(lines)


def check_encoders(
    sources: Mapping[str, str],
    revisions: Mapping[str, str] | None = None,
    texts: Sequence[str] = (),
    max_length: int = 128,
    dtype: torch.dtype = torch.float32,
) -> list[EncoderCheck]:
    """Check that each encoder can be trained on these texts.

    Args:
        sources: Hub ID or folder by encoder name.
        revisions: branch, tag or commit by name; others are at `main`.
        texts: training texts; the first 2,000 are tokenized.
        max_length: positions that are wanted for a text.
        dtype: number format of training; bfloat16 stands for mixed precision, others for float32.

    Returns:
        One check per encoder, in the same order. None of them raises: look at `problems`.
    """
    with _quiet():
        return [
            _check(EncoderCheck(name, str(source)), (revisions or {}).get(name), texts,
                   max_length, dtype)
            for name, source in sources.items()
        ]  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the load reports and progress bars of transformers off the terminal."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(hf_logging.CRITICAL)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()


def check_attention(asked: str | None) -> None:
    """Refuse an attention that transformers does not have.

    Raises:
        UserError: naming the nearest one.
    """
    known = ["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()]
    if asked is not None and asked not in known:
        raise UserError(
            f"--attn_implementation {asked!r} is not known{did_you_mean(asked, known)}; known are "
            f"{', '.join(known)}."
        )


def refuse_problems(checks: Sequence[EncoderCheck]) -> None:
    """Raise one error that names every encoder with a problem.

    Raises:
        UserError: at least one encoder cannot be used.
    """
    bad = [check for check in checks if check.problems]
    if bad:
        lines = [f"{check.name}: {problem}" for check in bad for problem in check.problems]
        raise UserError("These encoders cannot be used:\n  " + "\n  ".join(lines))


def _check(
    check: EncoderCheck,
    revision: str | None,
    texts: Sequence[str],
    max_length: int,
    dtype: torch.dtype,
) -> EncoderCheck:
    hub = {} if revision is None else {"revision": revision}
    try:
        if local_folder(check.source, revision) is None:
            hub_file(check.source, CONFIG, revision)
    except ModelError as error:
        check.problems.append(str(error))
        return check
    tokenizer = _check_tokenizer(check, hub, texts)
    model = _check_model(check, hub)
    if model is None or tokenizer is None:
        return check
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= rows:
        check.problems.append(
            f"its tokenizer has token ids up to {largest:,}, but the model has only {rows:,} "
            "embeddings. Use the tokenizer that belongs to this model, or load the model, call "
            f"model.resize_token_embeddings({largest + 1}) and save it."
        )
        return check
    _check_positions(check, model, tokenizer, max_length)
    _check_forward(check, model, tokenizer, texts, dtype)
    return check


def _check_tokenizer(check: EncoderCheck, hub: dict[str, str], texts: Sequence[str]) -> Any:
    """The tokenizer, or None where it cannot be used."""
    folder = Path(check.source)
    if folder.is_dir():
        found = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
        empty = [path.name for path in found if not path.stat().st_size]
        if not found or empty:
            what = f"{', '.join(empty)} is empty" if empty else "it has no tokenizer files"
            bytewise = not empty and (folder / "tokenizer_config.json").is_file()
            check.problems.append(
                f"{what} in {folder}. Save the tokenizer there too: "
                f'tokenizer.save_pretrained("{folder}").'
                + (" A tokenizer without a vocabulary, such as ByT5's, cannot be stacked: use "
                   "another encoder." if bytewise else "")
            )  # fmt: skip
            return None
    try:
        tokenizer = AutoTokenizer.from_pretrained(check.source, **hub)
        if tokenizer.__class__.__name__ == "StackedEmotionTokenizer":
            return None  # a stack of one encoder, checked when it was made
        backend, _ = take_backend(check.name, tokenizer)
    except Exception as error:  # a damaged file raises a plain Exception in tokenizers
        remedy = "" if isinstance(error, ValueError) else " Save or download it again."
        check.problems.append(f"its tokenizer cannot be used: {_first_line(error)}{remedy}")
        return None
    vocabulary = backend.get_vocab()
    check.vocabulary = len(vocabulary)
    special = {str(token) for token in tokenizer.all_special_tokens}
    special |= {str(token) for token in tokenizer.added_tokens_decoder.values()}
    if len(set(vocabulary) - special) < MIN_TOKENS:
        check.problems.append(
            f"its tokenizer has {len(vocabulary)} tokens, nearly all of them special ones, so that "
            "every word would be unknown. The vocabulary file is missing: save the tokenizer "
            "beside the model."
        )
        return None
    _check_unknown(check, tokenizer, texts)
    return tokenizer


def _check_unknown(check: EncoderCheck, tokenizer: Any, texts: Sequence[str]) -> None:
    if not len(texts):
        return
    ids = tokenizer(list(texts[:SAMPLE_TEXTS]), add_special_tokens=False, verbose=False)
    tokens = [token for row in ids["input_ids"] for token in row]
    unknown = tokenizer.unk_token_id
    count = 0 if unknown is None else tokens.count(unknown)
    check.unknown_share = count / max(1, len(tokens))
    if tokens and check.unknown_share <= WARN_UNKNOWN:
        return
    example = next((text for text, row in zip(texts, ids["input_ids"], strict=False)
                    if unknown in row), "")  # fmt: skip
    said = (
        f"{check.unknown_share:.0%} of the tokens of the training texts are unknown to its "
        f"tokenizer, as in {example[:60]!r}"
        if tokens
        else "its tokenizer makes no token of the training texts"
    )
    if not tokens or check.unknown_share > MAX_UNKNOWN:
        check.problems.append(f"{said}. Use an encoder for the language of the texts.")
    else:
        check.warnings.append(f"{said}. An encoder for their language may do better.")


def _check_model(check: EncoderCheck, hub: dict[str, str]) -> PreTrainedModel | None:
    """The encoder in float32, or None where it cannot be used."""
    try:
        config = AutoConfig.from_pretrained(check.source, **hub)
    except Exception as error:  # whatever a damaged config.json makes a configuration raise
        check.problems.append(
            f"{check.source} cannot be loaded: {_first_line(error)} Check the Hub ID or the path."
        )
        return None
    commit = getattr(config, "_commit_hash", None)
    check.commit = commit if not Path(check.source).is_dir() else None
    check.model_type = config.model_type
    if config.model_type == "stacked_emotion":
        return None
    check.hidden_size = getattr(config, "hidden_size", None)
    check.layers = getattr(config, "num_hidden_layers", None)
    if config.is_encoder_decoder or type(config) not in MODEL_MAPPING or not check.hidden_size:
        check.problems.append(
            f"its architecture {config.model_type!r} is not supported. Use an encoder such as "
            "BERT, RoBERTa, XLM-RoBERTa, ELECTRA, DeBERTa or ModernBERT."
        )
        return None
    try:
        model, loaded = AutoModel.from_pretrained(
            check.source, dtype=torch.float32, output_loading_info=True, **hub
        )
    except Exception as error:  # safetensors', torch's and pickle's own kinds
        check.problems.append(
            f"its weights cannot be loaded: {_first_line(error)} Download or save the model again."
        )
        return None
    missing = sorted(key for key in loaded["missing_keys"] if "pooler" not in key)
    if missing:
        check.problems.append(
            f"its files lack {len(missing)} of the weights, such as {missing[0]}; they would be "
            "random. Download or save the model again."
        )
        return None
    return model.eval()


def positions_of(model: PreTrainedModel) -> int | None:
    """Number of tokens a model has positions for; None where nothing limits it.

    Models of the RoBERTa family count positions from `padding_idx + 1` on.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first
    if getattr(model.config, "relative_attention", False):
        return None
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _check_positions(
    check: EncoderCheck, model: PreTrainedModel, tokenizer: Any, max_length: int
) -> None:
    limits = [max_length, tokenizer.model_max_length, positions_of(model) or max_length]
    check.max_length = int(min(limits))
    smallest = tokenizer.num_special_tokens_to_add() + 1
    if check.max_length < smallest:
        check.problems.append(
            f"it takes {check.max_length} positions, and its special tokens alone need "
            f"{smallest - 1}. Use an encoder with more positions, or a larger --max_length."
        )
    elif check.max_length < max_length:
        check.warnings.append(
            f"it takes {check.max_length} positions; --max_length is lowered from {max_length}."
        )


@torch.inference_mode()
def _check_forward(
    check: EncoderCheck,
    model: PreTrainedModel,
    tokenizer: Any,
    texts: Sequence[str],
    dtype: torch.dtype,
) -> None:
    """Run the longest text it may get, and the empty one."""
    if check.problems or check.max_length is None:
        return
    text = " ".join(texts[:50]) or "a b c"
    row = tokenizer(text, truncation=True, max_length=check.max_length, verbose=False)["input_ids"]
    inner = row[1:-1] or row
    longest = (row[:1] + inner * (check.max_length // len(inner) + 1))[: check.max_length]
    for what, ids in (("a long text", longest), ("an empty text", tokenizer("")["input_ids"])):
        if not ids:
            ids = [tokenizer.pad_token_id]
        inputs = torch.tensor([ids])
        scope: Any = (
            torch.autocast(model.device.type, dtype) if dtype == torch.bfloat16 else nullcontext()
        )
        try:
            with scope:
                states = model(input_ids=inputs, attention_mask=torch.ones_like(inputs))[0]
        except Exception as error:  # architectures raise all kinds of errors
            check.problems.append(
                f"a forward pass of {what} ({len(ids)} tokens) fails: {_first_line(error)}"
            )
            return
        if not torch.isfinite(states).all():
            check.problems.append(
                f"a forward pass of {what} in {str(dtype).removeprefix('torch.')} gives NaN or "
                "infinite values. Train in float32 (bf16: false), or use another encoder."
            )
            return


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if lines[0].endswith(".") else f"{lines[0]}."
