"""Runs examples/hello in a new region: its image, its app, and a request to it in every zone in which it was placed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from pincompute.api import conditions
from pincompute.api.builtin import PODS, Pod
from pincompute.api.kinds import KINDS
from pincompute.api.labels import APP
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import KubeError, NotFound
from pincompute.region import bundled_folders
from pincompute.region.layout import MemberSpec
from pincompute.region.region_error import RegionError

NAME = Key("demo", "hello")
APPS = KINDS[0].workload  # examples/hello is an app
IMAGE = "hello:1"
PORT = 8080
POLL = 0.1  # seconds between two polls
PATIENCE = 120.0  # seconds to wait for the answers
ASK = 2.0


@dataclass(frozen=True, slots=True)
class ZoneAnswer:
    """What one pod in one zone said."""

    zone: str
    url: str
    text: str


def image_folder() -> Path:
    return bundled_folders.folder("examples") / "hello" / "image"


def app() -> Manifest:
    return yaml.safe_load((bundled_folders.folder("examples") / "hello" / "app.yaml").read_bytes())


async def exists(host: ApiClient) -> bool:
    try:
        await host.get(APPS, NAME)
    except NotFound:
        return False
    return True


async def takes_work(host: ApiClient, member: MemberSpec) -> None:
    """Return when the member is ready; the caller sets the deadline."""
    while True:
        found = await host.get(MEMBERCLUSTERS, Key("", member.name))
        if conditions.is_true(found.status.conditions, "Ready"):
            return
        await asyncio.sleep(POLL)


async def answers(host: ApiClient, members: dict[MemberSpec, ApiClient]) -> list[ZoneAnswer]:
    """One answer from every zone the app was placed in; waits until all are there."""
    reached: dict[str, ZoneAnswer] = {}
    zones: frozenset[str] = frozenset()
    try:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK)) as http:
            while not zones or zones - reached.keys():
                zones = await _zones(host)
                for member, client in members.items():
                    if member.zone in zones - reached.keys():
                        reached |= await _reach(http, client, member.zone)
                if not zones or zones - reached.keys():
                    await asyncio.sleep(POLL)
    except TimeoutError:
        raise RegionError(await _why_not(host, zones - reached.keys())) from None
    return [reached[zone] for zone in sorted(zones)]


async def placed(host: ApiClient) -> None:
    """Wait until every replica is ready: all that simulated nodes, which run nothing, can show."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await host.get(APPS, NAME)
                if found.status.ready_replicas >= found.spec.replicas:
                    return
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise RegionError(await _why_not(host, frozenset())) from None


async def _zones(host: ApiClient) -> frozenset[str]:
    """Zones of a placement that stands; one that passed over members which have not come yet is made again with them."""
    found = await host.get(APPS, NAME)
    scheduling = found.status.scheduling
    if scheduling is None or scheduling.passed_over:
        return frozenset()
    return frozenset(line.zone for line in scheduling.placement if line.replicas)


async def _reach(http: aiohttp.ClientSession, client: ApiClient, zone: str) -> dict[str, ZoneAnswer]:
    selector = {"labelSelector": f"{APP}={NAME.name}"}
    page = await client.list_page(PODS, NAME.namespace, query=selector)
    for pod in page.items or ():
        if _ready(pod):
            url = f"http://{pod.status.pod_ip}:{PORT}/"
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return {zone: ZoneAnswer(zone, url, (await response.text()).strip())}
            except (aiohttp.ClientError, TimeoutError):
                continue  # it may just have ended; others, or the next poll, may answer
    return {}


def _ready(pod: Pod) -> bool:
    return bool(pod.status.pod_ip) and conditions.is_true(pod.status.conditions, "Ready")


async def _why_not(host: ApiClient, zones: frozenset[str]) -> str:
    try:
        message = (await host.get(APPS, NAME)).status.message
    except KubeError as error:
        message = str(error)
    where = f" in zone {', '.join(sorted(zones))}" if zones else ""
    return (
        f"examples/hello does not answer{where} after {PATIENCE:g} s: {message or 'no reason given'}; "
        f"see `pincompute region kubectl --context host -n {NAME.namespace} describe {KINDS[0].name} {NAME.name}` and "
        "`pincompute region logs federation`"
    )
