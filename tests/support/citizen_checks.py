"""What users of transformers do with a saved stack, each as a check of its own.

Run in a process that cannot import the package: the classes come from the folder's code alone.
Every check takes the folder; `run` reports the traceback of those that fail.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    pipeline,
)

TRUST = {"trust_remote_code": True}
TEXTS = ["فرحان جدا 😍", "a b c", "x"]


def refused(call: Callable[[], Any], *words: str) -> None:
    """The call raises an error whose sentence has the words."""
    with pytest.raises((ValueError, NotImplementedError, TypeError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words), f"{caught.value!r} lacks {words}"


@lru_cache
def tokenizer_of(folder: str) -> Any:
    return AutoTokenizer.from_pretrained(folder, **TRUST)


def config_of(folder: str, **options: Any) -> Any:
    return AutoConfig.from_pretrained(folder, **TRUST, **options)


def model_of(folder: str, **options: Any) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(folder, **TRUST, **options).eval()


def batch_of(folder: str, texts: list[str] | None = None) -> Any:
    return tokenizer_of(folder)(texts or TEXTS, padding=True, return_tensors="pt")


def same(folder: str, model: Any, tolerance: float = 1e-5) -> None:
    """The model gives the logits of the folder's."""
    with torch.no_grad():
        expected, found = (each(**batch_of(folder)).logits for each in (model_of(folder), model))
    torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=0)


# Configuration


def check_fields_of_an_encoder(folder: str) -> None:
    changed = {"hidden_dropout_prob": 0.3}
    for options in ({"alpha": changed}, {"encoders": {"alpha": changed}}):
        model = model_of(folder, **options)
        assert model.get_encoder("alpha").embeddings.dropout.p == 0.3
        with tempfile.TemporaryDirectory() as saved:
            model.save_pretrained(saved)
            assert config_of(saved).alpha.hidden_dropout_prob == 0.3
            assert config_of(saved).encoder_names == ["zeta", "alpha", "mid"]
    config = config_of(folder)
    config.update({"alpha": changed})
    assert config.alpha.hidden_dropout_prob == 0.3
    refused(lambda: config_of(folder, encoders={"nope": changed}), "nope")
    refused(lambda: config_of(folder, encoder_names=["alpha"]), "encoder_names")
    refused(lambda: model_of(folder, alpha={"output_attentions": True}), "on the stack")


def check_labels(folder: str) -> None:
    assert config_of(folder, label2id={"x": 0, "y": 1}).id2label == {0: "x", 1: "y"}
    assert config_of(folder, id2label={0: "x"}).label2id == {"x": 0}
    config = config_of(folder, num_labels=5)
    assert (config.num_labels, config.thresholds) == (5, None)
    other = model_of(folder, num_labels=5, ignore_mismatched_sizes=True)
    assert other(**batch_of(folder)).logits.shape == (3, 5)
    refused(lambda: model_of(folder, num_labels=5), "weights do not fit")


def check_what_a_configuration_cannot_be(folder: str) -> None:
    for kind in ("regression", "single_label_classification"):
        refused(lambda kind=kind: config_of(folder, problem_type=kind), "problem_type", kind)
    for name in ("vocab_size", "hidden_size", "label_names"):
        refused(lambda name=name: config_of(folder, **{name: 3}), name, "follows from")
    refused(lambda: config_of(folder, is_encoder_decoder=True), "decoder")
    refused(lambda: model_of(folder, nonsense=1), "nonsense")
    refused(lambda: model_of(folder, dtype={"alpha": "bfloat16"}), "dtype")


def check_vocabulary(folder: str) -> None:
    config, tokenizer = config_of(folder), tokenizer_of(folder)
    assert config.vocab_size == config.zeta.vocab_size == len(tokenizer) == tokenizer.vocab_size
    assert len(tokenizer.get_vocab()) == len(tokenizer)
    for token, index in tokenizer.get_vocab().items():
        assert tokenizer.convert_tokens_to_ids(token) == index


# Model


