"""The examples in the docstrings run and print what they say.

They run in a folder with small stand-ins for what they name: the model `user/name` and the run
`runs/mine` are those of a tiny training, and the Hub IDs of encoders are folders of tiny ones. An
example that cannot run here skips its lines and says why: "Example, not run: …".
"""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest
from tiny_models import ROOT

MARBERT, ARABERT = "UBC-NLP/MARBERT", "aubmindlab/bert-base-arabertv02-twitter"
MODULES = sorted(ROOT.glob("*.py")) + [
    path
    for package in ("common", "data", "inference", "trainer", "hub_card")
    for path in sorted((ROOT / package).rglob("*.py"))
]
WITH_EXAMPLES = [path for path in MODULES if ">>> " in path.read_text("utf-8")]


def examples_of(module: Path) -> list[doctest.DocTest]:
    name = ".".join(["stacked_emotion", *module.relative_to(ROOT).with_suffix("").parts])
    found = import_module(name.removesuffix(".__init__"))
    return [test for test in doctest.DocTestFinder().find(found) if test.examples]


@pytest.fixture
def stand_ins(
    tmp_path: Path, finished_run: Path, tiny_encoder_folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    places = {
        "runs/mine": finished_run,
        "user/name": finished_run / "model",
        MARBERT: tiny_encoder_folders["alpha"],
        ARABERT: tiny_encoder_folders["zeta"],
    }
    for name, folder in places.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    "module", WITH_EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_examples_run(module: Path) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in examples_of(module):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
    assert runner.tries or all(
        example.options.get(doctest.SKIP)
        for test in examples_of(module)
        for example in test.examples
    )


@pytest.mark.parametrize(
    "module", WITH_EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_examples_that_do_not_run_say_why(module: Path) -> None:
    for test in examples_of(module):
        skips = any(example.options.get(doctest.SKIP) for example in test.examples)
        says_why = re.search(r"Example, not run: \w+", test.docstring or "") is not None
        assert skips == says_why, f"{test.name}: skipped lines and a reason go together"


PUBLIC = {
    "runs.py": {"train", "Run"},
    "trainer/metrics/run_results.py": {"Results"},
    "tokenization_stacked_emotion.py": {"StackedEmotionTokenizer"},
    "modeling_stacked_emotion.py": {"StackedEmotionForSequenceClassification"},
    "decisions_stacked_emotion.py": {"decide"},
    "inference/predictor.py": {"StackedEmotionPredictor"},
    "inference/decisions.py": {"decide"},
    "inference/explanations/explain.py": {"explain"},
    "inference/bulk/job.py": {"predict_file"},
    "inference/partitions.py": {"PartitionPredictor"},
    "data/tables.py": {"read_table"},
    "data/labeled_texts.py": {"load_labeled_texts"},
    "data/label_statistics.py": {"LabelStatistics"},
    "trainer/losses/__init__.py": {"build_loss"},
    "trainer/metrics/scores.py": {"emotion_scores"},
    "hub_card/publishing.py": {"publish"},
}


@pytest.mark.parametrize("module", PUBLIC)
def test_what_a_newcomer_calls_has_an_example(module: str) -> None:
    shown = {test.name.rpartition(".")[2] for test in examples_of(ROOT / module)}
    assert PUBLIC[module] <= shown, f"no example for {PUBLIC[module] - shown}"
