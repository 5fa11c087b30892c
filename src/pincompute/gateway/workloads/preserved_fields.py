"""Keeps fields of the present spec that a replacement does not state, such as a count that somebody scaled to.

Verbs set some of them: paused, stopped, what is decided about a rollout, the time of a restart, and the count where the
document states none. The order of variables is the other: a client that sorts what it sends would otherwise make a new
revision, and every replica would restart for nothing.
"""

from __future__ import annotations

from typing import Any, cast

from pincompute.api import merge_patch
from pincompute.api.meta import Manifest
from pincompute.gateway.model import field_mapping
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.simple_kind import RESTARTED, SimpleKind

SET_BY_VERBS = ("paused", "stopped", "rollout")
COUNT = "replicas"
_CONTAINER_LISTS = ("containers", "initContainers")


def unstated(kind: SimpleKind[Any], spec: Manifest) -> tuple[str, ...]:
    """The fields that a document leaves to whoever scales: its count, unless it states one."""
    scales = kind.workload is not None and kind.workload.scalable
    return (COUNT,) if scales and spec.get(COUNT) is None else ()


def merged(before: Manifest, after: Manifest, keeps: tuple[str, ...] = ()) -> Manifest:
    """The spec that a replacement with `after` gives an object that has `before`. `keeps` are further fields that stay."""
    made = {**{name: before[name] for name in (*SET_BY_VERBS, *keeps) if name in before}, **after}
    for path in RESTARTED:
        restarted = field_mapping.at(before, path)
        if restarted is not field_mapping.NOTHING and field_mapping.at(after, path) is field_mapping.NOTHING:
            made = merge_patch.apply(made, {"template": {"metadata": {"annotations": {path[-1]: restarted}}}})
    for where in _CONTAINER_LISTS:
        path = ("template", "spec", where)
        old, new = field_mapping.at(before, path), field_mapping.at(made, path)
        if field_mapping.named(old) and field_mapping.named(new):
            ordered = _ordered(cast("list[Data]", old), cast("list[Data]", new))
            made = merge_patch.apply(made, {"template": {"spec": {where: ordered}}})
    return made


def _ordered(old: list[Data], new: list[Data]) -> list[Data]:
    """The new containers; where only the order of the variables differs, they keep the old order."""
    before = {container["name"]: container.get("env") for container in old}
    return [_with_env(container, before.get(container["name"])) for container in new]


def _with_env(container: Data, before: Any) -> Data:
    env = container.get("env")
    if not (field_mapping.named(env) and field_mapping.named(before)) or _by_name(env) != _by_name(before):
        return container
    return {**container, "env": before}


def _by_name(env: Any) -> dict[str, Data]:
    return {variable["name"]: variable for variable in env}
