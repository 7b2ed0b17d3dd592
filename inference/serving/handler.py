"""Answers requests: as a Hugging Face Inference Endpoint, and for `stacked-emotion serve`.

A request is `{"inputs": "…" | ["…", …], "parameters": {…}}`. All parameters are optional:

* `top_k`: how many labels per text, most likely first; all by default.
* `threshold`: list labels from this probability on, or `"stored"` for the model's own decision; all
  labels by default.
* `explain`: true to add the words of the text to each label. A word has the label's score minus the
  score without the word, and the trust in each encoder there.
* `adaptive`: true to run further encoders only on the texts whose labels are not certain yet. The
  model must have limits for adaptive stacking. Not with `explain`.
* `function_to_apply`: `"sigmoid"`, the only function that fits several labels per text, or `"none"`
  for the logits.

The answer has one list per text, of `{"label": …, "score": …}`, as a text-classification pipeline
gives for a list of texts. A bad request, or one beyond `EndpointHandler.limits`, raises
`ValueError`; the endpoint answers it with status 400 and the message.

A published repository holds a copy of this file, which needs torch and transformers only. So words
are left out here as `inference.explanations` does, encoders as `inference.adaptive` does, and what
is imported lies beside the copy.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

try:
    from ...decisions_stacked_emotion import decide, uncertainty
    from ..limits import Limits
except ImportError:  # published: the repository's folder is on the path
    from limits import Limits  # type: ignore[import-not-found, no-redef]

    from decisions_stacked_emotion import decide, uncertainty

BATCH_TEXTS = 64
"""Texts of a round, and of a batch."""
ROUND_CHARACTERS = 16_384
"""Characters of a round, of which each text counts at most `TEXT_CHARACTERS`."""
TEXT_CHARACTERS = 512
_PARAMETERS = ("top_k", "threshold", "explain", "adaptive", "function_to_apply")


@dataclass(frozen=True)
class Options:
    """The checked parameters of a request."""

    top_k: int | None = None
    threshold: float | str | None = None
    explain: bool = False
    adaptive: bool | None = None
    raw: bool = False


@dataclass(eq=False)
class Request:
    """A checked request and what is known of its answer.

    Attributes:
        texts: the texts.
        options: what to list of each text.
        rows: what the model says of the texts computed so far, by their places.
        taken: how many of the texts are computed or being computed.
        answer: the rows, once all are there. Cancel it to leave out what is not computed yet.
    """

    texts: list[str]
    options: Options
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    taken: int = 0
    answer: Future[list[dict[str, Any]]] = field(default_factory=Future)

    def put(self, place: int, row: dict[str, Any]) -> None:
        """Store what the model says of a text; the last one completes the answer."""
        self.rows[place] = row
        if len(self.rows) == len(self.texts):
            with suppress(InvalidStateError):  # cancelled
                self.answer.set_result([self.rows[place] for place in range(len(self.texts))])

    def fail(self, error: Exception) -> None:
        """Give up, with this error as the answer."""
        with suppress(InvalidStateError):
            self.answer.set_exception(error)


class EndpointHandler:
    """Answers requests; concurrent ones share batches.

    One thread computes. Whenever it is free, it takes a round of the texts that wait: in turns one
    text of each request, so a request of many texts does not hold up the others.

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
        self._start([config.id2label[index] for index in range(config.num_labels)])

    def _start(self, labels: list[str]) -> None:
        self.labels = labels
        self._arrived: queue.SimpleQueue[Request] = queue.SimpleQueue()
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
        request = self.read(data)
        return self.listed(self.submit(request).result(), request.options)

    def read(self, data: Any) -> Request:
        """The checked request in a decoded body.

        Raises:
            ValueError: the request is malformed or beyond the limits; the message says how.
        """
        request = Request(_texts(data), _options(data.get("parameters")))
        self._check(request.options)
        self.limits.check(request.texts)
        if request.options.explain:
            words = sum(len(self.tokenizer.word_offsets(text)) for text in request.texts)
            self.limits.check_explained(words)
        return request

    def _check(self, options: Options) -> None:
        """Refuse what this model cannot do."""
        if options.adaptive and self.model.config.adaptive is None:
            raise ValueError(
                '"adaptive" is true, but this model has no limits for adaptive stacking. Leave it '
                "out."
            )
        if options.adaptive and options.explain:
            raise ValueError('"explain" reads every encoder: leave out "adaptive".')

    def submit(self, request: Request) -> Future[list[dict[str, Any]]]:
        """Compute a request; its `answer`, for `listed`."""
        self._arrived.put(request)
        return request.answer

    def listed(self, rows: Iterable[dict[str, Any]], options: Options) -> list[list[Any]]:
        """What the answer to a request lists, for each text."""
        return [self._labels_of(row, options) for row in rows]

    def _labels_of(self, row: dict[str, Any], options: Options) -> list[dict[str, Any]]:
        scores, chosen = row["scores"], range(len(self.labels))
        if options.threshold == "stored":
            listed = [index for index in chosen if row["given"][index]]
        elif options.threshold is not None:
            listed = [index for index in chosen if scores[index] >= float(options.threshold)]
        else:
            listed = list(chosen)
        shown = row["logits"] if options.raw else scores
        listed.sort(key=lambda index: -row["logits"][index])
        answers = []
        for index in listed[: options.top_k]:
            answer = {"label": self.labels[index], "score": shown[index]}
            if options.explain:
                answer["words"] = [
                    {**word, "contribution": contributions[index]}
                    for word, contributions in row["words"]
                ]
            answers.append(answer)
        return answers

    def _work(self) -> None:
        """Compute round after round of the requests that have arrived."""
        waiting: deque[Request] = deque()
        while True:
            if not waiting:
                waiting.append(self._arrived.get())
            with suppress(queue.Empty):
                while True:
                    waiting.append(self._arrived.get_nowait())
            taken = _round(waiting)
            ways: dict[tuple[Any, ...], list[tuple[Request, int]]] = {}
            for one in taken:
                options = one[0].options
                ways.setdefault((options.explain, options.adaptive), []).append(one)
            for part in ways.values():
                self._answer(part)

    def _answer(self, taken: list[tuple[Request, int]]) -> None:
        """Give the requests the rows of these of their texts, which are computed in one way."""
        try:
            texts = [request.texts[place] for request, place in taken]
            for places, rows in self._rows(texts, taken[0][0].options):
                for (request, place), row in zip((taken[i] for i in places), rows, strict=True):
                    request.put(place, row)
        except Exception as error:  # the worker must survive any batch
            failed: dict[Request, list[tuple[Request, int]]] = {}
            for request, place in taken:
                if place not in request.rows:
                    failed.setdefault(request, []).append((request, place))
            if len(failed) == 1:
                next(iter(failed)).fail(error)
                return
            for part in failed.values():  # one request must not spoil the others in its batch
                self._answer(part)

    def _rows(
        self, texts: list[str], options: Options
    ) -> Iterator[tuple[Iterable[int], list[dict[str, Any]]]]:
        """The rows of texts, batch by batch as they are computed, and their places."""
        yield range(len(texts)), self._run(texts, options)

    def _run(self, texts: list[str], options: Options) -> list[dict[str, Any]]:
        """Scores, decisions and, if asked for, words of texts, in their order."""
        lengths = [len(text) for text in texts]
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        rows: list[dict[str, Any]] = [{}] * len(texts)
        for start in range(0, len(order), BATCH_TEXTS):
            part = order[start : start + BATCH_TEXTS]
            answers = self._batch([texts[index] for index in part], options)
            for index, answer in zip(part, answers, strict=True):
                rows[index] = answer
        return rows

    def _batch(self, texts: list[str], options: Options) -> list[dict[str, Any]]:
        batch = self.tokenizer(texts, padding=True, return_tensors="pt", return_word_offsets=True)
        spans = batch.pop("word_offsets")
        inputs = {name: value.to(self.model.device) for name, value in batch.items()}
        gates: Any = None
        with torch.inference_mode():
            if options.adaptive:
                logits = self._adaptive(inputs)
            else:
                output = self.model(**inputs, output_gates=options.explain)
                logits, gates = output.logits.float(), output.gates
        has_words = inputs["word_index"].amax((1, 2)) > 0
        given = self.model.decide(logits, has_words).tolist()
        rows = [
            {"logits": row, "scores": score, "given": chosen, "words": []}
            for row, score, chosen in zip(
                logits.tolist(), torch.sigmoid(logits).tolist(), given, strict=True
            )
        ]
        if options.explain:
            for row, text, words, trust in zip(rows, texts, spans, gates, strict=True):
                row["words"] = self._words(text, words, row["scores"], trust.tolist())
        return rows

    def _adaptive(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits (B, L) of a batch; each encoder reads the texts left undecided before it."""
        config, device = self.model.config, self.model.device
        left = torch.arange(len(inputs["word_index"]), device=device)
        thresholds = config.thresholds or [0.5] * config.num_labels
        scale = config.decision_scale if config.decision == "expected_jaccard" else 1.0
        rule = (config.decision, scale, None, config.min_labels)
        places = [config.encoder_names.index(name) for name in config.adaptive["order"]]
        logits = torch.zeros(len(left), config.num_labels, device=device)
        words: dict[int, torch.Tensor] = {}  # (texts left, words, hidden size) by encoder
        own: dict[int, torch.Tensor] = {}  # (texts left, L)
        for place, stage in zip(places, [*config.adaptive["stages"], None], strict=True):
            part = {name: value[left] for name, value in inputs.items()}
            words[place], own[place] = self.model.stacked.encode_one(place, **part)
            if stage is None or stage["limit"] <= 0:
                continue
            weights, bias = (
                torch.tensor(stage[name], dtype=torch.float64, device=device)
                for name in ("weights", "bias")
            )
            estimate = ((torch.stack([*own.values()], 1) * weights).sum(1) + bias).float()
            given = decide(estimate, thresholds, *rule)
            stops = uncertainty(estimate, thresholds, given, scale) < stage["limit"]
            logits[left[stops]] = estimate[stops]
            left = left[~stops]
            words, own = ({p: v[~stops] for p, v in found.items()} for found in (words, own))
            if not len(left):
                return logits
        counts = inputs["word_index"][left].amax((1, 2))
        longest = max(int(counts.max()), 1)
        logits[left] = self.model(
            word_embeddings=torch.cat([words[place][:, :longest] for place in sorted(words)], -1),
            word_mask=torch.arange(longest, device=device) < counts[:, None],
            encoder_logits=torch.stack([own[place] for place in sorted(own)], 1),
        ).logits.float()
        return logits

    def _words(
        self, text: str, spans: list[Any], scores: list[float], gates: list[list[float]]
    ) -> list[Any]:
        """Each word, and for every label the score minus the score without the word."""
        if not spans:
            return []
        seen = text[: spans[-1][1]]  # what was cut off must stay out
        occluded = self._run([_without(seen, start, end) for start, end in spans], Options())
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


def _round(waiting: deque[Request]) -> list[tuple[Request, int]]:
    """Take texts until a round is full: in turns one of each request.

    Returns:
        The requests and the places of their texts. `waiting` keeps the requests that have more,
        those that were served last at its end.
    """
    taken: list[tuple[Request, int]] = []
    room = ROUND_CHARACTERS
    while waiting and room > 0 and len(taken) < BATCH_TEXTS:
        request = waiting.popleft()
        if request.answer.done():  # failed or cancelled
            continue
        taken.append((request, request.taken))
        room -= min(len(request.texts[request.taken]), TEXT_CHARACTERS)
        request.taken += 1
        if request.taken < len(request.texts):
            waiting.append(request)
    return taken


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
    for name in ("explain", "adaptive"):
        if not isinstance(parameters.get(name), bool | None):
            raise ValueError(f'"{name}" is {_short(parameters[name])}; it must be true or false.')
    if function not in (None, "sigmoid", "none"):
        raise ValueError(
            f'"function_to_apply" is {_short(function)}; several labels per text need "sigmoid", '
            'or "none" for the logits.'
        )
    adaptive = parameters.get("adaptive")
    return Options(top_k, threshold, bool(explain), adaptive, raw=function == "none")


def _short(value: Any) -> str:
    """A value for a message: in ASCII, so that it does nothing where it is shown, and cut."""
    try:
        text = ascii(value)
    except ValueError:  # an integer of thousands of digits
        return "a number that is too long"
    return text if len(text) <= 80 else f"{text[:77]}..."
