"""The services of the operation API, made once for a gateway; routes ask for them by these names."""

from __future__ import annotations

import time
from typing import Any

from pincompute.gateway.door import Decides
from pincompute.gateway.operation.acting import Revisions, Verbs
from pincompute.gateway.operation.logs.routes import Logs
from pincompute.gateway.operation.members import MembersAccess
from pincompute.gateway.operation.replicas import Replicas
from pincompute.gateway.operation.rights import Rights
from pincompute.gateway.operation.shells.service import Policy, Shells
from pincompute.gateway.reads import Reads
from pincompute.gateway.settings import Settings

NAMES = ("verbs", "logs", "shells")
TRANSCRIPTS = "transcripts"  # folder, beside the audit log


def make(reads: Reads, authorizer: Decides, revisions: Revisions, settings: Settings) -> dict[str, Any]:
    """Must be made before the first cluster is added."""
    replicas, access = Replicas(reads), MembersAccess(reads.clusters)
    rights = Rights(authorizer, time.time)
    verbs = Verbs(reads, replicas, access, revisions)
    shells = settings.shells
    policy = Policy(
        origins=shells.origins,
        idle=shells.idle,
        transcripts=shells.transcripts,
        fail_open=settings.audit.fail_open,
        folder=settings.path(settings.audit.file).parent / TRANSCRIPTS,
    )
    return {
        "verbs": verbs,
        "logs": Logs(verbs, replicas, access, rights),
        "shells": Shells(reads, verbs, replicas, access, rights, policy),
    }
