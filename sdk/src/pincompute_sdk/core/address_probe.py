"""Finds out what listens at an address that gave no answer, so that the error names the wrong scheme or port."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

PATIENCE = 2.0  # seconds
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
Listener: TypeAlias = Literal["tls", "http", "other", "unknown"]


def listener(url: str) -> Listener:
    """What speaks there; unknown when it cannot be reached or says nothing. No token and no certificate is involved."""
    split = urlsplit(url)
    try:
        place = (split.hostname or "", split.port or (443 if split.scheme == "https" else 80))
        if _speaks_tls(place):
            return "tls"
        with socket.create_connection(place, PATIENCE) as connection:
            connection.sendall(REQUEST)
            said = _first_bytes(connection)
    except (OSError, ValueError):
        return "unknown"
    if not said:
        return "unknown"
    return "http" if said.startswith(b"HTTP/") else "other"


def _speaks_tls(place: tuple[str, int]) -> bool:
    asking = ssl.create_default_context()
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(place, PATIENCE) as connection:
        try:
            asking.wrap_socket(connection, server_hostname=place[0]).close()
        except OSError:
            return False
    return True


def _first_bytes(connection: socket.socket) -> bytes:
    """What a server says first; a reset behind it takes nothing back."""
    with suppress(OSError):
        return connection.recv(16)
    return b""
