"""Sends requests to a Service without a pause, as a proxy does that follows its endpoints."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster_client import ClusterClient
from story_manifests import PORT

from pincompute.api.labels import APP
from pincompute.api.meta import Manifest, Object, Resource

SERVICES = Resource("", "v1", "Service", "services", True, Object)
APART = 0.02  # seconds between two requests
FOLLOWS = 0.5  # seconds between two looks at the endpoints
ANSWER = 5.0


@dataclass
class Requests:
    """What became of them: the versions that answered, and the failures in words."""

    answers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def serve(member: ClusterClient, project: str, app: str) -> None:
    """A Service of the app's replicas in one member."""
    spec = {"selector": {APP: app}, "ports": [{"port": PORT}]}
    metadata = {"name": app, "namespace": project}
    member.apply(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def endpoints(member: ClusterClient, project: str, app: str) -> list[str]:
    """The addresses that the Service sends requests to now."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{project}/endpointslices"
    found = json.loads(member.request("GET", path, labelSelector=f"kubernetes.io/service-name={app}"))["items"]
    ready = [each for part in found for each in part.get("endpoints") or () if each["conditions"].get("ready")]
    return sorted(address for each in ready for address in each["addresses"])


@contextmanager
def steadily(member: ClusterClient, project: str, app: str) -> Generator[Requests]:
    """Requests to all endpoints in turn, from the beginning of the block to its end."""
    told, stop = Requests(), threading.Event()
    thread = threading.Thread(target=_send, args=(member, project, app, told, stop))
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()


def _send(member: ClusterClient, project: str, app: str, told: Requests, stop: threading.Event) -> None:
    known, looked = list[str](), 0.0
    while not stop.wait(APART):
        if time.monotonic() >= looked + FOLLOWS:
            known, looked = endpoints(member, project, app), time.monotonic()
        if not known:
            told.failures.append("there is no endpoint")
            continue
        known = [*known[1:], known[0]]
        try:
            told.answers.append(_ask(known[-1])["version"])
        except OSError as error:
            told.failures.append(f"{known[-1]}: {error}")


def _ask(address: str) -> Manifest:
    request = urllib.request.Request(f"http://{address}:{PORT}/", headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=ANSWER) as answer:
        return json.load(answer)
