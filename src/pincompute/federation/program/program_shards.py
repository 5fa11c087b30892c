"""The shards of a program of the platform, a sidecar or a daemon: one in each member, until the program is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pincompute.api import labels, merge_patch
from pincompute.api.labels import FLEET_FINALIZER, HOST
from pincompute.api.meta import Manifest, Object, Resource, Struct
from pincompute.engine.plan import Confirm, Delete, Patch, Plan, Ref, plan


class ProgramMember(Protocol):
    """One member: its shard of the program. `known`: it answers now."""

    @property
    def name(self) -> str: ...

    @property
    def known(self) -> bool: ...

    @property
    def shard(self) -> Object | None: ...


@dataclass(frozen=True, slots=True)
class ProgramShards:
    """A kind of programs on the host, and the kind of their shards in members."""

    noun: str
    programs: Resource[Any]
    shards: Resource[Any]

    def manifest(self, name: str, spec: Struct, finalizers: Sequence[str] = ()) -> Manifest:
        metadata: Manifest = {"name": name, "labels": {labels.MANAGED_BY: labels.PINCOMPUTE}}
        return {
            "apiVersion": self.shards.api_version,
            "kind": self.shards.kind,
            "metadata": {**metadata, "finalizers": list(finalizers)} if finalizers else metadata,
            "spec": merge_patch.to_json(spec),
        }

    def strays_removed(self, strays: Iterable[tuple[str, Object]]) -> tuple[Delete, ...]:
        """Removes shards of a former program of the name from their members."""
        why = f"belongs to a deleted {self.noun} of this name"
        return tuple(self._delete(member, shard, why) for member, shard in strays)

    def cleared(self, program: Object, members: Sequence[ProgramMember], strays: Sequence[tuple[str, Object]]) -> Plan:
        """Removes the program from all members, then lets it go. A member that does not answer is waited for."""
        meta = program.metadata
        if FLEET_FINALIZER not in meta.finalizers:
            return Plan(why="is being deleted")
        left = [member for member in members if member.shard is not None or not member.known]
        why = f"its {self.noun} is deleted"
        own = (self._delete(m.name, m.shard, why) for m in left if m.known and m.shard is not None and not m.shard.deleting)
        former = self.strays_removed(each for each in strays if not each[1].deleting)
        if left or strays:
            names = sorted({*(member.name for member in left), *(name for name, _ in strays)})
            return plan((*own, *former), why=f"waits for {', '.join(names)}")
        gone = tuple(Confirm(Ref(member.name, self.shards, program.key), "") for member in members)
        body: Manifest = {"metadata": {"finalizers": [f for f in meta.finalizers if f != FLEET_FINALIZER]}}
        ref = Ref(HOST, self.programs, program.key)
        return plan(gone, (Patch(ref, body, meta.uid, meta.resource_version, "no member has it any more"),))

    def _delete(self, member: str, shard: Object, why: str) -> Delete:
        return Delete(Ref(member, self.shards, shard.key), shard.metadata.uid, why)
