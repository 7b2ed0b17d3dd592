"""How far two passes over the same texts, with other dropout, are from one another."""

from __future__ import annotations

import torch
from torch import Tensor

CITATION = """@inproceedings{liang2021rdrop,
  title = {{R-Drop}: Regularized Dropout for Neural Networks},
  author = {Liang, Xiaobo and Wu, Lijun and Li, Juntao and Wang, Yue and Meng, Qi and Qin, Tao and
            Chen, Wei and Zhang, Min and Liu, Tie-Yan},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2021}
}"""


def dropout_consistency(first: Tensor, second: Tensor) -> Tensor:
    """Half the symmetric Kullback-Leibler divergence of two passes, one Bernoulli per label.

    R-Drop of Liang et al. (2021), for sigmoids: with logits z, z' and p = σ(z), p' = σ(z'),
    KL(p‖p') + KL(p'‖p) = (p − p')(z − z'). It is at least 0, and 0 only where the passes agree.

    Args:
        first: (batch, labels) logits, any float type.
        second: (batch, labels) logits of the other pass.

    Returns:
        Mean over rows and labels, a float32 scalar (float64 stays); 0 for no rows.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"The two passes have shapes {tuple(first.shape)} and {tuple(second.shape)}; they must "
            "be of the same texts and labels."
        )
    kind = torch.promote_types(first.dtype, torch.float32)
    first, second = first.to(kind), second.to(kind)
    divergence = (torch.sigmoid(first) - torch.sigmoid(second)) * (first - second)
    return divergence.mean() / 2 if divergence.numel() else divergence.sum()
