"""A second language is generated from the same document and type-checked: the document says all a client needs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pincompute.gateway.composition import printed_document

pytestmark = pytest.mark.programs

FOLDER = Path(__file__).parents[3] / "sdk" / "typescript"


def test_a_typescript_program_is_type_checked_against_the_document() -> None:
    assert (FOLDER / "node_modules").is_dir(), (
        "the tools are missing: run `npm --prefix sdk/typescript ci`, as `make test` does"
    )
    (FOLDER / "openapi.json").write_text(printed_document(), "utf-8")
    for step in ("generate", "check"):
        done = subprocess.run(["npm", "run", "--silent", step], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
