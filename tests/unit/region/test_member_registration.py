"""Each process gets a Secret of its own with its own credentials in a member."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import yaml

from pincompute.api.labels import FEDERATION, GATEWAY, GATEWAY_USAGE, OPERATOR
from pincompute.region.cluster import certificates, member_registration
from pincompute.region.layout import Layout, MemberSpec, RegionSpec


def test_a_secret_holds_the_token_of_one_process(tmp_path: Path) -> None:
    member = MemberSpec(name="a1", zone="a", index=0)
    layout = Layout(tmp_path, RegionSpec(slot=0, members=(member,)))
    certificates.issue(layout, datetime.now(UTC))
    for process in (FEDERATION, GATEWAY, OPERATOR, GATEWAY_USAGE):
        certificates.cluster(layout, "a1").token(process).write_text(f"token of {process}")
    made = member_registration.filled_secrets(layout, member)
    held = {s["metadata"]["namespace"]: yaml.safe_load(s["stringData"]["kubeconfig"])["users"][0]["user"] for s in made}
    assert held == {
        "pincompute-federation": {"token": "token of federation"},
        "pincompute-gateway": {"token": "token of gateway"},
    }
    usage = {s["metadata"]["namespace"]: yaml.safe_load(s["stringData"].get("usage", "{}")) for s in made}
    assert usage["pincompute-federation"] == {}
    assert usage["pincompute-gateway"]["users"][0]["user"] == {"token": "token of gateway-usage"}
    assert usage["pincompute-gateway"]["clusters"][0]["cluster"]["server"] == layout.usage_url(1)
    assert {s["metadata"]["name"] for s in made} == {member_registration.member_cluster(member)["spec"]["kubeconfig"]["name"]}
    assert [s["metadata"] for s in made] == [s["metadata"] for s in member_registration.secrets(member)]
