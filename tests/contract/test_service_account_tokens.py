"""The platform's processes log in with tokens of their service accounts. A token is kept while it is valid."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from real_api_server import TOKEN, RealServer

from pincompute import installation
from pincompute.api.labels import SYSTEM_NAMESPACE
from pincompute.kube import api_errors
from pincompute.kube.api_client import ApiClient
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.region.cluster import certificates, service_account_tokens
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import Layout, RegionSpec

pytestmark = pytest.mark.region
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCOUNT = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/serviceaccounts/pincompute-operator"


async def test_a_token_names_its_process_and_follows_its_account(real_server: RealServer, tmp_path: Path) -> None:
    layout = Layout(tmp_path, RegionSpec(slot=0, members=(), real_nodes=False))
    token = certificates.cluster(layout, "a1").token(certificates.OPERATOR)
    async with (
        ApiClient(ClusterConfig(real_server.url, verify=False, token=TOKEN), name="a1") as admin,
        ApiClient(ClusterConfig(real_server.url, verify=False, token_file=token), name="a1") as operator,
    ):
        await Installer(admin).apply_all(m for m in installation.of("member") if m["kind"] in ("Namespace", "ServiceAccount"))
        await service_account_tokens.issue(admin, layout, "a1")
        assert token.stat().st_mode & 0o077 == 0
        assert await _user(operator) == f"system:serviceaccount:{SYSTEM_NAMESPACE}:pincompute-operator"
        first = token.read_bytes()
        await service_account_tokens.issue(admin, layout, "a1")
        assert token.read_bytes() == first

        await admin.request("DELETE", ACCOUNT)
        await Installer(admin).apply_all(m for m in installation.of("member") if m["kind"] == "ServiceAccount")
        await service_account_tokens.issue(admin, layout, "a1")
        assert token.read_bytes() != first
        assert await _user(operator) == f"system:serviceaccount:{SYSTEM_NAMESPACE}:pincompute-operator"


@pytest.mark.parametrize("content", [b"", b"a.b", b"a.b.c", b"a.e30.c"])
async def test_a_damaged_token_is_replaced(real_server: RealServer, tmp_path: Path, content: bytes) -> None:
    layout = Layout(tmp_path, RegionSpec(slot=0, members=(), real_nodes=False))
    token = certificates.cluster(layout, "a1").token(certificates.FEDERATION)
    token.parent.mkdir(parents=True)
    token.write_bytes(content)
    async with ApiClient(ClusterConfig(real_server.url, verify=False, token=TOKEN), name="a1") as admin:
        await Installer(admin).apply_all(m for m in installation.of("member") if m["kind"] in ("Namespace", "ServiceAccount"))
        await service_account_tokens.issue(admin, layout, "a1")
    async with ApiClient(ClusterConfig(real_server.url, verify=False, token_file=token), name="a1") as federation:
        assert await _user(federation) == f"system:serviceaccount:{SYSTEM_NAMESPACE}:pincompute-federation"


async def test_a_token_of_a_former_key_is_replaced(real_server: RealServer, tmp_path: Path) -> None:
    """Who removes the key of service accounts revokes all tokens; the next `up` makes them anew."""
    layout = Layout(tmp_path, RegionSpec(slot=0, members=(), real_nodes=False))
    token = certificates.cluster(layout, "a1").token(certificates.FEDERATION)
    async with ApiClient(ClusterConfig(real_server.url, verify=False, token=TOKEN), name="a1") as admin:
        await Installer(admin).apply_all(m for m in installation.of("member") if m["kind"] in ("Namespace", "ServiceAccount"))
        await service_account_tokens.issue(admin, layout, "a1")
        head, claims, _ = token.read_text().split(".")
        token.write_text(f"{head}.{claims}.{base64.urlsafe_b64encode(bytes(256)).decode().rstrip('=')}")
        await service_account_tokens.issue(admin, layout, "a1")
    async with ApiClient(ClusterConfig(real_server.url, verify=False, token_file=token), name="a1") as federation:
        assert await _user(federation) == f"system:serviceaccount:{SYSTEM_NAMESPACE}:pincompute-federation"


@pytest.mark.parametrize(("days", "kept"), [(31, True), (29, False), (-1, False)])
def test_a_token_near_its_expiry_is_renewed(days: int, kept: bool) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    claims = {"exp": (now + timedelta(days=days)).timestamp(), "kubernetes.io": {"serviceaccount": {"uid": "u"}}}
    token = f"head.{base64.urlsafe_b64encode(msgspec.json.encode(claims)).decode().rstrip('=')}.signature"
    assert service_account_tokens._is_bound(token, "u", now) is kept


async def test_a_process_waits_for_its_token(real_server: RealServer, tmp_path: Path) -> None:
    """Programs start side by side, so that a process may start before its account exists."""
    config = ClusterConfig(real_server.url, verify=False, token_file=tmp_path / "operator.token")
    async with ApiClient(config, name="a1") as operator:
        with pytest.raises(api_errors.Unreachable, match=r"operator\.token: cannot be read"):
            await operator.request("GET", "/readyz", attempts=1)
        (tmp_path / "operator.token").write_text(TOKEN)
        assert await operator.request("GET", "/readyz") == b"ok"


async def _user(client: ApiClient) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await client.request("POST", REVIEW, body=msgspec.json.encode(body))
    return msgspec.json.decode(answer)["status"]["userInfo"]["username"]
