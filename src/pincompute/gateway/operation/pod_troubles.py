"""Says what kubelets last reported about pods: failing health checks, and volumes that cannot be mounted.

Kubernetes reports these in events alone, and no status holds them. The history of the store has them. While the store is away,
nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pincompute.api.builtin import Pod
from pincompute.domain import unready_reason
from pincompute.domain.container_failure import short
from pincompute.store.database import StoreUnavailable
from pincompute.store.history_store import HistoryStore
from pincompute.store.history_table import RecordFilter
from pincompute.store.records import EventRecord

RECENT = timedelta(minutes=10)
MOST = 200  # events that are looked at

READINESS = "Readiness"
CHECKS = {READINESS: "health check", "Liveness": "liveness check", "Startup": "startup check"}
_FAILED = re.compile(r"(?P<check>Readiness|Liveness|Startup) probe (?:failed|errored)[^:]*: (?P<why>.*)", re.DOTALL)
_REFUSED = re.compile(r":(?P<port>\d+): connect: connection refused")
_STATUS = re.compile(r"statuscode: (?P<code>\d+)")
_PORT_NAME = re.compile(r'strconv\.Atoi: parsing "(?P<name>[^"]*)"|couldn\'t find port[^"]*"?(?P<other>[\w-]+)')
_TIMES_OUT = re.compile(r"context deadline exceeded|timed out|i/o timeout|Client\.Timeout", re.IGNORECASE)
_NO_KEY = re.compile(r"references non-existent (?P<word>config|secret) key: (?P<key>\S+)")
_MOUNT = re.compile(r'MountVolume\.SetUp failed for volume "(?P<volume>[^"]+)" ?: (?P<why>.*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class PodTroubles:
    """Reads the last events of a workload's pods."""

    store: HistoryStore

    async def of(
        self, project: str, workload: str, name: str, uid: str, now: datetime, pods: Iterable[Pod]
    ) -> Mapping[str, str]:
        """Returns a sentence for each of the pods about which something was reported lately, by the pod's name."""
        wanted = RecordFilter(project, workload, name, uid=uid, types=frozenset({"event"}), since=now - RECENT)
        try:
            page = await self.store.history.page(wanted, limit=MOST)
        except StoreUnavailable:
            return {}
        return last_of((record for record in page.records if isinstance(record, EventRecord)), pods, now)


def last_of(events: Iterable[EventRecord], pods: Iterable[Pod], now: datetime) -> Mapping[str, str]:
    """Returns the newest sentence of each of the pods. What is older than the pod is about a former one of its name. Of a check
    that does not pass while a container starts it says so, and a health check says nothing of a container that is down.
    """
    present = {pod.metadata.name: pod for pod in pods}
    found: dict[str, str] = {}
    for event in sorted(events, key=lambda event: event.last):
        pod = present.get(event.object)
        since = pod.metadata.creation_timestamp if pod is not None else None
        if pod is None or since is None or event.last < since:
            continue
        check, said = check_of(event), sentence(event)
        if said and counts(check, pod, now):
            found[event.object] = said
        elif said and unready_reason.is_starting(pod, now):
            found[event.object] = said.replace(f"{CHECKS[check]} fails", f"{CHECKS[check]} does not pass so far", 1)
    return found


def counts(check: str, pod: Pod, now: datetime) -> bool:
    """Returns whether a check that fails tells what is wrong with a pod that is not ready. A liveness or startup check may be
    why a container is down; a health check fails because it is.
    """
    if check == READINESS:
        return unready_reason.has_run_unready(pod, now)
    return not check or not unready_reason.is_starting(pod, now)


def check_of(event: EventRecord) -> str:
    """Returns which check the event says to fail: Readiness, Liveness or Startup; empty for an event about something else."""
    failed = _FAILED.search(event.message) if event.reason in ("Unhealthy", "ProbeWarning") else None
    return failed["check"] if failed is not None else ""


def sentence(event: EventRecord) -> str:
    """Returns what an event says of a check or a volume; empty for an event about something else."""
    if event.reason == "FailedMount" and (mount := _MOUNT.search(event.message)):
        return f"volume {mount['volume']} cannot be mounted: {_why_not_mounted(mount['why'])}"
    failed = _FAILED.search(event.message) if event.reason in ("Unhealthy", "ProbeWarning") else None
    return f"its {CHECKS[failed['check']]} fails: {_why(failed['why'])}" if failed is not None else ""


def _why_not_mounted(text: str) -> str:
    if missing := _NO_KEY.search(text):
        return (
            f"its {missing['word']} has no key {short(missing['key'])}: correct the key, or set the {missing['word']} with it"
        )
    return short(text)


def _why(text: str) -> str:
    if refused := _REFUSED.search(text):
        port = refused["port"]
        return (
            f"connection refused on port {port}, where nothing listens (a server must listen on 0.0.0.0, not only on 127.0.0.1)"
        )
    if status := _STATUS.search(text):
        return f"the server answers with status {status['code']}"
    if "HTTP response to HTTPS client" in text:
        return "the server speaks plain HTTP, and the check asks with HTTPS: remove scheme"
    if name := _PORT_NAME.search(text):
        return f"the container has no port named {name['name'] or name['other']}"
    if _TIMES_OUT.search(text) and "https://" in text:
        return "no answer in time to HTTPS; if the server speaks plain HTTP, remove scheme, else raise the check's timeout"
    if _TIMES_OUT.search(text):
        return "no answer in time; raise the check's timeout, or give the container more cpu"
    return short(text)
