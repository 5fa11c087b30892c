"""Tells which versions of secrets and configs a workload has that rolls with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Key, Resource
from pincompute.api.settings import SETTINGS, Setting
from pincompute.api.template_settings import Reference, references

Find: TypeAlias = Callable[[Resource[Any], Key], Setting | None]
_RESOURCES: dict[str, Resource[Any]] = {kind.word: kind.resource for kind in SETTINGS}


def settings_in_use(obj: WorkloadObject, find: Find) -> Iterator[Reference]:
    """Yields what the template names without a version, each with the version in use; nothing unless the workload rolls."""
    if obj.spec.update.settings != "Roll":
        return
    for ref in sorted(references(obj.spec.template)):
        setting = find(_RESOURCES[ref.word], Key(obj.metadata.namespace, ref.name))
        if not ref.version and setting is not None and setting.spec.version:
            yield ref._replace(version=setting.spec.version)
