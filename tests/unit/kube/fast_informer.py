"""Makes a real client and informer with time-outs of milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from hostile_server import HostileServer

from pincompute.api.builtin import PODS, Pod
from pincompute.kube.api_client import ApiClient
from pincompute.kube.backoff import BackoffLimits
from pincompute.kube.informer import Informer, InformerTiming
from pincompute.kube.kubeconfig import ClusterConfig

HURRY = InformerTiming(
    inactivity=0.3, brief=0.0, not_served=0.02, list_deadline=5.0, pace=BackoffLimits(base=0.01, cap=0.1, calm=60.0)
)


async def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Waits until the condition holds; fails when it does not within the deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions are about sockets and other tasks, which set no event
            await asyncio.sleep(0.002)


@asynccontextmanager
async def watching(server: HostileServer, timing: InformerTiming = HURRY, **options: Any) -> AsyncIterator[Informer[Pod]]:
    """A running cache of the server's pods; its task is ended with the block."""
    async with ApiClient(ClusterConfig(server=server.address), name="a1") as client:
        cache = Informer(client, PODS, timing=timing, **options)
        task = asyncio.create_task(cache.run())
        try:
            yield cache
        finally:
            task.cancel()
            await asyncio.wait([task])


def shown(cache: Informer[Pod]) -> dict[str, str]:
    """What the cache knows, as `Torture.truth` says it."""
    return {p.metadata.name: p.metadata.resource_version for p in cache.list()}
