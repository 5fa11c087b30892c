"""Records the life of every pod from the clusters' own watch streams, so it misses no moment.

One thread follows one cluster and continues where it was when the stream breaks, so a killed API server hides nothing.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from cluster_client import ApiRefusal, ClusterClient

from pincompute.api import conditions
from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import APP, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Manifest

SILENCE = 10.0  # seconds without an event after which a stream is opened anew: it may be dead
PAUSE = 0.2  # seconds between attempts while a cluster does not answer


@dataclass(frozen=True)
class PodLife:
    """What is known of one pod that is neither finished nor on its way out."""

    project: str
    app: str
    ready: bool


@dataclass
class StatePeriod:
    """What happened to one app while somebody watched. Counts are by cluster, `fewest` and `most` over all of them."""

    project: str
    app: str
    most_live: int = 0
    fewest_ready: int = 0
    most_live_in: Counter[str] = field(default_factory=Counter)
    fewest_ready_in: dict[str, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def note(self, living: Mapping[tuple[str, str], PodLife]) -> None:
        mine = {
            (cluster, uid): pod for (cluster, uid), pod in living.items() if (pod.project, pod.app) == (self.project, self.app)
        }
        live = Counter(cluster for cluster, _ in mine)
        ready = Counter(cluster for (cluster, _), pod in mine.items() if pod.ready)
        self.most_live = max(self.most_live, live.total())
        self.fewest_ready = min(self.fewest_ready, ready.total())
        self.most_live_in |= live
        self.fewest_ready_in = {cluster: min(fewest, ready[cluster]) for cluster, fewest in self.fewest_ready_in.items()}
        self.seen |= {uid for _, uid in mine}


class PodHistory:
    """Follows clusters until closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: dict[tuple[str, str], PodLife] = {}
        self._periods: list[StatePeriod] = []
        self._followed: dict[str, threading.Event] = {}

    def follow(self, cluster: ClusterClient) -> None:
        """Begin with what is there now."""
        stop = self._followed[cluster.name] = threading.Event()
        begun = threading.Event()
        threading.Thread(target=self._run, args=(cluster, stop, begun), name=f"census of {cluster.name}", daemon=True).start()
        if not begun.wait(60):
            raise TimeoutError(f"the pods of {cluster.name} could not be listed")

    def forget(self, cluster: str) -> None:
        """The cluster is gone, and its pods with it."""
        self._followed.pop(cluster).set()
        with self._lock:
            self._living = {key: pod for key, pod in self._living.items() if key[0] != cluster}
            self._tell()

    def close(self) -> None:
        for stop in self._followed.values():
            stop.set()

    @contextmanager
    def watching(self, project: str, app: str) -> Generator[StatePeriod, None, None]:
        """What happens to an app inside the block."""
        with self._lock:
            mine = [key for key, pod in self._living.items() if (pod.project, pod.app) == (project, app)]
            ready = Counter(key[0] for key in mine if self._living[key].ready)
            period = StatePeriod(project, app, fewest_ready=ready.total(), fewest_ready_in=dict(ready))
            period.note(self._living)
            self._periods.append(period)
        try:
            yield period
        finally:
            with self._lock:
                self._periods.remove(period)

    def _run(self, cluster: ClusterClient, stop: threading.Event, begun: threading.Event) -> None:
        version = ""
        while not stop.is_set():
            try:
                version = version or self._list(cluster, stop)
                begun.set()
                version = self._watch(cluster, stop, version)
                stop.wait(0.0 if version else PAUSE)
            except (OSError, ApiRefusal, ValueError, http.client.HTTPException):
                stop.wait(PAUSE)

    def _list(self, cluster: ClusterClient, stop: threading.Event) -> str:
        listed = json.loads(cluster.request("GET", PODS.path(), labelSelector=f"{MANAGED_BY}={PINCOMPUTE}"))
        with self._lock:
            if stop.is_set():
                return ""
            self._living = {key: pod for key, pod in self._living.items() if key[0] != cluster.name}
            for item in listed["items"] or ():
                self._put(cluster.name, item)
            self._tell()
        return listed["metadata"]["resourceVersion"]

    def _watch(self, cluster: ClusterClient, stop: threading.Event, version: str) -> str:
        """Returns the version to go on from; empty when the API server has forgotten it."""
        try:
            for change in cluster.watch(PODS.path(), version, SILENCE, labelSelector=f"{MANAGED_BY}={PINCOMPUTE}"):
                if change.type == "ERROR" or stop.is_set():
                    return ""
                version = change.object["metadata"]["resourceVersion"]
                self._note(cluster.name, change.type, change.object)
        except (OSError, ValueError, http.client.HTTPException):
            return version
        except ApiRefusal as refusal:
            return "" if refusal.code == 410 else version
        return version

    def _note(self, cluster: str, kind: str, pod: Manifest) -> None:
        if kind == "BOOKMARK":
            return
        with self._lock:
            self._living.pop((cluster, pod["metadata"]["uid"]), None)
            if kind != "DELETED":
                self._put(cluster, pod)
            self._tell()

    def _put(self, cluster: str, item: Manifest) -> None:
        pod = msgspec.convert(item, Pod)
        if not pod.deleting and pod.status.phase not in ("Succeeded", "Failed"):
            ready = conditions.is_true(pod.status.conditions, "Ready")
            app = pod.metadata.labels.get(APP, "")
            self._living[cluster, pod.metadata.uid] = PodLife(pod.metadata.namespace, app, ready)

    def _tell(self) -> None:
        for period in self._periods:
            period.note(self._living)
