"""Which calls leave a record in the history, and in which words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from history_samples import NOW

from pincompute.api.kinds import KINDS
from pincompute.gateway.call_context import Call, Caller, Operation, RecordedChange
from pincompute.gateway.history import timeline
from pincompute.gateway.history.operation_recorder import OperationRecorder
from pincompute.store.records import AccessRecord, OperationRecord


class SilentAudit:
    async def record(self, *_: Any, **__: Any) -> None: ...


CALLS = {
    "a shell": (Operation("shells", "open"), "ann opened a shell or ran a command in web"),
    "a forwarded port": (Operation("ports", "open"), "ann connected to a port of web"),
    "a copy": (Operation("files", "get"), "ann copied files out of web"),
}


@pytest.mark.parametrize("case", CALLS)
async def test_what_leads_into_a_replica_is_recorded_as_what_it_is(case: str) -> None:
    operation, sentence = CALLS[case]
    found: list[AccessRecord] = []
    reads = SimpleNamespace(workloads=KINDS, host=lambda _: {})
    recorder = OperationRecorder(SilentAudit(), SimpleNamespace(record_operation=found.append), reads)  # type: ignore[arg-type]
    call = Call("r-1", Caller("ann"), operation, "shop", "web", "10.0.0.1", NOW)
    await recorder.record(call, allowed=True, status=101)
    assert [timeline.access(record) for record in found] == [sentence]
    assert [line.type for line in timeline.entries(found)] == ["access"]


DELETED = {"apps": "ann deleted web", "secrets": "ann deleted secret web", "configs": "ann deleted config web"}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("resource", DELETED)
async def test_a_deletion_that_was_only_judged_is_none(resource: str, dry_run: bool) -> None:
    """Also of an app that somebody else deletes at the same time. `pin` lets every deletion be judged before it asks for it."""
    found: list[OperationRecord] = []
    reads = SimpleNamespace(workloads=KINDS, host=lambda _: {})
    recorder = OperationRecorder(SilentAudit(), SimpleNamespace(record_operation=found.append), reads)  # type: ignore[arg-type]
    call = Call("r-1", Caller("ann"), Operation(resource, "delete"), "shop", "web", "10.0.0.1", NOW)
    call.judged_only(dry_run)
    await recorder.record(replace(call, name="web"), allowed=True, status=202)
    assert [timeline.operation(record) for record in found] == ([] if dry_run else [DELETED[resource]])


SETTINGS = {
    "a new version": (Operation("secrets", "update"), "db.3", "ann set secret db to version 3: leaked"),
    "an earlier version": (
        Operation("configs", "rollback"),
        "web-conf.1",
        "ann rolled config web-conf back to version 1: leaked",
    ),
    "the end": (Operation("secrets", "delete"), "db", "ann deleted secret db: leaked"),
}


@pytest.mark.parametrize("case", SETTINGS)
async def test_a_change_of_a_secret_is_recorded_once_and_names_the_version(case: str) -> None:
    operation, name, sentence = SETTINGS[case]
    found: list[OperationRecord] = []
    reads = SimpleNamespace(workloads=KINDS)
    recorder = OperationRecorder(SilentAudit(), SimpleNamespace(record_operation=found.append), reads)  # type: ignore[arg-type]
    call = Call("r-1", Caller("ann"), operation, "shop", name, "10.0.0.1", NOW, reason="leaked")
    await recorder.record(call, allowed=True, status=200)
    await recorder.record(replace(call, operation=Operation(operation.resource, "get")), allowed=True, status=200)
    await recorder.record(call, allowed=True, status=409)
    await recorder.record(call, allowed=False, status=403)
    assert [timeline.operation(record) for record in found] == [sentence]
    assert found[0].name == name.partition(".")[0]


async def test_a_new_version_of_a_config_names_the_files_that_changed() -> None:
    found: list[OperationRecord] = []
    reads = SimpleNamespace(workloads=KINDS)
    recorder = OperationRecorder(SilentAudit(), SimpleNamespace(record_operation=found.append), reads)  # type: ignore[arg-type]
    call = Call("r-1", Caller("ann"), Operation("configs", "update"), "shop", "web-conf.2", "10.0.0.1", NOW)
    call.changes.extend(RecordedChange(f"files[{name}]", "sha256:a", "sha256:b") for name in ("a.conf", "b.conf"))
    call.changes.append(RecordedChange("files[c.conf]", before="sha256:a"))
    await recorder.record(call, allowed=True, status=200)
    assert (found[0].updated_files, found[0].removed_files) == (("a.conf", "b.conf"), ("c.conf",))
    assert timeline.operation(found[0]) == ("ann set config web-conf to version 2 (a.conf and b.conf set, c.conf removed)")
    call.changes.extend(RecordedChange(f"files[{n}.conf]", after="sha256:b") for n in range(100))
    await recorder.record(call, allowed=True, status=200)
    assert len(found[1].updated_files) == 102, "all are recorded, and a sentence names a few"
    assert "(a.conf, b.conf, 0.conf, 1.conf, 2.conf and 97 more set, c.conf removed)" in timeline.operation(found[1])
