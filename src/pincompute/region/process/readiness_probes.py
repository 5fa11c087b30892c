"""Probes whether a program is ready, and whether it answers at all. Probes use no library, so the supervisor stays small."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from pincompute.region.process.program import FileReady, HttpReady, Ready, TcpReady

PROBE = 2.0  # seconds that one probe may take


async def obstacle(ready: Ready) -> str:
    """Why the program is not ready yet; empty when it is."""
    try:
        async with asyncio.timeout(PROBE):
            return await _probe(ready)
    except TimeoutError:
        return f"no answer within {PROBE:g} s"
    except (OSError, ssl.SSLError, ValueError) as error:
        return str(error) or type(error).__name__


async def answers(http: HttpReady, seconds: float) -> bool:
    """Whether an answer comes within so many seconds, whatever it says."""
    try:
        async with asyncio.timeout(seconds):
            return len(await _status(http)) > 1
    except (OSError, ssl.SSLError, ValueError):  # a TimeoutError is an OSError
        return False


async def _probe(ready: Ready) -> str:
    match ready:
        case FileReady(path=path):
            return _missing(Path(path))
        case TcpReady(host=host, port=port):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return ""
        case HttpReady():
            return await _get(ready)


def _missing(path: Path) -> str:
    return "" if path.exists() else f"{path} does not exist yet"


async def _get(ready: HttpReady) -> str:
    status = await _status(ready)
    if len(status) < 2:
        return "the answer is not HTTP"
    return "" if status[1] == b"200" else f"answers {status[1].decode(errors='replace')}"


async def _status(ready: HttpReady) -> list[bytes]:
    """Returns the words of the answer's first line."""
    url = urlsplit(ready.url)
    context = _context(ready) if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port or 80, ssl=context)
    try:
        writer.write(f"GET {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).split()
    finally:
        writer.close()


def _context(ready: HttpReady) -> ssl.SSLContext:
    """Without an authority the server is one on loopback with a certificate it made itself: not verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ready.ca:
        context.load_verify_locations(ready.ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if ready.cert:
        context.load_cert_chain(ready.cert, ready.key)
    return context
