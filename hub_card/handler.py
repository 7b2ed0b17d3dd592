"""Handler for Hugging Face Inference Endpoints. It needs torch and transformers only.

A request is `{"inputs": "…" | ["…", …], "parameters": {…}}`. All parameters are optional:

* `top_k`: how many labels per text, most likely first; all by default.
* `threshold`: list labels from this probability on, or `"stored"` for the model's own decision; all
  labels by default.
* `explain`: true to add the words of the text to each label. A word has the label's score minus the
  score without the word, and the trust in each encoder there.
* `function_to_apply`: `"sigmoid"`, the only function that fits several labels per text.

The answer has one list per text, of `{"label": …, "score": …}`, as a text-classification pipeline
gives for a list of texts. A bad request, or one beyond `EndpointHandler.limits`, raises
`ValueError`; the endpoint answers it with status 400 and the message.

An endpoint does not have the package, so words are left out here as `inference.explanations` does,
and `limits.py` lies beside this file.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

try:
    from ..inference.limits import Limits
except ImportError:  # published: the repository's folder is on the path
    from limits import Limits  # type: ignore[import-not-found, no-redef]

BATCH_TEXTS = 64
"""Texts per batch."""
WAIT_S = 0.005
"""How long a request waits for others to share its batch."""
_PARAMETERS = ("top_k", "threshold", "explain", "function_to_apply")


@dataclass(frozen=True)
class Options:
    """The checked parameters of a request."""

    top_k: int | None = None
    threshold: float | str | None = None
    explain: bool = False


@dataclass
class _Job:
    texts: list[str]
    explain: bool
    answer: Future[list[dict[str, Any]]] = field(default_factory=Future)


class EndpointHandler:
    """Answers requests; concurrent ones share batches.

    Args:
        path: the folder of the repository.

    Attributes:
        limits: how much one request may ask for. For a larger machine or model change it here, in
            the published file: `limits = Limits(texts=64)`.
    """

    limits = Limits()

    def __init__(self, path: str = "") -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(path or ".", trust_remote_code=True)
        self.model = AutoModelForSequenceClassification.from_pretrained(
            path or ".", trust_remote_code=True, dtype=torch.float32
        )
        self.model.to(device).eval()
        config = self.model.config
        self.labels = [config.id2label[index] for index in range(config.num_labels)]
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="batches", daemon=True).start()

    def __call__(self, data: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Answer one request. Many threads may call it at once.

        Args:
            data: the decoded body of the request.

        Returns:
            For each text its labels with their scores, most likely first.

        Raises:
            ValueError: the request is malformed; the message says what it must be.
        """
        texts = _texts(data)
        options = _options(data.get("parameters"))
        self.limits.check(texts)
        if options.explain:
            self.limits.check_explained(
                sum(len(self.tokenizer.word_offsets(text)) for text in texts)
            )
        job = _Job(texts, options.explain)
        self._jobs.put(job)
        return [self._listed(row, options) for row in job.answer.result()]

    def _listed(self, row: dict[str, Any], options: Options) -> list[dict[str, Any]]:
        scores, chosen = row["scores"], range(len(self.labels))
        if options.threshold == "stored":
            listed = [index for index in chosen if row["given"][index]]
        elif options.threshold is not None:
            listed = [index for index in chosen if scores[index] >= float(options.threshold)]
        else:
            listed = list(chosen)
        listed.sort(key=lambda index: -scores[index])
        answers = []
        for index in listed[: options.top_k]:
            answer = {"label": self.labels[index], "score": scores[index]}
            if options.explain:
                answer["words"] = [
                    {**word, "contribution": contributions[index]}
                    for word, contributions in row["words"]
                ]
            answers.append(answer)
        return answers

    def _work(self) -> None:
        """Take the jobs that have arrived, run them in batches, give each its answers."""
        while True:
            jobs = [self._jobs.get()]
            try:
                while sum(len(job.texts) for job in jobs) < BATCH_TEXTS:
                    jobs.append(self._jobs.get(timeout=WAIT_S))
            except queue.Empty:
                pass
            for explain in (False, True):
                self._answer([job for job in jobs if job.explain == explain], explain)

    def _answer(self, jobs: list[_Job], explain: bool) -> None:
        if not jobs:
            return
        try:
            rows = self._run([text for job in jobs for text in job.texts], explain)
        except Exception as error:  # the worker must survive any batch
            if len(jobs) == 1:
                jobs[0].answer.set_exception(error)
                return
            for job in jobs:  # one request must not spoil the others in its batch
                self._answer([job], explain)
            return
        start = 0
        for job in jobs:
            job.answer.set_result(rows[start : start + len(job.texts)])
            start += len(job.texts)

    def _run(self, texts: list[str], explain: bool) -> list[dict[str, Any]]:
        """Scores, decisions and, if asked for, words of texts, in their order."""
        lengths = [len(text) for text in texts]
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        rows: list[dict[str, Any]] = [{}] * len(texts)
        for start in range(0, len(order), BATCH_TEXTS):
            part = order[start : start + BATCH_TEXTS]
            answers = self._batch([texts[index] for index in part], explain)
            for index, answer in zip(part, answers, strict=True):
                rows[index] = answer
        return rows

    def _batch(self, texts: list[str], explain: bool) -> list[dict[str, Any]]:
        batch = self.tokenizer(texts, padding=True, return_tensors="pt", return_word_offsets=True)
        spans = batch.pop("word_offsets")
        inputs = {name: value.to(self.model.device) for name, value in batch.items()}
        with torch.inference_mode():
            output = self.model(**inputs, output_gates=explain)
        has_words = inputs["word_index"].amax((1, 2)) > 0
        given = self.model.decide(output.logits, has_words).tolist()
        scores = torch.sigmoid(output.logits.float()).tolist()
        rows = [
            {"scores": score, "given": chosen, "words": []}
            for score, chosen in zip(scores, given, strict=True)
        ]
        if explain:
            for row, text, words, gates in zip(rows, texts, spans, output.gates, strict=True):
                row["words"] = self._words(text, words, row["scores"], gates.tolist())
        return rows

    def _words(
        self, text: str, spans: list[Any], scores: list[float], gates: list[list[float]]
    ) -> list[Any]:
        """Each word, and for every label the score minus the score without the word."""
        if not spans:
            return []
        seen = text[: spans[-1][1]]  # what was cut off must stay out
        occluded = self._run([_without(seen, start, end) for start, end in spans], explain=False)
        names = self.model.config.encoder_names
        found = []
        for place, (start, end) in enumerate(spans):
            trust = gates[place if len(gates) > place else 0]
            word = {
                "word": text[start:end],
                "start": start,
                "end": end,
                "encoders": dict(zip(names, trust, strict=True)),
            }
            left = occluded[place]["scores"]
            found.append((word, [a - b for a, b in zip(scores, left, strict=True)]))
        return found


