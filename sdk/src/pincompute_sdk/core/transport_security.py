"""Protects tokens on their way to a server: no plain HTTP but to this machine, and only certificates of trusted authorities."""

from __future__ import annotations

import ipaddress
import ssl
from urllib.parse import urlsplit

import httpx2

from pincompute_sdk.core.errors import ConfigurationError


def check_address(url: str) -> None:
    """Raises ConfigurationError for an address on the way to which others could read a token: not TLS, nor this machine."""
    try:
        scheme, hosts = urlsplit(url).scheme, (urlsplit(url).hostname or "", httpx2.URL(url).host)
    except (ValueError, httpx2.InvalidURL) as error:
        raise ConfigurationError(f"{url} is not an address", reason=str(error), remedy="write https://HOST:PORT") from error
    if scheme not in ("https", "http") or not all(hosts):
        raise ConfigurationError(f"{url} is not an address", remedy="write it with its scheme: https://HOST:PORT")
    if scheme == "http" and not all(map(_is_loopback, hosts)):
        raise ConfigurationError(
            f"{url} is not encrypted, so others could read your token on the way", remedy="write https:// instead of http://"
        )


def may_use_proxy(url: str) -> bool:
    """Returns whether a proxy may be used. Plain HTTP stays on this machine, so it goes through none."""
    return urlsplit(url).scheme == "https"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trust(ca: str) -> ssl.SSLContext:
    """Returns a TLS context that trusts the system's authorities, and the one in `ca`, a PEM file, if it is named."""
    context = ssl.create_default_context()
    if not ca:
        return context
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the authority file {ca} cannot be used", reason=str(error), remedy="name a PEM file (PINCOMPUTE_CA, --ca)"
        ) from error
    return context
