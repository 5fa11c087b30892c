"""Renders an app as a tree of zones, replicas and containers, with the same lines on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pincompute_sdk.cli import rollout_lines
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.human_values import age, count
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.generated.kinds import Workload
from pincompute_sdk.generated.models import ReplicaStatus, ZoneStatus
from pincompute_sdk.images import image_name

BAR = 12  # cells of a zone's bar
AGE = "age"
STOPPING = "Stopping"  # the state of a replica that ends, perhaps beside the one that replaces it


@dataclass(frozen=True, slots=True)
class TreeLine:
    """`indent` draws the tree; parts are pairs of text and style."""

    indent: str
    parts: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        """A message of several lines would look like branches of the tree."""
        object.__setattr__(self, "parts", tuple((" ".join(text.split("\n")), style) for text, style in self.parts))

    @property
    def text(self) -> str:
        return terminal.visible(self.indent + "".join(text for text, _ in self.parts))

    @property
    def state(self) -> str:
        """The text without ages, which change although nothing happens."""
        return self.indent + "".join(text for text, style in self.parts if style != AGE)


def lines(app: Workload, replicas: Sequence[ReplicaStatus], advice: Sequence[str] = ()) -> list[TreeLine]:
    """`advice` stands before the zones, so that a terminal which is too small for all zones shows it."""
    told = (*rollout_lines.of(app), *(((line, ""),) for line in advice))
    return [*_head(app), *(TreeLine("", parts) for parts in told), *_zones(app, replicas)]


def wanted(app: Workload) -> int:
    """Replicas that should run: one for a kind without a number, none for a stopped workload."""
    return 0 if app.stopped else getattr(app, "replicas", 1)


def _head(app: Workload) -> Iterator[TreeLine]:
    status = app.status
    state = "Deleting" if app.deleting else status.state if status else "Pending"
    ready = f"  {status.ready if status else 0}/{wanted(app)} ready"
    yield TreeLine("", ((app.name, "bold"), ("  ", ""), (state, terminal.style_of(state)), (ready, "")))
    images = ", ".join(image_name.shown(container.image or "?") for container in app.containers)
    yield TreeLine("", ((" · ".join((app.project, app.tier, *_revision(app), images)), "dim"),))
    if status and status.unplaced:
        yield TreeLine("", ((f"no place for {status.unplaced} of {count(wanted(app), 'replica')}", "yellow"),))
    if status and status.message:
        yield TreeLine("", ((status.message, "yellow" if state != "Running" else ""),))


def _revision(app: Workload) -> Iterator[str]:
    """The images are those that are wanted; the revision is the one that the platform saw last."""
    status = app.status
    if status is None or not status.revision:
        return
    yield f"revision {status.revision}" if status.settled else f"last observed revision {status.revision}"


def _zones(app: Workload, replicas: Sequence[ReplicaStatus]) -> Iterator[TreeLine]:
    zones = app.status.zones if app.status else ()
    for index, zone in enumerate(zones):
        last = index == len(zones) - 1
        yield TreeLine("└─ " if last else "├─ ", _zone(zone))
        deeper = "   " if last else "│  "
        if zone.message and zone.message not in (app.status.message if app.status else ""):
            yield TreeLine(deeper, ((zone.message, "yellow"),))
        inside = [replica for replica in replicas if replica.zone == zone.zone]
        for number, replica in enumerate(inside):
            yield from _replica(replica, deeper, last=number == len(inside) - 1)


def _zone(zone: ZoneStatus) -> tuple[tuple[str, str], ...]:
    wanted = max(zone.wanted, zone.replicas)
    style = "green" if zone.ready >= zone.wanted else "yellow"
    old = zone.replicas - zone.updated
    parts = [(f"{zone.zone}  ", "bold"), *_bars(zone, wanted, style), (f"  {zone.ready}/{zone.wanted} ready", "")]
    if old > 0:
        parts.append((f", {zone.updated} new, {old} old", "yellow"))
    if zone.unreachable:
        parts.append(("  does not answer: last known figures", "red"))
    return tuple(parts)


def _bars(zone: ZoneStatus, whole: int, style: str) -> Iterator[tuple[str, str]]:
    """Yields the bar of a zone. In the middle of an update it shows new replicas, then old ones, then missing ones."""
    if zone.updated >= zone.replicas or whole <= 0:
        yield bar(zone.ready, whole), style
        return
    new = zone.updated * BAR // whole
    old = min(BAR, zone.replicas * BAR // whole) - new
    yield "█" * new, "green"
    yield "▒" * old, "cyan"
    yield "░" * (BAR - new - old), style


def bar(done: int, whole: int) -> str:
    filled = BAR if whole <= 0 else min(BAR, done * BAR // whole)
    return "█" * filled + "░" * (BAR - filled)


def _replica(replica: ReplicaStatus, indent: str, *, last: bool) -> Iterator[TreeLine]:
    reason = f"  {replica.reason}" if replica.reason else ""
    old = f"  {age(replica.started)}" if replica.started else ""
    parts = (
        (replica.name, ""),
        ("  ", ""),
        (replica.state, terminal.style_of(replica.state)),
        (old, AGE),
        (reason, "yellow"),
    )
    yield TreeLine(indent + ("└─ " if last else "├─ "), parts)
    if replica.state == STOPPING:
        return  # its containers end, whatever they are in
    deeper = indent + ("   " if last else "│  ")
    for number, container in enumerate(replica.containers):
        mark = "└─ " if number == len(replica.containers) - 1 else "├─ "
        restarts = f"  {count(container.restarts, 'restart')}" if container.restarts else ""
        why = f"  {container.reason}" if container.reason else ""
        state = (container.state, terminal.style_of(container.state))
        owner = "  platform" if container.platform else ""
        parts = ((container.name, ""), (owner, "dim"), ("  ", ""), state, (restarts, "yellow"), (why, "red"))
        yield TreeLine(deeper + mark, parts)


def write(drawn: Sequence[TreeLine]) -> None:
    """Writes the tree once. Only on a terminal, which would break the tree, long lines are cut."""
    room = terminal.width() if terminal.interactive() else 0
    for line in drawn:
        terminal.out(*cut(line, room))


def cut(line: TreeLine, room: int) -> list[Styled]:
    """The parts of the line that have room."""
    left = room - len(line.indent) if room else 10_000
    said = [Styled(line.indent, "dim")] if line.indent else []
    for raw, style in line.parts:
        text = terminal.visible(raw)
        if left <= 0:
            break
        if not text:
            continue
        shown = text if len(text) <= left else text[: max(0, left - 1)] + "…"
        said.append(Styled(shown, "dim" if style == AGE else style))
        left -= len(shown)
    return said
