"""Packaging of stacked_emotion: the repository root is the package."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
TOP = ("common", "data", "inference", "trainer", "hub_card", "recipes")
PARTS = find_packages(str(HERE), include=[*TOP, *(f"{name}.*" for name in TOP)])

onnx = ["onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"]
openvino = [*onnx, "openvino>=2025.1"]
# matplotlib joins and orders Arabic letters itself from 3.11 on, which needs Python 3.11
excel = ["openpyxl>=3.1"]
plots = ["matplotlib>=3.8", "arabic-reshaper>=3.0", "python-bidi>=0.6"]
space = ["gradio>=6.31"]
serve = ["starlette>=0.46", "uvicorn>=0.40", "httptools>=0.6", "prometheus-client>=0.21"]
review = ["cleanlab>=2.9"]
test = [
    *openvino,
    *serve,
    "hypothesis>=6.100",
    "jsonschema>=4.20",
    "parameterized>=0.9",
    "pytest>=8",
    "pytest-xdist>=3.7",
    "scikit-learn>=1.5",
    "peft>=0.18",
    "tensorboard>=2.16",
    "optuna>=4.0",
    *plots,
    *excel,
    *review,
    "markdown-it-py>=3.0",
]

setup(
    name="stacked_emotion",
    version="0.1.0",
    description="Multi-label emotion classification with a stack of fine-tuned encoders",
    long_description=(HERE / "README.md").read_text(encoding="utf-8")
    if (HERE / "README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    package_dir={"stacked_emotion": "."},
    packages=["stacked_emotion", *(f"stacked_emotion.{name}" for name in PARTS)],
    package_data={
        "stacked_emotion": ["py.typed"],
        "stacked_emotion.inference.serving": ["openapi.json", "docs.html.jinja"],
        "stacked_emotion.recipes": ["*.yaml", "sample/*", "accelerate/*", "serving/*"],
        "stacked_emotion.hub_card": ["templates/*.jinja"],
        "stacked_emotion.hub_card.space": ["style.css", "README.md", "static/*"],
    },
    install_requires=[
        "torch>=2.13",
        "transformers>=5.23",
        "huggingface-hub>=2.4",
        "datasets>=4.1",
        "evaluate>=0.4.6",
        "accelerate>=1.10",
        "safetensors>=0.8",
        "scikit-learn>=1.5",
        "scipy>=1.13",
        "numpy>=2.0",
        "filelock>=4.2",
        "pyyaml>=6.0.1",
        "jinja2>=3.1",
    ],
    extras_require={
        "test": test,
        "onnx": onnx,
        "openvino": openvino,
        "excel": excel,
        "plots": plots,
        "space": space,
        "review": review,
        "tracking": ["tensorboard>=2.16"],
        "tuning": ["optuna>=4.0"],
        "peft": ["peft>=0.18"],
        "serve": serve,
        "ray": ["ray[data,serve]>=2.40"],
        "spark": ["pyspark>=4.0"],
        "docs": ["mkdocs-material>=9.7", "mkdocstrings[python]>=1.0"],
        "dev": [
            *test,
            *space,
            "playwright>=1.50",
            "import-linter>=2.0",
            "ruff>=0.12",
            "mypy>=1.15",
            "types-PyYAML",
            "types-setuptools",
        ],
    },
    entry_points={"console_scripts": ["stacked-emotion=stacked_emotion.cli:main"]},
)
