"""Connects to the region's registry as the administrator of its machine, with tokens that the home's key signs.

No gateway has to run for it.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey
from pincompute_sdk.generated.models import RegistryToken
from pincompute_sdk.images.registry_client import RegistryClient
from pincompute_sdk.images.registry_connection import RegistryConnection, Scopes

from pincompute.api.labels import ADMINISTRATOR, HOST
from pincompute.domain import registry_access
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout

SECONDS = 60.0  # without a byte


@contextmanager
def connect(layout: Layout) -> Generator[RegistryClient]:
    """The client, until the end of the block."""
    authority = certificates.cluster(layout, HOST).certificate(certificates.CA)
    trust = ssl.create_default_context(cafile=authority)
    url = f"https://{layout.registry}"
    with httpx2.Client(base_url=url, verify=trust, timeout=SECONDS, trust_env=False) as http:

        def issue(scopes: Scopes) -> RegistryToken:
            return _token(layout, scopes)

        yield RegistryClient(RegistryConnection(layout.registry, http, issue))


def _token(layout: Layout, scopes: Scopes) -> RegistryToken:
    """Allows what is asked for."""
    key = ECKey.import_key(certificates.registry(layout).token_key.read_text())
    now = datetime.now(UTC)
    asked = registry_access.parse(scopes)
    claims = registry_access.claims(ADMINISTRATOR, asked, int(now.timestamp()), secrets.token_hex(16))
    signed = jwt.encode({"alg": registry_access.ALGORITHM, "kid": key.thumbprint()}, claims, key)
    return RegistryToken(token=signed, access_token=signed, expires_in=registry_access.LIFETIME, issued_at=now)
