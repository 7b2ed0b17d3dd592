"""The fixture `hub_server` and what tests need around it: environments and client processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .server import HubServer

_FOREIGN = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_", "TRANSFORMERS_", "PYTORCH_TRANSFORMERS_")
_CLIENT_TIMEOUT_S = 300


class HubForTests(HubServer):
    """A `HubServer` that knows how to start clients of it."""

    def environment(
        self, tmp_path: Path, token: str | None = "hf_test", offline: bool = False
    ) -> dict[str, str]:
        """The environment of a client process.

        Args:
            tmp_path: `HF_HOME` (the cache) goes into its folder `hf_home`: the same `tmp_path`
                means the same cache.
            token: `HF_TOKEN`; None for a client that is not logged in.
            offline: Whether `HF_HUB_OFFLINE` is set.

        Returns:
            This process's variables without any of the Hub's own, plus the ones for this server.
        """
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        environment |= {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(tmp_path / "hf_home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "DISABLE_SAFETENSORS_CONVERSION": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        if token is not None:
            environment["HF_TOKEN"] = token
        if offline:
            environment["HF_HUB_OFFLINE"] = "1"
        return environment

    def run(
        self,
        tmp_path: Path,
        code: str,
        *,
        token: str | None = "hf_test",
        offline: bool = False,
        **values: Any,
    ) -> Any:
        """Run client code in a fresh Python process, in the folder `tmp_path`.

        Args:
            tmp_path: Working folder, and the place of the cache.
            code: Python source, indented as you like. It finds `values` as the dict `given`, and
                hands back its result as JSON by calling `give(result)` once.
            token: See `environment`.
            offline: See `environment`.
            **values: What the code needs to know (JSON).

        Returns:
            What the code gave.

        Raises:
            AssertionError: If the process failed, with what it wrote to stderr.
        """
        result = tmp_path / "given.json"
        result.unlink(missing_ok=True)
        head = (
            "import json, pathlib\n"
            f"given = json.loads({json.dumps(values)!r})\n"
            f"def give(value): pathlib.Path({str(result)!r}).write_text(json.dumps(value))\n"
        )
        process = subprocess.run(
            [sys.executable, "-c", head + textwrap.dedent(code)],
            cwd=tmp_path,
            env=self.environment(tmp_path, token, offline),
            capture_output=True,
            text=True,
            timeout=_CLIENT_TIMEOUT_S,
            check=False,
        )
        assert process.returncode == 0, f"The client process failed:\n{process.stderr}"
        assert result.exists(), "The client code did not call give(...)"
        return json.loads(result.read_text())


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubForTests]:
    """An empty Hub on loopback, one for each test module."""
    with HubForTests(tmp_path_factory.mktemp("hub_objects")) as server:
        yield server
