"""Operations that leave no trace on the object itself: deletions, shells, copied files. They are seen at the door.

Writes and verbs are not among them: who asked for them stands on the object, in the same write, and is read from there.
"""

from __future__ import annotations

from dataclasses import dataclass

from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS, PINPODS, PinApp, PinPod
from pincompute.gateway.calls import Call
from pincompute.gateway.door import Records
from pincompute.gateway.insight.recorder import Recorder
from pincompute.gateway.reads import Reads
from pincompute.store.records import DONE, Operation

_INSIDE = ("shells", "files")  # resources that lead into containers
_KINDS = {"apps": PINAPPS, "units": PINPODS}


@dataclass(frozen=True, slots=True)
class Operations:
    """Stands before the audit log and passes everything on. Implements `door.Records`."""

    audit: Records
    recorder: Recorder
    reads: Reads

    async def begin(self, call: Call) -> None:
        await self.audit.begin(call)

    async def record(self, call: Call, *, allowed: bool, status: int, why: str = "") -> None:
        if allowed and status < 400:
            self._remember(call)
        await self.audit.record(call, allowed=allowed, status=status, why=why)

    def _remember(self, call: Call) -> None:
        operation = call.operation
        if operation.resource in _INSIDE and call.name:
            self.recorder.operated(_operation(call, self._find(call), operation.resource))
        elif operation.verb == "delete" and operation.resource in _KINDS:
            obj = self._find(call)
            if obj is None or obj.deleting:  # else it was a dry run
                self.recorder.operated(_operation(call, obj, ""))

    def _find(self, call: Call) -> PinApp | PinPod | None:
        """The workload; a route that says not which kind it is about has names of both."""
        named = _KINDS.get(call.operation.resource)
        for resource in (named,) if named else (PINAPPS, PINPODS):
            found: PinApp | PinPod | None = self.reads.host(resource).get(Key(call.project, call.name))
            if found is not None:
                return found
        return None


def _operation(call: Call, obj: PinApp | PinPod | None, detail: str) -> Operation:
    kind = _KINDS.get(call.operation.resource) or (PINPODS if isinstance(obj, PinPod) else PINAPPS)
    return Operation(
        project=call.project,
        workload=kind.kind,
        name=call.name,
        uid=obj.metadata.uid if obj is not None else "",
        at=call.at,
        request_id=call.id,
        verb=call.operation.verb,
        author=call.caller.name,
        reason=call.reason,
        outcome=DONE,
        detail=detail,
        source=call.source,
    )
