"""Issues the service-account tokens with which the platform's own processes log in at the API servers of a region.

An API server checks a token once in ten seconds, but a client certificate at every request, which costs it 0.2 ms. Each
process rereads its token's file when it changes, so a renewed token needs no restart. Delete a service account to revoke its
token.

    pki/CLUSTER/PROCESS.token
"""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pincompute.api.labels import HOST, SYSTEM_NAMESPACE, service_account
from pincompute.api.meta import Object
from pincompute.kube.api_client import ApiClient
from pincompute.region import atomic_files
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout

AUTHENTICATION = "authentication.k8s.io/v1"
ON_HOST = (certificates.FEDERATION, certificates.GATEWAY)
IN_MEMBER = (
    certificates.FEDERATION,
    certificates.GATEWAY,
    certificates.OPERATOR,
    certificates.USAGE,
    certificates.GATEWAY_USAGE,
)


class _BoundAccount(msgspec.Struct, frozen=True):
    uid: str


class _KubernetesClaims(msgspec.Struct, frozen=True):
    serviceaccount: _BoundAccount


class _Claims(msgspec.Struct, frozen=True):
    """What a token says about itself; `exp` is in seconds since the epoch."""

    exp: float
    kubernetes: _KubernetesClaims = msgspec.field(name="kubernetes.io")


class _TokenStatus(msgspec.Struct, frozen=True):
    token: str


class _TokenRequest(msgspec.Struct, frozen=True):
    status: _TokenStatus


class _ReviewStatus(msgspec.Struct, frozen=True):
    authenticated: bool = False


class _TokenReview(msgspec.Struct, frozen=True):
    status: _ReviewStatus


async def issue(client: ApiClient, layout: Layout, cluster: str) -> None:
    """Requests what is missing, near its expiry, bound to an account that was deleted and made again, or not accepted."""
    enforcer = (certificates.NETWORK,) if layout.spec.real_nodes else ()
    for process in ON_HOST if cluster == HOST else (*IN_MEMBER, *enforcer):
        await _ensure(client, certificates.cluster(layout, cluster).token(process), service_account(process))


async def _ensure(client: ApiClient, file: Path, account: str) -> None:
    path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/serviceaccounts/{account}"
    present = msgspec.json.decode(await client.request("GET", path), type=Object).metadata.uid
    held = await asyncio.to_thread(_read, file)
    if _is_bound(held, present, datetime.now(UTC)) and await _is_accepted(client, held):
        return
    wanted: dict[str, Any] = {"spec": {"expirationSeconds": int(certificates.LEAF_LIFE.total_seconds())}}
    answer = await client.request("POST", f"{path}/token", body=msgspec.json.encode(wanted))
    atomic_files.write(file, msgspec.json.decode(answer, type=_TokenRequest).status.token.encode())


async def _is_accepted(client: ApiClient, token: str) -> bool:
    """Whether the cluster's present key signed the token."""
    review = {"apiVersion": AUTHENTICATION, "kind": "TokenReview", "spec": {"token": token}}
    answer = await client.request("POST", f"/apis/{AUTHENTICATION}/tokenreviews", body=msgspec.json.encode(review))
    return msgspec.json.decode(answer, type=_TokenReview).status.authenticated


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _is_bound(token: str, account_uid: str, now: datetime) -> bool:
    """Whether the token names this account and is valid for a while, by its own words."""
    try:
        _, claims, _ = token.split(".")
        held = msgspec.json.decode(base64.urlsafe_b64decode(claims + "=="), type=_Claims)
    except (ValueError, msgspec.MsgspecError):
        return False
    expires = datetime.fromtimestamp(held.exp, UTC)
    return held.kubernetes.serviceaccount.uid == account_uid and expires - certificates.RENEW_BEFORE > now
