"""Model cards: filled from the run with no blank left, valid for the Hub, and readable."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server.card_yaml import validate_card
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from markdown_it import MarkdownIt
from run_folders import BASE_MODELS
from tiny_models import LABELS

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.settings import by_path, keys_of, plain
from stacked_emotion.hub_card import RunRecord, card_content, terms_of
from stacked_emotion.hub_card.card.known_data import NO_DEFINITION, known_data
from stacked_emotion.hub_card.card.sections import ONLY_WITH, shown_settings
from stacked_emotion.hub_card.run_model import RunModel
from stacked_emotion.hub_card.space.publishing import model_facts
from stacked_emotion.trainer.arguments import TrainingRecipe
from stacked_emotion.trainer.training_sections import EncoderSettings

SEMEVAL = "SemEvalWorkshop/sem_eval_2018_task_1"
TEXTS = ["فرحان جدا 😍", 'a "quoted" <b>text</b> | with a bar']


def card_of(folder: Path, languages: list[str] | None = None, **options: Any) -> str:
    record = RunRecord.from_folder(folder)
    options = {
        "examples": RunModel.load(record).answers(TEXTS), "plots": ["class_wise_f1"],
        "digest": "d" * 64, "parameters": 123_456, "tag": "v1", **options,
    }  # fmt: skip
    terms = terms_of(record, ask_hub=False)
    return card_content(
        record,
        "user/emotions",
        "cc-by-nc-4.0",
        terms,
        ["ar"] if languages is None else languages,
        **options,
    ).render()


@pytest.fixture(scope="module")
def stack_card(run_folder: Path) -> str:
    return card_of(run_folder, student="user/emotions-mini")


@pytest.fixture(scope="module")
def student_card(student_run_folder: Path) -> str:
    return card_of(student_run_folder, teacher="user/emotions-stack")


def metadata(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_no_blank_is_left(kind: str, request: pytest.FixtureRequest) -> None:
    card = request.getfixturevalue(kind)
    body = re.sub(r"```.*?```", "", card.split("---\n", 2)[2], flags=re.DOTALL)
    assert not re.search(r"\{\{|\{%|\bnan\b|\bUndefined\b|\|[ \t]*\|", body)
    assert not re.search(r"\bNone\b", body)
    assert "/home/" not in card
    assert "hf_Z" not in card
    assert "/work/" not in card
    for heading in (
        "How to use it", "Labels", "Results", "Training", "Data and terms",
        "Limits, risks and biases", "Environment", "Citation",
    ):  # fmt: skip
        assert f"\n## {heading}\n" in card


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_the_hub_takes_the_metadata(kind: str, request: pytest.FixtureRequest) -> None:
    card = request.getfixturevalue(kind)
    assert validate_card(card, "model") == ([], [])
    assert ModelCard(card).data.license == "cc-by-nc-4.0"
    data = metadata(card)
    assert (data["library_name"], data["pipeline_tag"]) == ("transformers", "text-classification")
    assert data["language"] == ["ar"]
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "emotions"
    assert {result.metric_type for result in results} >= {"jaccard", "micro_f1", "hamming_loss"}


def test_metadata_of_a_stack(stack_card: str) -> None:
    data = metadata(stack_card)
    assert data["base_model"] == sorted(BASE_MODELS.values())
    assert data["base_model_relation"] == "finetune"
    assert "custom_code" in data["tags"]
    assert [entry["text"] for entry in data["widget"]] == TEXTS
    for entry in data["widget"]:
        assert {answer["label"] for answer in entry["output"]} == set(LABELS)
        scores = [answer["score"] for answer in entry["output"]]
        assert scores == sorted(scores, reverse=True)
    assert "https://huggingface.co/user/emotions-mini" in stack_card


def test_a_student_says_where_its_thresholds_come_from(
    student_run_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(student_run_folder, tmp_path / "run"))
    results = json.loads((copy / "results.json").read_text(encoding="utf-8"))
    said = {}
    for source in ("teacher", "labels"):
        results["recipe"]["thresholds_from"] = source
        (copy / "results.json").write_text(json.dumps(results), encoding="utf-8")
        said[source] = " ".join(card_of(copy).split())
    assert "get each label as often as from the teacher" in said["teacher"]
    assert "gives each label as often as its teacher" in said["teacher"]
    assert "chosen on out-of-fold predictions of the training texts" in said["labels"]
    assert "as often as" not in said["labels"]


def test_metadata_of_a_student(student_card: str) -> None:
    data = metadata(student_card)
    assert data["base_model"] == ["lab/mini", "user/emotions-stack"]
    assert "custom_code" not in data["tags"]
    assert data["widget"] == [{"text": text} for text in TEXTS], "the live widget answers itself"
    assert "trust_remote_code=True" not in student_card
    assert "https://huggingface.co/user/emotions-stack" in student_card
    assert '{"anger": 0.5, "fear": 0.6, "joy": 0.4}' in student_card
    assert "hinton2015distilling" in student_card


def test_figures_are_those_of_the_run(stack_card: str, run_folder: Path) -> None:
    record = RunRecord.from_folder(run_folder)
    for metric, title in (("jaccard", "Jaccard"), ("hamming_loss", "Hamming loss")):
        score = record.score("stack", "validation", metric)
        assert score is not None
        row = f"| {title} | {score.mean:.3f} ± {score.std:.3f} | {score.values[0]:.3f} |"
        assert row in stack_card
    for label in LABELS:
        support = record.score("stack", "validation", f"support_{label}")
        f1 = record.score("stack", "validation", f"f1_{label}")
        assert support is not None
        assert re.search(
            rf"\| {label} \| {support.mean:.0f} \|.*\| {re.escape(str(f1))} \|", stack_card
        )
    assert "| stack − zeta | Jaccard |" in stack_card
    assert "| label | threshold |" in stack_card, "the data are somebody's own"
    assert "| anger | 0.500 |" in stack_card
    assert stack_card.count("no definitions were given") == 1
    assert NO_DEFINITION not in stack_card
    assert "fear (" in stack_card, "a seldom label is told of"


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_it_renders(kind: str, request: pytest.FixtureRequest) -> None:
    card = request.getfixturevalue(kind)
    body = card.split("---\n", 2)[2]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    separators = len(re.findall(r"(?m)^\|(?: --- \|)+$", body))
    assert html.count("<table>") == separators > 6
    text = re.sub(r"(?s)<pre>.*?</pre>|<[^>]+>", "", html)
    assert "| ---" not in text
    assert "&lt;b&gt;text&lt;/b&gt;" in html, "texts are escaped"
    rows = re.findall(r"(?s)<table>(.*?)</table>", html)
    for table in rows:
        header = table.split("</tr>")[0].count("<th>")
        cells = {row.count("<td>") for row in table.split("</tr>")[1:] if "<td>" in row}
        assert cells == {header}, "no cell is torn apart or missing"


def code_blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_its_code_compiles_and_pins_the_revision(kind: str, request: pytest.FixtureRequest) -> None:
    blocks = code_blocks(request.getfixturevalue(kind))
    assert len(blocks) >= 3
    for block in blocks:
        compile(block, "card", "exec")
        if "user/emotions" in block:
            assert "<commit>" in block or "**options" in block


def test_a_run_without_scores_says_so(run_folder: Path, tmp_path: Path) -> None:
    import json

    shutil.copytree(run_folder, tmp_path / "run")
    results = {"format": 1, "labels": LABELS}
    (tmp_path / "run/results.json").write_text(json.dumps(results))
    card = card_of(tmp_path / "run", plots=[], examples=[], digest=None, tag=None)
    assert "Nothing is known of how well it does" in card
    assert not re.search(r"\|[ \t]*\||\bNone\b", re.sub(r"```.*?```", "", card, flags=re.DOTALL))
    assert validate_card(card, "model") == ([], [])


def test_other_license_and_other_languages(run_folder: Path) -> None:
    options = {"license_name": "my terms", "license_link": "https://example.org/terms"}
    record = RunRecord.from_folder(run_folder)
    content = card_content(
        record, "a/b", "other", [*terms_of(record, ask_hub=False)], ["es"], **options
    )
    card = content.render()
    assert "published under [my terms](https://example.org/terms)" in card
    data = metadata(card)
    assert (data["license"], data["license_name"]) == ("other", "my terms")
    assert data["license_link"] == "https://example.org/terms"
    assert "arabic" not in data["tags"]


def changed(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy of a run with other parts in its `results.json`."""
    copy = Path(shutil.copytree(folder, target))
    results = json.loads((copy / "results.json").read_text(encoding="utf-8"))
    (copy / "results.json").write_text(json.dumps(results | changes), encoding="utf-8")
    return copy


