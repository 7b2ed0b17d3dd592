"""Whatever the API of transformers offers acts on a stack or is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import citizen_checks
import pytest
from from_wheel import run_isolated

RUN = """
import sys
sys.path.insert(0, given["support"])
import citizen_checks
give([citizen_checks.run(given["model"]), "stacked_emotion" in sys.modules])
"""


@pytest.fixture(scope="module")
def found(tiny_stack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    support = str(Path(citizen_checks.__file__).parent)
    answer, imported = run_isolated(
        tmp_path_factory.mktemp("citizen"), RUN, model=str(tiny_stack_folder), support=support
    )
    assert not imported
    return answer


@pytest.mark.parametrize("check", citizen_checks.CHECKS)
def test_in_a_process_without_the_package(check: str, found: dict[str, str]) -> None:
    assert not found[check], found[check]
