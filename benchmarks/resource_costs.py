"""Measures costs, before and after: requests as an API server counts them, CPU time as the kernel does."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pincompute.kube.api_client import ApiClient

WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})
KINDS = frozenset({"pinapps", "pinpods", "pods", "pinappshards", "pinpodshards"})
TICK = os.sysconf("SC_CLK_TCK")

_LINE = re.compile(rb"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_LABEL = re.compile(rb'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class ServedRequests:
    """Requests to one API server by verb, resource, subresource and code."""

    counts: Counter[tuple[str, str, str, str]]

    def __sub__(self, earlier: ServedRequests) -> ServedRequests:
        return ServedRequests(self.counts - earlier.counts)

    def writes(self, *resources: str) -> int:
        """Mutating requests for these resources, whatever became of them."""
        return sum(n for (verb, kind, _, _), n in self.counts.items() if verb in WRITES and kind in resources)

    def reads(self, *resources: str) -> int:
        return sum(n for (verb, kind, _, _), n in self.counts.items() if verb in ("GET", "LIST") and kind in resources)

    def conflicts(self, *resources: str) -> int:
        return sum(
            n for (verb, kind, _, code), n in self.counts.items() if verb in WRITES and kind in resources and code == "409"
        )

    def listed(self, *resources: str) -> str:
        """For a note: `POST 1000, PATCH status 1004`."""
        found = Counter[str]()
        for (verb, kind, sub, code), n in self.counts.items():
            if kind in resources and verb != "WATCH":
                found[" ".join(w for w in (verb, kind, sub, "" if code[:1] == "2" else code) if w)] += n
        return ", ".join(f"{name} {n}" for name, n in found.most_common())


async def served(client: ApiClient) -> ServedRequests:
    body, found = (
        await client.request("GET", "/metrics", accept="text/plain", deadline=60.0),
        Counter[tuple[str, str, str, str]](),
    )
    for match in _LINE.finditer(body):
        labels = {name.decode(): value.decode() for name, value in _LABEL.findall(match["labels"])}
        key = (labels["verb"], labels["resource"], labels["subresource"], labels["code"])
        found[key] += round(float(match["count"]))
    return ServedRequests(found)


def cpu(pids: dict[str, int]) -> dict[str, float]:
    """Processor seconds of each process so far, user and system."""
    return {name: _seconds(pid) for name, pid in pids.items()}


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def busiest(seconds: dict[str, float]) -> str:
    """For a note: who used the processors, most first."""
    return ", ".join(f"{name} {s:.1f} s" for name, s in sorted(seconds.items(), key=lambda p: -p[1]) if s >= 0.1)


def each(seconds: dict[str, float], count: int) -> str:
    """For a note: milliseconds for each of so many, by process."""
    return ", ".join(f"{name} {1000 * s / count:.1f}" for name, s in sorted(seconds.items(), key=lambda p: -p[1]) if s >= 0.1)


def resident(pid: int) -> int:
    """Bytes of memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
