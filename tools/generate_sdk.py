"""Writes the generated half of the SDK from the gateway's OpenAPI document.

    python tools/generate_sdk.py [openapi.json]

Without a file it asks `pincompute gateway openapi`. The same document gives the same bytes; a test compares.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "sdk/src/pincompute_sdk/generated"
sys.path.insert(0, str(Path(__file__).parent))

import sdk_document  # noqa: E402
import sdk_python  # noqa: E402


def files(document: dict[str, Any]) -> dict[str, str]:
    """Name below the generated package to content, formatted as the repository is."""
    return {name: _formatted(name, content) for name, content in sdk_python.files(sdk_document.read(document)).items()}


def write(document: dict[str, Any], target: Path = TARGET) -> None:
    target.mkdir(parents=True, exist_ok=True)
    wanted = files(document)
    for stale in (path for path in target.glob("*.py") if path.name not in wanted):
        stale.unlink()
    for name, content in wanted.items():
        (target / name).write_text(content, "utf-8")


def present() -> dict[str, Any]:
    """The gateway's document, from its code."""
    command = [sys.executable, "-m", "pincompute", "gateway", "openapi"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)


def _formatted(name: str, content: str) -> str:
    """Imports that nothing uses removed, lines broken: what a person would have typed."""
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), "--stdin-filename", str(TARGET / name)]
    fix = [*ruff, "check", *config, "--select", "F401,I", "--fix-only", "--exit-zero", "-"]
    fixed = subprocess.run(fix, check=True, capture_output=True, input=content.encode()).stdout
    return subprocess.run([*ruff, "format", *config, "-"], check=True, capture_output=True, input=fixed).stdout.decode()


def main(arguments: list[str]) -> None:
    write(json.loads(Path(arguments[0]).read_text("utf-8")) if arguments else present())


if __name__ == "__main__":
    main(sys.argv[1:])
