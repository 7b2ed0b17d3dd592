"""The Python front door: `train()` runs a recipe, and a `Run` holds what it made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common.disk import check_folder
from .common.errors import UserError, counted, did_you_mean, keywords_named, listed, shorten
from .common.files import read_json
from .common.inert_text import in_html, one_line
from .common.settings import Whole, checked, hints_of, read_yaml
from .trainer.metrics.run_results import NO_SCORES, Results

if TYPE_CHECKING:
    import pandas
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .hub_card import Publication
    from .inference import Explanation, Predictions, StackedEmotionPredictor


_LABEL_KEYWORDS = dict.fromkeys(("labels_column", "label_columns", "label_names"), "labels")


@keywords_named(
    train_file="train", validation_file="validation", test_file="test", text_column="text",
    **_LABEL_KEYWORDS,
)  # fmt: skip
def train(
    encoders: Mapping[str, Any] | None = None,
    *,
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    text: str | None = None,
    labels: str | Sequence[str] | None = None,
    output_dir: str | Path = "outputs/run",
    config: str | Path | None = None,
    **settings: Any,
) -> Run:
    """Train a stack, or resume a training with the same settings.

    Args:
        encoders: name to Hub ID or folder, or to a dict of the encoder's settings (`source`,
            `revision`, `epochs`, …), in the order of the stack. Default: those of `config`.
        train: labeled texts: a path, a pandas DataFrame, a `datasets.Dataset`, a dictionary of
            columns or a list of dictionaries. When everything is checked, a table in memory is
            kept in `<output_dir>/data`, so that the run can be resumed and repeated; the tables of
            earlier runs stay there.
        validation: more of them, only scored.
        test: more of them, only scored.
        text: the column of texts.
        labels: the columns of 0 and 1; or the names of the labels, where one column has names; or
            that column.
        output_dir: folder of everything the run writes.
        config: a recipe to start from: a YAML file, or the name of a recipe of the package.
        **settings: any other key of a recipe; sections are dicts, as in
            `head={"epochs": 2, "loss": "bce"}`.

    Returns:
        The finished run.

    Raises:
        UserError: bad data, settings or folders, each with how to fix it.

    Example, not run: training takes minutes, with real encoders hours.
        >>> from stacked_emotion import train
        >>> run = train(
        ...     {"marbert": "UBC-NLP/MARBERT", "arabert": {"source": "some/arabert", "epochs": 7}},
        ...     train=frame, validation="validation.csv", text="text", labels=["joy", "anger"],
        ...     output_dir="runs/mine", head={"learning_rate": 1e-3},
        ... )  # doctest: +SKIP
        >>> run.results.to_pandas()  # doctest: +SKIP
    """
    from .trainer.arguments import TrainingRecipe
    from .trainer.recipe import make_recipe
    from .trainer.running.kept_tables import KeptTables
    from .trainer.running.processes import prepare_process
    from .trainer.train import run_training

    for name, path in (("output_dir", output_dir), ("config", config or "")):
        if not isinstance(path, str | os.PathLike):
            raise UserError(f"train(): {name} is {shorten(path)}; it must be a path.")
    tables = {"train": train, "validation": validation, "test": test}
    if twice := [k for k in tables if tables[k] is not None and f"{k}_file" in settings]:
        raise UserError(f"train(): {twice[0]} and {twice[0]}_file are the same: give one of them.")
    folder = Path(output_dir).expanduser()
    given: dict[str, Any] = {"output_dir": str(folder)} | settings
    if encoders is not None:
        given["encoders"] = Whole(encoders) if isinstance(encoders, Mapping) else encoders
    paths = {k: v for k, v in tables.items() if isinstance(v, str | os.PathLike)}
    in_memory = {k: v for k, v in tables.items() if v is not None and k not in paths}
    kept = KeptTables.of(in_memory, folder)
    given |= {f"{split}_file": os.fspath(path) for split, path in paths.items()} | kept.files
    if text is not None:
        given["text_column"] = text
    if labels is not None:
        given |= _labels(labels, given | kept.tables)
    recipe = make_recipe(checked(TrainingRecipe, given, "train(): "), config)
    check_folder(folder, "--output_dir")
    prepare_process()
    run_training(recipe, kept)
    from accelerate import PartialState

    PartialState().wait_for_everyone()
    return Run(folder)


class Run:
    """A run: its figures, its model, and where both are.

    A run of `stacked-emotion distill` opens as well; its model is the student, a stock encoder.

    Args:
        folder: the `output_dir` of a training or a distillation.

    Attributes:
        folder: the same, as a path.

    Raises:
        UserError: there is no run in the folder.

    Example:
        >>> from stacked_emotion import Run
        >>> run = Run("runs/mine")
        >>> run.model.config.encoder_names
        ['zeta', 'alpha']
        >>> prediction = run.predict(["فرحان جدا"])[0]
        >>> set(prediction.labels) <= set(prediction.scores)
        True
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        if not (self.folder / "results.json").is_file() and not self.recipe:
            raise UserError(
                f"{self.folder} holds no run: there is neither results.json nor recipe.yaml in it. "
                "Give the output_dir of a training."
            )

    @classmethod
    def from_folder(cls, folder: str | Path) -> Run:
        """Open a run by its folder; the same as `Run(folder)`."""
        return cls(folder)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """Every setting of the run, as in `recipe.yaml`; empty if that file is missing."""
        file = self.folder / "recipe.yaml"
        return read_yaml(file) if file.is_file() else {}

    @cached_property
    def results(self) -> Results:
        """The figures.

        Raises:
            UserError: the run has not finished.
        """
        return Results(read_json(self._finished("results.json")))

    @cached_property
    def model(self) -> PreTrainedModel:
        """The finished model in float32, in evaluation mode.

        Raises:
            UserError: the run has not finished.
        """
        from transformers import AutoModelForSequenceClassification

        folder = self._finished("model/config.json").parent
        loaded: Any = self.__dict__.get("predictor")
        if loaded is not None and (loaded.backend, loaded.runner.device) == (
            "torch float32",
            "cpu",
        ):
            whole = read_json(folder / "config.json").get("use_classifier", True)
            if loaded.model.config.use_classifier == whole:  # one copy of the weights for both
                return loaded.model
        return AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32").eval()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the model.

        Raises:
            UserError: the run has not finished.
        """
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._finished("model/config.json").parent)

    @cached_property
    def predictor(self) -> StackedEmotionPredictor:
        """A predictor of the model; see `stacked_emotion.inference`.

        Raises:
            UserError: the run has not finished, or its model is a student.
        """
        from .inference import StackedEmotionPredictor
        from .inference.predictor import load_sharing

        folder = self._finished("model/config.json").parent
        if read_json(folder / "config.json").get("model_type") != "stacked_emotion":
            raise UserError(
                f"The model of {self.folder} is a stock encoder: use "
                f"transformers.pipeline('text-classification', '{folder}', top_k=None)."
            )
        loaded: Any = self.__dict__.get("model")  # one copy of the weights for both
        shared = None if loaded is None else load_sharing(str(folder), loaded)
        return shared or StackedEmotionPredictor.from_pretrained(str(folder))

    def predict(self, texts: Any, text: str | None = None) -> Predictions:
        """Labels and scores of texts; `StackedEmotionPredictor.predict` says which forms it takes.

        Raises:
            UserError: the run has not finished, or something is not a text.
        """
        return self.predictor.predict(texts, text=text)

    def explain(self, text: str, label: str | None = None) -> Explanation:
        """What each word of a text does for a label; see `stacked_emotion.inference.explain`.

        Raises:
            UserError: the run has not finished, its model is a student or has no such label, or
                `text` is not one text.
        """
        from .inference import explain

        return explain(self.predictor, text, label)

    @keywords_named(test_file="test", text_column="text", **_LABEL_KEYWORDS)
    def evaluate(
        self,
        test: Any,
        text: str | None = None,
        labels: str | Sequence[str] | None = None,
        **reading: Any,
    ) -> Results:
        """Score the model on labeled texts, as the command `evaluate` does.

        Args:
            test: labeled texts, in each form that `train` takes.
            text: the column of texts.
            labels: as in `train`; by default the labels of the model.
            **reading: further options of reading, such as `delimiter`.

        Returns:
            The figures, as those of a split `test`; `to_pandas()` makes a DataFrame of them.

        Raises:
            UserError: the run has not finished, its model is a student, or the texts cannot be
                used.
        """
        from .data.arguments import DataArguments
        from .trainer.metrics.evaluation import evaluate, labeled_for

        if text is not None:
            reading["text_column"] = text
        if labels is not None:
            reading |= _labels(labels, reading | {"train_file": test}, "evaluate(): ")
        reading = checked(DataArguments, reading, "evaluate(): ")
        found = evaluate(self.predictor, labeled_for(self.predictor.labels, test, reading))
        scores = {metric: {"mean": score} for metric, score in found.scores.items()}
        return Results(
            {"labels": found.texts.label_names, "splits": ["test"],
             "systems": {"stack": {"test": scores}}, **found.to_dict()}
        )  # fmt: skip

    @keywords_named()
    def compare(self, *runs: Run | str | Path, system: str | None = None, **data: Any) -> Results:
        """Compare other runs with this one on the same texts, as the command `compare` does.

        Args:
            *runs: the other runs, or their folders.
            system: `meta`, `average` or an encoder; by default what each run publishes.
            **data: data options that have changed since this run, such as `train_file`.

        Returns:
            Scores (`to_pandas()`) and differences (`differences()`) by split.

        Raises:
            UserError: a run has not finished or is damaged, or its labels or texts are others.
        """
        from .data.arguments import DataArguments
        from .trainer.metrics import comparison

        given = checked(DataArguments, data, "compare(): ")
        folders = [run.folder if isinstance(run, Run) else run for run in (self, *runs)]
        return Results(comparison.compare_runs(folders, system, given))

    @keywords_named()
    def review(self, train_file: str | Path | None = None) -> pandas.DataFrame:
        """The training rows whose labels look wrong to models that did not see them.

        Needs the extra `review` (cleanlab).

        Args:
            train_file: where the training file is now; by default where the recipe says.

        Returns:
            One row per text to check, the most doubtful first: `rank`; `quality`, the trust in its
            labels, 0 to 1; `file` and `line` (or `row`) where it is; `id`, where the data have one;
            `text`; the labels `given` and `predicted`; `doubtful`, the given labels that look
            wrong; `missing`, labels that look right but are not given; and `similar`, the numbers
            of the rows with nearly the same text and other labels.

        Raises:
            UserError: the training file has changed, the run has no out-of-fold predictions, or
                cleanlab is not installed.
        """
        from .trainer.labeling.review import review_run

        return review_run(self.folder, train_file).rows

    @keywords_named()
    def suggest(
        self,
        texts: Any,
        number: int = 250,
        text: str | None = None,
        train_file: str | Path | None = None,
    ) -> pandas.DataFrame:
        """The texts most worth labeling next: the encoders disagree on them, and all differ.

        Repeated texts and texts that the run was trained on are left out.

        Args:
            texts: unlabeled texts, as `StackedEmotionPredictor.predict` takes them.
            number: texts to choose.
            text: the column of texts of a DataFrame or data set.
            train_file: where the training file is now; by default where the recipe says.

        Returns:
            The most disputed first: `rank`, `score` (0 to 1), `row` (the position, from 0, or the
            index of a DataFrame) and `text`.

        Raises:
            UserError: the training texts cannot be read, or no text is left to choose from.
        """
        from .inference.texts import texts_of
        from .trainer.labeling.review import training_texts
        from .trainer.labeling.suggestions import suggest

        found, index = texts_of(texts, text)
        known = training_texts(self.folder, train_file).texts
        rows = zip(range(len(found)) if index is None else index, found, strict=True)
        return suggest(self.predictor, rows, known, number)

    def publish(self, repo_id: str, license: str | None = None, **options: Any) -> Publication:
        """Put the model on the Hub with its card, plots and code.

        Args:
            repo_id: `user/name`.
            license: identifier of the license of the weights; there is no default.
            **options: as `stacked_emotion.hub_card.publish`.

        Raises:
            UserError: no license was chosen, the run has not finished, the Hub refused, or there
                is no such option.
        """
        from .hub_card import publish

        known = signature(publish).parameters
        if unknown := [name for name in options if name not in known]:
            near = did_you_mean(unknown[0], known)
            raise UserError(f"publish(): {unknown[0]} is not known{near}.")
        return publish(self.folder, repo_id, license, **options)

    def _finished(self, name: str) -> Path:
        file = self.folder / name
        if not file.is_file():
            raise UserError(
                f"The run in {self.folder} has not finished: {name} is missing. Train again with "
                "the same settings to resume."
            )
        return file

    def _facts(self) -> list[str]:
        """What was trained, on what, and how good it is, a line each."""
        if not (self.folder / "results.json").is_file():
            return ["not finished: train again with the same settings to resume"]
        from .trainer.metrics.titles import TITLES

        values, table = self.results.values, self.results.to_pandas()
        names, train = list(values.get("encoders") or {}), values["data"]["train"]
        source = os.path.basename(str(train["source"]))
        data = f"{counted(train['rows'], 'text')} of {one_line(source)}"
        labels = counted(len(values["labels"]), "label")
        facts = [f"{listed(names)}, {labels}, trained on {data}"]
        for split in values["splits"]:
            scores = table.loc[split].iloc[-1].dropna()
            shown = ", ".join(f"{TITLES.get(str(m), m)} {score:.3f}" for m, score in scores.items())
            facts.append(f"{split} ({counted(values['data'][split]['rows'], 'text')}): {shown}")
        return facts if values["splits"] else [*facts, NO_SCORES]

    def __repr__(self) -> str:
        return "\n  ".join([f"Run({str(self.folder)!r})", *self._facts()])

    def _repr_html_(self) -> str:
        table = self.results._repr_html_() if (self.folder / "results.json").is_file() else ""
        return f"<p><b>{in_html(str(self.folder))}</b><br>{in_html(self._facts()[0])}</p>{table}"


def _labels(
    labels: str | Sequence[str], given: Mapping[str, Any], source: str = "train(): "
) -> dict[str, Any]:
    """What `labels` means: one column of names, columns of 0 and 1, or names."""
    from .data.arguments import DataArguments
    from .data.names import LABELS_COLUMNS, columns_called
    from .data.tables import read_table

    if not isinstance(labels, Iterable):
        raise UserError(f"{source}labels is {labels!r}; it must be a name or a list of names.")
    one = labels if isinstance(labels, str) else None
    names, columns = list(labels) if one is None else [one], False
    if "train_file" in given and not (one and columns_called(names, LABELS_COLUMNS)):
        options = {key: given[key] for key in hints_of(DataArguments) if key in given}
        table = read_table(given["train_file"], DataArguments(**options))
        columns = set(names) <= set(table.columns)
        if one and columns:  # one column of 0 and 1 is a label of its own
            columns = one not in table.class_names and bool((table.binary(one) >= 0).all())
    if one and not (columns and "label_names" not in given):
        return {"labels_column": one}
    return {"label_columns" if columns else "label_names": names}
