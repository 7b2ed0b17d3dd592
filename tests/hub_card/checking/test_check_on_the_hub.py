"""A published model is checked at its commit, with the network off while it is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

PUBLISH = """
from stacked_emotion.hub_card import check_model, publish

done = publish(given["run"], "user/checked", "mit", languages=["ar"], plots=False,
               examples=["فرحان جدا"])
at_commit, by_branch = check_model("user/checked", done.commit), check_model("user/checked")
give({"published": [done.commit, done.digest], "folder": at_commit.folder,
      "checked": [at_commit.commit, at_commit.digest], "branch": by_branch.commit,
      "outcomes": [[one.check, one.result, one.detail] for one in at_commit.outcomes]})
"""


def test_a_repository_at_its_commit(hub_server: Any, finished_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    found = hub_server.run(tmp_path, PUBLISH, run=str(run))
    assert found["checked"] == found["published"]
    assert found["branch"] == found["published"][0]
    assert Path(found["folder"]).name == found["published"][0]
    results = {check: result for check, result, _ in found["outcomes"]}
    assert not [one for one in found["outcomes"] if one[1] == "failed"]
    assert {check for check, result in results.items() if result == "not checked"} == {
        "figures on labeled texts", "exported graphs",
    }  # fmt: skip
