"""Writes `src/pincompute/api/podtemplate.json` from the OpenAPI v3 document of the pinned Kubernetes module.

    python tools/generate_template_schema.py [DOCUMENT]

Without an argument it takes the document from the Go module, which it downloads if necessary. Run it when
control-plane/go.mod changes, or `template_limits` does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pincompute.api import template_schema

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "src/pincompute/api/podtemplate.json"


def pinned_document() -> Path:
    module = subprocess.run(
        ["go", "mod", "download", "-json", "k8s.io/kubernetes"],
        cwd=ROOT / "control-plane",
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return Path(json.loads(module.stdout)["Dir"]) / "api/openapi-spec/v3/api__v1_openapi.json"


def main() -> None:
    document = Path(sys.argv[1]) if len(sys.argv) > 1 else pinned_document()
    schema = template_schema.extract(json.loads(document.read_text("utf-8")))
    TARGET.write_text(json.dumps(schema, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
