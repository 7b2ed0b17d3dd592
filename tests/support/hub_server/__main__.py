"""Serve an empty Hub until interrupted: `PYTHONPATH=tests python -m hub_server [FOLDER]`.

Prints the address for `HF_ENDPOINT` on its first line. The token is `hf_test`, the user `user`.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

from .server import HubServer

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        with HubServer(folder) as server:
            print(server.endpoint, flush=True)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                print("stopped")
