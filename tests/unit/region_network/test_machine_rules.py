"""What the machine takes from a region's bridge, and that it tracks none of it."""

from __future__ import annotations

import re
from pathlib import Path

from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.nodes import node_network

MEMBERS = (MemberSpec(name="a1", zone="a", index=0), MemberSpec(name="b1", zone="b", index=1))
OWNER = 1000
LAYOUT = Layout(Path("/srv/home"), RegionSpec(slot=3, members=MEMBERS))


def rules(chain: str, layout: Layout = LAYOUT) -> list[str]:
    begin = f"add rule inet pincompute_pc3 {chain} "
    return [
        line.removeprefix(begin) for line in node_network.machine_rules(layout, OWNER).splitlines() if line.startswith(begin)
    ]


def ports(chain: str, end: str) -> set[tuple[str, str]]:
    """Protocol and port of everything that a chain accepts or does not track."""
    found = (re.search(r"(tcp|udp) [sd]port (?:{ (.*?) }|(\d+))", rule) for rule in rules(chain) if rule.endswith(end))
    return {(match[1], port) for match in found if match for port in (match[2] or match[3]).split(", ")}


def test_what_the_machine_takes_from_the_bridge_is_tracked_in_neither_direction() -> None:
    taken = ports("input", "accept")
    assert ("udp", str(LAYOUT.ports(1).dns)) in taken
    assert ports("untracked_in", "notrack") == ports("untracked_out", "notrack") == taken


def test_what_passes_through_is_not_tracked() -> None:
    assert rules("untracked_in")[0] == 'iifname "pc3-br" fib daddr type != local notrack'


def test_answers_to_the_machine_are_known_by_their_connection() -> None:
    assert rules("input")[:2] == ['iifname != "pc3-br" accept', "ct state established,related ct direction reply accept"]
    assert rules("input")[-1] == "drop"


def test_a_region_without_members_has_rules_too() -> None:
    empty = Layout(Path("/srv/home"), RegionSpec(slot=3, members=()))
    assert all("{  }" not in rule for chain in ("input", "untracked_in", "untracked_out") for rule in rules(chain, empty))


def test_only_root_and_the_owner_of_the_region_reach_what_is_on_the_bridge() -> None:
    assert rules("accounts") == ['oifname "pc3-br" meta skuid != { 0, 1000 } reject with icmpx type admin-prohibited']
