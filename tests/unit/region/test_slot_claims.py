"""Addresses and ports follow from the slot, and no two regions share one."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path

import msgspec
import pytest

from pincompute.region import home, lifecycle, slot_claims
from pincompute.region.layout import MAX_MEMBERS, MAX_SLOTS, Layout, MemberSpec, RegionSpec
from pincompute.region.machine import port_conflicts
from pincompute.region.region_error import RegionError


def region(folder: Path, slot: int, members: int = 3) -> Layout:
    spec = RegionSpec(slot=slot, members=tuple(MemberSpec(name=f"m{i}", zone=f"z{i}", index=i) for i in range(members)))
    return Layout(folder, spec)


def networks(layout: Layout) -> list[ipaddress.IPv4Network]:
    ranges = [layout.pod_range(member) for member in layout.spec.members]
    ranges += [layout.service_range(index) for index in range(1 + len(layout.spec.members))]
    return [ipaddress.IPv4Network(text, strict=False) for text in (f"{layout.address}/24", *ranges)]


def test_no_two_networks_of_a_full_region_overlap(tmp_path: Path) -> None:
    for one, other in combinations(networks(region(tmp_path, 0, MAX_MEMBERS)), 2):
        assert not one.overlaps(other), (one, other)


def test_neighbouring_regions_share_no_network_and_no_port(tmp_path: Path) -> None:
    for slot in range(MAX_SLOTS - 1):
        here, next_door = region(tmp_path, slot, MAX_MEMBERS), region(tmp_path, slot + 1, MAX_MEMBERS)
        assert not [pair for pair in zip(networks(here), networks(next_door), strict=True) if pair[0].overlaps(pair[1])]
        numbers = [{port for _, port, _ in port_conflicts.wanted(layout)} for layout in (here, next_door)]
        assert numbers[0].isdisjoint(numbers[1])


def test_every_port_of_a_region_is_different_and_usable(tmp_path: Path) -> None:
    listeners = port_conflicts.wanted(region(tmp_path, MAX_SLOTS - 1, MAX_MEMBERS))
    numbers = [port for _, port, _ in listeners]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) < 32768, "above this the kernel hands out ports of its own accord"


def test_regions_get_different_slots_and_keep_them(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    first, second = (tmp_path / name for name in ("first", "second"))
    for place in (first, second):
        home.create(place)
        home.save(region(place, slot_claims.claim(place, claims)))
    got = [home.load(place).spec.slot for place in (first, second)]
    assert got[0] != got[1]
    assert slot_claims.claim(first, claims) == got[0]
    assert slot_claims.of(second, claims) == got[1]


def test_a_slot_is_free_again_once_its_home_is_gone(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    gone = slot_claims.claim(tmp_path / "never-made", claims)
    assert slot_claims.claim(tmp_path / "other", claims) == gone


def test_a_slot_stays_taken_while_its_new_region_has_no_specification_yet(tmp_path: Path) -> None:
    claims, new = tmp_path / "claims", tmp_path / "new"
    home.create(new)
    first = slot_claims.claim(new, claims)
    assert slot_claims.claim(tmp_path / "other", claims) != first
    long_ago = time.time() - slot_claims.FRESH
    os.utime(claims / str(first), (long_ago, long_ago))
    assert slot_claims.claim(tmp_path / "third", claims) == first, "whoever claimed it never wrote one"


def test_a_slot_stays_taken_while_its_bridge_stands(tmp_path: Path) -> None:
    """Its home was removed by hand while the region ran: another region there would end its processes with its own."""
    claims, links = tmp_path / "claims", tmp_path / "links"
    gone = slot_claims.claim(tmp_path / "removed", claims, links)
    (links / f"pc{gone}-br").mkdir(parents=True)
    assert slot_claims.claim(tmp_path / "other", claims, links) != gone
    assert slot_claims.claim(tmp_path / "removed", claims, links) == gone


def test_regions_that_come_up_at_once_get_slots_of_their_own(tmp_path: Path) -> None:
    claims, places = tmp_path / "claims", [tmp_path / f"home{number}" for number in range(8)]
    for place in places:
        home.create(place)
    with ThreadPoolExecutor(len(places)) as threads:
        slots = list(threads.map(slot_claims.claim, places, [claims] * len(places)))
    assert len(set(slots)) == len(places)


def test_a_released_slot_is_free_and_another_regions_is_not_released(tmp_path: Path) -> None:
    claims, place = tmp_path / "claims", tmp_path / "home"
    home.create(place)
    slot = slot_claims.claim(place, claims)
    home.save(region(place, slot))
    slot_claims.release(tmp_path / "stranger", slot, claims)
    assert slot_claims.of(place, claims) == slot
    slot_claims.release(place, slot, claims)
    assert slot_claims.of(place, claims) is None


def test_a_region_whose_slot_was_taken_says_by_whom(tmp_path: Path) -> None:
    claims, holder = tmp_path / "claims", tmp_path / "holder"
    home.create(holder)
    slot = slot_claims.claim(holder, claims)
    home.save(region(holder, slot))
    with pytest.raises(RegionError, match=f"slot {slot} .* belongs to the region in {holder}"):
        slot_claims.check(tmp_path / "late", slot, claims)


def test_a_damaged_specification_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / slot_claims.SPEC).write_text('{"slot": "seven"}')
    with pytest.raises(RegionError, match=r"damaged .* --purge"):
        home.load(tmp_path)


def test_a_specification_survives_being_saved(tmp_path: Path) -> None:
    layout = region(tmp_path, 3)
    grown = msgspec.structs.replace(layout.spec.members[0], simulated_nodes=7)
    layout = Layout(tmp_path, msgspec.structs.replace(layout.spec, members=(grown, *layout.spec.members[1:])))
    home.save(layout)
    assert home.load(tmp_path) == layout


def test_only_one_command_changes_a_region(tmp_path: Path) -> None:
    with home.changing(tmp_path), pytest.raises(RegionError, match="another command is changing"), home.changing(tmp_path):
        pass
    with home.changing(tmp_path):
        pass


def test_a_command_does_not_wait_for_itself_nor_for_one_that_was_killed(tmp_path: Path) -> None:
    """The kernel says who holds the lock, whatever is in the file."""
    (tmp_path / home.LOCK).write_text("1")
    for own in (nullcontext(), home.changing(tmp_path)):
        with own, pytest.raises(RegionError, match="is not up: `pincompute region up`"):
            lifecycle.supervised(tmp_path, "status")


def test_a_region_that_is_being_removed_is_not_told_to_come_up(tmp_path: Path) -> None:
    (tmp_path / "pincompute").write_text("import sys, pathlib\nfrom pincompute.region import home\n" + REMOVING)
    command = (sys.executable, str(tmp_path / "pincompute"), "region", "down")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as other:
        assert other.stdout is not None
        other.stdout.readline()
        told = rf"`pincompute region down` \(process {other.pid}\) is changing the region in .*: wait until it has ended$"
        with pytest.raises(RegionError, match=told):
            lifecycle.supervised(tmp_path, "status")
        other.communicate(b"\n")
    with pytest.raises(RegionError, match="is not up: `pincompute region up`"):
        lifecycle.supervised(tmp_path, "status")


REMOVING = """
with home.changing(pathlib.Path.cwd()):
    print("changing", flush=True)
    sys.stdin.readline()
"""
