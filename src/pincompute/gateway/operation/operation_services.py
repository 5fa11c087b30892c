"""Makes the services of the operation API, once for a gateway; handlers request them by these names."""

from __future__ import annotations

import time
from typing import Any

from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.logs.log_handlers import LogService
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import ReplicaLookup
from pincompute.gateway.operation.shells.shell_service import ShellPolicy, ShellService
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.rollback_revisions import RollbackRevisions
from pincompute.gateway.settings import GatewaySettings

NAMES = ("verbs", "logs", "shells")
TRANSCRIPTS = "transcripts"  # folder, beside the audit log


def make(reads: CacheReads, authorizer: Authorizer, revisions: RollbackRevisions, settings: GatewaySettings) -> dict[str, Any]:
    """Make all services, before the first cluster is added."""
    replicas, access = ReplicaLookup(reads), ReplicaAccess(reads.clusters)
    permissions = StreamPermissions(authorizer, time.time)
    verbs = LifecycleService(reads, replicas, access, revisions)
    shells = settings.shells
    policy = ShellPolicy(
        origins=shells.origins,
        idle=shells.idle,
        transcripts=shells.transcripts,
        fail_open=settings.audit.fail_open,
        folder=settings.path(settings.audit.file).parent / TRANSCRIPTS,
    )
    return {
        "verbs": verbs,
        "logs": LogService(verbs, replicas, access, permissions),
        "shells": ShellService(reads, verbs, replicas, access, permissions, policy),
    }
