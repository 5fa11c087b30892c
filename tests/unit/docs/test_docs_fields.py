"""docs/app.md has every field of app.yaml, each with an example that the model accepts and that reaches the resource."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
import yaml
from docs_pages import ROOT, pages

from pincompute.gateway.model import KINDS, document_validation
from pincompute.gateway.model.document_validation import DocumentScope
from pincompute.gateway.problems import Problem

REFERENCE: dict[str, Any] = runpy.run_path(str(ROOT / "tools/field_reference.py"))
FIELDS = [field for section in REFERENCE["sections"]() for field in section.fields]
PAGE = (ROOT / REFERENCE["PAGE"]).read_text("utf-8")
SCOPE = DocumentScope(zones=("a", "b", "c"))
MANIFESTS = [
    (page.name, block.line, document)
    for page in pages()
    for block in page.blocks
    if block.language == "yaml"
    for document in yaml.safe_load_all(block.text)
    if isinstance(document, dict) and document.get("kind") in {kind.name for kind in KINDS} and "apiVersion" not in document
]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field.section.kind.name}.{field.key}")
def test_the_example_of_a_field_is_accepted_and_changes_the_resource(field: Any):
    document_validation.read(field.section.kind, field.document(), SCOPE)
    assert field.resource
    assert f"| `{field.name}` |" in PAGE


def test_fields_of_every_struct_are_there_once():
    keys = [(field.section.kind.name, field.key) for field in FIELDS]
    assert len(keys) == len(set(keys))
    assert {"replicas", "containers[].health.http.port", "volumes[].emptyDir.sizeLimit"} <= {key for _, key in keys}


def test_examples_belong_to_fields_that_exist():
    """An example whose field was renamed would never be shown."""
    known = {(field.section.struct.__name__, field.name) for field in FIELDS}
    named = {(struct, name) for struct, names in REFERENCE["EXAMPLES"]["fields"].items() for name in names}
    assert named - known == set()


@pytest.mark.parametrize(("page", "line", "document"), MANIFESTS, ids=lambda value: value if isinstance(value, str) else "")
def test_manifests_on_pages_are_what_the_model_takes(page: str, line: int, document: dict[str, Any]):
    """Excerpts lack fields; those that they have are right."""
    kind = next(kind for kind in KINDS if kind.name == document["kind"])
    needed: dict[str, Any] = {"containers": [{"name": "web", "image": "hello:1"}]} if kind.in_project else {}
    try:
        document_validation.read(kind, {**needed, **document}, SCOPE)
    except Problem as problem:
        pytest.fail(f"{page}:{line}: {[error.message for error in problem.errors]}", pytrace=False)
