"""Weights of a model's safetensors files in another number format, without a second copy in memory.

A mapped file is free as long as its format is the one that is wanted. Where it has to be converted,
every page of the mapping is read and stays resident beside the converted weights until the end:
three times the memory of a bfloat16 model from a float32 file. Here the files are read piece by
piece into a small buffer instead, and converted from there.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..model_files import ModelError, ModelFiles

PIECE_BYTES = 1 << 20
_FORMATS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """Where a tensor's bytes are."""

    file: Path
    begin: int
    end: int
    shape: list[int]
    dtype: torch.dtype


def converted_weights(files: ModelFiles, dtype: torch.dtype) -> dict[str, Tensor] | None:
    """Every weight of the model by name, floating-point ones in `dtype`.

    None where the files need no conversion, or hold a format that is not known here, which
    `from_pretrained` handles itself.

    Raises:
        ModelError: there are no weights, or a file is not a whole safetensors file.
    """
    headers = {path: _header(path) for path in files.weight_files()}
    kinds = {entry["dtype"] for _, header in headers.values() for entry in header.values()}
    if kinds - set(_FORMATS) or not any(
        _FORMATS[kind].is_floating_point and _FORMATS[kind] != dtype for kind in kinds
    ):
        return None
    places = {
        name: _Place(
            path,
            start + entry["data_offsets"][0],
            start + entry["data_offsets"][1],
            entry["shape"],
            _FORMATS[entry["dtype"]],
        )
        for path, (start, header) in headers.items()
        for name, entry in header.items()
    }
    read = _reader(dtype)
    with ThreadPoolExecutor(torch.get_num_threads()) as workers:
        return dict(zip(places, workers.map(read, places.values()), strict=True))


def check_finite(state: Mapping[str, Tensor], location: str) -> None:
    """Refuse weights with a NaN or an infinity.

    A sum finds them at the speed of memory; only where it is not finite the values are looked at.

    Raises:
        ModelError: with the name of the tensor.
    """
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        wide = torch.float32 if tensor.dtype == torch.float16 else None  # its sums overflow
        if torch.isfinite(tensor.sum(dtype=wide)):
            continue
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"The weights of {location} have NaN or infinite values, the first in {name}: "
                "they are damaged or training diverged."
            )


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where a file's data start, and its entry of each tensor; safetensors checks them first."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except SafetensorError as error:
        raise ModelError(
            f"{path} is not a whole safetensors file ({error}); fetch or copy it again."
        ) from error
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return 8 + length, header


def _reader(dtype: torch.dtype) -> Callable[[_Place], Tensor]:
    """A function that reads one tensor; each thread keeps one buffer for all of its."""
    own = threading.local()

    def read(place: _Place) -> Tensor:
        if not hasattr(own, "buffer"):
            own.buffer = bytearray(PIECE_BYTES)
        wanted = dtype if place.dtype.is_floating_point else place.dtype
        tensor = torch.empty(place.shape, dtype=wanted)
        flat, done, size = tensor.view(-1), 0, place.dtype.itemsize
        with place.file.open("rb", buffering=0) as stream:
            while place.begin + done < place.end:
                piece = memoryview(own.buffer)[: place.end - place.begin - done]
                _fill(stream.fileno(), piece, place.begin + done, place.file)
                values = torch.frombuffer(piece, dtype=place.dtype)
                flat[done // size : (done + len(piece)) // size].copy_(values)
                done += len(piece)
        return tensor

    return read


def _fill(descriptor: int, piece: memoryview, offset: int, file: Path) -> None:
    filled = 0
    while filled < len(piece):
        count = os.preadv(descriptor, [piece[filled:]], offset + filled)
        if count == 0:
            raise ModelError(f"{file} ends before its weights do; fetch or copy it again.")
        filled += count
