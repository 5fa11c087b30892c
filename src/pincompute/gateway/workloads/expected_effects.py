"""Says in a sentence what a write will cause: what is certain now, and what the platform decides in a moment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pincompute.api import template_hash
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Manifest, Object
from pincompute.api.quantity import InvalidQuantityError
from pincompute.api.validation_rules import DEFAULT_STRATEGY
from pincompute.domain import disruption_account, traffic_gate, zone_text
from pincompute.domain.disruption_account import Account
from pincompute.gateway.model import SimpleKind, field_mapping
from pincompute.gateway.model.diff import Change
from pincompute.gateway.workloads import in_place_requirement

WATCH = "watch it to follow the progress"
RECREATES = "ends all its replicas before the first one of the new revision starts, so nothing of it serves meanwhile"
_NUMBERS = {1: "one"}
_PLACES = frozenset({"zones", "tier"})
_TEMPLATE = frozenset({"containers", "initContainers", "volumes", "terminationGracePeriod", "restartPolicy", "activeDeadline"})
_UNSEEN = ("labels", "annotations", "note", "description", "members")  # changes that no replica notices


def creation(kind: SimpleKind[Any], name: str, spec: Manifest, zones: Collection[str]) -> str:
    if not kind.in_project:
        return f"{name} is being prepared in every zone; workloads can be created in a moment"
    replicas = spec.get("replicas", 1)
    if not replicas:
        return f"{name} is created without replicas; scale it to run some"
    return f"{_count(replicas)} of {name} will run {_where(spec, replicas, zones)}; {WATCH}"


def _where(spec: Manifest, replicas: int, zones: Collection[str]) -> str:
    named: Any = field_mapping.at(spec, ("placement", "zones"))
    asked = cast("Sequence[str]", named) if isinstance(named, list) and named else sorted(zones)
    if not asked:
        return "as soon as there is a zone to run in"
    if len(asked) == 1:
        return f"in zone {asked[0]}, if it has room"
    if replicas < len(asked):
        some = _NUMBERS.get(replicas, str(replicas))
        return f"in {some} of the zones {_and(asked)}, as far as there is room; the platform chooses in a moment"
    least, more = divmod(replicas, len(asked))
    each = f"{least}" if not more else f"{least} or {least + 1}"
    return f"balanced over the zones {_and(asked)}, {each} in each as far as there is room"


@dataclass(frozen=True, slots=True)
class SpecChange:
    """The spec before and after a write, without defaults."""

    before: Manifest
    after: Manifest

    @property
    def strategy(self) -> str:
        """The strategy after the write."""
        update: Manifest = self.after.get("update") or {}
        return update.get("strategy", DEFAULT_STRATEGY)

    @property
    def means_the_same(self) -> bool:
        """Whether both templates make the same pods."""
        try:
            return template_hash.same(self.before.get("template") or {}, self.after.get("template") or {})
        except InvalidQuantityError:  # the object was stored before quantities were judged
            return False


def change(kind: SimpleKind[Any], obj: Object, specs: SpecChange, changes: Sequence[Change]) -> str:
    """`obj` is the object before or after the change."""
    name = obj.metadata.name
    if not changes:
        return f"nothing changes: {name} is already as asked for"
    runs = _running(kind, obj)
    same = runs is not None and specs.means_the_same
    seen = [each for each in changes if _root(each.field) not in _UNSEEN and not (same and _is_of_template(each.field))]
    if not seen:
        return f"{_and(sorted({_root(each.field) for each in changes}))} of {name} changed; nothing restarts"
    if runs is not None and runs.spec.stopped:
        return f"{name} is stopped: the change is kept and takes effect when it is started"
    if runs is not None and runs.spec.paused:
        return f"{name} is paused: the change is kept and takes effect when it is resumed"
    if runs is not None and _reaches_replicas(seen) and specs.strategy == "Recreate":
        return f"{_effect(name, seen, RECREATES)}; {WATCH}"
    how = _how(kind, specs, changes) if any(_is_of_template(each.field) for each in seen) else ""
    return f"{_effect(name, seen, how)}{_kept(kind, runs, seen) if runs is not None else ''}; {WATCH}"


def _is_of_template(field: str) -> bool:
    return _root(field) in _TEMPLATE or field.startswith("advanced.template")


def _running(kind: SimpleKind[Any], obj: Any) -> WorkloadObject | None:
    """The object as a workload; None for other kinds."""
    return obj if kind.workload is not None else None


def _root(field: str) -> str:
    return field.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]


def _effect(name: str, changes: Sequence[Change], how: str) -> str:
    """Says in this order whether the workload scales, moves and updates; `how` its replicas take another template."""
    by_root = {_root(each.field): each for each in changes}
    effects = list[str]()
    if "replicas" in by_root:
        scale = by_root["replicas"]
        effects.append(f"goes from {_given(scale.before)} to {_count(_given(scale.after))}")
    if moved := sorted(by_root.keys() & _PLACES):
        effects.append(f"moves as the new {_and(moved)} require; running replicas stay until as many run there")
    if rest := [each.field for each in changes if _root(each.field) not in {"replicas", *_PLACES}]:
        effects.append(_update(rest, how))
    return f"{name} {_and(effects)}"


def _update(fields: Sequence[str], how: str) -> str:
    if all(_root(field) == "update" for field in fields):
        return "takes the next update as asked for, without a restart now"
    return how or "updates its replicas step by step"


def _how(kind: SimpleKind[Any], specs: SpecChange, changes: Sequence[Change]) -> str:
    """Says whether replicas take the new template in place or are replaced, and the field that forces it (S-151)."""
    if in_place_requirement.policy(specs.after) == "Never":
        return "replaces its replicas step by step, because update.inPlace is Never"
    if forcing := in_place_requirement.replacing_fields(specs.before, specs.after):
        return (
            f"replaces its replicas step by step, because no running replica can take another {_named(kind, specs, forcing[0])}"
        )
    if all(field_mapping.parts(each.field)[-1] == "image" for each in changes if _is_of_template(each.field)):
        return f"restarts the changed containers in place with the new image, step by step{_drained(kind, specs)}"
    if all("resources" in field_mapping.parts(each.field) for each in changes if _is_of_template(each.field)):
        return "resizes its running containers, step by step, where their nodes can"
    return "updates its replicas in place, step by step; no replica is replaced"


def _drained(kind: SimpleKind[Any], specs: SpecChange) -> str:
    """Says that replicas which listen get no requests while they restart (S-152)."""
    listens = traffic_gate.is_for(specs.after.get("template", {}).get("spec", {}))
    return ", and sends no requests to a replica while it restarts" if listens and _scales(kind) else ""


def _scales(kind: SimpleKind[Any]) -> bool:
    return kind.workload is not None and kind.workload.scalable


def _named(kind: SimpleKind[Any], specs: SpecChange, field: str) -> str:
    """The field in the simple form, with a container's name in place of its position, as in a list of changes."""
    simple, full = field_mapping.parts(in_place_requirement.located(kind, specs.after, field)), field_mapping.parts(field)
    containers: Any = field_mapping.at(specs.after, map(str, full[1:4]))
    names = tuple(containers[part]["name"] if isinstance(part, int) else part for part in simple)
    return field_mapping.text(names)


