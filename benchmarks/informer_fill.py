"""Measures how fast an informer fills and follows, and what it keeps, with 20,000 realistic pods.

The pods are 16 KB of JSON each (two containers and an init container, environment, probes, affinity, managedFields). A
second process serves them over loopback from memory, so that what is measured is the client. Memory is the growth of the
resident set over the process before the sync, after a trim of the allocator.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.goals import Figure, at_least, at_most
from benchmarks.progress import Say
from pincompute.api.builtin import PODS, Pod
from pincompute.kube.api_client import ApiClient
from pincompute.kube.informer import Informer
from pincompute.kube.kubeconfig import ClusterConfig

OBJECTS = 20_000
PAGE = 500
NODES = 200


def pod(n: int, version: int) -> dict[str, Any]:
    """A running pod as the API server writes it, managedFields included."""
    app = f"app-{n % 300:03}"
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n // 15)  # 900 pods a minute
    now, then = (f"{created + timedelta(seconds=s):%Y-%m-%dT%H:%M:%SZ}" for s in (0, 2))
    uid = str(UUID(int=(n + 1) << 64 | n * 7919))
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10}
    env = [{"name": f"SETTING_{i}", "value": f"value-{i}-of-{app}-that-is-long-enough"} for i in range(18)]
    mounts = [{"name": "token", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    size = {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "250m", "memory": "256Mi"}}

    def container(name: str, image: str) -> dict[str, Any]:
        rest = {"livenessProbe": probe, "readinessProbe": probe, "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts}
        return {"name": name, "image": image, "env": env, "resources": size, **rest}

    def state(name: str, image: str) -> dict[str, Any]:
        ids = {"imageID": f"{image}@sha256:{n % 7:064x}", "containerID": f"containerd://{n:032x}{hash(name) & 0xFFFFFFFF:032x}"}
        return {
            "name": name,
            "image": image,
            **ids,
            "ready": True,
            "restartCount": 0,
            "started": True,
            "state": {"running": {"startedAt": now}},
            "lastState": {},
        }

    owned = {f'k:{{"name":"SETTING_{i}"}}': {".": {}, "f:name": {}, "f:value": {}} for i in range(18)}
    containers = {f'k:{{"name":"{c}"}}': {"f:env": owned, "f:image": {}, "f:resources": {}} for c in ("main", "proxy")}
    fields = {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": containers}}
    managed = [
        {"manager": m, "operation": "Update", "apiVersion": "v1", "time": now, "fieldsType": "FieldsV1", "fieldsV1": fields}
        for m in ("operator", "kube-scheduler", "kubelet")
    ]
    condition = [
        {"type": t, "status": "True", "lastProbeTime": None, "lastTransitionTime": at}
        for t, at in (
            ("PodReadyToStartContainers", now),
            ("Initialized", now),
            ("Ready", then),
            ("ContainersReady", then),
            ("PodScheduled", now),
        )
    ]
    spread = [
        {"maxSkew": 1, "topologyKey": k, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": app}}}
        for k in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
    return {
        "metadata": {
            "name": f"{app}-{n:06x}",
            "namespace": f"project-{n % 50:02}",
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": now,
            "managedFields": managed,
            "labels": {
                "pincompute.io/app": app,
                "pincompute.io/workload": "PinApp",
                "pincompute.io/tier": "OnDemand",
                "pincompute.io/revision": f"rev-{n % 40}",
                "pincompute.io/shard-uid": str(UUID(int=n % 300)),
                "pincompute.io/origin-uid": str(UUID(int=n % 300 + 9)),
                "pincompute.io/zone": "abc"[n % 3],
                "app.kubernetes.io/managed-by": "pincompute",
            },
            "annotations": {"pincompute.io/ordinal": str(version % 70), "pincompute.io/shape": f"shape-{n % 300}"},
            "ownerReferences": [
                {
                    "apiVersion": "pincompute.io/v1alpha1",
                    "kind": "PinAppShard",
                    "name": app,
                    "uid": str(UUID(int=n % 300)),
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "nodeName": f"node-{n % NODES:04}",
            "serviceAccountName": "default",
            "topologySpreadConstraints": spread,
            "initContainers": [container("prepare", "registry/prepare:1")],
            "containers": [container("main", f"registry/{app}:7"), container("proxy", "registry/proxy:3")],
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "tolerations": [
                {"key": f"node.kubernetes.io/{t}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
                for t in ("not-ready", "unreachable")
            ],
        },
        "status": {
            "phase": "Running",
            "conditions": condition,
            "hostIP": "10.0.0.1",
            "podIP": f"10.1.{n // 250 % 250}.{n % 250}",
            "startTime": now,
            "qosClass": "Burstable",
            "containerStatuses": [state("main", f"registry/{app}:7"), state("proxy", "registry/proxy:3")],
            "initContainerStatuses": [state("prepare", "registry/prepare:1")],
        },
    }


def encode(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


class PodServer:
    """Lists and watches from bytes made beforehand."""

    def __init__(self, pods: int, events: int) -> None:
        self.pages = [self._page(start, min(start + PAGE, pods), pods) for start in range(0, pods, PAGE)]
        self.events = [
            b'{"type":"MODIFIED","object":'
            + encode({"kind": "Pod", "apiVersion": "v1", **pod(n % pods, pods + n + 1)})
            + b"}\n"
            for n in range(events)
        ]

    def _page(self, start: int, end: int, pods: int) -> bytes:
        meta = {"resourceVersion": str(pods), **({"continue": str(end)} if end < pods else {})}
        head = encode({"kind": "PodList", "apiVersion": "v1", "metadata": meta})[:-1]
        return head + b',"items":[' + b",".join(encode(pod(n, n + 1)) for n in range(start, end)) + b"]}"

    async def run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], len(self.pages[0]) // PAGE, flush=True)
        async with server:
            await asyncio.to_thread(sys.stdin.read)  # until the client is gone

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if "watch=1" in head:
                    await self._stream(writer)
                else:
                    token = head.split("continue=")[1].split("&")[0].split(" ")[0] if "continue=" in head else "0"
                    body = self.pages[int(token) // PAGE]
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
                    writer.write(body)
                await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        for line in self.events:
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()


@dataclass
class CacheResult:
    pods: int
    bytes_of_json_per_pod: int
    sync_seconds: float
    sync_cpu_seconds: float
    kept_bytes_per_pod: int
    peak_megabytes: int
    events: int
    events_per_second: int
    event_cpu_microseconds: float


def resident() -> int:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(port: int, size: int, pods: int, events: int) -> CacheResult:
    config = ClusterConfig(server=f"http://127.0.0.1:{port}")
    async with ApiClient(config, name="bench", user_agent="pincompute-benchmark/0.1") as client, asyncio.TaskGroup() as group:
        cache: Informer[Pod] = Informer(client, PODS, indexes={"node": lambda p: (p.spec.node_name,)})
        before, cpu, began = resident(), time.process_time(), time.perf_counter()
        task = group.create_task(cache.run())
        await cache.until_synced()
        synced, synced_cpu = time.perf_counter() - began, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        followed, cpu = asyncio.Event(), time.process_time()
        began = time.perf_counter()
        cache.listen(lambda _kind, obj, _old: followed.set() if obj.metadata.resource_version == str(pods + events) else None)
        await asyncio.wait_for(followed.wait(), 60)
        follow, follow_cpu = time.perf_counter() - began, time.process_time() - cpu
        kept = (resident() - before) // pods
        task.cancel()
    return CacheResult(
        pods,
        size,
        round(synced, 3),
        round(synced_cpu, 3),
        kept,
        peak,
        events,
        round(events / follow),
        round(follow_cpu / events * 1e6, 1),
    )


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    """In processes of their own, so that memory is the cache's alone."""
    measured = [await asyncio.to_thread(_once) for _ in range(min(3, options.rounds))]
    say(f"synced in {', '.join(f'{m.sync_seconds:.2f} s' for m in measured)}")
    best = min(measured, key=lambda m: m.sync_seconds)
    kind = f"{best.pods:,} pods of {best.bytes_of_json_per_pod / 1000:.1f} KB JSON; best of {len(measured)}"
    return [
        Figure("synced", best.sync_seconds, "s", at_most(1.0), f"{kind}; CPU {best.sync_cpu_seconds:.2f} s"),
        Figure("kept per pod", round(best.kept_bytes_per_pod / 1024, 2), "KiB", at_most(5), "growth of the resident set"),
        Figure(
            "events followed",
            best.events_per_second,
            "/s",
            at_least(50_000),
            "full pods over HTTP; the sender shares the cores",
        ),
        Figure("CPU per event", best.event_cpu_microseconds, "us", at_most(20), "HTTP to index"),
    ]


def _once() -> CacheResult:
    command = (sys.executable, "-m", "benchmarks.informer_fill", "--measure")
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300)
    return msgspec.json.decode(done.stdout, type=CacheResult)


def main() -> None:
    if "--serve" in sys.argv:
        asyncio.run(PodServer(OBJECTS, OBJECTS).run())
        return
    command = (sys.executable, "-m", "benchmarks.informer_fill", "--serve")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port, size = map(int, server.stdout.readline().split())
        result = asyncio.run(measure(port, size, OBJECTS, OBJECTS))
        server.kill()
    print(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
