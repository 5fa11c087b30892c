"""`pin open`: a local port that leads to a port of a replica. Every connection is a WebSocket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE, USAGE
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.core import websocket
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.core.websocket import Socket

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from pincompute_sdk.async_client import AsyncClient
    from pincompute_sdk.generated.kinds import Workload
    from pincompute_sdk.generated.models import Port

PIECE = 64 * 1024
LAST = 65535
UNPRIVILEGED = 1024  # the first port that needs no rights of the machine
ENDED_WELL = (None, 1000, 1005)  # close codes of WebSockets; None: it was left open, and this side ended it
LINGER = 5.0  # seconds without a byte from the replica; the way to it has no sign for "that was all"


def open_(
    name: Annotated[str, Parameter(help="An app, NAME/REPLICA, or unit/NAME; :PORT chooses a port of it.")],
    ports: Annotated[str, Parameter(help="LOCAL:REMOTE, or REMOTE; the first port the app declares if not given.")] = "",
    /,
    *,
    browser: Annotated[bool, Parameter(negative="", help="Open it in a browser.")] = False,
    where: Where = ANYWHERE,
) -> None:
    """Forward a local port to a replica; Ctrl-C ends it."""
    whole, _, port = name.rpartition(":") if ":" in name else (name, "", "")
    if port and ports:
        raise CommandError(f"{name!r} and {ports!r} both name a port", remedy="name it once", code=USAGE)
    wanted = target.parse(whole)
    asked = _ports(ports) if ports else PortPair(None, _ports(port).remote) if ":" in name else PortPair()
    with options.client(where) as pin:
        project = options.project(pin.context)
        with target.explained(pin, project, wanted):
            app = options.workloads(pin, wanted.kind).get(project, wanted.name)
    remote = _remote(asked.remote, app, name)
    if app.status and not app.status.ready:
        terminal.err(f"warning: no replica of {wanted.name} is ready; connections fail until one is")
    query = [("port", str(remote)), *([("replica", wanted.replica)] if wanted.replica else [])]
    path = {"project": project, "kind": wanted.kind.plural, "name": wanted.name}
    socket = Socket("/v1/projects/{project}/{kind}/{name}/forward", path, query)
    local = _usual(remote) if asked.local is None else asked.local
    forward = Forward(socket, local, _leads_to(wanted, project, remote))
    asyncio.run(_serve(options.async_client(where), forward, browser=browser))


@dataclass(frozen=True, slots=True)
class Forward:
    """`local` is the port that is wanted here, 0 for any; `leads_to` says in words what is behind it."""

    socket: Socket
    local: int
    leads_to: str


@dataclass(frozen=True, slots=True)
class PortPair:
    """`local` is None where the user names none; `remote` is a number or the name of a port of the app, or empty."""

    local: int | None = None
    remote: str = ""


def _ports(text: str) -> PortPair:
    local, _, remote = text.rpartition(":")
    local = local or (remote if remote.isdigit() else "")
    if local and not local.isdigit():
        raise _no_port(text)
    numbers_fit = 0 <= int(local or 0) <= LAST and 0 < int(remote if remote.isdigit() else 1) <= LAST
    if not remote or not numbers_fit:
        raise _no_port(text)
    return PortPair(int(local) if local else None, remote)


def _remote(asked: str, app: Workload, name: str) -> int:
    """The port of the replica: a number, or one that the app declares; without either, the first that it declares."""
    declared = [each for container in app.containers for each in container.ports or ()]
    if not asked:
        if not declared:
            raise CommandError(f"{app.name} declares no port", remedy=f"`pin open {name}:PORT`", code=USAGE)
        return declared[0].port
    if asked.isdigit():
        return int(asked)
    if found := next((each.port for each in declared if each.name == asked), 0):
        return found
    raise _no_port(asked, f"ports of {app.name}: {_named(declared)}" if declared else f"{app.name} declares no port")


def _no_port(text: str, reason: str = "") -> CommandError:
    remedy = "write a number from 1 to 65535, the name of a port of the app, or LOCAL:REMOTE, for example 8080:80"
    return CommandError(f"{text!r} is no port", reason=reason, remedy=remedy, code=USAGE)


def _named(ports: Sequence[Port]) -> str:
    return ", ".join(f"{each.name or ''} {each.port}".strip() for each in ports)


def _usual(remote: int) -> int:
    """The same number here, where every user may have it."""
    return remote if remote >= UNPRIVILEGED else 0


def _leads_to(wanted: WorkloadTarget, project: str, port: int) -> str:
    one = f"{wanted.name}/{wanted.replica}" if wanted.replica else f"{wanted.name}, at a ready replica"
    return f"port {port} of {one}, in project {project}"


async def _listen(accepted: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None], local: int) -> asyncio.Server:
    """Listens at the port that is wanted, or else at a free one and says so."""
    try:
        return await asyncio.start_server(accepted, "127.0.0.1", local)
    except OSError as error:
        if not local:
            raise CommandError("no port can be used here", reason=error.strerror or "", code=FAILURE) from error
        why = "is in use" if error.errno == errno.EADDRINUSE else "cannot be used"
        terminal.err(f"port {local} {why} on this machine; a free one takes its place")
        return await _listen(accepted, 0)


async def _serve(using: AsyncClient, wanted: Forward, *, browser: bool) -> None:
    """Until it is cancelled. Connections end first: since Python 3.12 a server waits for them."""
    carried: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_carry(using, wanted.socket, reader, writer))
        carried.add(task)
        task.add_done_callback(carried.discard)

    async with using:
        server = await _listen(accepted, wanted.local)
        try:
            _tell(server, wanted, browser=browser)
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            for task in carried:
                task.cancel()
            await asyncio.gather(*carried, return_exceptions=True)


def _tell(server: asyncio.Server, wanted: Forward, *, browser: bool) -> None:
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    terminal.out(f"{address} leads to {wanted.leads_to}; Ctrl-C ends it")
    sys.stdout.flush()
    if browser:
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(address)


async def _carry(using: AsyncClient, wanted: Socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, both ways, until either side ends. A failure ends this connection only."""
    try:
        connection = await websocket.connect(using.state, using.context.ca, wanted)
        async with connection:
            await _both(connection, reader, writer)
        if connection.close_code not in ENDED_WELL:
            terminal.err(f"error: {connection.close_reason or 'the connection to the replica has ended'}")
    except PinError as error:
        terminal.err(f"error: {error}")
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
