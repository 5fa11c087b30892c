"""What the table of a node says about connections, in the text that the kernel gets."""

from __future__ import annotations

import re

from pods_network import ADDRESSING

from pincompute.region.network_policy import nft_script
from pincompute.region.network_policy.nft_script import CONNECTIONS
from pincompute.region.network_policy.policy_state import RuleChange


def script(pods: int = 0) -> list[str]:
    addresses = (f"10.77.{16 + number // 250}.{1 + number % 250}" for number in range(pods))
    return nft_script.whole(ADDRESSING, RuleChange(elements={("ingress", each): "accept" for each in addresses})).splitlines()


def rules(table: str, chain: str, pods: int = 0) -> list[str]:
    begin = f"add rule {table} {chain} "
    return [line.removeprefix(begin) for line in script(pods) if line.startswith(begin)]


def test_the_first_packet_of_each_connection_is_counted_and_no_other():
    *passed, new, together = rules(CONNECTIONS, "from_pods")
    assert passed == ['iifname != "cni0" accept', "ct status confirmed accept", "ct state untracked accept"]
    assert new == "add @new { ip saddr limit rate over 2000/second burst 2000 packets } counter drop"
    assert together == "add @open { ip saddr ct count over 1024 } counter drop"


def test_connections_are_counted_after_policies_have_judged_them():
    found = (re.match(r"add chain (.*) \{ type filter hook forward priority filter - (\d+);", line) for line in script())
    distance = {match[1]: int(match[2]) for match in found if match}
    assert min(distance, key=lambda chain: distance[chain]) == f"{CONNECTIONS} from_pods"


def test_as_many_rules_judge_one_pod_as_a_thousand():
    assert rules(CONNECTIONS, "from_pods", pods=1000) == rules(CONNECTIONS, "from_pods", pods=1)


def test_every_address_of_the_node_has_room_in_the_sets():
    sets = [line for line in script() if line.startswith(f"add set {CONNECTIONS}")]
    assert len(sets) == 2
    assert all("size 4096;" in line for line in sets)


def test_what_is_counted_outlives_the_other_table():
    assert f"delete table {nft_script.TABLE}" in script()
    assert not [line for line in script() if line.startswith("delete") and CONNECTIONS in line]
    assert f"flush chain {CONNECTIONS} from_pods" in script()
