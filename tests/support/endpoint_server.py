"""Serve a repository's `handler.py` over HTTP on loopback, loaded as the endpoint toolkit does.

`python tests/support/endpoint_server.py FOLDER` prints the address on its first line and serves
until it is stopped. The package is not importable in it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODULE = "handler.EndpointHandler"


def load_handler(folder: str) -> Any:
    """As `check_and_register_custom_pipeline_from_directory` of huggingface-inference-toolkit."""
    specification = importlib.util.spec_from_file_location(MODULE, Path(folder) / "handler.py")
    assert specification is not None
    assert specification.loader is not None
    sys.path.insert(0, folder)
    module = importlib.util.module_from_spec(specification)
    sys.modules[MODULE] = module
    specification.loader.exec_module(module)
    return module.EndpointHandler(folder)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # many clients at once, none of them refused


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    handler: Any

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if "inputs" not in body:
                raise ValueError(f"Body needs to provide a inputs key, received: {body}")
            status, answer = 200, self.handler(body)
        except Exception as error:
            status, answer = 400, {"error": str(error)}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the output quiet."""


def main(folder: str) -> None:
    """Serve until the process is stopped."""
    _Requests.handler = load_handler(folder)
    with _Server(("127.0.0.1", 0), _Requests) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    sys.modules["stacked_emotion"] = None  # type: ignore[assignment]
    main(sys.argv[1])