def test_a_card_knows_its_data(run_folder: Path, tmp_path: Path) -> None:
    recipe = {"dataset_name": SEMEVAL, "dataset_config_name": "subtask5.spanish"}
    card = card_of(changed(run_folder, tmp_path / "run", recipe=recipe), [])
    assert metadata(card)["language"] == ["es"]
    assert metadata(card)["datasets"] == [SEMEVAL]
    assert "| anger | anger, annoyance or rage | 0.500 |" in card
    assert "### SemEval-2018 Task 1, E-c, validation split" in card
    assert "mohammad2018semeval" in card
    assert "data SemEval-2018 Task 1, E-c: unknown on the Hub; its README asks to cite" in card


def test_the_figures_name_the_file_that_was_scored(run_folder: Path, tmp_path: Path) -> None:
    recipe = {"train_file": "/x/train_rows.csv", "validation_file": "C:\\data\\held_out.csv"}
    card = card_of(changed(run_folder, tmp_path / "run", recipe=recipe))
    assert "### held_out.csv, validation split" in card
    assert {entry["dataset"]["name"] for entry in metadata(card)["model-index"][0]["results"]} == {
        "held_out.csv"
    }
    assert "data train_rows.csv" in card
    recipe["data_name"] = "lab/FEELINGS"
    card = card_of(changed(run_folder, tmp_path / "elsewhere", recipe=recipe))
    assert "### held_out.csv, validation split" in card, "another folder may hold other data"
    recipe["validation_file"] = "/x/held_out.csv"
    card = card_of(changed(run_folder, tmp_path / "named", recipe=recipe))
    assert "### lab/FEELINGS (held_out.csv), validation split" in card
    data = metadata(card)["model-index"][0]["results"][0]["dataset"]
    assert (data["type"], data["name"]) == ("lab/FEELINGS", "lab/FEELINGS (held_out.csv)")


