"""Merges a replacement with the fields of the present spec that it leaves as they are, although it does not state them.

Verbs set some of them: paused, stopped, the time of a restart. The order of variables is the other: a client that sorts what
it sends would otherwise make a new revision, and every replica would restart for nothing.
"""

from __future__ import annotations

from typing import Any, cast

from pincompute.api import merge_patch
from pincompute.api.labels import RESTARTED_AT
from pincompute.api.meta import Manifest
from pincompute.gateway.model import field_mapping
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.simple_kind import RESTARTED

SET_BY_VERBS = ("paused", "stopped")
_CONTAINER_LISTS = ("containers", "initContainers")


def merged(before: Manifest, after: Manifest) -> Manifest:
    """The spec that a replacement with `after` gives an object that has `before`."""
    made = {**{name: before[name] for name in SET_BY_VERBS if name in before}, **after}
    restarted = field_mapping.at(before, RESTARTED)
    if restarted is not field_mapping.NOTHING and field_mapping.at(after, RESTARTED) is field_mapping.NOTHING:
        made = merge_patch.apply(made, {"template": {"metadata": {"annotations": {RESTARTED_AT: restarted}}}})
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