def check_hidden_states_and_attentions(folder: str) -> None:
    model, batch = model_of(folder), batch_of(folder)
    asked = model(**batch, output_hidden_states=True, output_attentions=True)
    some = model(**batch, output_hidden_states=[0, -1], output_attentions=[1])
    for every, few in zip(asked.hidden_states, some.hidden_states, strict=True):
        assert [state is None for state in few] == [False, True, False]
        torch.testing.assert_close(few[-1], every[-1])
    for every, few in zip(asked.attentions, some.attentions, strict=True):
        assert few[0] is None
        torch.testing.assert_close(few[1], every[1])
        torch.testing.assert_close(every[0].sum(-1), torch.ones_like(every[0][..., 0]))
    before = model.get_encoder("alpha").config._attn_implementation
    assert before == "sdpa" == model.config.alpha._attn_implementation
    for name in ("output_hidden_states", "output_attentions"):
        refused(lambda name=name: model(**batch, **{name: [9]}), "[9]")
        loaded = model_of(folder, **{name: True})(**batch)
        assert loaded[name.removeprefix("output_")] is not None
    model.config.output_hidden_states = True
    assert len(model(**batch).hidden_states[0]) == 3
    assert model(**batch, output_hidden_states=False).hidden_states is None


def check_inputs(folder: str) -> None:
    model, batch = model_of(folder), dict(batch_of(folder))
    for name in ("token_type_ids", "position_ids", "inputs_embeds", "output_gate"):
        refused(lambda name=name: model(**batch, **{name: batch["input_ids"]}), name)
    assert model(**batch, inputs_embeds=None, use_cache=False).logits.shape == (3, 3)
    plain = tokenizer_of(folder)(TEXTS, padding=True, return_tensors="np")
    refused(lambda: model(**plain), "return_tensors='pt'")
    refused(lambda: model(**{key: value[:0] for key, value in batch.items()}), "nothing to read")
    refused(lambda: model(batch["input_ids"], batch["attention_mask"]), "word_index is missing")
    refused(lambda: model(**batch, labels=torch.tensor([0, 1, 2])), "labels")
    told = tokenizer_of(folder)(
        TEXTS, padding=True, return_tensors="pt", return_length=True, return_truncated=True,
        return_word_offsets=True,
    )  # fmt: skip
    assert torch.equal(model(**told).logits, model(**batch).logits)
    assert model(**model.dummy_inputs).logits.shape == (3, 3)
    assert type(model(**batch, return_dict=False)) is tuple


def check_masks_of_any_type(folder: str) -> None:
    model, batch = model_of(folder), dict(batch_of(folder))
    expected = model(**batch).logits
    for kind in (torch.float32, torch.float16, torch.bool, torch.int32):
        mask = batch["attention_mask"].to(kind)
        assert torch.equal(model(**{**batch, "attention_mask": mask}).logits, expected)


def check_one_encoder(folder: str) -> None:
    model = model_of(folder)
    refused(model.get_encoder, "zeta", "get_encoder(name)")
    assert model.get_encoder("zeta") is model.stacked.encoder_zeta
    assert model.get_input_embeddings() is model.get_encoder("zeta").get_input_embeddings()
    refused(lambda: model.resize_token_embeddings(10), "get_encoder")
    rows = model.config.alpha.vocab_size + 7
    model.get_encoder("alpha").resize_token_embeddings(rows)
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        assert model_of(saved).config.alpha.vocab_size == rows
    model.tie_weights()
    assert not model.can_generate()
    assert not hasattr(model, "generate")


def check_attention_implementations(folder: str) -> None:
    def used(model: Any) -> list[str]:
        return [
            model.get_encoder(n).config._attn_implementation for n in model.config.encoder_names
        ]

    eager = model_of(folder, attn_implementation="eager")
    assert used(eager) == ["eager"] * 3
    same(folder, eager)
    assert used(model_of(folder, attn_implementation={"mid": "eager"})) == ["sdpa", "sdpa", "eager"]
    eager.set_attn_implementation("sdpa")
    assert used(eager) == ["sdpa"] * 3
    eager.set_attn_implementation({"zeta": "eager"})
    assert used(eager) == ["eager", "sdpa", "sdpa"]
    for wrong in ("foo", {"nope": "eager"}):
        refused(lambda wrong=wrong: model_of(folder, attn_implementation=wrong), "attn_impl")
        refused(lambda wrong=wrong: eager.set_attn_implementation(wrong), "attn_impl")
    built = AutoModel.from_config(config_of(folder), attn_implementation="eager", **TRUST)
    assert used(built) == ["eager"] * 3


def check_dtypes(folder: str) -> None:
    for dtype in ("bfloat16", torch.bfloat16):
        model = model_of(folder, dtype=dtype)
        assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
        same(folder, model, 0.1)
    for change in (PreTrainedModel.half, PreTrainedModel.bfloat16, PreTrainedModel.double):
        same(folder, change(model_of(folder)), 0.1)
    loss = model_of(folder).bfloat16()(**batch_of(folder), labels=torch.ones(3, 3)).loss
    assert loss.isfinite()


