"""Which region has which slot: addresses, ports and link names follow from it, so no two regions may share one.

A claim is a file named after the slot that holds the region's home. It outlives `down`, because Services and pods keep
addresses of the slot; it is void when the home is gone or has another slot.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pincompute.region.errors import RegionError
from pincompute.region.layout import MAX_SLOTS, RegionSpec

SPEC = "region.json"


def directory() -> Path:
    """Claims of the whole machine for root, of one user for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/pincompute/slots")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "pincompute" / "slots"


def claim(home: Path, claims: Path) -> int:
    """The lowest slot that no other region has and whose addresses the machine does not route elsewhere."""
    claims.mkdir(parents=True, exist_ok=True)
    routed = tuple(_routed(Path("/proc/net/route")))
    for slot in range(MAX_SLOTS):
        bridge = ipaddress.ip_network(f"10.{64 + slot}.0.0/16")
        if not any(bridge.overlaps(network) for network in routed) and _take(claims / str(slot), home, slot):
            return slot
    raise RegionError(
        f"all {MAX_SLOTS} slots of this machine are taken: `down --purge` a region you no longer need; "
        f"the files in {claims} name their homes"
    )


def check(home: Path, slot: int, claims: Path) -> None:
    """Renew the claim of a region that has its slot already; refuse when another one took it meanwhile."""
    claims.mkdir(parents=True, exist_ok=True)
    if not _take(claims / str(slot), home, slot):
        raise RegionError(
            f"slot {slot} of the region in {home} belongs to the region in {_holder(claims / str(slot))} now: "
            "`down --purge` one of the two; the other keeps its addresses"
        )


def release(home: Path, slot: int, claims: Path) -> None:
    if _holder(claims / str(slot)) == str(home):
        (claims / str(slot)).unlink(missing_ok=True)


def of(home: Path, claims: Path) -> int | None:
    """The slot that is claimed for a home."""
    found = [int(path.name) for path in claims.glob("*") if path.name.isdecimal() and _holder(path) == str(home)]
    return found[0] if found else None


def _take(path: Path, home: Path, slot: int) -> bool:
    holder = _holder(path)
    if holder == str(home):
        return True
    if holder and _is_valid(Path(holder), slot):
        return False
    path.unlink(missing_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(str(home))
    return True


def _holder(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _is_valid(home: Path, slot: int) -> bool:
    try:
        return msgspec.json.decode((home / SPEC).read_bytes(), type=RegionSpec).slot == slot
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, msgspec.DecodeError):
        return True  # somebody else's home that we may not read: theirs


def _routed(table: Path) -> Iterator[ipaddress.IPv4Network]:
    """Networks that leave by a link that is not a region's; the kernel prints them as little-endian hexadecimal."""
    for line in table.read_text().splitlines()[1:]:
        link, destination, _, _, _, _, _, mask = line.split()[:8]
        if not link.startswith("pc") and mask != "00000000":
            address, bits = (int.from_bytes(bytes.fromhex(word), "little") for word in (destination, mask))
            yield ipaddress.IPv4Network((address, bits.bit_count()))
