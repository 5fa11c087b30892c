"""Tells which versions of secrets and configs a workload has that rolls with them."""

from __future__ import annotations

from collections.abc import Iterable

from pincompute.api import template_settings
from pincompute.api.kinds import WorkloadObject
from pincompute.api.settings import Setting
from pincompute.api.template_settings import Find, Reference


def settings_in_use(obj: WorkloadObject, find: Find) -> Iterable[Reference]:
    """Returns what the template names without a version, each with the version in use; nothing unless the workload rolls."""
    if obj.spec.update.settings != "Roll":
        return ()
    return template_settings.in_use(obj.spec.template, obj.metadata.namespace, find)


def set_by(setting: Setting, version: int) -> str:
    """Returns who put the version in use by setting it; empty for an earlier one, which somebody rolled back to."""
    newest = max(setting.spec.versions, key=lambda each: each.number, default=None)
    return newest.author if newest is not None and newest.number == version else ""
