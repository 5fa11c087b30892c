"""Records operations that leave no trace on the object itself: deletions, shells and copied files.

Writes and lifecycle verbs are not among them: the object itself notes who asked for them, in the same write.
"""

from __future__ import annotations

from dataclasses import dataclass

from pincompute.api.kinds import Kinds, WorkloadKind, WorkloadObject
from pincompute.api.meta import Key
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call
from pincompute.gateway.history.history_recorder import HistoryRecorder
from pincompute.gateway.middleware import RequestAuditor
from pincompute.store.records import DONE, OperationRecord

_INSIDE = ("shells", "files")  # resources that lead into containers


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
        operation = call.operation
        named = next((kind for kind in self.reads.workloads if kind.plural == operation.resource), None)
        if operation.resource in _INSIDE and call.name:
            self.recorder.record_operation(_operation(call, *self._find(call, self.reads.workloads), operation.resource))
        elif operation.verb == "delete" and named is not None:
            kind, obj = self._find(call, (named,))
            if obj is None or obj.deleting:  # else it was a dry run
                self.recorder.record_operation(_operation(call, kind, obj, ""))

    def _find(self, call: Call, kinds: Kinds) -> tuple[WorkloadKind, WorkloadObject | None]:
        """The workload of this name, of any of these kinds; None with the first kind when there is none now."""
        for kind in kinds:
            found: WorkloadObject | None = self.reads.host(kind.workload).get(Key(call.project, call.name))
            if found is not None:
                return kind, found
        return kinds[0], None


def _operation(call: Call, kind: WorkloadKind, obj: WorkloadObject | None, detail: str) -> OperationRecord:
    return OperationRecord(
        project=call.project,
        workload=kind.workload.kind,
        name=call.name,
        uid=obj.metadata.uid if obj is not None else "",
        at=call.at,
        request_id=call.id,
        verb=call.operation.verb,
        author=call.caller.principal,
        reason=call.reason,
        outcome=DONE,
        detail=detail,
        source=call.source,
    )
