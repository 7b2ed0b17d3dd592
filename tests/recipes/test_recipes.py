"""Every recipe parses, and the command line wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacked_emotion.recipes import RECIPES
from stacked_emotion.trainer import UserError, parse_recipe
from stacked_emotion.trainer.recipe import read_recipe

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


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


def test_the_command_line_wins_and_e5_is_known() -> None:
    recipe = parse_recipe(
        ["--config", "semeval2018_arabic", "--encoders", "small=some/multilingual-e5-small",
         "b=some/bert", "--head_seeds", "5"]
    )  # fmt: skip
    assert list(recipe.sources()) == ["small", "b"]
    assert recipe.prefixes() == {"small": "query: "}
    assert recipe.stages.head_seeds == [5]


def test_a_folder_of_that_name_is_no_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_recipe("demo")["text_column"] == "text"


def test_mistakes_are_told(tmp_path: Path) -> None:
    (tmp_path / "typo.yaml").write_text("encoder_epoch: 3\n")
    with pytest.raises(UserError, match="encoder_epochs"):
        read_recipe(tmp_path / "typo.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    with pytest.raises(UserError, match="YAML"):
        read_recipe(tmp_path / "bad.yaml")
    with pytest.raises(UserError, match="semeval2018_arabic"):
        read_recipe("semeval2019")
    with pytest.raises(UserError, match="twice"):
        parse_recipe(["--encoders", "a=1", "a=2"])
    with pytest.raises(UserError, match="No encoders"):
        parse_recipe([]).sources()
