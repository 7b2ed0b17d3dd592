"""A lexical member in a run: named in the recipe, fitted by folds, finished, saved."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lexical import lexical_alone
from safetensors.torch import load_file
from tiny_runs import tiny_run_options

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.hub_card.card.terms import terms_of
from stacked_emotion.hub_card.run_record import RunRecord
from stacked_emotion.trainer import UserError, parse_recipe, run_training
from stacked_emotion.trainer.ablation.variants import variants_of

LEXICAL = ("--encoders.lexical.ngrams", "2", "4", "--encoders.lexical.ngrams_bits", "12")
TABLE = "stacked.encoder_lexical.embeddings.table.weight"


def tables(run: Path) -> list[torch.Tensor]:
    parts = ("fold_0", "fold_1", "final")
    return [load_file(run / f"encoders/lexical/{part}/model.safetensors")[TABLE] for part in parts]


def test_a_lexical_member_in_a_run(tiny_encoder_folders: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = tiny_run_options(tiny_encoder_folders, run, *LEXICAL)
    run_training(parse_recipe(options))
    model = StackedEmotionForSequenceClassification.from_pretrained(run / "model")
    tokenizer = StackedEmotionTokenizer.from_pretrained(run / "model")
    assert model.config.encoder_names == tokenizer.encoder_names == ["zeta", "alpha", "lexical"]
    assert model.config.lexical.hidden_size == model.config.num_labels
    found = tables(run)
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found[2], model.state_dict()[TABLE])
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    settings = results["stages"]["encoders"]["lexical"]["final"]["settings"]
    assert (settings["ngrams"], settings["source"]) == ([2, 4], "")
    assert "lexical" in results["systems"]
    record = RunRecord.from_folder(run)
    assert record.encoder_sources["lexical"] == "n-grams and words of the training texts"
    assert record.unnamed_encoders == ["zeta", "alpha"]
    assert not any("lexical" in term.name for term in terms_of(record, ask_hub=False))
    # Finished parts are used again; a changed setting makes this member alone again.
    before = {path: path.stat().st_mtime_ns for path in run.glob("encoders/*/*/done.json")}
    run_training(parse_recipe([*options, "--encoders.lexical.ngrams_c", "0.1"]))
    changed = {p.parts[-3] for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {"lexical"}
    assert not torch.equal(tables(run)[2], found[2])
    # A member less, and the others are used as they are.
    before = {path: path.stat().st_mtime_ns for path in run.glob("encoders/*/*/done.json")}
    run_training(parse_recipe(tiny_run_options(tiny_encoder_folders, run)))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_the_same_texts_give_the_same_member(sample_texts: list[str]) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (len(sample_texts), 3))
    one, other = (lexical_alone(sample_texts, labels) for _ in range(2))
    for name, value in one[0].state_dict().items():
        assert torch.equal(other[0].state_dict()[name], value), name
    backends = [stack[1].backends["lexical"].to_str() for stack in (one, other)]
    assert backends[0] == backends[1]


def test_what_a_recipe_says_of_it(tiny_encoder_folders: dict[str, Path], tmp_path: Path) -> None:
    shared = ["--encoder_defaults.probe", "1", "--pretraining", "texts.csv"]
    recipe = parse_recipe(tiny_run_options(tiny_encoder_folders, tmp_path, *LEXICAL, *shared))
    assert recipe.encoders["lexical"].probe == recipe.encoders["lexical"].pretraining == []
    assert recipe.encoders["zeta"].probe == [1]
    titles = [row.title for row in variants_of(recipe)]
    assert {"zeta, own tokens", "lexical"} <= {*titles}
    assert "lexical, own tokens" not in titles


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--encoders.lexical.ngrams", "5", "2"], r"ngrams is \[5, 2\]; it must be the shortest"),
        ([*LEXICAL, "--encoders.lexical.ngrams_bits", "30"], "bits is 30; it must be at least 8"),
        ([*LEXICAL, "--encoders.lexical.ngrams_c", "0"], "ngrams_c is 0.0; it must be above 0"),
        ([*LEXICAL, "--encoders.lexical.source", "a/b"], "takes no source, revision, probe"),
        (["--encoders.lexical.ngram", "2", "5"], "did you mean .*ngrams"),
        (["--encoders.lexical.epochs", "2"], "lexical has no source: .* or ngrams for a lexical"),
    ],
)
def test_mistakes_are_told_before_the_training(
    more: list[str], message: str, tiny_encoder_folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises((UserError, SystemExit)) as caught:
        parse_recipe(tiny_run_options(tiny_encoder_folders, tmp_path / "run", *more))
    told = f"{caught.value} {capsys.readouterr().err}"
    assert re.search(message, told), told
