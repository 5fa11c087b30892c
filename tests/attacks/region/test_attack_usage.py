"""The port of a usage reader answers only to whom its member gave the right, and its accounts open nothing else."""

from __future__ import annotations

import http.client
import json
import ssl

import pytest
from live_region import Region
from terminal_user import TerminalUser

from pincompute.region.cluster import certificates
from pincompute.region.nodes.real_node import RealNode

KUBELET = 10250


def ask(region: Region, host: str, port: int, path: str, token: str) -> int:
    member = region.layout.spec.members[0]
    authority = certificates.cluster(region.layout, member.name).certificate(certificates.CA)
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=20)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().status
    finally:
        connection.close()


def token(region: Region, cluster: int, process: str) -> str:
    name = region.layout.spec.members[cluster].name
    return certificates.cluster(region.layout, name).token(process).read_text()


def test_a_usage_reader_answers_only_to_whom_its_member_gave_the_right(region: Region, dev: TerminalUser) -> None:
    port = region.layout.ports(1).usage
    asked = {
        "nobody": "",
        "a login at the gateway": dev.context().token,
        "the operator's account": token(region, 0, certificates.OPERATOR),
        "the gateway's account for everything else": token(region, 0, certificates.GATEWAY),
        "the account of another member": token(region, 1, certificates.GATEWAY_USAGE),
        "the account of this member": token(region, 0, certificates.GATEWAY_USAGE),
    }
    found = {who: ask(region, "127.0.0.1", port, "/usage", secret) for who, secret in asked.items()}
    assert list(found.values()) == [401, 401, 403, 403, 401, 200], found


@pytest.mark.parametrize("process", [certificates.USAGE, certificates.GATEWAY_USAGE])
def test_what_kubelets_and_readers_get_to_know_opens_nothing_else(region: Region, process: str) -> None:
    secret = token(region, 0, process)
    api = region.layout.ports(1).apiserver
    for path in (
        "/api/v1/pods",
        "/api/v1/secrets",
        "/api/v1/namespaces/demo/pods",
        "/apis/pincompute.io/v1alpha1/pinappshards",
    ):
        assert ask(region, region.layout.address, api, path, secret) in (403, 404), path
    node = RealNode(region.layout, region.layout.spec.members[0], region.home)
    for path in ("/pods", "/containerLogs/demo/x/y", "/run/demo/x/y", "/configz"):
        assert ask(region, node.address, KUBELET, path, secret) == 403, path


def test_figures_of_another_project_look_as_if_it_did_not_exist(region: Region, dev: TerminalUser, admin: TerminalUser) -> None:
    admin.pin("project", "create", "usage-secret", status=None)
    refused, absent = dev.pin("top", "-p", "usage-secret", status=3), dev.pin("top", "-p", "usage-nowhere", status=3)
    assert (
        refused.err.replace("usage-secret", "X").split("request:")[0]
        == absent.err.replace("usage-nowhere", "X").split("request:")[0]
    )
    assert json.loads(admin.pin("top", "-p", "usage-secret", "-o", "json").out) == {"items": []}
    admin.pin("project", "delete", "usage-secret", "--yes", status=None)
