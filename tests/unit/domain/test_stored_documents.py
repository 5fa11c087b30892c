"""What the documents of a workload take of its project's limit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api.labels import OPERATIONS
from pincompute.api.meta import ObjectMeta
from pincompute.api.revisions import KEPT, PinRevision, PinRevisionSpec
from pincompute.api.workloads import PinApp
from pincompute.domain import stored_documents
from pincompute.domain.project_limits import DOCUMENTS

KIB = 1024


def app(size: int = 0, *, replicas: int = 1, limit: int = KEPT, **notes: str) -> PinApp:
    """An app whose template takes so many KiB and a little more."""
    template = {"spec": {"containers": [{"name": "web", "image": "i", "args": ["x" * size * KIB]}]}}
    spec = {"template": template, "replicas": replicas, "historyLimit": limit}
    body = {"metadata": {"name": "hello", "annotations": notes}, "spec": spec}
    return msgspec.convert(body, PinApp)


def revision(size: int, number: int = 1) -> PinRevision:
    template = app(size).spec.template
    spec = PinRevisionSpec(revision=f"r{number}", number=number, template=template)
    return PinRevision(metadata=ObjectMeta(name=f"r{number}"), spec=spec)


TAKEN: dict[str, tuple[PinApp, int]] = {
    "a small app takes one step": (app(), 1),
    "the template": (app(20), 21),
    "annotations": (app(0, note="x" * 10 * KIB), 11),
    "also what kubectl keeps in them": (app(0, **{"kubectl.kubernetes.io/last-applied-configuration": "x" * 10 * KIB}), 11),
    "not what the platform notes": (app(0, **{OPERATIONS: "x" * 10 * KIB}), 1),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_workload_takes_what_its_user_wrote(case: str) -> None:
    of, steps = TAKEN[case]
    assert stored_documents.of_workload(of) == {DOCUMENTS: steps * KIB}


def test_a_revision_takes_its_template() -> None:
    assert stored_documents.of_revision(revision(20)) == {DOCUMENTS: 21 * KIB}


FULL = tuple(revision(5, number) for number in range(KEPT, 0, -1))
CHANGES: dict[str, tuple[PinApp, PinApp, tuple[PinRevision, ...], int]] = {
    # before, after, the revisions that are kept, the steps that the change takes
    "another number of replicas keeps no revision": (app(20), app(20, replicas=5), (), 21),
    "another template keeps the former one": (app(20), app(3), (), 4 + 21),
    "the oldest revision goes for it": (app(20), app(3), FULL, 4 + 21 - 6),
    "not while there are few": (app(20), app(3), FULL[1:], 4 + 21),
    "not where more are kept": (app(20, limit=50), app(3, limit=50), FULL, 4 + 21),
    "several where fewer are kept": (app(20, limit=9), app(30, limit=9), FULL, 31 + 21 - 2 * 6),
    "the history limit alone": (app(20), app(20, limit=8), FULL, 21 - 2 * 6),
    "an annotation": (app(20), app(20, note="x" * 2 * KIB), (), 23),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_takes_the_revision_that_it_leaves(case: str) -> None:
    before, after, kept, steps = CHANGES[case]
    assert stored_documents.after_change(before, after, kept) == {DOCUMENTS: steps * KIB}


def test_a_change_never_takes_less_than_nothing() -> None:
    large: Any = (*FULL[1:], revision(100))
    assert stored_documents.after_change(app(2), app(3), large) == {DOCUMENTS: 0}