def test_the_calibration_is_told_as_it_is(run_folder: Path, tmp_path: Path) -> None:
    own = {"scale": [0.9, 1.1, 1.0], "bias": [0.1, 0.0, -0.1]}
    one = {"scale": [0.97] * 3, "bias": [-0.03] * 3}
    cases = {"better": (own, 0.01), "worse": (own, 0.05), "shared": (one, 0.01)}
    said = {}
    for name, (fitted, after) in cases.items():
        record = fitted | {
            "before": {"out of fold": {"ece": [0.04] * 3}, "validation": {"ece": [0.04] * 3}},
            "after": {"out of fold": {"ece": [0.02] * 3}, "validation": {"ece": [after] * 3}},
        }
        copy = changed(run_folder, tmp_path / name, calibration=record)
        said[name] = " ".join(card_of(copy).split())
    promise = "about 70 % have the label"
    assert (
        f"calibrated per label: of texts like the training texts that score 0.7, {promise}. Mean"
        in (said["better"])
    )
    assert (
        "out of fold 0.040 before and 0.020 after, validation 0.040 before and 0.010 after. "
        in (said["better"])
    )
    assert promise not in said["worse"]
    assert "It did not fall on validation, so do not read a score as a frequency." in said["worse"]
    assert "calibrated by one scale and bias that all labels share: of texts" in said["shared"]
    assert "per label" not in said["shared"].partition("Mean calibration error")[0][-300:]


