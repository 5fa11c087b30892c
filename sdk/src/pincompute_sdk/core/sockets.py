"""WebSocket connections to the gateway: shells, and tunnels for port-forward.

Frames of a shell: binary ones begin with a channel byte (0 input, 1 output, 2 errors, 3 result, 4 size), as Kubernetes' clients
speak; the result is JSON, `{"exitCode": 0}` or a problem document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from pincompute_sdk.core import drivers, failures
from pincompute_sdk.core.exchange import Session
from pincompute_sdk.core.messages import Answer, Request

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

INPUT, OUTPUT, ERRORS, RESULT, SIZE = range(5)
KEEP_ALIVE = 20.0  # seconds between pings; proxies cut what is silent for a minute
OPENING = 15.0
LARGEST = 1 << 20  # bytes of one frame


async def connect(
    session: Session, ca: str, path: Mapping[str, str], route: str, query: list[tuple[str, str]]
) -> ClientConnection:
    """An open connection; a refusal is the error its problem document says."""
    from websockets.asyncio.client import connect as open_socket
    from websockets.exceptions import InvalidStatus, WebSocketException

    url = _url(session.server, route, path, query)
    headers = dict(session.dressed(Request("GET", route)).headers)
    agent = headers.pop("User-Agent")
    try:
        return await open_socket(
            url,
            additional_headers=headers,
            user_agent_header=agent,
            ssl=drivers.trust(ca) if url.startswith("wss:") else None,
            open_timeout=OPENING,
            ping_interval=KEEP_ALIVE,
            max_size=LARGEST,
            compression=None,
        )
    except InvalidStatus as error:
        head = {name.lower(): value for name, value in error.response.headers.raw_items()}
        raise failures.error(session, Answer(error.response.status_code, head, bytes(error.response.body or b""))) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise failures.error(session, drivers.failed(error)) from error


def _url(server: str, route: str, path: Mapping[str, str], query: list[tuple[str, str]]) -> str:
    split = urlsplit(server)
    filled = route
    for name, value in path.items():
        filled = filled.replace("{" + name + "}", quote(value, safe=""))
    scheme = "wss" if split.scheme == "https" else "ws"
    return urlunsplit((scheme, split.netloc, split.path.rstrip("/") + filled, urlencode(query), ""))
