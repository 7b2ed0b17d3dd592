from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from stacked_emotion.trainer.metrics import MultilabelEmotion, emotion_scores

REPOSITORY = Path(__file__).parents[3]
NAMES = ["anger", "joy", "trust"]


def example(rows: int = 23) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    return (rng.random((rows, 3)) < 0.4).astype(int), rng.random((rows, 3))


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "metrics")


def test_batches_of_probabilities(cache: str) -> None:
    truth, scores = example()
    metric = MultilabelEmotion(cache_dir=cache)
    for start in range(0, 23, 5):
        metric.add_batch(predictions=scores[start : start + 5], references=truth[start : start + 5])
    result = metric.compute(thresholds=[0.3, 0.5, 0.6], label_names=NAMES)
    expected = emotion_scores(truth, scores, thresholds=[0.3, 0.5, 0.6], label_names=NAMES)
    assert result == pytest.approx(expected)
    assert {"macro_ap", "ece", "f1_trust", "support_anger"} <= set(result)


def test_decisions_and_single_rows(cache: str) -> None:
    truth, scores = example()
    decided = (scores >= 0.5).astype(int)
    expected = emotion_scores(truth, decided)
    metric = MultilabelEmotion(cache_dir=cache)
    assert metric.compute(predictions=decided, references=truth) == pytest.approx(expected)
    for prediction, reference in zip(decided.tolist(), truth.tolist(), strict=True):
        metric.add(prediction=prediction, reference=reference)
    assert metric.compute() == pytest.approx(expected)


def test_float32_probabilities_keep_their_value(cache: str) -> None:
    metric = MultilabelEmotion(cache_dir=cache)
    scores = np.array([[0.7]], dtype=np.float32)
    result = metric.compute(predictions=scores, references=[[1]], thresholds=float(np.float32(0.7)))
    assert result["subset_accuracy"] == 1.0


def test_clear_message_for_probabilities_without_thresholds(cache: str) -> None:
    metric = MultilabelEmotion(cache_dir=cache)
    with pytest.raises(ValueError, match=r"pass thresholds=0\.5"):
        metric.compute(predictions=[[0.3, 0.9]], references=[[0, 1]])


TWO_PROCESSES = """
import json, sys
import numpy as np
from stacked_emotion.trainer.metrics import MultilabelEmotion
process, cache = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(11)
truth, scores = (rng.random((23, 3)) < 0.4).astype(int), rng.random((23, 3))
part = slice(0, 16) if process == 0 else slice(16, 23)
metric = MultilabelEmotion(
    num_process=2, process_id=process, experiment_id="uneven", cache_dir=cache
)
metric.add_batch(predictions=scores[part], references=truth[part])
print(json.dumps(metric.compute(thresholds=0.5, label_names=["anger", "joy", "trust"])))
"""


def test_two_processes_with_uneven_shards(cache: str) -> None:
    import json

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_PROCESSES, str(process), cache],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for process in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    results = [json.loads(out.strip().splitlines()[-1]) for out, _ in outputs]
    truth, scores = example()
    expected = emotion_scores(truth, scores, thresholds=0.5, label_names=NAMES)
    assert results[0] == pytest.approx(expected, abs=1e-12)
    assert results[1] is None


def test_loads_alone_from_its_own_folder(tmp_path: Path) -> None:
    folder = tmp_path / "multilabel_emotion"
    folder.mkdir()
    for name in ("multilabel_emotion.py", "scores.py"):
        shutil.copy(REPOSITORY / "trainer" / "metrics" / name, folder)
    code = textwrap.dedent(
        """
        import sys
        import evaluate
        sys.modules["stacked_emotion"] = None
        metric = evaluate.load(sys.argv[1])
        print(metric.compute(predictions=[[1, 0], [0, 0]], references=[[1, 1], [0, 0]])["jaccard"])
        """
    )
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder / "multilabel_emotion.py")],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "0.75"
