"""Describes an update in progress: its step, the turns of the zones, what it waits for and since when, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator

from pincompute_sdk.cli.output.human_values import age, count
from pincompute_sdk.generated.kinds import Workload
from pincompute_sdk.generated.models import HookStatus, MetricStatus, RolloutProgress, ZoneStatus

IN_PROGRESS = ("Progressing", "AwaitingApproval", "RollingBack")
Line = tuple[tuple[str, str], ...]


def of(app: Workload) -> Iterator[Line]:
    """Yields the lines as pairs of text and style; none when no update is in progress."""
    made = app.status.rollout if app.status else None
    if made is None or made.state not in IN_PROGRESS or app.stopped or app.deleting:
        return
    if made.state == "RollingBack":
        yield ((f"goes back to {made.stable}", "yellow"), *_since(made))
    else:
        step = f"step {min(made.step + 1, made.steps)} of {made.steps}: {count(made.replicas, 'replica')} of {made.revision}"
        yield ((step, "bold"), *_since(made))
    if app.status and app.update and app.update.strategy == "ZoneByZone":
        yield tuple(_turns(made, {zone.zone: zone for zone in app.status.zones}))
    if made.state != "RollingBack" and not app.paused:
        yield ((_waits_for(app, made), "yellow" if made.state == "AwaitingApproval" else ""),)
    yield from map(_figure, made.metrics)
    yield from map(_hook, made.hooks)


def _since(made: RolloutProgress) -> Line:
    return (("  ", ""), (age(made.since), "age")) if made.since else ()


def _turns(made: RolloutProgress, zones: dict[str, ZoneStatus]) -> Iterator[tuple[str, str]]:
    """Yields the zones in the order of their turns: complete, present, next."""
    order = made.zones if made.state != "RollingBack" else tuple(reversed(made.zones))
    present = next((name for name in order if not _is_complete(zones.get(name))), "")
    for number, name in enumerate(order):
        yield (" → " if number else "zones: ", "dim")
        if _is_complete(zones.get(name)):
            yield (f"{name} ✔", "green")
        else:
            yield (f"{name} now", "bold") if name == present else (name, "dim")


def _is_complete(zone: ZoneStatus | None) -> bool:
    return zone is None or zone.updated >= zone.wanted


def _figure(metric: MetricStatus) -> Line:
    """Returns a metric of the health gate: its value, its bound, and since when it has been so."""
    if metric.state == "Unknown":
        said = (f"{metric.name}: unknown, because {metric.message}; it must be {metric.bound}", "yellow")
    else:
        mark, style = ("✔", "green") if metric.state == "Holds" else ("✘", "red")
        said = (f"{metric.name}: {metric.value} {mark} must be {metric.bound}", style)
    return (said, *((("  ", ""), (age(metric.since), "age")) if metric.since else ()))


def _hook(hook: HookStatus) -> Line:
    """Returns what a hook says of the present step, and since when it has been asked."""
    name = f"{hook.name}, {'before' if hook.when == 'BeforeStep' else 'after'} the step"
    quoted = f': "{hook.message}"' if hook.message else ""
    said = {
        "Accepted": (f"{name}: ✔ agrees", "green"),
        "Refused": (f"{name}: ✘ refuses{quoted}", "red"),
        "Waiting": (f"{name}: asks the update to wait{quoted}", "yellow"),
    }.get(hook.state, (f"{name}: no verdict so far, because {hook.message}", "yellow"))
    return (said, *((("  ", ""), (age(hook.since), "age")) if hook.since else ()))


def _waits_for(app: Workload, made: RolloutProgress) -> str:
    if made.state == "AwaitingApproval":
        return f"waits for an approval: `pin rollout approve {app.name}`, or `pin rollout abort {app.name}`"
    if any(hook.state != "Accepted" for hook in made.hooks):
        return "waits until the hooks below agree"
    if any(metric.state != "Holds" for metric in made.metrics):
        return "waits until all of its replicas are available and the metrics below are within their bounds"
    bake = app.update.bake_seconds if app.update else 0
    if made.healthy_since and bake:
        return f"all of its replicas have been available for {age(made.healthy_since)}; the next step begins after {bake} s"
    return "waits until all of its replicas are available"
