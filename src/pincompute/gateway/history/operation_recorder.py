"""Records operations that leave no trace on a workload: its deletion, shells, ports, copied files, and changes of its settings.

Writes and lifecycle verbs are not among them: the workload itself notes who asked for them, in the same write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from pincompute.api.kinds import Kinds, WorkloadKind, WorkloadObject
from pincompute.api.meta import Key
from pincompute.api.settings import SETTINGS, SettingKind
from pincompute.api.template_settings import parse
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import DRY_RUN, FILES, READS, Call, RecordedChange
from pincompute.gateway.history.history_recorder import HistoryRecorder
from pincompute.gateway.middleware import RequestAuditor
from pincompute.store.records import DONE, AccessRecord, OperationRecord

_INSIDE = ("shells", "ports", "files")  # resources that lead into containers


@dataclass(frozen=True, slots=True)
class OperationRecorder:
    """Wraps the audit log and passes every call on to it. Implements `RequestAuditor`."""

    audit: RequestAuditor
    recorder: HistoryRecorder
    reads: CacheReads

    async def begin(self, call: Call) -> None:
        await self.audit.begin(call)

    async def opened(self, call: Call) -> None:
        await self.audit.opened(call)

    async def record(self, call: Call, *, allowed: bool, status: int, why: str = "") -> None:
        if allowed and status < 400:
            self._remember(call)
        await self.audit.record(call, allowed=allowed, status=status, why=why)

    def _remember(self, call: Call) -> None:
        if DRY_RUN in call.marks:
            return
        operation = call.operation
        named = next((kind for kind in self.reads.workloads if kind.plural == operation.resource), None)
        setting = next((kind for kind in SETTINGS if f"{kind.word}s" == operation.resource), None)
        if setting is not None and operation.verb not in READS:
            self.recorder.record_operation(_of_setting(call, setting))
        if operation.resource in _INSIDE and call.name:
            self.recorder.record_operation(_access(call, *self._find(call, self.reads.workloads)))
        elif operation.verb == "delete" and named is not None:
            self.recorder.record_operation(_deletion(call, *self._find(call, (named,))))

    def _find(self, call: Call, kinds: Kinds) -> tuple[WorkloadKind, WorkloadObject | None]:
        """The workload of this name, of any of these kinds; None with the first kind when there is none now."""
        for kind in kinds:
            found: WorkloadObject | None = self.reads.host(kind.workload).get(Key(call.project, call.name))
            if found is not None:
                return kind, found
        return kinds[0], None


def _of_setting(call: Call, kind: SettingKind) -> OperationRecord:
    """The call is about a version, `db.3`, when it made or chose one. The record never has a value."""
    changed = parse(kind.word, call.name)
    made = _record(replace(call, name=changed.name), kind.resource.kind, "", str(changed.version or ""))
    was_set = tuple(_file(change) for change in call.changes if change.after is not None)
    removed = tuple(_file(change) for change in call.changes if change.after is None)
    return msgspec.structs.replace(made, updated_files=was_set, removed_files=removed)


def _file(change: RecordedChange) -> str:
    """Returns the name of the file of a config that changed: `a.conf`."""
    return change.field.removeprefix(f"{FILES}[").removesuffix("]")


def _deletion(call: Call, kind: WorkloadKind, obj: WorkloadObject | None) -> OperationRecord:
    return _record(call, kind.workload.kind, obj.metadata.uid if obj is not None else "", "")


def _access(call: Call, kind: WorkloadKind, obj: WorkloadObject | None) -> AccessRecord:
    return AccessRecord(
        project=call.project,
        workload=kind.workload.kind,
        name=call.name,
        uid=obj.metadata.uid if obj is not None else "",
        at=call.at,
        request_id=call.id,
        verb=call.operation.verb,
        author=call.caller.principal,
        reason=call.reason,
        detail=call.operation.resource,
        source=call.source,
    )


def _record(call: Call, kind: str, uid: str, detail: str) -> OperationRecord:
    return OperationRecord(
        project=call.project,
        workload=kind,
        name=call.name,
        uid=uid,
        at=call.at,
        request_id=call.id,
        verb=call.operation.verb,
        author=call.caller.principal,
        reason=call.reason,
        outcome=DONE,
        detail=detail,
        source=call.source,
    )
