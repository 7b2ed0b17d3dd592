"""Gets the common tests of the installed transformers: they are in its source distribution.

The source distribution has the mixins, but not the folders beside them. What the mixins import from
these is written here: an empty test of `generate` and of export, the tests of two pipelines, and
the common fields of a config, with the only problem type that a stack has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import transformers

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "build" / f"transformers-{transformers.__version__}"

STUBS = {
    "__init__.py": "",
    "exporters/__init__.py": "",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/__init__.py": "",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "utils/__init__.py": "",
    "utils/test_configuration_utils.py": (
        "config_common_kwargs = {\n"
        '    "return_dict": False, "output_hidden_states": True, "dtype": "float16",\n'
        '    "chunk_size_feed_forward": 5, "architectures": ["BertModel"],\n'
        '    "id2label": {0: "label"}, "label2id": {"label": 0},\n'
        '    "problem_type": "multi_label_classification",\n'
        "}\n"
    ),
    "fixtures/sample_text.txt": "This is a test.\n\nIt has a few words, and a second line.\n",
    "pipelines/__init__.py": "",
    "pipelines/test_pipelines_text_classification.py": (
        "from pipeline_cases import TextClassificationPipelineTests\n"
    ),
    "pipelines/test_pipelines_feature_extraction.py": (
        "from pipeline_cases import FeatureExtractionPipelineTests\n"
    ),
}


def prepare() -> Path:
    """Download and unpack the tests once; the folder that holds the package `tests`.

    Raises:
        subprocess.CalledProcessError: the registry cannot be reached.
    """
    if not (FOLDER / "tests" / "test_modeling_common.py").is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--no-binary", "transformers", "--dest", str(FOLDER),
             f"transformers=={transformers.__version__}"],
            check=True,
        )  # fmt: skip
        archive = next(FOLDER.glob("transformers-*.tar.gz"))
        with tarfile.open(archive) as packed:
            packed.extractall(FOLDER, filter="data")
        for child in (FOLDER / archive.name.removesuffix(".tar.gz")).iterdir():
            child.rename(FOLDER / child.name)
        archive.unlink()
    for name, text in STUBS.items():
        path = FOLDER / "tests" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return FOLDER


def use(tiny_models: Path) -> None:
    """Make `tests.test_modeling_common` and the others importable.

    Args:
        tiny_models: the folder of the models that the pipeline tests load.
    """
    os.environ["TRANSFORMERS_TINY_MODEL_PATH"] = str(tiny_models)
    sys.path.insert(0, str(prepare()))


if __name__ == "__main__":
    print(prepare())
