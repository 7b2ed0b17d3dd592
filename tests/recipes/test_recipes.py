"""Recipes: what they may say, what is refused, and that the command line wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stacked_emotion.common.settings import Whole, checked, dump_yaml, parse_yaml
from stacked_emotion.recipes import RECIPES
from stacked_emotion.trainer import UserError, parse_recipe
from stacked_emotion.trainer.arguments import TrainingRecipe
from stacked_emotion.trainer.recipe import make_recipe, read_recipe

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
NESTED = """
encoders:
  marbert: {source: UBC-NLP/MARBERT, revision: abc, epochs: 7, prefix: "emotion: "}
  small: some/multilingual-e5-small
encoder_defaults: {epochs: 2, learning_rate: 3e-5, gradient_accumulation_steps: 4}
meta: {loss: bce}
head:
  learning_rate: 1e-3
  lr_scheduler_type: cosine_with_restarts
  lr_scheduler_kwargs: {num_cycles: 2}
  loss: {name: hybrid, options: {correlation_weight: 2}}
joint: {num_train_epochs: 3}
"""


@pytest.fixture
def nested(tmp_path: Path) -> str:
    (tmp_path / "nested.yaml").write_text(NESTED, encoding="utf-8")
    return str(tmp_path / "nested.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_recipes_parse(name: str) -> None:
    recipe = parse_recipe(["--config", name])
    if name != "demo":
        assert len(recipe.sources()) >= 2
        assert recipe.data.train_file or recipe.data.dataset_name
    assert recipe.head.loss.name == "hybrid"
    assert recipe.to_dict()["output_dir"] == "outputs/run"


def test_the_paper_s_encoders() -> None:
    assert parse_recipe(["--config", "semeval2018_arabic"]).sources() == {
        "arabicbert": "asafaya/bert-base-arabic",
        "marbert": "UBC-NLP/MARBERT",
        "arabert": "aubmindlab/bert-base-arabertv02-twitter",
    }


def test_settings_stand_under_what_they_belong_to(nested: str) -> None:
    recipe = parse_recipe([nested])
    marbert, small = recipe.encoders["marbert"], recipe.encoders["small"]
    assert list(recipe.encoders) == ["marbert", "small"]
    assert (marbert.source, marbert.revision) == ("UBC-NLP/MARBERT", "abc")
    assert (marbert.epochs, small.epochs) == (7.0, 2.0)
    assert (marbert.learning_rate, small.learning_rate) == (3e-5, 3e-5)
    assert small.training_arguments == {"gradient_accumulation_steps": 4}
    assert recipe.prefixes() == {"marbert": "emotion: ", "small": "query: "}
    assert (recipe.meta.loss.name, recipe.meta.epochs) == ("bce", 3)
    assert recipe.head.loss.options == {"correlation_weight": 2}
    assert recipe.head.training_arguments == {
        "lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}
    }  # fmt: skip
    assert recipe.joint.epochs == 3  # num_train_epochs is another name


def test_the_command_line_wins(nested: str) -> None:
    recipe = parse_recipe(
        ["--config", nested, "--encoders.small.epochs", "9", "--head.learning-rate=1e-2",
         "--encoder-defaults.num_train_epochs", "4", "--meta.weight_decay", "0",
         "--head.loss.options.correlation_weight", "0.5", "--head.warmup_steps", "5",
         "--encoders.marbert.revision", "null", "--head-seeds", "5", "6", "--use_lstm", "false"]
    )  # fmt: skip
    assert recipe.encoders["small"].epochs == 9
    assert recipe.encoders["marbert"].epochs == 7
    assert recipe.encoders["marbert"].revision is None
    assert recipe.encoder_defaults.epochs == 4
    assert (recipe.head.learning_rate, recipe.head.warmup) == (0.01, 5.0)
    assert recipe.head.loss.options == {"correlation_weight": 0.5}
    assert recipe.meta.weight_decay == 0
    assert recipe.stages.head_seeds == [5, 6]
    more = parse_recipe(["your_labels", "--label-columns", "null", "--label_names", "a", "b"])
    assert (more.data.label_columns, more.data.label_names) == (None, ["a", "b"])
    assert not recipe.stack.use_lstm


def test_encoders_on_the_command_line_take_the_place_of_the_recipe_s(nested: str) -> None:
    recipe = parse_recipe([nested, "--encoders", "new=some/bert", "marbert=/my/copy"])
    assert recipe.sources() == {"new": "some/bert", "marbert": "/my/copy"}
    marbert = recipe.encoders["marbert"]
    assert (marbert.epochs, marbert.prefix) == (7, "emotion: ")
    assert marbert.revision is None  # that of another source
    same = parse_recipe([nested, "--encoders", "marbert=UBC-NLP/MARBERT"])
    assert same.encoders["marbert"].revision == "abc"
    more = parse_recipe([nested, "--encoders", "a=x", "--encoders.a.epochs", "1"])
    assert more.encoders["a"].epochs == 1


def test_another_loss_leaves_the_old_one_s_options(nested: str) -> None:
    recipe = parse_recipe([nested, "--head.loss", "focal"])
    assert (recipe.head.loss.name, recipe.head.loss.options) == ("focal", {})


def test_what_was_run_can_be_run_again(nested: str, tmp_path: Path) -> None:
    recipe = parse_recipe([nested, "--encoders.small.epochs", "9", "--label_names", "no", "yes"])
    text = dump_yaml(recipe.to_dict())
    assert list(yaml.safe_load(text)["encoders"]) == ["marbert", "small"]
    (tmp_path / "again.yaml").write_text(text, encoding="utf-8")
    assert parse_recipe([str(tmp_path / "again.yaml")]).to_dict() == recipe.to_dict()
    changed = recipe.changed({"head.loss": {"name": "bce", "options": {}}, "dropout": 0.5})
    assert changed.to_dict() == recipe.to_dict() | {
        "dropout": 0.5,
        "head": recipe.to_dict()["head"] | {"loss": {"name": "bce", "options": {}}},
    }


def test_keywords_are_the_same_keys() -> None:
    settings: dict[str, Any] = {
        "encoders": Whole({"a": Path("some/folder"), "b": {"source": "x", "epochs": 2}}),
        "head": {"loss": "bce"},
    }
    recipe = make_recipe(checked(TrainingRecipe, settings), "semeval2018_arabic")
    assert recipe.sources() == {"a": "some/folder", "b": "x"}
    assert recipe.encoders["b"].epochs == 2
    assert (recipe.head.loss.name, recipe.head.loss.options) == ("bce", {})
    assert recipe.data.text_column == "Tweet"


def test_a_folder_of_that_name_is_no_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_recipe("demo")["text_column"] == "text"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encodrs: {a: x}", r"bad\.yaml: encodrs is not known \(did you mean 'encoders'"),
        ("encoders: {a: {epoch: 3}}", r"encoders\.a\.epoch is not known \(did you mean 'epochs'"),
        ("epochs: 3", "epochs is not known here; it is a key of encoder_defaults, meta"),
        ("revision: main", r"revision is not known here; it is a key of encoders\.NAME"),
        ("options: {}", r"options is .*key of encoder_defaults\.loss, meta\.loss, head\.loss"),
        ("encoder_defaults: {lora_rnk: 3}", r"encoder_defaults\.lora_rnk .*'lora_rank'"),
        ("head: {optm: adafactor}", r"head\.optm is not known \(did you mean 'optim'"),
        ("head: {loss: {nme: bce}}", r"head\.loss\.nme .*'name'"),
        ("head: {loss: hinge}", "head.loss: Unknown loss 'hinge'"),
        ("head: {loss: {options: {gamma: 2}}}", "head.loss: The loss 'hybrid' has no option"),
        ("head: {learning_rate: fast}", r"head\.learning_rate is 'fast'; it must be a number"),
        ("head_seeds: 3", "head_seeds is 3; it must be a list"),
        ("head_seeds: [a]", "head_seeds is 'a'; it must be a whole number"),
        ("meta: {epochs: 2.5}", r"meta\.epochs is 2\.5; it must be a whole number"),
        ("encoders: {a: {source: x, revision: 123}}", r"revision is 123; .* put it in quotes"),
        ("use_lstm: maybe", "use_lstm is 'maybe'; it must be true or false"),
        ("quoting: cvs", "quoting is 'cvs'; it must be one of auto, csv, none"),
        ("meta: 3", "meta is 3; it must hold `key: value` lines"),
        ("head: {seed: 3}", r"head\.seed cannot be set: set the run's own seeds"),
        ("head: {eval_strategy: epoch}", r"head\.eval_strategy cannot be set"),
        ("meta: {max_steps: 3}", r"meta\.max_steps cannot be set"),
        ("joint: {epochs: 1, num_train_epochs: 2}", r"joint\.num_train_epochs is given twice"),
        ("encoders: {a: x, a: y}", "'a' is given twice"),
        ("encoders: {a: {epochs: 1}}", r"encoders\.a has no source"),
        ("encoders: {A b: x}", "'A b' cannot be a name"),
        ("- a", "must hold `key: value` lines"),
        ("a: [1", "YAML"),
        ("encoders: {a: {source: x, epochs: -1}}", r"encoders\.a: epochs is -1.0; .* at least 0"),
        ("encoders: {a: {source: x, warmup: .nan}}", "warmup is nan; it must be at least 0"),
        ("encoders: {a: {source: x, max_grad_norm: .inf}}", "max_grad_norm is inf; .* finite"),
        ("encoders: {a: {source: x, pretraining: [{train_file: t.csv, batch_size: 0}]}}",
         r"pretraining\.0: batch_size is 0; it must be at least 1"),
        ("meta: {epochs: -1}", "meta: epochs is -1; it must be at least 0"),
        ("head_seeds: [0, -1]", "head_seeds is -1; it must be at least 0 and at most 4294967295"),
        ("adaptive_agreement: 1.5", "adaptive_agreement is 1.5; .* above 0 and at most 1"),
        ("gain_in_errors: .nan", "gain_in_errors is nan; it must be a finite number"),
        ("logging_steps: 0", "logging_steps is 0; it must be at least 1"),
        ("head: {loss: {options: {correlation_weight: much}}}",
         "head.loss: The option correlation_weight is 'much'; it must be a number"),
        ("head: {loss: {options: {correlation_weight: .nan}}}", "correlation_weight is nan"),
        ("output_dir: ''", "output_dir is empty"),
        ("stage: [heads]", "stage: 'heads' is not known .*did you mean 'head'"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_path(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        parse_recipe([str(tmp_path / "bad.yaml")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoders", "a=1", "a=2"], "twice"),
        (["--encoders", "a"], "name=value"),
        (["--head.epoch", "1"], r"--head\.epoch is not known \(did you mean 'epochs'"),
        (["--encoder_epochs", "1"], r"--encoder_epochs .*--encoder_defaults\.epochs"),
        (["--seed", "many"], "--seed is 'many'; it must be a whole number"),
        (["--encoders.a.epochs", "1"], r"encoders\.a has no source"),
        (["--head.loss.options.temperature", "[1"], "not valid YAML"),
        (["--joint.epochs", "1", "--joint.num_train_epochs", "2"], "given twice"),
        (["--config", "x", "demo"], "Two recipes"),
        (["semeval2019"], "semeval2018_arabic"),
    ],
)
def test_mistakes_of_the_command_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_recipe(words)


def test_no_encoders() -> None:
    with pytest.raises(UserError, match="No encoders"):
        parse_recipe([]).sources()


def test_numbers_as_yaml_1_2_writes_them() -> None:
    assert parse_yaml("{a: 1e-3, b: 2E5, c: 1.5e+2, d: e5, e: 1e}") == {
        "a": 0.001, "b": 200000.0, "c": 150.0, "d": "e5", "e": "1e"
    }  # fmt: skip


def test_seeds_count_once_and_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    words = ["--encoders", "a=x", "--head_seeds", "1", "0", "1", "--output_dir", "~/runs/mine"]
    stages = parse_recipe(words).stages
    assert stages.head_seeds == [1, 0]
    assert stages.output_dir == "/home/me/runs/mine"


def test_the_folder_of_a_run_is_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("encoders: {a: x}\nseed: 7\n", encoding="utf-8")
    assert parse_recipe([str(tmp_path)]).stages.seed == 7
    with pytest.raises(UserError, match="There is no recipe"):
        parse_recipe([str(tmp_path / "nothing")])