def _reaches_replicas(changes: Sequence[Change]) -> bool:
    """Returns whether replicas are updated."""
    return any(_root(each.field) not in {"replicas", "update", "disruption", *_PLACES, *_UNSEEN} for each in changes)


def _kept(kind: SimpleKind[Any], runs: WorkloadObject, changes: Sequence[Change]) -> str:
    """Says how many replicas stay ready during the change, and how it begins (docs/disruption.md)."""
    if not _reaches_replicas(changes) or kind.workload is None:
        return ""
    replicas, ready = kind.workload.replicas(runs), runs.status.ready_replicas
    if not kind.workload.scalable:
        return ": it is not ready while it changes" if ready else ": it is not ready now"
    spec: Any = runs.spec
    limit = spec.update.max_unavailable if spec.disruption.max_unavailable is None else spec.disruption.max_unavailable
    whole = disruption_account.account(replicas, limit, spec.update.max_surge)
    if not whole.promised:
        return ""
    stay = _stay(whole, ready)
    if not ready:
        return f": {stay}"
    begin = "one replica tests the change first"
    if whole.surge:
        begin = "one extra replica tests the change first, if there is room"
        begin += "" if whole.unavailable else "; where there is none, one replica at a time is missing"
    return f": {stay}; {begin}"


def _stay(whole: Account, ready: int) -> str:
    """Says how many replicas an update keeps ready: as many as the account promises, or those that are ready now, if fewer."""
    replicas = whole.replicas
    if replicas == 1:
        return "it stays ready" if ready else "it is not ready now"
    if not ready:
        return f"none of {replicas} is ready now, so there is none to keep ready"
    if ready < whole.promised:
        return f"{ready} of {replicas} {'is ready now and stays so' if ready == 1 else 'are ready now and stay so'}"
    return f"all {replicas} stay ready" if whole.promised == replicas else f"at least {whole.promised} of {replicas} stay ready"


def deletion(kind: SimpleKind[Any], obj: Object) -> tuple[str, tuple[str, ...]]:
    """What happens, and what the deletion still waits for."""
    name = obj.metadata.name
    runs = _running(kind, obj)
    if runs is None:
        return f"{name} is being deleted", ("its workloads", "its namespaces in all zones")
    waits = [f"{_count(runs.status.replicas)} must end"] if runs.status.replicas else []
    unreachable = sorted({line.zone for line in runs.status.clusters if not line.known})
    waits += [f"{zone_text.unreachable(zone)}; what runs there must end" for zone in unreachable]
    if obj.metadata.finalizers and not waits:
        waits.append("the platform confirms that nothing of it is left")
    return f"{name} is being deleted: its replicas get their grace period", tuple(waits)


def _given(replicas: int | None) -> int:
    return 1 if replicas is None else replicas


def _count(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
