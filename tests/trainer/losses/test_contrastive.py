from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stacked_emotion.data.label_statistics import LabelStatistics
from stacked_emotion.trainer.losses import ContrastiveLoss

STATISTICS = LabelStatistics.from_labels([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "abc")


def jaccard_contrastive(embedding: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    """The definition, by loops over anchors and pairs."""
    vectors = [[x / math.hypot(*row) for x in row] for row in embedding.tolist()]
    sets = [{i for i, on in enumerate(row) if on} for row in labels.tolist()]
    costs = []
    for i, anchor in enumerate(vectors):
        others = [k for k in range(len(vectors)) if k != i]
        similarity = {
            k: sum(x * y for x, y in zip(anchor, vectors[k], strict=True)) / temperature
            for k in others
        }
        normalizer = math.log(sum(math.exp(value) for value in similarity.values()) or 1.0)
        weights = {
            k: len(sets[i] & sets[k]) / len(sets[i] | sets[k]) for k in others if sets[i] | sets[k]
        }
        if sum(weights.values()) > 0:
            shares = {k: weight / sum(weights.values()) for k, weight in weights.items()}
            costs.append(-sum(shares[k] * (similarity[k] - normalizer) for k in shares))
    return sum(costs) / len(costs) if costs else 0.0


def batch(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(rows, 3, generator=generator) < 0.4).float()
    return torch.randn(rows, 5, generator=generator), labels


def contrastive(embedding: torch.Tensor, labels: torch.Tensor, tau: float = 0.1) -> torch.Tensor:
    loss = ContrastiveLoss(STATISTICS, tau)
    return loss(torch.zeros_like(labels), labels, embedding)["contrastive"]


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_the_definition(seed: int) -> None:
    embedding, labels = batch(2 + seed, seed)
    tau = 0.1 + 0.1 * (seed % 4)
    expected = jaccard_contrastive(embedding, labels, tau)
    assert contrastive(embedding, labels, tau).item() == pytest.approx(expected, rel=1e-4)


def test_gradient_is_that_of_finite_differences() -> None:
    embedding, labels = batch(6, 3)
    assert torch.autograd.gradcheck(
        lambda z: contrastive(z, labels.double(), 0.5), embedding.double().requires_grad_()
    )


def test_two_empty_sets_are_no_pair() -> None:
    embedding = torch.randn(3, 4, requires_grad=True)
    value = contrastive(embedding, torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]]))
    assert value.item() == 0.0
    value.backward()
    assert (embedding.grad == 0).all()


def test_rows_of_like_labels_are_drawn_together() -> None:
    labels = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    embedding = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.SGD([embedding], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        contrastive(embedding, labels, 0.5).backward()
        optimizer.step()
    cosine = torch.nn.functional.cosine_similarity(embedding[:, None], embedding[None], dim=-1)
    assert min(cosine[0, 1], cosine[2, 3]) > 0.9
    assert cosine[:2, 2:].max() < 0.2


def test_length_of_the_embedding_does_not_matter() -> None:
    embedding, labels = batch(6, 1)
    torch.testing.assert_close(contrastive(7.0 * embedding, labels), contrastive(embedding, labels))


def test_large_similarities_stay_finite() -> None:
    embedding = torch.ones(4, 3, requires_grad=True)
    value = contrastive(embedding, torch.tensor([[1.0, 0, 0]] * 4), 1e-3)
    value.backward()
    assert value.item() == pytest.approx(math.log(3), rel=1e-4)
    assert torch.isfinite(embedding.grad).all()


TWO_RANKS = """
import os, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from stacked_emotion.data.label_statistics import LabelStatistics
from stacked_emotion.trainer.losses import ContrastiveLoss

rank = int(sys.argv[1])
statistics = LabelStatistics.from_labels([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "abc")
loss = ContrastiveLoss(statistics, 0.2)
generator = torch.Generator().manual_seed(0)
texts = torch.randn(9, 4, generator=generator)
labels = (torch.rand(9, 3, generator=generator) < 0.4).float()

def new_model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 5))

def full_batch(rows):
    model = new_model()
    value = loss(labels[rows] * 0, labels[rows], model(texts[rows]))["contrastive"]
    value.backward()
    return value.item(), [p.grad for p in model.parameters()]

# Rows of rank 0, rows of rank 1, rows masked out on both.
CASES = {
    "even": ([0, 1, 2, 3], [4, 5, 6, 7], []),
    "uneven": ([0, 1, 2, 3, 4], [5, 6, 7], []),
    "one rank masked entirely": ([0, 1, 2, 3], [4, 5], [4, 5]),
    "masked": ([0, 1, 2, 3], [4, 5, 0, 1], None),
}
alone = {}
for name, (first, second, masked) in CASES.items():
    masked_rows = set(masked or [])
    kept = first + (second[:2] if masked is None else second)
    alone[name] = full_batch([row for row in kept if row not in masked_rows])

dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
model = DistributedDataParallel(new_model())
for name, (first, second, masked) in CASES.items():
    rows = (first, second)[rank]
    if masked is None:
        keep = torch.tensor([True] * 4 if rank == 0 else [True, True, False, False])
    else:
        keep = torch.tensor([row not in masked for row in rows])
    model.zero_grad()
    value = loss(labels[rows] * 0, labels[rows], model(texts[rows]), row_mask=keep)["contrastive"]
    value.backward()
    mean = value.detach().clone()
    dist.all_reduce(mean)
    expected_value, expected_gradient = alone[name]
    assert expected_value > 0.5, (name, expected_value)
    assert abs(mean.item() / 2 - expected_value) < 1e-6, (name, mean.item() / 2, expected_value)
    for parameter, expected in zip(model.parameters(), expected_gradient, strict=True):
        error = ((parameter.grad - expected).norm() / expected.norm().clamp_min(1e-6)).item()
        assert error < 1e-5, (name, error)

empty = torch.zeros(2, 3)
model.zero_grad()
value = loss(empty, empty, model(texts[:2]))["contrastive"]
value.backward()
assert value.item() == 0.0
assert all((parameter.grad == 0).all() for parameter in model.parameters())
with torch.no_grad():
    rows = CASES["uneven"][rank]
    value = loss(labels[rows] * 0, labels[rows], model(texts[rows]))["contrastive"]
    dist.all_reduce(value)
    assert abs(value.item() / 2 - alone["uneven"][0]) < 1e-6
dist.destroy_process_group()
print("equal")
"""


def test_two_ranks_have_the_gradient_of_one_process(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_RANKS, str(rank), str(tmp_path / "rendezvous")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    assert [out.strip() for out, _ in outputs] == ["equal", "equal"], outputs