def check_ways_to_load(folder: str) -> None:
    same(folder, model_of(folder, low_cpu_mem_usage=True))
    same(folder, model_of(folder, device_map="cpu"))
    same(folder, model_of(folder, device_map="auto"))
    parts = [f"stacked.{name}" for name, _ in model_of(folder).stacked.named_children()]
    places = dict.fromkeys([*parts, "classifier", "calibration"], "cpu")
    places["stacked.encoder_alpha"] = "disk"
    with tempfile.TemporaryDirectory() as offload:
        same(folder, model_of(folder, device_map=places, offload_folder=offload))


def check_saving_in_shards(folder: str) -> None:
    with tempfile.TemporaryDirectory() as saved:
        model_of(folder).save_pretrained(saved, max_shard_size="100KB")
        assert sum(name.endswith(".safetensors") for name in os.listdir(saved)) > 1
        same(folder, model_of(saved))


def check_export(folder: str) -> None:
    model = model_of(folder, attn_implementation="eager")
    batch, free = dict(batch_of(folder)), torch.export.Dim.DYNAMIC
    shapes = {key: {0: free, 1: free} for key in batch}
    program = torch.export.export(model, (), kwargs=batch, dynamic_shapes=shapes).module()
    for texts in (["a b", "كل سنه وانتي بخير"], ["x " * 30] * 5, ["a"]):
        other = batch_of(folder, texts)
        with torch.no_grad():
            expected = model(**other).logits
            torch.testing.assert_close(program(**other).logits, expected, atol=1e-5, rtol=0)


def check_compile(folder: str) -> None:
    same(folder, torch.compile(model_of(folder), backend="eager"))


def check_accelerate(folder: str) -> None:
    from accelerate import Accelerator

    tools = Accelerator(cpu=True)
    rows = [{**tokenizer_of(folder)(text), "labels": [1.0, 0.0, 0.0]} for text in TEXTS * 2]
    loader = torch.utils.data.DataLoader(
        rows, batch_size=2, collate_fn=DataCollatorWithPadding(tokenizer_of(folder))
    )
    model = model_of(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model, optimizer, loader = tools.prepare(model, optimizer, loader)
    for batch in loader:
        tools.backward(model(**batch).loss)
        optimizer.step()
        optimizer.zero_grad()
    trained = tools.unwrap_model(model).eval()
    with tempfile.TemporaryDirectory() as saved:
        trained.save_pretrained(saved, state_dict=tools.get_state_dict(model))
        again, batch = model_of(saved), batch_of(folder)
        assert torch.equal(again(**batch).logits, trained(**batch).logits)


def check_a_stock_trainer(folder: str) -> None:
    tokenizer = tokenizer_of(folder)
    rows = [{**tokenizer(text), "labels": [1.0, 0.0, 0.0]} for text in TEXTS * 4]
    for options in (
        {"gradient_checkpointing": True},
        {"bf16": True},
        {"train_sampling_strategy": "group_by_length"},
        {
            "eval_strategy": "steps",
            "eval_steps": 1,
            "save_steps": 1,
            "load_best_model_at_end": True,
        },
    ):
        with tempfile.TemporaryDirectory() as work:
            arguments = TrainingArguments(
                output_dir=work, max_steps=2, report_to="none", use_cpu=True, disable_tqdm=True,
                per_device_train_batch_size=2, **options,
            )  # fmt: skip
            trainer = Trainer(
                model=model_of(folder), args=arguments, processing_class=tokenizer,
                train_dataset=rows, eval_dataset=rows,
            )  # fmt: skip
            assert 0 < trainer.train().training_loss < 2
            predicted = trainer.predict(rows)
            assert predicted.predictions.shape == predicted.label_ids.shape == (len(rows), 3)
            trainer.save_model(work)
            saved = model_of(work).state_dict()
            for name, weight in trainer.model.state_dict().items():
                assert torch.equal(saved[name], weight), name


# Tokenizer


def check_tokens_and_ids(folder: str) -> None:
    tokenizer = tokenizer_of(folder)
    for text in TEXTS:
        tokens = tokenizer.tokenize(text)
        ids = tokenizer.convert_tokens_to_ids(tokens)
        rows = np.array(tokenizer.encode(text, add_special_tokens=False))
        assert ids == rows[: len(ids), 0].tolist()
        assert tokenizer.convert_ids_to_tokens(ids) == tokens
        assert tokenizer.decode(ids) == tokenizer.convert_tokens_to_string(tokens)
        whole = tokenizer.tokenize(text, add_special_tokens=True)
        assert whole[1:-1] == tokens == tokenizer.encoder_tokens(text)["zeta"][1:-1]
    rows = tokenizer(TEXTS)["input_ids"]
    decoded = tokenizer.batch_decode(rows, skip_special_tokens=True)
    assert decoded == [tokenizer.decode(row, skip_special_tokens=True) for row in rows]
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize("ا ."))
    assert tokenizer.decode(ids).endswith(" .")
    cleaned = tokenizer.decode(ids, clean_up_tokenization_spaces=True)
    assert cleaned == tokenizer.decode(ids).removesuffix(" .") + "."
    assert tokenizer.convert_tokens_to_ids("no such token") is None
    refused(lambda: tokenizer.decode([None]), "ids must be ints")
    refused(lambda: tokenizer.decode([1], foo=1), "foo")
    refused(lambda: tokenizer.tokenize("a", foo=1), "foo")
    assert len(tokenizer.tokenize("كلمة " * 100, truncation=False)) > tokenizer.model_max_length


