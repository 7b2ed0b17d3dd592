"""Messages name only options that the command at hand has."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

import pytest
from tiny_models import ROOT

from stacked_emotion.cli import build_parser
from stacked_emotion.data.arguments import FILE_OPTIONS, READING_OPTIONS

_OPTION = re.compile(r"(?<![\w-])--([a-z](?:[\w-]*\w)?)")
TRAINING = ("train", "distill", "ablate", "tune")
# What a folder's messages are about: every option that it names is one of all these commands.
COMMANDS = {
    "data": (*TRAINING, "evaluate", "inspect"),
    "inference/bulk": ("predict",),
    "trainer/distillation": ("distill",),
    "trainer/ablation": ("ablate",),
    "trainer/tuning": ("tune",),
    "trainer/labeling": ("suggest",),
    "trainer/stages": ("train",),
    "trainer": ("train",),
}
# Of other commands:
OWN = frozenset({"distillation", "ablation", "tuning", "labeling", "commands.py"})
NONE: frozenset[str] = frozenset()
ELSEWHERE = {
    "drop_leaked", "validation_fraction", "validation_file",  # of several splits: in training
    "train_file", "test_file", "dataset_name", "dataset_config_name", "dataset_revision",
    "train_split", "validation_split", "test_split", "dataset_split",  # of data sets
    "model", "input", "output",  # of `stacked-emotion predict`, which is named in full
    "json",  # of `inspect` alone
    "variants", "repo_id", "dry_run",  # of `ablate` and `publish`, which are named in full
}  # fmt: skip
OTHERS = {
    "num_processes", "untracked_files", "porcelain",  # of accelerate and git
    "gradient_accumulation_steps",  # of transformers.TrainingArguments, which pass through
    "head", "encoder_defaults", "encoders",  # sections: `--head.epochs`
}  # fmt: skip


def options_by_command() -> dict[str, set[str]]:
    parser = build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {
        name: {word[2:].replace("-", "_") for action in command._actions
               for word in action.option_strings} | set(getattr(command, "paths", ()))
        for name, command in commands.choices.items()
    }  # fmt: skip


def named_in(folder: Path, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """Options that the strings of a folder's modules name, each with one place."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        if {"tests", "benchmarks", ".venv", ".typing", "build", *without} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if _OPTION.fullmatch(node.value):
                    continue  # where an option is declared
                for name in _OPTION.findall(node.value):
                    found[name.replace("-", "_")] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def test_every_option_that_is_named_exists():
    every = set().union(*options_by_command().values())
    missing = {name: place for name, place in named_in(ROOT).items()
               if name not in every and name not in OTHERS | ELSEWHERE}  # fmt: skip
    assert missing == {}


@pytest.mark.parametrize("folder", COMMANDS)
def test_the_commands_have_the_options_that_their_messages_name(folder):
    have = options_by_command()
    lacking = {
        (name, command): place
        for name, place in named_in(ROOT / folder, OWN if folder == "trainer" else NONE).items()
        for command in COMMANDS[folder]
        if name not in have[command] and name not in ELSEWHERE | OTHERS
    }
    assert lacking == {}


def test_reading_options_are_those_of_every_command_that_reads_labels():
    have = options_by_command()
    for command in COMMANDS["data"]:
        assert set(READING_OPTIONS) <= have[command], command
    assert {"text_column", *FILE_OPTIONS} <= have["predict"]
