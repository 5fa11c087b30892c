"""Who wrote a spec last, from the API server's own record."""

from __future__ import annotations

import msgspec
import pytest

from pincompute.kube import field_managers


def entry(manager: str, second: int, *fields: str, subresource: str = "") -> dict[str, object]:
    time = f"2026-11-21T10:00:{second:02}Z"
    owned = {f"f:{field}": {"f:replicas": {}} for field in fields}
    return {"manager": manager, "operation": "Update", "subresource": subresource, "time": time, "fieldsV1": owned}


@pytest.mark.parametrize(
    ("entries", "wrote"),
    [
        ([], ""),
        ([entry("gateway", 1, "spec"), entry("kubectl-edit", 2, "spec", "metadata")], "kubectl-edit"),
        ([entry("kubectl-edit", 3, "spec"), entry("gateway", 2, "spec")], "kubectl-edit"),
        ([entry("kubectl-edit", 1, "spec"), entry("federation", 2, "metadata")], "kubectl-edit"),
        ([entry("kubectl-edit", 1, "spec"), entry("federation", 2, "spec", subresource="status")], "kubectl-edit"),
        ([entry("kubectl-edit", 1, "spec"), entry("kubectl", 2, "spec", subresource="scale")], ""),
        ([entry("kubectl", 1, "spec", subresource="scale"), entry("kubectl-edit", 2, "spec")], "kubectl-edit"),
        ([{"manager": "old"}], ""),
    ],
)
def test_the_newest_that_touched_the_spec_counts(entries: list[dict[str, object]], wrote: str):
    assert (
        field_managers.last(
            msgspec.json.decode(msgspec.json.encode(entries), type=tuple[field_managers.FieldManagerEntry, ...])
        )
        == wrote
    )