def check_padding_token(folder: str) -> None:
    def padded(tokenizer: Any) -> set[int]:
        batch = tokenizer(["a", "several more words"], padding=True, return_tensors="np")
        return set(batch["input_ids"][..., 0][batch["attention_mask"][..., 0] == 0].tolist())

    other = tokenizer_of(folder).convert_ids_to_tokens(2)
    tokenizers = [AutoTokenizer.from_pretrained(folder, pad_token=other, **TRUST)]
    for name, value in (("pad_token", other), ("pad_token_id", 2)):
        tokenizers.append(AutoTokenizer.from_pretrained(folder, **TRUST))
        setattr(tokenizers[-1], name, value)
    tokenizers.append(AutoTokenizer.from_pretrained(folder, **TRUST))
    assert tokenizers[-1].add_special_tokens({"pad_token": other}) == 0
    model = model_of(folder)
    for tokenizer in tokenizers:
        assert (tokenizer.pad_token, tokenizer.pad_token_id) == (other, 2)
        assert tokenizer.encoder_pad_ids["zeta"] == 2
        assert padded(tokenizer) == {2} != padded(tokenizer_of(folder))
        with tempfile.TemporaryDirectory() as saved:
            tokenizer.save_pretrained(saved)
            assert AutoTokenizer.from_pretrained(saved, **TRUST).pad_token == other
        batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
        assert torch.equal(model(**batch).logits, model(**batch_of(folder)).logits)
    refused(lambda: AutoTokenizer.from_pretrained(folder, pad_token="no such", **TRUST), "no such")
    for value in ("no such", None):
        refused(lambda value=value: setattr(tokenizers[0], "pad_token", value), "vocabulary")


def check_settings(folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder, **TRUST)
    for name, value in {
        "cls_token": "[X]", "mask_token": "<m>", "unk_token_id": 3, "image_token": "<i>",
        "extra_special_tokens": ["<a>"], "additional_special_tokens": ["<a>"],
        "padding_side": "left", "truncation_side": "left", "chat_template": "{{ x }}",
        "split_special_tokens": True, "clean_up_tokenization_spaces": True,
        "model_input_names": ["input_ids"],
    }.items():  # fmt: skip
        refused(
            lambda name=name, value=value: AutoTokenizer.from_pretrained(
                folder, **TRUST, **{name: value}
            ),
            name,
        )
        if name != "image_token":
            refused(lambda name=name, value=value: setattr(tokenizer, name, value), name)
    for name, value in (("do_lower_case", True), ("max_len", 9), ("add_bos_token", True)):
        refused(
            lambda name=name, value=value: AutoTokenizer.from_pretrained(
                folder, **TRUST, **{name: value}
            ),
            name,
        )
    for name in ("encoder_names", "backends"):
        refused(lambda name=name: setattr(tokenizer, name, []), name, "from_tokenizers")
    assert AutoTokenizer.from_pretrained(folder, model_max_length=9, **TRUST).model_max_length == 9
    tokenizer.model_max_length = 9
    assert len(tokenizer("a " * 99)["input_ids"]) <= 9
    tokenizer.encoder_prefixes = {"zeta": "a "}
    assert (
        tokenizer.encoder_tokens("b")["zeta"] == tokenizer_of(folder).encoder_tokens("a b")["zeta"]
    )
    tokenizer.encoder_prefixes = {}
    tokenizer.normalization = ["tatweel"]
    assert tokenizer.tokenize("جـــميل") == tokenizer_of(folder).tokenize("جميل")
    refused(lambda: setattr(tokenizer, "encoder_prefixes", {"nope": "a"}), "encoder_prefixes")
    refused(lambda: setattr(tokenizer, "model_max_length", 1), "model_max_length")
    refused(lambda: tokenizer.add_tokens(["new"]), "before you stack")
    refused(lambda: tokenizer.add_special_tokens({"cls_token": "[X]"}), "before you stack")
    refused(lambda: tokenizer.apply_chat_template([]), "single texts")
    refused(lambda: tokenizer.get_special_tokens_mask([1]), "word_index")


