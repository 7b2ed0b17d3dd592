"""`make publish-demo`: publish to the test Hub, use it without the package, look at the pages.

`PYTHONPATH=tests/support python -m publish_demo RUN OUTPUT [--install]`: RUN is a finished run.
With `--install` the fresh environment gets its packages from the registry by the repository's own
`requirements.txt`; without, it borrows the packages of this one, but not this project's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from hub_server.fixtures import HubForTests

from .pictures import picture_of_card, picture_of_space

REPO = "user/emotions-demo"
TEXTS = [
    "الحمد لله نجحت في الامتحان، فرحانة ومش مصدقة 😍",
    "شنو هاد الخدمة الخايبة؟ عصبتوني بزاف 😡",
]
ENDPOINT = Path(__file__).parents[1] / "endpoint_server.py"
LOAD = """
import importlib.util, json, sys
assert importlib.util.find_spec("stacked_emotion") is None, "the package is importable here"
from huggingface_hub import snapshot_download
from transformers import pipeline
repo, revision, texts = json.loads(sys.argv[1])
classify = pipeline("text-classification", model=repo, revision=revision, top_k=None,
                    trust_remote_code=True)
for text, scores in zip(texts, classify(texts)):
    print(" ", text)
    print("   ", ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in scores[:3]))
print(snapshot_download(repo, revision=revision))
"""
CALL = """
import json, sys
from huggingface_hub import InferenceClient
address, texts = json.loads(sys.argv[1])
client = InferenceClient()
for text in texts:
    answer = client.text_classification(text, model=address, top_k=3)
    print(" ", text)
    print("   ", ", ".join(f"{entry.label} {entry.score:.2f}" for entry in answer))
"""


def say(text: str) -> None:
    """A heading in the output."""
    print(f"\n== {text}", flush=True)


def fresh_environment(folder: Path, install: Path | None) -> Path:
    """A virtual environment without this project's package; returns its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=install is not None)
    python = folder / "bin" / "python"
    if install is None:
        places = {sysconfig.get_path("purelib"), *(p for p in sys.path if "site-packages" in p)}
        target = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        (Path(target) / "borrowed.pth").write_text("\n".join(sorted(places)) + "\n")
    else:
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", install], check=True)
    return python


def main() -> None:
    """Run all steps; a step that fails stops the process."""
    parser = argparse.ArgumentParser(prog="publish_demo")
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--install", action="store_true")
    options = parser.parse_args()
    output = options.output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    with HubForTests(output / "hub") as hub:
        environment = hub.environment(output)

        say(f"stacked-emotion publish {options.run} --repo_id {REPO} …")
        command = [sys.executable, "-m", "stacked_emotion.cli", "publish", str(options.run)]
        command += ["--repo_id", REPO, "--license", "apache-2.0", "--revision_tag", "v1"]
        subprocess.run(command, env=environment, check=True)
        commit = hub.repository(REPO).tags["v1"]

        say(f"loading {REPO} at {commit} without the package")
        repository = options.run.resolve() / "repository"
        requirements = repository / "requirements.txt" if options.install else None
        python = fresh_environment(output / "venv", requirements)
        fresh = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
        fresh["HF_HOME"] = str(output / "fresh_home")
        answer = subprocess.run(
            [python, "-c", LOAD, json.dumps([REPO, commit, TEXTS])],
            env=fresh, cwd=output, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        print(answer.stdout.rstrip())
        snapshot = Path(answer.stdout.strip().splitlines()[-1])

        say("handler.py over HTTP, called by InferenceClient")
        with subprocess.Popen(
            [python, ENDPOINT, snapshot],
            env=fresh, cwd=output, stdout=subprocess.PIPE, text=True,
        ) as server:  # fmt: skip
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            try:
                subprocess.run(
                    [sys.executable, "-c", CALL, json.dumps([address, TEXTS])],
                    env={**os.environ, "NO_PROXY": "127.0.0.1"}, check=True,
                )  # fmt: skip
            finally:
                server.terminate()

        say("pictures")
        for picture in picture_of_card(snapshot, REPO, output):
            print(" ", picture)
        print(" ", picture_of_space(REPO, commit, TEXTS[0], environment, output))


if __name__ == "__main__":
    main()