def _without(text: str, start: int, end: int) -> str:
    """The text without `[start, end)`; its neighbors stay apart."""
    left, right = text[:start], text[end:]
    spaced_left = not left or left[-1].isspace()
    spaced_right = not right or right[0].isspace()
    if spaced_left and spaced_right:
        return left + right[1:] if right else left[:-1]
    return left + right if spaced_left or spaced_right else f"{left} {right}"


def _texts(data: Any) -> list[str]:
    if not isinstance(data, dict) or "inputs" not in data:
        raise ValueError('The body must be a JSON object with "inputs": a text or a list of texts.')
    inputs = data["inputs"]
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, list) or not texts:
        raise ValueError('"inputs" must be a text or a list of at least one text.')
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f'"inputs"[{position}] is of type {type(text).__name__}; it must be a text.'
            )
    return texts


def _options(parameters: Any) -> Options:
    parameters = {} if parameters is None else parameters
    if not isinstance(parameters, dict):
        raise ValueError('"parameters" must be a JSON object.')
    if unknown := sorted(set(parameters) - set(_PARAMETERS)):
        raise ValueError(f'"parameters" has {_short(unknown)}; known are {list(_PARAMETERS)}.')
    top_k, threshold = parameters.get("top_k"), parameters.get("threshold")
    explain, function = parameters.get("explain"), parameters.get("function_to_apply")
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise ValueError(f'"top_k" is {_short(top_k)}; it must be a whole number from 1 up.')
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not (threshold is None or threshold == "stored" or (number and 0 <= threshold <= 1)):
        raise ValueError(f'"threshold" is {_short(threshold)}; it must be in 0..1, or "stored".')
    if not (explain is None or isinstance(explain, bool)):
        raise ValueError(f'"explain" is {_short(explain)}; it must be true or false.')
    if function not in (None, "sigmoid"):
        raise ValueError(f'"function_to_apply" is {_short(function)}; only "sigmoid" fits.')
    return Options(top_k, threshold, bool(explain))


def _short(value: Any) -> str:
    """A value for a message: in ASCII, so that it does nothing where it is shown, and cut."""
    try:
        text = ascii(value)
    except ValueError:  # an integer of thousands of digits
        return "a number that is too long"
    return text if len(text) <= 80 else f"{text[:77]}..."
