"""Loads a model as its users do and measures it. Runs as a script where this package is not.

It reads one JSON object from standard input, and after each step writes to the file `answers` what
was measured so far: by step a JSON object, which has `error` where the step failed. It judges
nothing.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.utils import logging

ROWS_AT_ONCE = 32
MORE_PADDING = 13
STOCK = "text-classification"
OWN = "emotion-classification"


class Probe:
    """A model, and texts to measure it with.

    Args:
        given: `place` (folder or Hub ID), `folder` (its files), `options` of `from_pretrained`,
            `stack` (it has code and decides by itself), `texts`, and perhaps `rows`, `rows_file`
            and `examples`.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.stack, self.texts = given, bool(given["stack"]), list(given["texts"])
        self.place, self.options = given["place"], dict(given["options"])
        self.folder = Path(given["folder"])
        self.tokenizer: Any = None
        self.model: Any = None
        self.labels: list[str] = []
        self.logits = torch.zeros(0)

    def load(self) -> dict[str, Any]:
        """All Auto classes; the logits of the texts, which the other steps compare with."""
        self.tokenizer = AutoTokenizer.from_pretrained(self.place, **self.options)
        self.model, report = AutoModelForSequenceClassification.from_pretrained(
            self.place, dtype=torch.float32, use_safetensors=True, output_loading_info=True,
            **self.options,
        )  # fmt: skip
        self.model.eval()
        AutoModel.from_pretrained(self.place, dtype=torch.float32, **self.options)
        config = self.model.config
        self.labels = [config.id2label[index] for index in range(config.num_labels)]
        self.logits = self._run(self.texts)
        return {
            "module": type(self.model).__module__,
            "class": type(self.model).__name__,
            "missing": sorted(report["missing_keys"]),
            "unused": sorted(report["unexpected_keys"]),
            "logits": self.logits.tolist(),
            "given": self._decided(self.texts, self.logits) if self.stack else None,
        }

    def batches(self) -> dict[str, Any]:
        """Largest change of a score when texts run alone, and in the opposite order."""
        alone = torch.cat([self._run([text]) for text in self.texts])
        turned = self._run(self.texts[::-1]).flip(0)
        return {"alone": self._gap(alone), "turned": self._gap(turned)}

    def padding(self) -> dict[str, Any]:
        """Largest change of a score with more padding than the longest text needs."""
        limit = int(min(self.tokenizer.model_max_length, self._positions()))
        lengths = [self._encoded([text])["input_ids"].shape[1] for text in self.texts]
        short = [place for place, length in enumerate(lengths) if length < limit]
        length = min(limit, max(lengths[place] for place in short) + MORE_PADDING)
        texts = [self.texts[place] for place in short]
        batch = self._encoded(texts, padding="max_length", max_length=length)
        with torch.inference_mode():
            logits = self.model(**batch).logits.double()
        return {"difference": self._gap(logits, short), "texts": len(short), "positions": length}

    def saving(self) -> dict[str, Any]:
        """Whether the model gives the same bits after `save_pretrained` and `from_pretrained`."""
        options = {key: self.options[key] for key in ("trust_remote_code",) if key in self.options}
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
            again = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, **options
            ).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            before, after = self._encoded(self.texts), self._encoded(self.texts, tokenizer)
            with torch.inference_mode():
                logits = again(**after).logits.double()
            code = {file.name: file.read_text("utf-8") for file in Path(folder).glob("*.py")}
        was, now = self.model.state_dict(), again.state_dict()
        changed = [name for name in was if name not in now or not torch.equal(was[name], now[name])]
        lost = [name for name, text in code.items() if self._code(name) != text]
        return {
            "weights": changed + sorted(set(now) - set(was)),
            "inputs": [name for name in before if not torch.equal(before[name], after[name])],
            "logits": torch.equal(logits, self.logits),
            "code": lost,
        }

    def pipelines(self) -> dict[str, Any]:
        """Scores by the stock pipeline, and the labels that the model's own pipeline gives."""
        classify = pipeline(STOCK, model=self.place, top_k=None, dtype="float32", **self.options)
        options = {} if self.stack else {"truncation": True}
        answers: dict[str, Any] = {"scores": self._gap_of(classify(self.texts, **options))}
        if not self.stack:
            return answers
        own = pipeline(OWN, model=self.place, dtype="float32", **self.options)
        found = own(self.texts)
        answers["labels"] = [sorted(entry["label"] for entry in row) for row in found]
        return answers

    def handler(self) -> dict[str, Any]:
        """Scores and labels by `handler.py`, as an Inference Endpoint would give them.

        An endpoint has plain files; those of the Hub's cache are links, so they are copied.
        """
        if self.place == str(self.folder.resolve()):
            return self._handled(self.folder)
        with tempfile.TemporaryDirectory() as folder:
            return self._handled(Path(shutil.copytree(self.folder, f"{folder}/repository")))

    def _handled(self, folder: Path) -> dict[str, Any]:
        sys.path.insert(0, str(folder))  # as the toolkit of the endpoints does
        spec = importlib.util.spec_from_file_location("handler", folder / "handler.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["handler"] = module  # its dataclasses look themselves up there
        spec.loader.exec_module(module)
        handler = module.EndpointHandler(str(folder))
        scored, stored = list[Any](), list[Any]()
        for text in self.texts:  # one at a time: a request has a limit
            scored += handler({"inputs": [text]})
            stored += handler({"inputs": [text], "parameters": {"threshold": "stored"}})
        return {
            "scores": self._gap_of(scored),
            "labels": [sorted(entry["label"] for entry in row) for row in stored],
        }

    def graphs(self) -> dict[str, Any]:
        """Differences of the exported graphs' scores, by file and engine."""
        found: dict[str, Any] = {}
        engines = {"ONNX Runtime": _onnxruntime, "OpenVINO": _openvino}
        for file in sorted((self.folder / "onnx").glob("model*.onnx")):  # not the parts of one
            for engine, load in engines.items():
                if engine == "OpenVINO" and file.name != "model.onnx":
                    continue  # it makes its own int8 from the float32 graph
                key = f"onnx/{file.name}, {engine}"
                try:
                    found[key] = self._of_graph(load(file))
                except ImportError as error:
                    found[key] = {"absent": str(error.name)}
                except Exception as error:
                    found[key] = {"error": _said(error)}
        return found

    def examples(self) -> dict[str, Any]:
        """Scores of the texts of the card."""
        return {"scores": torch.sigmoid(self._run(self.given["examples"])).tolist()}

    def rows(self) -> dict[str, Any]:
        """(rows, labels) logits of labeled texts and the model's decisions, in a file of numpy."""
        texts = self.given["rows"]
        self.model.config.abstain = None  # the recorded figures are of all texts
        logits = torch.zeros(len(texts), len(self.labels), dtype=torch.float64)
        by_length = np.argsort([len(text) for text in texts], kind="stable")
        for start in range(0, len(texts), ROWS_AT_ONCE):
            places = by_length[start : start + ROWS_AT_ONCE]
            logits[places] = self._run([texts[place] for place in places])
        arrays: dict[str, Any] = {"logits": logits.numpy()}
        if self.stack:
            arrays["given"] = self.model.decide(logits).numpy()
        np.savez(self.given["rows_file"], **arrays)
        return {"rows": len(texts)}

    def _encoded(self, texts: list[str], tokenizer: Any = None, **options: Any) -> Any:
        options = {"padding": True, "truncation": True, "return_tensors": "pt", **options}
        return (tokenizer or self.tokenizer)(texts, **options)

    def _run(self, texts: list[str]) -> torch.Tensor:
        """(texts, labels) float64 logits, all texts in one batch."""
        with torch.inference_mode():
            return self.model(**self._encoded(texts)).logits.double()

    def _decided(self, texts: list[str], logits: torch.Tensor) -> list[list[str]]:
        """The labels that the model gives by itself; a text without words gets none."""
        has_words = self._encoded(texts)["word_index"].amax((1, 2)) > 0
        chosen = self.model.decide(logits, has_words).tolist()
        return [
            sorted(name for name, on in zip(self.labels, row, strict=True) if on) for row in chosen
        ]

    def _gap(self, logits: torch.Tensor, places: list[int] | None = None) -> float:
        """Largest absolute difference of a score."""
        expected = self.logits if places is None else self.logits[places]
        return float((torch.sigmoid(logits) - torch.sigmoid(expected)).abs().max())

    def _gap_of(self, answers: list[list[dict[str, Any]]]) -> float:
        """The same for `{"label", "score"}` entries."""
        by_name = [{entry["label"]: entry["score"] for entry in row} for row in answers]
        scores = torch.tensor([[row[label] for label in self.labels] for row in by_name])
        return float((scores.double() - torch.sigmoid(self.logits)).abs().max())

    def _of_graph(self, run: Any) -> dict[str, Any]:
        """Differences of a graph's scores over batches of several sizes and lengths.

        `moved` is how far a score moves between these batches.
        """
        parts = [self.texts[:1], self.texts[1:4], self.texts[4:], self.texts]
        found = [run({k: v.numpy() for k, v in self._encoded(part).items()}) for part in parts]
        expected = torch.cat([self._run(part) for part in parts])
        scores = torch.sigmoid(torch.from_numpy(np.concatenate(found)).double())
        gap = (scores - torch.sigmoid(expected)).abs()
        apart, together = scores.chunk(2)
        moved = float((apart - together).abs().max())
        return {"largest": float(gap.max()), "mean": float(gap.mean()), "moved": moved}

    def _positions(self) -> int:
        """Positions that surely fit; RoBERTa and its kin use two of them otherwise."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 514) - 2

    def _code(self, name: str) -> str:
        file = self.folder / name
        return file.read_text("utf-8") if file.is_file() else ""


def _onnxruntime(file: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda batch: session.run(["logits"], {name: batch[name] for name in names})[0]


def _openvino(file: Path) -> Any:
    import openvino

    # left to itself, it computes in bfloat16 where the processor has it
    options = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    compiled = openvino.Core().compile_model(str(file), "CPU", options)
    names = [entry.get_any_name() for entry in compiled.inputs]
    return lambda batch: np.array(compiled({name: batch[name] for name in names})["logits"])


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}"


def main() -> None:
    """Do the steps in their order; without the first, loading, there are no others."""
    sys.modules["stacked_emotion"] = None  # type: ignore[assignment]  # an import of it fails
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    given = json.loads(sys.stdin.read())
    torch.set_num_threads(given["threads"])
    probe, answers = Probe(given), dict[str, Any]()
    for step in given["steps"]:
        try:
            answers[step] = getattr(probe, step)()
        except Exception as error:
            if given["debug"]:
                traceback.print_exc()
            answers[step] = {"error": _said(error)}
        Path(given["answers"]).write_text(json.dumps(answers), encoding="utf-8")
        if step == "load" and "error" in answers[step]:
            break


if __name__ == "__main__":
    main()
