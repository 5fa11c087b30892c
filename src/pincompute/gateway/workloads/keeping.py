"""What a replacement leaves as it is, though it does not speak of it.

That is what verbs have set: pausing, stopping, restarting. And the order of variables: a client that sorts what it sends would
otherwise make a new revision, and every replica would restart for nothing.
"""

from __future__ import annotations

from typing import Any, cast

from pincompute.api import changes
from pincompute.api.labels import RESTARTED_AT
from pincompute.api.meta import Manifest
from pincompute.gateway.model import lens
from pincompute.gateway.model.kind import RESTARTED, stated
from pincompute.gateway.model.lens import Data

SET_BY_VERBS = ("paused", "stopped")
_CONTAINER_LISTS = ("containers", "initContainers")


def spec_of(obj: Any) -> Manifest:
    """As it is stated."""
    return stated(obj.spec)


def kept(before: Manifest, after: Manifest) -> Manifest:
    """The spec that `after` means for an object that has `before`."""
    made = {**{name: before[name] for name in SET_BY_VERBS if name in before}, **after}
    restarted = lens.at(before, RESTARTED)
    if restarted is not lens.NOTHING and lens.at(after, RESTARTED) is lens.NOTHING:
        made = changes.apply(made, {"template": {"metadata": {"annotations": {RESTARTED_AT: restarted}}}})
    for where in _CONTAINER_LISTS:
        path = ("template", "spec", where)
        old, new = lens.at(before, path), lens.at(made, path)
        if lens.named(old) and lens.named(new):
            ordered = _ordered(cast("list[Data]", old), cast("list[Data]", new))
            made = changes.apply(made, {"template": {"spec": {where: ordered}}})
    return made


def _ordered(old: list[Data], new: list[Data]) -> list[Data]:
    """The new containers, each with the order of variables that it had, if only the order differs."""
    before = {container["name"]: container.get("env") for container in old}
    return [_with_env(container, before.get(container["name"])) for container in new]


def _with_env(container: Data, before: Any) -> Data:
    env = container.get("env")
    if not (lens.named(env) and lens.named(before)) or _by_name(env) != _by_name(before):
        return container
    return {**container, "env": before}


def _by_name(env: Any) -> dict[str, Data]:
    return {variable["name"]: variable for variable in env}