def test_settings_without_effect_are_left_out(run_folder: Path, tmp_path: Path) -> None:
    settings = {
        "joint": {"epochs": 1.0}, "head": {"epochs": 4}, "dataset_name": None,
        "train_split": "train", "use_lstm": False, "lstm_hidden_size": 64,
        "encoder_defaults": {"probe": [], "probe_c": 0.003, "lora_rank": 8, "lora_alpha": 16.0},
        "encoders": {"zeta": {"ngrams": [2, 5], "ngrams_c": 3.0},
                     "alpha": {"ngrams": [], "ngrams_c": 3.0}},
    }  # fmt: skip
    record = RunRecord.from_folder(changed(run_folder, tmp_path / "run", recipe=settings))
    shown = set(shown_settings(record))
    assert shown >= {"head.epochs", "encoder_defaults.lora_alpha", "encoders.zeta.ngrams_c"}
    assert not shown & {"joint.epochs", "train_split", "lstm_hidden_size",
                        "encoder_defaults.probe_c", "encoders.alpha.ngrams_c"}  # fmt: skip
    known = {key.rpartition(".")[2] for key in by_path(plain(TrainingRecipe()))}
    known |= set(keys_of(EncoderSettings))
    assert {*ONLY_WITH, *ONLY_WITH.values()} <= known


@pytest.mark.parametrize(("weights", "cited"), [("sqrt_inverse", 0), ("effective_number", 1)])
def test_class_weights_are_cited_where_they_are_used(
    weights: str, cited: int, run_folder: Path, tmp_path: Path
) -> None:
    loss = {"name": "hybrid", "config": {"class_weights": weights}}
    stages = {"head": {"loss": loss}}
    copy = changed(run_folder, tmp_path / "run", loss=loss, stages=stages)
    assert card_of(copy).count("@inproceedings{cui2019classbalanced,") == cited


def test_figures_of_a_file_in_place_of_a_known_split(run_folder: Path, tmp_path: Path) -> None:
    recipe = {"dataset_name": SEMEVAL, "dataset_config_name": "subtask5.english"}
    recipe["validation_file"] = "/x/our_own.csv"
    card = card_of(changed(run_folder, tmp_path / "run", recipe=recipe), [])
    assert "### our_own.csv, validation split" in card
    assert metadata(card)["model-index"][0]["results"][0]["dataset"]["name"] == "our_own.csv"


def test_the_recipe_says_what_texts_and_labels_are(run_folder: Path, tmp_path: Path) -> None:
    recipe = {
        "dataset_name": SEMEVAL, "dataset_config_name": "subtask5.arabic", "language": ["ary"],
        "label_definitions": {"joy": "a good day", "language": "no setting"},
        "examples": {"one": "a text"},
    }  # fmt: skip
    copy = changed(run_folder, tmp_path / "run", recipe=recipe)
    known = known_data(RunRecord.from_folder(copy))
    assert (known.languages, known.examples) == (("ary",), {"one": "a text"})
    card = card_of(copy, [])
    assert metadata(card)["language"] == ["ary"]
    assert "arabic" in metadata(card)["tags"]
    assert "of Moroccan Arabic texts" in card
    assert "| joy | a good day | 0.300 |" in card
    assert f"| anger | {NO_DEFINITION} | 0.500 |" in card, "the recipe's own words alone"
    assert "label_definitions" not in card


def test_the_recipe_credits_the_data(run_folder: Path, tmp_path: Path) -> None:
    recipe = {
        "train_file": "/x/rows.csv", "data_name": "lab/FEELINGS", "data_license": "cc-by-4.0",
        "data_citation": "@article{feelings,\n  title = {F}\n}\n```\n# forged",
        "encoders": {"zeta": {"source": "lab/zeta", "pretraining": [
            {"data_name": "<b>Moods</b>", "data_license": "CC BY-SA", "data_citation": "A. *Uthor*"}
        ]}},
    }  # fmt: skip
    step = {"names": ["related_1"], "sources": ["/y/moods.csv"], "texts": 5, "left_out": 0,
            "labels": {"joy": 1}, "fingerprint": "ab"}  # fmt: skip
    encoders = {"zeta": {"source": "lab/zeta", "pretraining": [step]}}
    copy = changed(run_folder, tmp_path / "run", recipe=recipe, encoders=encoders)
    card = card_of(copy)
    assert metadata(card)["datasets"] == ["lab/FEELINGS"]
    link = "(https://huggingface.co/datasets/lab/FEELINGS)"
    assert f"- data lab/FEELINGS: cc-by-4.0 {link}" in card
    assert "- data &lt;b&gt;Moods&lt;/b&gt; (related_1): CC BY-SA\n" in card
    assert "- A. \\*Uthor\\*\n" in card
    assert "@article{feelings," in card.partition("```bibtex")[2].partition("```")[0]
    assert "# forged" in card.partition("```bibtex")[2].partition("```")[0], "still in the block"
    assert validate_card(card, "model") == ([], [])
    assert model_facts(str(copy / "model")).data == "lab/FEELINGS (cc-by-4.0)"


