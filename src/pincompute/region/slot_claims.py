"""Claims a slot for each region: addresses, ports, links and control groups follow from it, so no two regions share one.

A claim is a file named after the slot that holds the region's home. It outlives `down`, because Services and pods keep
addresses of the slot. It is void when the home is gone or has another slot; a bridge of the slot that still stands keeps it
taken all the same, because whoever lost that home still runs there. One command at a time changes the claims.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pincompute.region import file_locks
from pincompute.region.layout import MAX_SLOTS, RegionSpec
from pincompute.region.region_error import RegionError

SPEC = "region.json"
LINKS = Path("/sys/class/net")
LOCK = "lock"
FRESH = 60.0  # seconds in which a new region writes its specification


def directory() -> Path:
    """Claims of the whole machine for root, of one user for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/pincompute/slots")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pincompute" / "slots"


def claim(home: Path, claims: Path, links: Path = LINKS) -> int:
    """The lowest slot that no other region has and whose addresses the machine does not route elsewhere."""
    routed = tuple(_routed(Path("/proc/net/route")))
    with _changing(claims):
        for slot in range(MAX_SLOTS):
            if _is_reachable(slot, routed) and _take(claims / str(slot), home, slot, links):
                return slot
    raise RegionError(
        f"all {MAX_SLOTS} slots of this machine are taken: `down --purge` a region you no longer need; "
        f"the files in {claims} name their homes"
    )


def check(home: Path, slot: int, claims: Path, links: Path = LINKS) -> None:
    """Renew the claim of a region that has its slot already; refuse when another one took it meanwhile."""
    with _changing(claims):
        path = claims / str(slot)
        if not path.exists():
            path.write_text(str(home))
        elif not _take(path, home, slot, links):
            raise RegionError(
                f"slot {slot} of the region in {home} belongs to the region in {_holder(path)} now: "
                "`down --purge` one of the two; the other keeps its addresses"
            )


def release(home: Path, slot: int, claims: Path) -> None:
    with _changing(claims):
        if _holder(claims / str(slot)) == str(home):
            (claims / str(slot)).unlink(missing_ok=True)


def of(home: Path, claims: Path) -> int | None:
    """The slot that is claimed for a home."""
    found = [int(path.name) for path in claims.glob("*") if path.name.isdecimal() and _holder(path) == str(home)]
    return found[0] if found else None


@contextmanager
def _changing(claims: Path) -> Generator[None, None, None]:
    with file_locks.wait_lock(claims / LOCK, lambda: None):
        yield


def _take(path: Path, home: Path, slot: int, links: Path) -> bool:
    holder = _holder(path)
    if holder == str(home):
        return True
    if (links / f"pc{slot}-br").exists() or (holder and _is_valid(path, Path(holder), slot)):
        return False
    path.write_text(str(home))
    return True


def _is_reachable(slot: int, routed: tuple[ipaddress.IPv4Network, ...]) -> bool:
    own = ipaddress.ip_network(f"10.{64 + slot}.0.0/16")
    return not any(own.overlaps(network) for network in routed)


def _holder(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _is_valid(path: Path, home: Path, slot: int) -> bool:
    """Whether the claim in `path` stands: its home has this slot, or is so new that it has no specification yet."""
    try:
        return msgspec.json.decode((home / SPEC).read_bytes(), type=RegionSpec).slot == slot
    except (FileNotFoundError, NotADirectoryError):
        return home.is_dir() and time.time() - path.stat().st_mtime < FRESH
    except (OSError, msgspec.DecodeError):
        return True  # somebody else's home that we may not read: theirs


def _routed(table: Path) -> Iterator[ipaddress.IPv4Network]:
    """Networks that leave by a link that is not a region's; the kernel prints them as little-endian hexadecimal."""
    for line in table.read_text().splitlines()[1:]:
        link, destination, _, _, _, _, _, mask = line.split()[:8]
        if not link.startswith("pc") and mask != "00000000":
            address, bits = (int.from_bytes(bytes.fromhex(word), "little") for word in (destination, mask))
            yield ipaddress.IPv4Network((address, bits.bit_count()))
