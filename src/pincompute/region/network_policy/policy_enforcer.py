"""The enforcer of a node: it watches pods, namespaces and NetworkPolicies of its cluster and writes them into the kernel.

`pincompute network` runs it in the node's network namespace. Rules stay in the kernel when it ends, and while its API server is
silent; when it starts it replaces them in one transaction, once it knows everything. It holds no lease and writes no object.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from pincompute import __version__
from pincompute.api.builtin import NAMESPACES
from pincompute.api.meta import Key, Object, Resource
from pincompute.api.network_policies import NETWORKPODS, NETWORKPOLICIES
from pincompute.kube.api_client import ApiClient
from pincompute.kube.informer import Informer
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.kubeconfig import load as load_kubeconfig
from pincompute.kube.object_store import Event
from pincompute.region.network_policy import nft_script
from pincompute.region.network_policy.nft_script import NodeAddresses
from pincompute.region.network_policy.policy_state import PolicyState
from pincompute.region.nodes import connection_tracking
from pincompute.region.region_error import RegionError

T = TypeVar("T", bound=Object)

log = logging.getLogger(__name__)

PACE = 0.1  # seconds between two transactions; the first after a silence is written at once
AGAIN = 1.0  # seconds until the next attempt after the kernel refused one
DEADLINE = 30.0
BRIDGED_PACKETS = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


class EnforcerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the enforcer reads at its start. `ready` is the file that exists while it has written the whole table."""

    node: NodeAddresses
    ready: str


def main(kubeconfig: Path, context: str, settings_path: Path) -> None:
    """Runs until a signal ends it. Raises ConfigError when the kubeconfig cannot be used."""
    settings = msgspec.json.decode(settings_path.read_bytes(), type=EnforcerSettings)
    ready = Path(settings.ready)
    ready.unlink(missing_ok=True)
    filter_bridged_packets()
    connection_tracking.shorten_timeouts()
    asyncio.run(_run(load_kubeconfig(kubeconfig, context), context, settings.node, ready.touch))


async def _run(config: ClusterConfig, context: str, node: NodeAddresses, ready: Callable[[], None]) -> None:
    async with ApiClient(config, name=context, user_agent=f"pincompute-network/{__version__}") as client:
        enforcing = asyncio.ensure_future(PolicyEnforcer(client, node).run(ready))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, enforcing.cancel)
        with suppress(asyncio.CancelledError):
            await enforcing


def filter_bridged_packets() -> None:
    """Makes packets between two pods of one node, which their bridge switches, pass the tables as well."""
    if not BRIDGED_PACKETS.exists():
        subprocess.run(("modprobe", "br_netfilter"), capture_output=True, timeout=DEADLINE, check=False)
    try:
        BRIDGED_PACKETS.write_text("1")
    except OSError as error:
        raise RegionError(
            f"{BRIDGED_PACKETS}: {error.strerror}: the kernel lacks br_netfilter: modprobe br_netfilter"
        ) from error


class PolicyEnforcer:
    """Feeds a `PolicyState` with what the informers see, and writes its changes."""

    def __init__(self, client: ApiClient, node: NodeAddresses) -> None:
        self._node = node
        self._state = PolicyState()
        self._changed = asyncio.Event()
        self._left = set[str]()  # addresses whose connections are still to be dropped
        self._leaving = asyncio.Event()
        self._informers = (
            self._informer(client, NAMESPACES, lambda key, namespace: self._state.namespace(key.name, namespace)),
            self._informer(client, NETWORKPOLICIES, self._state.policy),
            self._informer(client, NETWORKPODS, self._state.pod),
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Runs until it is cancelled; calls `ready` when the kernel has the whole table."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self._informers:
                tasks.create_task(informer.run(), name=f"watch {informer.resource}")
            tasks.create_task(self._enforce(ready))
            tasks.create_task(self._forget_connections())

    async def _enforce(self, ready: Callable[[], None]) -> None:
        """Writes the whole table once everything is known, then every change."""
        for informer in self._informers:
            await informer.until_synced()
        await self._write_whole()
        ready()
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = time.monotonic()
            change = self._state.take()
            if change and not await write(nft_script.changed(change)):
                await self._write_whole()
            self._left |= self._state.take_given_up()
            if self._left:
                self._leaving.set()
            await asyncio.sleep(max(0.0, began + PACE - time.monotonic()))

    async def _forget_connections(self) -> None:
        """Drops what ended pods leave in the kernel's table: it would stay for up to a day, and count for the next pod."""
        while True:
            await self._leaving.wait()
            self._leaving.clear()
            addresses, self._left = self._left, set[str]()
            try:
                await asyncio.to_thread(connection_tracking.forget, addresses)
            except OSError as error:
                log.warning("connections of ended pods stay known until others end", extra={"problem": str(error)})
                self._left |= addresses

    def _informer(self, client: ApiClient, resource: Resource[T], record: Callable[[Key, T | None], None]) -> Informer[T]:
        informer = Informer(client, resource)

        def listen(event: Event, obj: T, _old: T | None) -> None:
            record(obj.key, None if event == "DELETED" else obj)
            self._changed.set()

        informer.listen(listen)
        return informer

    async def _write_whole(self) -> None:
        """Writes the whole table, and again for as long as the kernel refuses it."""
        while not await write(nft_script.whole(self._node, self._state.whole())):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(AGAIN)


async def write(script: str) -> bool:
    """Runs one transaction; returns whether the kernel took it. One that it refuses changes nothing."""
    process = await asyncio.create_subprocess_exec(
        "nft",
        "-f",
        "-",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
    )
    try:
        async with asyncio.timeout(DEADLINE):
            _, refusal = await process.communicate(script.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        refusal = b"no answer"
    if process.returncode == 0:
        return True
    log.error("the kernel refused rules", extra={"answer": refusal.decode(errors="replace")[:2000]})
    return False