def test_a_name_of_data_that_is_no_hub_id_is_not_linked(run_folder: Path, tmp_path: Path) -> None:
    recipe = {"train_file": "/x/rows.csv", "data_name": "Our survey"}
    card = card_of(changed(run_folder, tmp_path / "run", recipe=recipe))
    assert "datasets" not in metadata(card)
    assert "- data Our survey: your own files, their terms are not known here" in card


def test_a_card_of_a_real_run(finished_run: Path) -> None:
    """What training writes today, not what a fixture made up."""
    card = card_of(finished_run)
    assert "Mean ± standard deviation over the seeds 0, 1 of the layers on top" in card
    assert "A stack of 2 fine-tuned encoders (zeta, alpha)" in card
    assert "Do not use it" in card
    assert validate_card(card, "model") == ([], [])
    assert not re.search(r"\bNone\b", re.sub(r"```.*?```", "", card, flags=re.DOTALL))
    for stage in ("encoders", "meta", "head"):
        assert re.search(rf"(?m)^\| {stage} \| .* \| [\d,]+ s \|$", card)


def test_one_encoder_is_no_stack_of_encoders(run_folder: Path, tmp_path: Path) -> None:
    copy = changed(run_folder, tmp_path / "run")
    config = json.loads((copy / "model/config.json").read_text(encoding="utf-8"))
    config["encoder_names"] = ["zeta"]
    (copy / "model/config.json").write_text(json.dumps(config), encoding="utf-8")
    record = RunRecord.from_folder(copy)
    terms = terms_of(record, ask_hub=False)
    card = card_content(record, "user/emotions", "mit", terms, ["ar"]).render()
    assert "One fine-tuned encoder (zeta)." in card
    assert "The encoder alone, the meta-learner alone, and the whole model." in card
    assert "The encoder was trained once." in " ".join(card.split())
    assert "The published weights are those of *this model*." in card
    assert "| this model − zeta | Jaccard |" in card
    body = card.split("---\n", 2)[2].partition("## Citation")[0]
    words = re.sub(r"stacked[_-]emotion|stacking_level|`[^`]*`", "", body)
    assert not re.search(r"stack|encoders (are|were)|which encoder|average \|", words)


def test_responsible_use_is_there_and_can_be_replaced(stack_card: str, run_folder: Path) -> None:
    for part in ("Responsible use", "(EU) 2024/1689", "annotators *perceived*", "biometric",
                 "applicants", "pupils", "Say where you use it"):  # fmt: skip
        assert part in stack_card
    own = card_of(run_folder, responsible_use="Only for our shop's reviews.")
    assert "Only for our shop's reviews." in own
    assert "applicants" not in own


def test_the_card_names_the_code_that_is_run(run_folder: Path) -> None:
    card = card_of(
        run_folder, code_digest="c" * 64, code_version="`stacked_emotion` 9, commit `ab`"
    )
    words = " ".join(card.split())
    assert "`trust_remote_code=True` runs the `*.py` files of this repository" in words
    assert "`stacked_emotion` 9, commit `ab`" in words
    assert "c" * 64 in words


def test_pictures_are_described_and_details_fold(run_folder: Path) -> None:
    card = card_of(run_folder, plots=["class_wise_f1", "precision_recall"])
    texts = re.findall(r"!\[(.*?)\]\(plots/", card)
    assert len(texts) == 2
    assert all(len(text.split()) > 7 for text in texts)
    record = RunRecord.from_folder(run_folder)
    for text, metric in zip(texts, ("f1", "ap"), strict=True):
        found = {}
        for label in LABELS:
            score = record.score("stack", "validation", f"{metric}_{label}")
            assert score is not None
            found[label] = score.mean
        for label in (
            max(found, key=lambda one: found[one]),
            min(found, key=lambda one: found[one]),
        ):
            assert f"{found[label]:.2f} ({label})" in text, "who cannot see it is told the figures"
    assert card.index("plots/class_wise_f1.png") < card.index("## How to use it")
    assert card.count("<details>") == card.count("</details>") >= 4


