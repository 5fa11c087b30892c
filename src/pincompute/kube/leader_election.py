"""Elects one writer at a time with a Lease object and each process's own monotonic clock.

Wall clocks are never compared (F8). A contender takes over when it has seen the record unchanged for the record's duration.
The holder counts from before it sent its last renewal and stops `margin` seconds earlier, so it has stopped before anyone can
start, however late its request arrived. Check `remaining()` before each write, and give no write more than `margin` seconds.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import msgspec

from pincompute.api import builtin
from pincompute.api.builtin import LEASES
from pincompute.api.meta import Key, Manifest
from pincompute.kube import write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import Conflict, KubeError, NotFound
from pincompute.kube.object_decoding import object_decoder


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Times in seconds."""

    duration: float = 15.0
    margin: float = 5.0
    retry: float = 2.0


def identity() -> str:
    """Returns a name that no other process has, nor this one after a restart, because containers share host names and
    process numbers. The host name is in it for people. It has at most 128 characters, because it is also a field manager.
    """
    return f"{socket.gethostname()[:63]}-{os.getpid()}-{uuid4()}"


@dataclass(slots=True)
class LeaderElection:
    """Holds or contends for one lease. `identity` must differ from that of any other process alive; see `identity()`."""

    client: ApiClient
    key: Key
    identity: str
    terms: LeaseTimes = LeaseTimes()
    on_acquired: Callable[[], None] = lambda: None  # called when the lease comes to us, before anything is done under it
    holder: str = field(default="", init=False)  # whom the record names, for people
    _until: float = field(default=float("-inf"), init=False)
    _record: builtin.Lease | None = field(default=None, init=False)
    _unchanged_since: float = field(default=0.0, init=False)
    _acquired: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def remaining(self) -> float:
        """Returns the seconds for which nobody else can hold the lease; 0 or less when it is not held."""
        return self._until - self.client.clock.monotonic()

    async def held(self) -> None:
        """Waits until the lease is held."""
        while self.remaining() <= 0:
            self._acquired.clear()
            await self._acquired.wait()

    async def run(self) -> None:
        """Contends, renews, contends again, until it is cancelled; then releases the lease."""
        try:
            while True:
                with suppress(KubeError):  # what was not renewed runs out by itself
                    await self._turn()
                await self.client.clock.sleep(self._interval())
        finally:
            await self._release()

    def _interval(self) -> float:
        """Returns the seconds to the next attempt, so that contenders come at different times."""
        jitter = 0.0 if self.remaining() > 0 else self.client.clock.random() * 0.2
        return self.terms.retry * (1 + jitter)

    async def _turn(self) -> None:
        held = self._is_ours()
        if not held:
            await self._look()
            if not self._is_ours():
                self._until = float("-inf")  # somebody else may write from now on
        began = self.client.clock.monotonic()
        if self._record is not None and not self._free(self._record):
            return
        try:
            self._see(await self._write())
        except (Conflict, NotFound):
            self._record = None
            raise
        if not held or self.remaining() <= 0:
            self.on_acquired()
        self._until = began + self.terms.duration - self.terms.margin
        self._acquired.set()

    def _is_ours(self) -> bool:
        return self._record is not None and self._record.spec.holder_identity == self.identity

    async def _look(self) -> None:
        path = LEASES.path(self.key.namespace, self.key.name)
        try:
            answer = await self.client.request("GET", path, deadline=self.terms.margin, attempts=1)
        except NotFound:
            self._record = None
            return
        self._see(object_decoder(builtin.Lease).decode(answer))

    def _see(self, record: builtin.Lease) -> None:
        before = self._record
        if before is None or before.metadata.resource_version != record.metadata.resource_version:
            self._unchanged_since = self.client.clock.monotonic()
        self._record = record
        self.holder = record.spec.holder_identity

    def _free(self, record: builtin.Lease) -> bool:
        if record.spec.holder_identity in ("", self.identity):
            return True
        return self.client.clock.monotonic() - self._unchanged_since >= record.spec.lease_duration_seconds

    async def _write(self) -> builtin.Lease:
        now, record = self.client.clock.wall(), self._record
        if record is None:
            names = {"namespace": self.key.namespace, "name": self.key.name}
            return await write_requests.create(
                self.client, LEASES, {"metadata": names, "spec": self._spec(now, 0)}, self.identity
            )
        ours = record.spec.holder_identity == self.identity
        transitions = record.spec.lease_transitions + (0 if ours else 1)
        spec = self._spec(now, transitions)
        if ours:
            del spec["acquireTime"]
        return await self._patch(record, spec)

    async def _patch(self, record: builtin.Lease, spec: Manifest) -> builtin.Lease:
        body = {"metadata": {"resourceVersion": record.metadata.resource_version}, "spec": spec}
        answer = await self.client.request(
            "PATCH",
            LEASES.path(self.key.namespace, self.key.name),
            body=msgspec.json.encode(body),
            content_type="application/merge-patch+json",
            deadline=self.terms.margin,
            attempts=1,
        )
        return object_decoder(builtin.Lease).decode(answer)

    def _spec(self, now: datetime, transitions: int) -> Manifest:
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.terms.duration)),
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": transitions,
        }

    async def _release(self) -> None:
        self._until = float("-inf")
        record = self._record
        if record is None or record.spec.holder_identity != self.identity:
            return
        with suppress(KubeError):
            await self._patch(record, {"holderIdentity": ""})
