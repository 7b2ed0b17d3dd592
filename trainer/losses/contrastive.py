"""Supervised contrastive part of the hybrid loss."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_gather_single_autograd, wait_tensor
from torch.nn import functional as F

from ...data.label_statistics import LabelStatistics
from ...pretrained_stacked_emotion import StackedEmotionPreTrainedModel
from .base import EmotionLoss, number_in


class GatheredRows(NamedTuple):
    """Rows of all ranks, padded to the largest rank.

    Attributes:
        embedding: `(all rows, width)`, with a gradient that reaches the rank it came from.
        labels: `(all rows, labels)`.
        valid: `(all rows,)` bool, False for padding.
        first: index of this rank's first row.
        world_size: number of ranks.
    """

    embedding: Tensor
    labels: Tensor
    valid: Tensor
    first: int
    world_size: int


def gather_rows(embedding: Tensor, labels: Tensor) -> GatheredRows:
    """Gather the `(rows, width)` embedding and `(rows, labels)` labels of all ranks, with gradient.

    Ranks may hold different numbers of rows. Every rank must call this function and run the
    backward pass of its result. Without `torch.distributed` it returns the rows unchanged.
    """
    rows, width = embedding.shape
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        valid = torch.ones(rows, dtype=torch.bool, device=embedding.device)
        return GatheredRows(embedding, labels, valid, first=0, world_size=1)

    world_size, rank = dist.get_world_size(), dist.get_rank()
    largest = torch.tensor([rows], device=embedding.device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    block = max(int(largest), 1)

    packed = torch.cat([embedding, labels, embedding.new_ones(rows, 1)], dim=1)
    packed = F.pad(packed, (0, 0, 0, block - rows))
    everyone: Any = dist.group.WORLD
    gathered = all_gather_single_autograd(packed.contiguous(), gather_dim=0, group=everyone)
    gathered = wait_tensor(gathered)
    return GatheredRows(
        embedding=gathered[:, :width],
        labels=gathered[:, width:-1].detach(),
        valid=gathered[:, -1].detach() > 0.5,
        first=rank * block,
        world_size=world_size,
    )


def add_projection(model: StackedEmotionPreTrainedModel, width: int) -> None:
    """Let the model's `embedding` be a linear projection of the pooled text, in place.

    Only the contrastive loss needs it, so it belongs to training: checkpoints hold it, and a model
    that is loaded from one passes over it. A width of 0 is no projection.
    """
    stack = model.stack
    if not width:
        stack.projection = nn.Identity()
        return
    reference = stack.pooling.score.weight
    layer = nn.Linear(model.config.hidden_size, width)
    model._init_weights(layer)
    stack.projection = layer.to(reference.device, reference.dtype)


class ContrastiveLoss(EmotionLoss):
    """Supervised contrastive loss with pairs weighted by the Jaccard of their label sets.

    With z the L2-normalized embeddings, J_ij = |Y_i ∩ Y_j| / |Y_i ∪ Y_j| (0 for i = j and for two
    empty sets) and w_ij = J_ij / Σ_k J_ik,
    `ℓ_i = −Σ_j w_ij · log( exp(z_i·z_j/τ) / Σ_{k≠i} exp(z_i·z_k/τ) )`, and the loss is the mean of
    ℓ_i over the anchors i that share a label with another row. Without such an anchor it is 0
    with a zero gradient. Khosla et al. (2020), equation 2, is the case of one label per row; the
    Jaccard weights follow Lin et al. (2023).

    Over ranks, the rows of all of them are gathered with gradient. Each rank sums ℓ_i over its own
    anchors and multiplies by ranks / anchors of all ranks, so the mean over ranks of values and
    gradients is that of the whole batch in one process, uneven ranks included.

    Args:
        statistics: label statistics of the training split.
        temperature: τ, above 0.

    Raises:
        ValueError: a temperature of 0 or below.
    """

    name: ClassVar[str] = "contrastive"
    citation: ClassVar[str] = """@inproceedings{khosla2020supervised,
  title = {Supervised Contrastive Learning},
  author = {Khosla, Prannay and Teterwak, Piotr and Wang, Chen and Sarna, Aaron and Tian, Yonglong
            and Isola, Phillip and Maschinot, Aaron and Liu, Ce and Krishnan, Dilip},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {33},
  year = {2020}
}
@inproceedings{lin2023contrastive,
  title = {An Effective Deployment of Contrastive Learning in Multi-label Text Classification},
  author = {Lin, Nankai and Qin, Guanqiu and Wang, Gang and Zhou, Dong and Yang, Aimin},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2023},
  year = {2023}
}"""

    def __init__(self, statistics: LabelStatistics, temperature: float = 0.1) -> None:
        super().__init__(statistics)
        self.temperature = number_in("(0, inf)", temperature, "temperature of the contrastive loss")

    @property
    def uses_embedding(self) -> bool:
        """The loss always needs the embedding."""
        return True

    @property
    def gathered_components(self) -> frozenset[str]:
        """`contrastive`, its only component."""
        return frozenset({"contrastive"})

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """`{"contrastive": scalar}`."""
        if embedding is None:
            raise ValueError("The contrastive loss needs an embedding.")
        anchors = F.normalize(embedding, dim=1, eps=1e-6)
        others = gather_rows(anchors, labels)
        everyone = others.valid.to(labels.dtype)

        label_counts = (others.labels * everyone[:, None]).sum(0)
        shared = others.labels * (label_counts > 1.5).to(labels.dtype)
        anchor_count = ((shared.sum(1) > 0) & others.valid).sum().clamp_min(1)

        rows = torch.arange(len(anchors), device=anchors.device)
        candidates = others.valid[None, :].repeat(len(anchors), 1)
        candidates[rows, others.first + rows] = False

        intersection = labels @ others.labels.T
        union = labels.sum(1)[:, None] + others.labels.sum(1)[None, :] - intersection
        jaccard = intersection / union.clamp_min(1.0) * candidates
        weights = jaccard / jaccard.sum(1, keepdim=True).clamp_min(1e-12)

        similarity = anchors @ others.embedding.T / self.temperature
        similarity = similarity.masked_fill(~candidates, torch.finfo(similarity.dtype).min / 2)
        log_softmax = similarity.log_softmax(dim=1)
        per_pair = torch.where(weights > 0, weights * log_softmax, 0.0)
        return {"contrastive": -per_pair.sum() * (others.world_size / anchor_count)}
