"""Single layers of the stack."""

from __future__ import annotations

import pytest
import torch

from stacked_emotion.layers_stacked_emotion import BidirectionalLSTM, StackNorm, WordDropout


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5])
def test_word_dropout_keeps_the_mean_and_drops_its_share(probability: float) -> None:
    torch.manual_seed(0)
    layer = WordDropout(probability).train()
    dropped = layer(torch.ones(1000, 1001))
    values = dropped.unique()
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - probability)], rel=1e-4)
    assert float((dropped == 0).float().mean()) == pytest.approx(probability, abs=3e-3)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=5e-3)
    columns = (dropped == 0).float().mean(0)
    assert float((columns - probability).abs().max()) < 0.1


def test_word_dropout_follows_the_seed_and_its_gradient_the_mask() -> None:
    layer = WordDropout(0.3).train()
    inputs = torch.randn(7, 5, 3, requires_grad=True)
    torch.manual_seed(1)
    first = layer(inputs)
    again = layer(inputs)
    torch.manual_seed(1)
    assert torch.equal(layer(inputs), first)
    assert not torch.equal(first, again)
    first.sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(inputs.grad * inputs, first)


def test_word_dropout_leaves_the_input_alone_where_it_has_nothing_to_do() -> None:
    inputs = torch.randn(3, 4)
    assert torch.equal(WordDropout(0.3).eval()(inputs), inputs)
    assert torch.equal(WordDropout(0.0).train()(inputs), inputs)
    assert not WordDropout(1.0).train()(inputs).any()


def test_the_lstm_is_the_packed_bidirectional_one() -> None:
    torch.manual_seed(0)
    layer = BidirectionalLSTM(6, 4)
    stock = torch.nn.LSTM(6, 4, batch_first=True, bidirectional=True)
    for name, value in layer.forward_lstm.named_parameters():
        getattr(stock, name).data.copy_(value)
    for name, value in layer.backward_lstm.named_parameters():
        getattr(stock, f"{name}_reverse").data.copy_(value)
    lengths = torch.tensor([5, 1, 3])
    inputs = torch.randn(3, 5, 6, requires_grad=True)
    mask = (torch.arange(5) < lengths[:, None]).long()
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        inputs, lengths, batch_first=True, enforce_sorted=False
    )
    wanted, _ = torch.nn.utils.rnn.pad_packed_sequence(stock(packed)[0], batch_first=True)
    found = layer(inputs, mask)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    weights = torch.randn_like(wanted)
    (theirs,) = torch.autograd.grad((wanted * weights).sum(), inputs)
    (ours,) = torch.autograd.grad((found * weights).sum(), inputs)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_presence_is_any_number_but_zero() -> None:
    words = torch.zeros(1, 3, 5)
    words[0, 0, 1], words[0, 1, 4], words[0, 2, 3] = -1e-8, float("nan"), float("inf")
    presence = StackNorm([2, 3]).presence(words)
    assert presence.tolist() == [[[True, False], [False, True], [False, True]]]
