"""Pictures of the pages: the card rendered to HTML, and the Space's app with a text typed in."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from browser import MISSING, chromium

from .card_page import write_card_page

START_S = 300


def picture_of_card(repository: Path, repo_id: str, output: Path) -> list[Path]:
    """`card.html`, and pictures of its top and of the whole page."""
    page = output / "card.html"
    write_card_page(repository, repo_id, page)
    if MISSING:
        raise SystemExit(f"The pictures need a browser: {MISSING}.")
    pictures = [output / "card.png", output / "card_whole.png"]
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1200, "height": 1100})
        tab.goto(page.as_uri())
        broken = tab.evaluate(
            "[...document.images].filter(i => !i.naturalWidth).map(i => i.getAttribute('src'))"
        )
        assert not broken, f"pictures that do not load: {broken}"
        tab.screenshot(path=str(pictures[0]))
        tab.screenshot(path=str(pictures[1]), full_page=True)
    return [page, *pictures]


def picture_of_space(
    repo_id: str, commit: str, text: str, environment: dict[str, str], output: Path
) -> Path:
    """The app for the published model, with a text typed in and answered."""
    port = _free_port()
    command = [sys.executable, "-m", "stacked_emotion.cli", "demo-app", repo_id]
    command += ["--revision", commit, "--port", str(port)]
    target = output / "space.png"
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, server)
            with chromium() as browser:
                tab = browser.new_page(viewport={"width": 1100, "height": 1200})
                tab.goto(address)
                tab.set_default_timeout(120_000)
                tab.fill("#se-text textarea", text)
                tab.click("#se-go")
                tab.wait_for_selector("#se-trust .se-parts")
                tab.screenshot(path=str(target), full_page=True)
        finally:
            server.terminate()
    return target


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise SystemExit(f"The app stopped with {server.returncode} before it answered.")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise SystemExit(f"The app did not answer within {START_S} s.")