HOSTILE = [
    "<script>alert(1)</script>", "a|b", "`code`", "](http://evil.example)", "![x](http://y.example)",
    "=cmd()", "\u202eevil\u2066", "two\nlines\n---\nlicense: mit", "**bold** _x_ ~~y~~",
    "{{ 7 * 7 }}", "www.evil.example", "me@evil.example", "# head", "$x^2$", "&lt;b&gt;",
    "a\x1b[31m", "b\u2028c\x00d", "\\|",
]  # fmt: skip


def test_foreign_names_are_inert(run_folder: Path, tmp_path: Path) -> None:
    for names in (HOSTILE[start : start + 3] for start in range(0, len(HOSTILE), 3)):
        labels = [*names, "one", "two"][:3]
        text = json.dumps(json.loads((run_folder / "results.json").read_text(encoding="utf-8")))
        config = json.loads((run_folder / "model/config.json").read_text(encoding="utf-8"))
        for old, new in zip(LABELS, labels, strict=True):
            escaped = json.dumps(new)[1:-1]
            text = text.replace(f'"{old}"', f'"{escaped}"').replace(f'_{old}"', f'_{escaped}"')
        results = json.loads(text)
        results["recipe"]["train_file"] = f"/home/x/{names[0]}.csv".replace("/", "_")
        results["data"]["train"]["source"] = names[0]
        results["note"] = " ".join(labels)
        config["id2label"] = {str(place): label for place, label in enumerate(labels)}
        config["label2id"] = {label: place for place, label in enumerate(labels)}
        folder = tmp_path / str(HOSTILE.index(names[0]))
        copy = changed(run_folder, folder, **results)
        (copy / "model/config.json").write_text(json.dumps(config), encoding="utf-8")
        record = RunRecord.from_folder(copy)
        examples = [{"text": names[0], "given": labels,
                     "output": [{"label": label, "score": 0.5} for label in labels]}]  # fmt: skip
        card = card_content(
            record, "user/x", "mit", terms_of(record, ask_hub=False), ["ar"],
            dict.fromkeys(labels, names[0]), examples=examples,
        ).render()  # fmt: skip
        data = metadata(card)
        assert data["license"] == "mit"
        assert set(data["widget"][0]) == {"text", "output"}
        body = card.split("---\n", 2)[2]
        tokens = MarkdownIt("commonmark", {"html": True, "linkify": True}).enable(
            ["table", "strikethrough"]
        )
        html = tokens.render(re.sub(r"(?s)```.*?```", "", body))
        assert "<script" not in html
        assert "evil.example" not in "".join(re.findall(r"<a [^>]*>|<img [^>]*>", html))
        assert "y.example" not in "".join(re.findall(r"<a [^>]*>|<img [^>]*>", html))
        assert not set("\u202e\u2066\u2028\x1b\x00") & set(html)
        for table in re.findall(r"(?s)<table>(.*?)</table>", html):
            header = table.split("</tr>")[0].count("<th>")
            cells = {row.count("<td>") for row in table.split("</tr>")[1:] if "<td>" in row}
            assert cells <= {header}, "no cell is torn apart"
            assert not re.search(r"<(strong|em|s|del)>", table)


def mistakes() -> list[tuple[Callable[[RunRecord], Any], str]]:
    return [
        (lambda record: card_content(record, "a/b", "mit", [], None), "language"),
        (lambda record: card_content(record, "a/b", "mit", [], ["Arabic"]), "ISO 639"),
        (
            lambda record: card_content(
                record, "a/b", "mit", [], ["ar"], label_definitions={"envy": "…"}
            ),
            "envy",
        ),
    ]


@pytest.mark.parametrize(("make", "told"), mistakes())
def test_mistakes_are_told(make: Callable[[RunRecord], Any], told: str, run_folder: Path) -> None:
    with pytest.raises((UserError, ValueError), match=told):
        make(RunRecord.from_folder(run_folder))
