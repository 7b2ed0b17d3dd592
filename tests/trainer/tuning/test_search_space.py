"""Which hyper-parameters are tuned, and how values go into a recipe."""

from __future__ import annotations

import optuna
import pytest

from stacked_emotion.trainer import UserError, parse_recipe
from stacked_emotion.trainer.arguments import TrainingRecipe
from stacked_emotion.trainer.tuning.search_space import (
    SPACE,
    Choice,
    Interval,
    current_values,
    recipe_lines,
    space_of,
)


def recipe(*options: str) -> TrainingRecipe:
    return parse_recipe(["--encoders", "a=one", "b=two", *options])


def test_only_what_matters_to_the_recipe() -> None:
    assert space_of(recipe()) == SPACE
    bare = space_of(
        recipe("--use_meta_learner", "false", "--use_lstm", "false", "--head.loss", "bce")
    )
    assert set(SPACE) - set(bare) == {
        "meta.learning_rate", "meta.weight_decay", "meta_hidden_size", "trust_factor",
        "lstm_hidden_size",
        "head.loss.options.correlation_weight", "head.loss.options.contrastive_weight",
        "head.loss.options.class_weight_power",
    }  # fmt: skip


def test_ranges_from_the_command_line() -> None:
    asked = ["dropout", "head.epochs=2,4,8", "word_dropout=0..0.2", "meta.learning_rate=1e-4..1e-2",
             "head.loss.options.temperature=0.05,0.1"]  # fmt: skip
    assert space_of(recipe(), asked) == {
        "dropout": SPACE["dropout"],
        "head.epochs": Choice((2, 4, 8)),
        "word_dropout": Interval(0.0, 0.2),
        "meta.learning_rate": Interval(1e-4, 1e-2, log=True),
        "head.loss.options.temperature": Choice((0.05, 0.1)),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropuot", "did you mean 'dropout'"),
        ("head.epochs", "cannot be tuned"),
        ("dropout=0.5..0.1", "low..high"),
        ("dropout=a,b", "low..high"),
        ("head.loss.options.gamma=1,2", "cannot be tuned"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_of(recipe(), [text])


def test_the_recipe_s_own_values() -> None:
    own = recipe("--dropout", "0.2", "--head.loss.options.correlation_weight", "2.0")
    values = current_values(own, space_of(own))
    assert values["dropout"] == 0.2
    assert values["head.loss.options.correlation_weight"] == 2.0
    assert values["head.loss.options.class_weight_power"] == 0.5  # sqrt_inverse
    assert set(values) == set(SPACE)
    assert own.changed(values).head.loss.options["correlation_weight"] == 2.0
    outside = recipe("--dropout", "0.9", "--head.loss.options.class_weights", "effective_number")
    left = set(SPACE) - set(current_values(outside, SPACE))
    assert left == {"dropout", "head.loss.options.class_weight_power"}


def test_values_go_into_the_recipe_and_its_lines() -> None:
    own = recipe(
        "--head.loss.options.temperature", "0.2", "--head.loss.options.correlation_weight", "2.0"
    )
    values = {
        "dropout": 0.25,
        "head.weight_decay": 0.05,
        "head.loss.options.correlation_weight": 1.5,
    }
    changed = own.changed(values)
    assert changed.stack.dropout == 0.25
    assert changed.head.weight_decay == 0.05
    assert changed.head.loss.options == {"temperature": 0.2, "correlation_weight": 1.5}
    assert own.head.loss.options["correlation_weight"] == 2.0
    assert recipe_lines(own, values) == (
        "head:\n  loss:\n    name: hybrid\n    options:\n      temperature: 0.2\n"
        "      correlation_weight: 1.5\n  weight_decay: 0.05\ndropout: 0.25\n"
    )


def test_what_is_run_is_what_is_printed() -> None:
    trial = optuna.trial.FixedTrial({"rate": 0.000123456789, "size": 64})
    assert SPACE["dropout"] == Interval(0.0, 0.6)
    assert Interval(1e-5, 1e-3, log=True).suggest(trial, "rate") == 0.0001235
    assert Choice((32, 64)).suggest(trial, "size") == 64