def check_options_of_a_call(folder: str) -> None:
    tokenizer = tokenizer_of(folder)
    for name, value in {
        "text_pair": "b", "is_split_into_words": True, "padding_side": "left", "stride": 2,
        "return_special_tokens_mask": True, "return_offsets_mapping": True,
        "return_token_type_ids": True, "return_overflowing_tokens": True,
        "truncation": "only_second", "split_special_tokens": True, "nonsense": 1,
    }.items():  # fmt: skip
        words = () if name in ("text_pair", "truncation") else (name,)
        refused(lambda name=name, value=value: tokenizer("a", **{name: value}), *words)
    assert "attention_mask" not in tokenizer("a", return_attention_mask=False)
    arrays = tokenizer(TEXTS, padding=True, return_tensors="np", pad_to_multiple_of=8)
    assert arrays["input_ids"].shape == (3, 16, 3)
    rows = [tokenizer(text) for text in TEXTS]
    assert (
        tokenizer.pad(rows, return_tensors="pt", pad_to_multiple_of=8)["word_index"].shape[1] == 16
    )
    assert "attention_mask" not in tokenizer.pad(rows, return_attention_mask=False)
    bare = [{"input_ids": row["input_ids"]} for row in rows]
    refused(lambda: tokenizer.pad(bare, return_attention_mask=True), "attention_mask")
    collated = DataCollatorWithPadding(tokenizer)(rows)
    assert all(torch.equal(collated[key], value) for key, value in batch_of(folder).items())


def check_saving_the_tokenizer(folder: str) -> None:
    tokenizer = tokenizer_of(folder)
    with tempfile.TemporaryDirectory() as saved:
        written = tokenizer.save_vocabulary(saved)
        assert len(written) == 3
        assert all(os.path.isfile(path) for path in written)
        for options in ({"filename_prefix": "x"}, {"legacy_format": True}):
            refused(lambda options=options: tokenizer.save_pretrained(saved, **options), "option")
        tokenizer.save_pretrained(saved)
        assert AutoTokenizer.from_pretrained(saved, **TRUST)(TEXTS) == tokenizer(TEXTS)


# Pipelines


def check_pipelines(folder: str) -> None:
    import pandas
    from datasets import Dataset

    classify = pipeline("emotion-classification", model=folder, **TRUST)
    expected = classify(TEXTS)
    for column in (tuple(TEXTS), pandas.Series(TEXTS), np.array(TEXTS)):
        assert classify(column) == expected
    assert classify(Dataset.from_dict({"text": TEXTS})["text"]) == expected
    assert classify(TEXTS, top_k=1) == [labels[:1] for labels in expected]
    for wrong in ({"top_k": 0}, {"top_k": True}, {"nonsense": 1}, {"function_to_apply": "none"}):
        refused(lambda wrong=wrong: classify("a", **wrong), *wrong)
    eager = pipeline(model=folder, model_kwargs={"attn_implementation": "eager"}, **TRUST)
    assert eager.model.config._attn_implementation == "eager"
    half = pipeline(model=folder, dtype="bfloat16", **TRUST)("a b", return_words=True)
    assert len(half["words"]) == 2
    stock = pipeline("text-classification", model=folder, top_k=None, **TRUST)
    assert [len(scores) for scores in stock(TEXTS, batch_size=2)] == [3, 3, 3]
    vectors = pipeline("feature-extraction", model=folder, **TRUST)("a b")
    assert np.shape(vectors) == (1, 2, config_of(folder).hidden_size)
    refused(lambda: pipeline("fill-mask", model=folder, **TRUST), "Could not load model")


CHECKS = {name: value for name, value in globals().items() if name.startswith("check_")}


def run(folder: str) -> dict[str, str]:
    """The traceback of each check that failed, empty for the others."""
    torch.set_num_threads(1)
    found = {}
    for name, check in CHECKS.items():
        try:
            check(folder)
            found[name] = ""
        except (Exception, pytest.fail.Exception):
            found[name] = traceback.format_exc()
    return found
