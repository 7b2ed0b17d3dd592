"""The model's exactness: starts as the ensemble; no score depends on batch, padding or order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import FAMILIES, LABELS, NASTY_TEXTS, build_stack
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, pipeline

from stacked_emotion import (
    StackedEmotionForSequenceClassification,
    StackedEmotionModel,
    StackedEmotionTokenizer,
)
from stacked_emotion.pipeline_stacked_emotion import StackedEmotionPipeline

TEXTS = [*NASTY_TEXTS, "فرحان جدا اليوم", "لا أعرف ماذا أفعل، خائف من كل شيء 😢"]


def logits_of(model: Any, tokenizer: Any, texts: list[str], **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(texts, padding=True, return_tensors="pt", **options)).logits


def one_by_one(model: Any, tokenizer: Any) -> torch.Tensor:
    return torch.cat([logits_of(model, tokenizer, [text]) for text in TEXTS])


@pytest.mark.parametrize("family", FAMILIES)
def test_untrained_stack_is_the_average(family: str, family_folders: dict[str, Path]) -> None:
    others = [name for name in FAMILIES if name != family][:1]
    folders = {"b": family_folders[family], "a": family_folders[others[0]]}
    model = StackedEmotionForSequenceClassification.from_encoders(folders, labels=LABELS)
    tokenizer = StackedEmotionTokenizer.from_tokenizers(folders, model_max_length=48)
    with torch.no_grad():
        output = model(**tokenizer(TEXTS, padding=True, return_tensors="pt"), output_gates=True)
    average = output.encoder_logits.mean(1)
    assert average.abs().max() > 1e-3
    torch.testing.assert_close(output.logits, average, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.gates, torch.full_like(output.gates, 0.5))
    alone = torch.cat([logits_of(model, tokenizer, [text]) for text in TEXTS])
    torch.testing.assert_close(alone, output.logits, atol=1e-5, rtol=0)


def test_scores_do_not_depend_on_the_batch(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    alone = one_by_one(model, tokenizer)
    assert alone.isfinite().all()
    assert (alone.std(0) > 1e-3).all()
    torch.testing.assert_close(logits_of(model, tokenizer, TEXTS), alone, atol=1e-5, rtol=0)
    backwards = logits_of(model, tokenizer, TEXTS[::-1]).flip(0)
    torch.testing.assert_close(backwards, alone, atol=1e-5, rtol=0)
    padded = logits_of(model, tokenizer, TEXTS, pad_to_multiple_of=64)
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)


def test_scores_do_not_depend_on_the_pad_id(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        before = model(**batch).logits
        batch["input_ids"][batch["attention_mask"] == 0] = 3
        torch.testing.assert_close(model(**batch).logits, before, atol=0, rtol=0)


def test_collator_and_pipeline_agree(tiny_stack: Any, tiny_stack_folder: Path) -> None:
    model, tokenizer = tiny_stack
    expected = torch.sigmoid(one_by_one(model, tokenizer))
    batch = DataCollatorWithPadding(tokenizer)([tokenizer(text) for text in TEXTS])
    with torch.no_grad():
        collated = torch.sigmoid(model(**batch).logits)
    torch.testing.assert_close(collated, expected, atol=1e-5, rtol=0)
    classify = pipeline("text-classification", model=str(tiny_stack_folder), top_k=None)
    for size in (1, 2, 8):
        answers = classify(TEXTS, batch_size=size)
        scores = torch.tensor(
            [
                [{s["label"]: s["score"] for s in answer}[name] for name in LABELS]
                for answer in answers
            ]
        )
        torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)


def test_attention_implementations_agree(tiny_encoder_folders: dict[str, Path]) -> None:
    eager, tokenizer = build_stack(tiny_encoder_folders, attn_implementation="eager")
    sdpa, _ = build_stack(tiny_encoder_folders, attn_implementation="sdpa")
    assert sdpa.get_encoder("alpha").config._attn_implementation == "sdpa"
    assert eager.get_encoder("alpha").config._attn_implementation == "eager"
    torch.testing.assert_close(
        one_by_one(sdpa, tokenizer), one_by_one(eager, tokenizer), atol=1e-5, rtol=0
    )


def test_an_encoder_without_sdpa_falls_back_alone(family_folders: dict[str, Path]) -> None:
    folders = {"deberta": family_folders["deberta-v2"], "bert": family_folders["bert"]}
    model, _ = build_stack(folders, attn_implementation="sdpa")
    assert model.get_encoder("deberta").config._attn_implementation == "eager"
    assert model.get_encoder("bert").config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stacking_level": "sentence"},
        {"use_lstm": False},
        {"use_meta_learner": False},
        {"use_classifier": False},
        {"ensemble_start": False},
        {"contrastive_dim": 0},
        {"use_word_embeddings": False},
    ],
)
def test_feature_path_equals_the_encoders(
    options: dict[str, Any], tiny_encoder_folders: dict[str, Path]
) -> None:
    model, tokenizer = build_stack(tiny_encoder_folders, **options)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        direct = model(**batch)
        embeddings, mask, encoder_logits, *_ = model.stacked.encode(**batch)
        cached = model(word_embeddings=embeddings, word_mask=mask, encoder_logits=encoder_logits)
    torch.testing.assert_close(cached.logits, direct.logits, atol=1e-6, rtol=0)
    torch.testing.assert_close(one_by_one(model, tokenizer), direct.logits, atol=1e-5, rtol=0)


def test_bi_lstm_equals_the_packed_one() -> None:
    from stacked_emotion.layers_stacked_emotion import BidirectionalLSTM

    torch.manual_seed(0)
    ours = BidirectionalLSTM(6, 5)
    packed = torch.nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    for name, parameter in ours.forward_lstm.named_parameters():
        getattr(packed, name).data.copy_(parameter)
    for name, parameter in ours.backward_lstm.named_parameters():
        getattr(packed, f"{name}_reverse").data.copy_(parameter)
    inputs, lengths = torch.randn(4, 9, 6), torch.tensor([9, 1, 5, 7])
    mask = (torch.arange(9) < lengths[:, None]).long()
    sequence = torch.nn.utils.rnn.pack_padded_sequence(
        inputs, lengths, batch_first=True, enforce_sorted=False
    )
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(packed(sequence)[0], batch_first=True)
    torch.testing.assert_close(ours(inputs, mask), expected, atol=1e-6, rtol=0)


def test_outputs_and_requests(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    batch = tokenizer(TEXTS[:4], padding=True, return_tensors="pt")
    with torch.no_grad():
        plain = model(**batch)
        asked = model(**batch, output_gates=True, output_hidden_states=True)
        base = model.stacked(**batch)
        as_tuple = model(**batch, return_dict=False)
    assert plain.gates is None
    assert plain.hidden_states is None
    torch.testing.assert_close(asked.logits, plain.logits, atol=1e-5, rtol=0)
    sequence = batch["input_ids"].shape[1]
    assert len(asked.hidden_states) == 3
    for name, states in zip(model.config.encoder_names, asked.hidden_states, strict=True):
        assert len(states) == 3
        assert states[-1].shape == (4, sequence, model.config.encoders[name].hidden_size)
    torch.testing.assert_close(asked.gates.sum(-1), torch.ones_like(asked.gates[..., 0]))
    words = base.word_mask.sum(1)
    assert base.last_hidden_state.shape[-1] == model.config.hidden_size
    assert base.pooler_output.shape == (4, model.config.hidden_size)
    assert words.tolist() == batch["word_index"].amax((1, 2)).tolist()
    assert torch.equal(as_tuple[0], plain.logits)
    given = model.decide(torch.logit(torch.tensor([[0.31, 0.49, 0.71], [0.29, 0.51, 0.69]])))
    assert given.tolist() == [[True, False, True], [False, True, False]]


def test_wrong_inputs_are_told(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    batch = dict(tokenizer(TEXTS[:2], padding=True, return_tensors="pt"))
    with pytest.raises(ValueError, match="word_index is missing"):
        model(**{key: value for key, value in batch.items() if key != "word_index"})
    with pytest.raises(ValueError, match=r"batch, sequence, 3"):
        model(**{key: value[..., :2] for key, value in batch.items()})
    with pytest.raises(ValueError, match="labels are a list; they must be a tensor of shape"):
        model(**batch, labels=[1])
    with pytest.raises(ValueError, match="labels have the shape"):
        model(**batch, labels=torch.zeros(2, 5))
    long = tokenizer(["كلمة " * 600], truncation=False, return_tensors="pt")
    with pytest.raises(ValueError, match=r"A text has \d+ tokens for .* Leave truncation on"):
        model(**long)
    with pytest.raises(ValueError, match=r"no option 'topk' .did you mean 'top_k'"):
        tokenizer(TEXTS, topk=1)
    with pytest.raises(ValueError, match="Give one column of the table"):
        StackedEmotionPipeline(model=model, tokenizer=tokenizer)(pandas.DataFrame({"text": ["a"]}))
    with pytest.raises(ValueError, match="same folder"):
        model(**{**batch, "input_ids": batch["input_ids"] + 10_000})
    with pytest.raises(ValueError, match="word_embeddings"):
        model(word_embeddings=torch.zeros(1, 2, 5), word_mask=torch.ones(1, 2),
              encoder_logits=torch.zeros(1, 3, 3))  # fmt: skip
    with pytest.raises(KeyError, match="nope"):
        model.get_encoder("nope")


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "electra", "distilbert", "deberta-v2"])
def test_fine_tuned_heads_are_taken_over(
    family: str, family_folders: dict[str, Path], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    stock = AutoModelForSequenceClassification.from_pretrained(
        family_folders[family],
        id2label=dict(enumerate(LABELS)),
        label2id={name: index for index, name in enumerate(LABELS)},
        problem_type="multi_label_classification",
    ).eval()
    stock.save_pretrained(tmp_path)
    tokenizer = StackedEmotionTokenizer.from_tokenizers({"one": family_folders[family]})
    stack = StackedEmotionForSequenceClassification.from_encoders({"one": tmp_path}, labels=LABELS)
    batch = tokenizer(["فرحان جدا", "a b c"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = stock(
            input_ids=batch["input_ids"][..., 0], attention_mask=batch["attention_mask"][..., 0]
        ).logits
        torch.testing.assert_close(stack(**batch).logits, expected, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="fine-tuned on the labels"):
        StackedEmotionForSequenceClassification.from_encoders({"one": tmp_path}, labels=["x", "y"])
    again = StackedEmotionForSequenceClassification.from_encoders({"two": stack}, labels=LABELS)
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, expected, atol=1e-5, rtol=0)


def test_training_with_checkpointing_reaches_every_part(
    tiny_encoder_folders: dict[str, Path],
) -> None:
    model, tokenizer = build_stack(tiny_encoder_folders, dropout=0.0, encoder_dropout=0.0,
                                   word_dropout=0.0)  # fmt: skip
    for name in model.config.encoder_names:
        for module in model.get_encoder(name).modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    batch = tokenizer(TEXTS[-2:], padding=True, return_tensors="pt")
    labels = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        output = model.train()(**batch, labels=labels)
        (output.loss + output.embedding.pow(2).mean()).backward()
        return {
            name: parameter.grad.clone()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }

    plain = gradients()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    checkpointed = gradients()
    assert set(plain) == set(checkpointed)
    silent = {name for name, _ in model.named_parameters()} - set(plain)
    assert not [name for name in silent if "pooler" not in name and "token_type" not in name]
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, atol=1e-6, rtol=1e-4)


def test_dropouts_only_act_in_training(tiny_encoder_folders: dict[str, Path]) -> None:
    model, tokenizer = build_stack(tiny_encoder_folders, encoder_dropout=0.5, word_dropout=0.5)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, model(**batch).logits)
        model.train()
        first, second = model(**batch).logits, model(**batch).logits
    assert first.isfinite().all()
    assert not torch.equal(first, second)


def test_citizen_of_transformers(tiny_stack: Any) -> None:
    model, _ = tiny_stack
    assert "BertLayer" in model._no_split_modules
    assert isinstance(model.get_input_embeddings(), torch.nn.Embedding)
    assert model.accepts_loss_kwargs is False
    with pytest.raises(NotImplementedError, match="get_encoder"):
        model.resize_token_embeddings(10)
    assert isinstance(model.stack, StackedEmotionModel)


def test_lora_on_the_encoders(tiny_encoder_folders: dict[str, Path]) -> None:
    peft = pytest.importorskip("peft")
    folders = {"zeta": tiny_encoder_folders["zeta"], "alpha": tiny_encoder_folders["alpha"]}
    model, tokenizer = build_stack(folders)
    batch = tokenizer(TEXTS[-2:], padding=True, return_tensors="pt")
    before = model(**batch).logits.detach()
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(target_modules=["query", "value"], r=4, modules_to_save=["classifier"]),
    ).eval()
    torch.testing.assert_close(adapted(**batch).logits, before, atol=1e-6, rtol=0)
    adapted.train()(**batch, labels=torch.ones(2, 3)).loss.backward()
    touched = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert any("encoder_zeta" in name and "lora_B" in name for name in touched)
    assert any("encoder_alpha" in name and "lora_B" in name for name in touched)
    assert not [name for name in touched if "lora" not in name and "modules_to_save" not in name]


@pytest.mark.parametrize("dimension", ["auto", "dynamic"])
def test_export_runs_at_other_lengths(
    dimension: str, tiny_encoder_folders: dict[str, Path]
) -> None:
    folders = {"zeta": tiny_encoder_folders["zeta"], "alpha": tiny_encoder_folders["alpha"]}
    model, tokenizer = build_stack(folders, attn_implementation="eager")
    batch = dict(tokenizer(TEXTS[:4], padding=True, return_tensors="pt"))
    free = torch.export.Dim.AUTO if dimension == "auto" else torch.export.Dim.DYNAMIC
    shapes = {key: {0: free, 1: free} for key in batch}
    program = torch.export.export(model, (), kwargs=batch, dynamic_shapes=shapes).module()
    for texts in (["a b", "كل سنه وانتي بخير"], [*TEXTS], ["x " * 40] * 3, ["a"]):
        other = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            torch.testing.assert_close(
                program(**other).logits, model(**other).logits, atol=1e-5, rtol=0
            )


def test_requests_in_the_config_and_by_layer(tiny_stack_folder: Path) -> None:
    model = StackedEmotionForSequenceClassification.from_pretrained(
        tiny_stack_folder, attn_implementation="eager"
    ).eval()
    tokenizer = StackedEmotionTokenizer.from_pretrained(tiny_stack_folder)
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    asked = model(**batch, output_hidden_states=True, output_attentions=True)
    model.config.output_hidden_states = True
    model.config.output_attentions = True
    plain = model(**batch)
    for found in (plain.hidden_states, plain.attentions):
        assert len(found) == 3
    for ours, theirs in zip(plain.hidden_states, asked.hidden_states, strict=True):
        assert len(ours) == 3
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)
    assert model(**batch, output_hidden_states=False, output_attentions=False).hidden_states is None
    chosen = model(**batch, output_hidden_states=[0, -1], output_attentions=False)
    assert chosen.attentions is None
    for ours, theirs in zip(chosen.hidden_states, asked.hidden_states, strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[-1], theirs[-1])
        assert ours[1] is None
    assert model(**batch, output_hidden_states=1).hidden_states[0][1] is not None


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bool, torch.int32])
def test_masks_of_any_type(kind: torch.dtype, tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits
        mask = batch["attention_mask"].to(kind)
        assert torch.equal(model(**{**batch, "attention_mask": mask}).logits, expected)
        embeddings, mask, logits, *_ = model.stacked.encode(**batch)
        cached = [
            model(word_embeddings=embeddings, word_mask=given, encoder_logits=logits).logits
            for given in (mask, mask.to(kind))
        ]
        assert torch.equal(*cached)


def test_an_encoder_by_name_or_the_only_one(tiny_stack: Any, family_folders: Any) -> None:
    model, _ = tiny_stack
    assert model.get_encoder("mid") is model.stacked.encoder_mid
    with pytest.raises(ValueError, match="'zeta', 'alpha', 'mid'"):
        model.get_encoder()
    alone, _ = build_stack({"one": family_folders["bert"]})
    assert alone.get_encoder() is alone.stacked.encoder_one


def test_push_to_hub_is_that_of_transformers() -> None:
    assert (
        StackedEmotionForSequenceClassification.push_to_hub
        is transformers.PreTrainedModel.push_to_hub
    )


def test_weights_from_before_load_without_complaint(
    tiny_stack: Any, tiny_stack_folder: Path, tmp_path: Path
) -> None:
    """Models once had the contrastive loss's projection among their weights."""
    model, tokenizer = tiny_stack
    config = json.loads((tiny_stack_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"contrastive_dim": 5}))
    state = load_file(tiny_stack_folder / "model.safetensors")
    state["stacked.projection.weight"] = torch.ones(5, model.config.hidden_size)
    state["stacked.projection.bias"] = torch.ones(5)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    for kind in (StackedEmotionForSequenceClassification, StackedEmotionModel):
        loaded, report = kind.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report.values()), report
    loaded = StackedEmotionForSequenceClassification.from_pretrained(tmp_path)
    assert not hasattr(loaded.config, "contrastive_dim")
    assert torch.equal(logits_of(loaded, tokenizer, TEXTS), logits_of(model, tokenizer, TEXTS))
