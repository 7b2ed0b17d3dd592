"""Which number format a device computes in natively."""

from __future__ import annotations

import torch


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it natively, float32 elsewhere; torch is asked.

    Args:
        device: a CPU counts as native with AVX512-BF16 or AMX.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return torch.bfloat16 if native or tiles else torch.float32
