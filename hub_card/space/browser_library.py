"""transformers.js and ONNX Runtime's WebAssembly for the static Space: pinned, verified, kept.

The Space has its own copies instead of links to a content delivery network. The page then runs
without any other host, and a browser cannot check the integrity of WebAssembly and of modules that
a script imports later, as ONNX Runtime does. Here every file is compared with a known digest.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from huggingface_hub.constants import HF_HOME

from ...common.errors import UserError
from ...common.files import file_digest, replace_folder

TRANSFORMERS_JS = "@huggingface/transformers@4.3.2"
ONNX_RUNTIME_WEB = "onnxruntime-web@1.31.0-dev.20260914-8d85527a0"
"""The version that this transformers.js is made for."""
FILES = {
    "transformers.web.min.js": (
        TRANSFORMERS_JS,
        "dist/transformers.web.min.js",
        "ecaf2c7dce4bcbe882d1ec6e67c2f537720e0e47169e5f7e60f2c019fba91682",
    ),
    "LICENSE": (
        TRANSFORMERS_JS,
        "LICENSE",
        "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    ),
    "ort.wasm.min.mjs": (
        ONNX_RUNTIME_WEB,
        "dist/ort.wasm.min.mjs",
        "1617c813ada08592706d29a9963ab6258864dce4299bd402d2196bd648b63bfe",
    ),
    "ort-wasm-simd-threaded.mjs": (
        ONNX_RUNTIME_WEB,
        "dist/ort-wasm-simd-threaded.mjs",
        "c57ca56328877353a575e51bbca6f18450027d6c9bf2307a2cb2c41363b4de9f",
    ),
    "ort-wasm-simd-threaded.wasm": (
        ONNX_RUNTIME_WEB,
        "dist/ort-wasm-simd-threaded.wasm",
        "06ba057753da3847e4c24f02d91ab133455b0817c69a44993a9a53a2146df9e3",
    ),
}
"""Package, place in it and SHA-256 of each file, by its name in the Space."""
_KEPT = Path(HF_HOME) / "stacked_emotion" / "transformers.js"


def browser_library(kept: Path = _KEPT) -> Path:
    """The folder of the library's files, fetched with npm where they are not there yet.

    Args:
        kept: where the files stay for the next time; a folder that was copied from another machine
            will do.

    Raises:
        UserError: npm is missing or cannot fetch them, or a file is not the known one.
    """
    if not _changed(kept):
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            "The static Space needs npm once, to fetch transformers.js: install Node.js. Or copy "
            f"{kept} from a machine that has it."
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
        partial = Path(temporary) / "files"
        partial.mkdir()
        for package in (TRANSFORMERS_JS, ONNX_RUNTIME_WEB):
            _unpack(_fetched(npm, package, Path(temporary)), package, partial)
        if changed := _changed(partial):
            raise UserError(
                f"npm gave other files than those known to this version: {', '.join(changed)}. "
                "Nothing was kept."
            )
        replace_folder(partial, kept, "transformers.web.min.js")
    return kept


def _changed(folder: Path) -> list[str]:
    """The files that are missing or not the known ones."""
    return [
        name
        for name, (_, _, digest) in FILES.items()
        if not (folder / name).is_file() or file_digest(folder / name) != digest
    ]


def _fetched(npm: str, package: str, folder: Path) -> Path:
    """The archive of a package; no script of it runs."""
    command = [npm, "pack", "--ignore-scripts", "--silent", package]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    names = done.stdout.split()
    if done.returncode or not names:
        reason = " ".join(done.stderr.split()) or f"it ended with code {done.returncode}"
        raise UserError(f"npm cannot fetch {package}: {reason[:300]}")
    return folder / names[-1]


def _unpack(archive: Path, package: str, target: Path) -> None:
    wanted = {f"package/{path}": name for name, (home, path, _) in FILES.items() if home == package}
    with tarfile.open(archive) as files:
        for member in files:
            stream = files.extractfile(member) if member.name in wanted else None
            if stream is not None:
                with (target / wanted[member.name]).open("wb") as copy:
                    shutil.copyfileobj(stream, copy)
