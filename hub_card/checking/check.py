"""All checks of one model, in their order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import UserError, counted, keywords_named, spelled
from ...data.labeled_texts import DataArguments, LabeledTexts, load_labeled_texts
from ...inference.decisions import Decision
from ...inference.model_files import CONFIG, ModelError, ModelFiles
from ...recipes import RECIPES
from ..hub_errors import hub_errors, hub_problem
from ..repository import digest_of, list_files
from .figures import Recorded, decision_outcome, examples_outcome, rows_outcome
from .files import STACK, code_files, code_problems, weight_problems
from .process import Answers, Loaded, measured
from .report import CheckReport, Outcome, judged

TOLERANCE = 1e-4
"""Largest change of a score that counts as rounding."""
INT8_TOLERANCE = 0.02
"""Largest mean change of a score by a graph in int8, unless its export measured more."""
INT8_BATCHES = 2e-3
"""Largest change of a score by an int8 graph when other texts share the batch."""
TEXTS = 16
_PROBES = ("", "a b c", "😍 ✨", "don't @user https://t.co/a #وسم_طويل", "كلمة " * 200)
_DIGEST = re.compile(r'verify_published\([^)]*"([0-9a-f]{64})"')
_RUN = ("loads without the package", "batch and order", "padding", "save and load",
        "pipeline", "handler", "scores as on the card", "figures on labeled texts",
        "exported graphs")  # fmt: skip


@keywords_named()
def check_model(
    model: str | Path,
    revision: str | None = None,
    *,
    test_file: Any = None,
    reading: Mapping[str, Any] | None = None,
    run_its_code: bool = False,
    debug: bool = False,
    report: Callable[[str], Any] | None = None,
) -> CheckReport:
    """Check a published model, or one that is going to be.

    Its code is only run if all of it is that of this release. It is loaded in a process without
    this package and without network.

    Args:
        model: the folder of a model or run, or a Hub ID.
        revision: commit, tag or branch of a Hub ID.
        test_file: labeled texts, as `DataArguments` takes them; by default the held-out texts of
            the run, where their file is at hand.
        reading: how they are read, fields of `DataArguments`.
        run_its_code: run other code too; you have read it.
        debug: print the tracebacks of steps that fail.
        report: called with a line at each step.

    Returns:
        A line per check; `.passed` says whether none failed.

    Raises:
        UserError: there is no such model, or the labeled texts cannot be read.

    Example, not run: it takes some seconds.
        >>> from stacked_emotion.hub_card import check_model
        >>> check_model("runs/mine").passed  # doctest: +SKIP
        True
    """
    say = report or (lambda line: None)
    files = ModelFiles(model, revision)
    config = files.read_json(CONFIG)
    loaded = _loaded(files, config.get("model_type") == STACK)
    recorded = Recorded.of(loaded.folder)
    code = code_problems(loaded.folder, loaded.stack)
    outcomes = [
        judged("safetensors only", weight_problems(loaded.folder), "no pickle"),
        _code_outcome(code, loaded, run_its_code),
        decision_outcome(config, recorded),
        _digest_outcome(loaded.folder),
    ]
    if code and not run_its_code:
        why = "its code was not run: it is not that of this release "
        why += f"({spelled('--run_its_code')} runs it)"
        outcomes += [Outcome(check, "not checked", why) for check in _RUN]
    else:
        labels = [str(name) for name in _labels(config)]
        rows = _rows(test_file, reading or {}, labels, recorded)
        say(f"loading {loaded.place} in a process without this package")
        if rows is not None:
            say(f"scoring {len(rows):,} labeled texts of {rows.source}")
        outcomes += _measure(loaded, config, recorded, rows, labels, debug)
    return CheckReport(
        str(model), str(loaded.folder), loaded.commit, "stack" if loaded.stack else "student",
        digest_of(list_files(loaded.folder)), outcomes,
    )  # fmt: skip


def _loaded(files: ModelFiles, stack: bool) -> Loaded:
    """The files on this machine; all of a Hub repository at its commit."""
    if files.folder is not None:
        return Loaded(files.folder, str(files.folder.resolve()), None, stack)
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(files.location, **files.options))
    except hub_errors() as error:
        raise hub_problem(error, files.location, "downloading from") from error
    return Loaded(folder, files.location, folder.name, stack)


def _labels(config: Mapping[str, Any]) -> list[str]:
    try:
        return Decision.from_config(dict(config) | {"thresholds": None}).labels
    except ValueError as error:
        raise ModelError(f"{CONFIG}: {error}") from error


def _rows(
    test_file: Any, reading: Mapping[str, Any], labels: list[str], recorded: Recorded
) -> LabeledTexts | None:
    if test_file is None:
        return recorded.own_rows(labels)
    given = {"test_file": test_file, **reading}
    data = DataArguments(**given | {"label_names": given.get("label_names") or labels})
    return load_labeled_texts(data, "test", labels)


def _code_outcome(problems: list[str], loaded: Loaded, run_its_code: bool) -> Outcome:
    """Whether loading runs nothing but the code of this release."""
    count = len(code_files(loaded.folder))
    note = ["it was run as --run_its_code asks"] if problems and run_its_code else []
    passed = (
        f"{counted(count, 'file')}, all of this release" if count else "a stock model without code"
    )
    return judged("known code only", [*problems, *note], passed)


def _digest_outcome(folder: Path) -> Outcome:
    """Whether code and weights are those that the card names."""
    check, card = "digest of the card", folder / "README.md"
    named = _DIGEST.search(card.read_text(encoding="utf-8")) if card.is_file() else None
    if named is None:
        return Outcome(check, "not checked", "there is no card that names one")
    found = digest_of(list_files(folder))
    changed = [] if found == named[1] else [f"code and weights have {found}, the card {named[1]}"]
    return judged(check, changed, found)


def _measure(
    loaded: Loaded, config: Mapping[str, Any], recorded: Recorded, rows: LabeledTexts | None,
    labels: list[str], debug: bool,
) -> list[Outcome]:  # fmt: skip
    """Everything that takes the model itself."""
    has_handler = (loaded.folder / "handler.py").is_file()
    steps = ["load", "batches", "padding", "saving", "pipelines"]
    steps += (["handler"] if has_handler else []) + ["graphs"]
    texts = [*_PROBES, *_sample()]
    answers = measured(
        loaded, texts, steps, list(recorded.examples), rows.texts if rows is not None else (), debug
    )
    found = answers.steps
    load = found["load"]
    outcomes = [_load_outcome(load, loaded)]
    if "error" in load:
        why = "the model does not load"
        return outcomes + [Outcome(check, "not checked", why) for check in _RUN[1:]]
    outcomes += [
        _gaps("batch and order", found["batches"], ("alone", "turned"),
              f"{counted(len(texts), 'text')} alone, together and in the opposite order"),
        _gaps("padding", found["padding"], ("difference",),
              f"up to {found['padding'].get('positions')} positions"),
        _saving_outcome(found["saving"]),
        _pipeline_outcome("pipeline", found["pipelines"], load),
        _pipeline_outcome("handler", found["handler"], load) if has_handler
        else Outcome("handler", "not checked", "there is no handler.py"),
        examples_outcome(found.get("examples"), recorded, labels),
        _rows_outcome(answers, rows, config, recorded),
    ]  # fmt: skip
    return outcomes + _graph_outcomes(found["graphs"], loaded)


def _sample() -> list[str]:
    """Texts of several lengths and dialects, from the bundled sample."""
    lines = (RECIPES / "sample/validation.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:TEXTS]]


def _load_outcome(load: Mapping[str, Any], loaded: Loaded) -> Outcome:
    check = "loads without the package"
    if "error" in load:
        return Outcome(check, "failed", load["error"])
    home = "transformers_modules." if loaded.stack else "transformers.models."
    problems = []
    if not load["module"].startswith(home):
        problems.append(f"its class comes from {load['module']}")
    for name in ("missing", "unused"):
        if load[name]:
            problems.append(f"{len(load[name])} weights are {name}, such as {load[name][0]}")
    if not np.isfinite(load["logits"]).all():
        problems.append("its logits are not all finite")
    return judged(check, problems, load["class"])


def _gaps(check: str, answer: Mapping[str, Any], names: tuple[str, ...], detail: str) -> Outcome:
    """Whether differences of scores are rounding."""
    if "error" in answer:
        return Outcome(check, "failed", answer["error"])
    worst = max(answer[name] for name in names)
    text = f"{detail}: largest change of a score {worst:.1e}"
    return judged(check, [] if worst <= TOLERANCE else [text], text)


def _saving_outcome(answer: Mapping[str, Any]) -> Outcome:
    check = "save and load"
    if "error" in answer:
        return Outcome(check, "failed", answer["error"])
    problems = [
        f"{what} changed: {', '.join(answer[key][:3])}"
        for key, what in (("weights", "weights"), ("inputs", "inputs"), ("code", "code"))
        if answer[key]
    ]
    if not answer["logits"]:
        problems.append("the logits are not bit-equal")
    return judged(check, problems, "weights, inputs and logits bit-equal")


def _pipeline_outcome(check: str, answer: Mapping[str, Any], load: Mapping[str, Any]) -> Outcome:
    """Whether another way to ask the model gives its scores and its labels."""
    if "error" in answer:
        return Outcome(check, "failed", answer["error"])
    problems = []
    if answer["scores"] > TOLERANCE:
        problems.append(f"a score is {answer['scores']:.1e} away from the model's")
    if "labels" in answer and (
        wrong := sum(a != b for a, b in zip(answer["labels"], load["given"], strict=True))
    ):
        problems.append(
            f"{counted(wrong, 'text gets', 'texts get')} other labels than by model.decide"
        )
    same = "scores and labels" if "labels" in answer else "scores"
    return judged(check, problems, f"{same} as by the model")


def _rows_outcome(
    answers: Answers, rows: LabeledTexts | None, config: Mapping[str, Any], recorded: Recorded
) -> Outcome:
    if rows is None:
        why = f"give {recorded.wanted_rows} by {spelled('--test_file')}"
        return Outcome("figures on labeled texts", "not checked", why)
    try:
        decision = Decision.from_config(config)
    except ValueError as error:
        return Outcome("figures on labeled texts", "not checked", f"{CONFIG}: {error}")
    return rows_outcome(answers.rows, answers.steps["rows"], rows, decision, recorded)


def _graph_outcomes(graphs: Mapping[str, Any], loaded: Loaded) -> list[Outcome]:
    """A line per exported graph and engine; for a stack, whether it is that of these weights."""
    if "error" in graphs:
        return [Outcome("exported graphs", "failed", graphs["error"])]
    if not graphs:
        return [Outcome("exported graphs", "not checked", "there is no onnx/*.onnx")]
    report, outcomes = {}, []
    if loaded.stack:
        try:
            files = ModelFiles(loaded.folder)
            report = files.onnx_report() or {}
            for dtype in report.get("files", {}):
                files.graph(report, dtype)
            stale = "onnx/ has no report, or was exported from other weights or by an older version"
            why = [] if report else [stale]
        except UserError as error:
            why = [str(error)]
        outcomes.append(judged("export of these weights", why, "digests as in onnx/report.json"))
    for check, answer in graphs.items():
        if "absent" in answer:
            outcomes.append(Outcome(check, "not checked", f"{answer['absent']} is not installed"))
        elif "error" in answer:
            outcomes.append(Outcome(check, "failed", answer["error"]))
        elif "int8" in check or "quantized" in check:
            known = (report.get("differences") or {}).get("onnx int8") or {}
            limit = max(INT8_TOLERANCE, 2 * float(known.get("mean_score_difference") or 0))
            text = f"scores differ by {answer['mean']:.1e} on average, at most {limit:.2g}"
            why = [] if answer["mean"] <= limit else [text]
            moved = f"they move by {answer['moved']:.1e} with the other texts of a batch"
            if answer["moved"] > INT8_BATCHES:
                why.append(f"{moved}, at most {INT8_BATCHES:.2g}: export the model again")
            outcomes.append(judged(check, why, f"{text}; {moved}"))
        else:
            outcomes.append(_gaps(check, answer, ("largest",), "against torch"))
    return outcomes
