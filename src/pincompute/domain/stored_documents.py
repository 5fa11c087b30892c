"""Computes how many bytes of the host's etcd a workload takes: its document, and the revisions that are kept of it.

They count towards a limit of its project, so that no project fills the store that all of them share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pincompute.api import settings
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import GROUP
from pincompute.api.resource_requests import Requests
from pincompute.api.revisions import PinRevision
from pincompute.domain.project_limits import DOCUMENTS


def of_workload(obj: WorkloadObject) -> Requests:
    """Returns what its spec, labels and annotations take. Annotations of the platform have bounds of their own."""
    metadata = obj.metadata
    notes = (*metadata.labels.items(), *metadata.annotations.items())
    written = sum(len(key) + len(value) for key, value in notes if not key.startswith(f"{GROUP}/"))
    return {DOCUMENTS: settings.recorded_size(_size(obj.spec) + written)}


def of_revision(revision: PinRevision) -> Requests:
    return {DOCUMENTS: settings.recorded_size(_size(revision.spec.template))}


def after_change(before: WorkloadObject, after: WorkloadObject, kept: Sequence[PinRevision]) -> Requests:
    """Returns what the changed workload takes more than its revisions, the newest first, take now.

    A superseded template becomes a revision, and the oldest revisions go when there are more than its history limit.
    """
    now = [of_revision(revision)[DOCUMENTS] for revision in kept]
    superseded = [settings.recorded_size(_size(before.spec.template))] if before.spec.template != after.spec.template else []
    then = [*superseded, *now][: after.spec.history_limit]
    return {DOCUMENTS: max(0, of_workload(after)[DOCUMENTS] + sum(then) - sum(now))}


def _size(part: Any) -> int:
    return len(msgspec.json.encode(part))
