"""`pin open`: a local port that leads to a port of a replica. Every connection is a WebSocket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE, USAGE
from pincompute_sdk.cli.options import ANYWHERE, Replica, Where
from pincompute_sdk.core import websocket
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.core.websocket import Socket

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from pincompute_sdk.async_client import AsyncClient

PIECE = 64 * 1024
LINGER = 5.0  # seconds without a byte from the replica; the way to it has no sign for "that was all"


def open_(
    name: Replica,
    ports: Annotated[str, Parameter(help="LOCAL:REMOTE, or REMOTE; the first port the app declares if not given.")] = "",
    /,
    *,
    browser: Annotated[bool, Parameter(negative="", help="Open it in a browser.")] = False,
    where: Where = ANYWHERE,
) -> None:
    """Forward a local port to a replica; Ctrl-C ends it."""
    wanted = target.parse(name)
    local, remote = _ports(ports) if ports else (0, 0)
    with options.client(where) as pin:
        project = options.project(pin.context)
        app = options.workloads(pin, wanted.kind).get(project, wanted.name)
    declared = [port.port for container in app.containers for port in container.ports or ()]
    remote = remote or (declared[0] if declared else 0)
    if not remote:
        raise CommandError(f"{wanted.name} declares no port", remedy=f"`pin open {name} LOCAL:REMOTE`", code=USAGE)
    query = [("port", str(remote)), *([("replica", wanted.replica)] if wanted.replica else [])]
    path = {"project": project, "kind": wanted.kind.plural, "name": wanted.name}
    socket = Socket("/v1/projects/{project}/{kind}/{name}/forward", path, query)
    asyncio.run(_serve(options.async_client(where), socket, local, browser=browser))


def _ports(text: str) -> tuple[int, int]:
    local, _, remote = text.rpartition(":")
    if not remote.isdigit() or not (local or remote).isdigit() or not 0 < int(remote) < 65536:
        raise CommandError(f"{text!r} are no ports", remedy="write LOCAL:REMOTE, for example 8080:80", code=USAGE)
    return int(local or remote), int(remote)


async def _serve(using: AsyncClient, wanted: Socket, local: int, *, browser: bool) -> None:
    carried: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_carry(using, wanted, reader, writer))
        carried.add(task)
        task.add_done_callback(carried.discard)

    try:
        server = await asyncio.start_server(accepted, "127.0.0.1", local)
    except OSError as error:
        raise CommandError(
            f"port {local} cannot be used here", reason=error.strerror or "", remedy="name another", code=FAILURE
        ) from error
    async with using, server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sys.stdout.write(f"{address} leads to port {dict(wanted.query)['port']} of {wanted.path['name']}; Ctrl-C ends it\n")
        sys.stdout.flush()
        if browser:
            with contextlib.suppress(webbrowser.Error):
                webbrowser.open(address)
        await server.serve_forever()


async def _carry(using: AsyncClient, wanted: Socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, both ways, until either side ends. A failure ends this connection only."""
    try:
        connection = await websocket.connect(using.state, using.context.ca, wanted)
        async with connection:
            await _both(connection, reader, writer)
    except PinError as error:
        sys.stderr.write(f"error: {error}\n")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _both(connection: ClientConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the replica ends it, or has been silent for a while after the local program sent its last bytes."""
    from websockets.exceptions import ConnectionClosed

    now = asyncio.get_running_loop().time
    received = now()

    async def outward() -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            while piece := await reader.read(PIECE):
                await connection.send(piece)
            sent = now()
            while (rest := max(sent, received) + LINGER - now()) > 0:  # noqa: ASYNC110 - silence is no event
                await asyncio.sleep(rest)
            await connection.close()

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(outward())
        with contextlib.suppress(ConnectionClosed, OSError):
            async for message in connection:
                received = now()
                writer.write(message if isinstance(message, bytes) else message.encode())
                await writer.drain()
        sending.cancel()
