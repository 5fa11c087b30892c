"""`pin admin`: what administrators do: the audit log, clusters, sidecars, daemons, and Pod Security and limits of projects."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

from cyclopts import Parameter

from pincompute_sdk.cli import doubtful_amounts, help_pages, options, prompt
from pincompute_sdk.cli.admin_daemon import daemon
from pincompute_sdk.cli.admin_sidecar import sidecar
from pincompute_sdk.cli.exit_codes import FAILURE
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Reason, Where, Yes
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age, bar, cores, count, memory
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.cli.project_commands import LIMITS
from pincompute_sdk.generated.models import AuditRecord, AuditReport, Cluster, RecordedChange, Room

Level = Literal["restricted", "baseline", "privileged"]
DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
PATIENCE = 300.0  # seconds: a log of years is read whole
PAGE = 500  # records asked for at a time
app = help_pages.group("admin")
audit = help_pages.inner_group("admin", "audit", "Search the audit log, newest first; `verify` checks that nobody changed it.")
app.command(audit)
app.command(sidecar)
app.command(daemon)


def _free(part: Callable[[Room], int], shown: Callable[[int], str]) -> Callable[[Cluster], str]:
    """Free of allocatable; the bar is full while all of it is free."""

    def cell(cluster: Cluster) -> str:
        if cluster.free is None or cluster.allocatable is None:
            return "unknown"
        left, whole = part(cluster.free), part(cluster.allocatable)
        return f"{bar(left, whole)} {shown(left)} of {shown(whole)}"

    return cell


def _largest(cluster: Cluster) -> str:
    if cluster.largest is None:
        return "unknown"
    return f"{cores(cluster.largest.cpu)} cpu, {memory(cluster.largest.memory)}" if cluster.largest.pods else "none"


CLUSTERS: ResourceView[Cluster] = ResourceView(
    kind="cluster",
    columns=(
        TableColumn("name", lambda c: c.name),
        TableColumn("zone", lambda c: c.zone),
        TableColumn("state", lambda c: c.state, state=True),
        TableColumn("since", lambda c: age(c.since)),
        TableColumn("nodes", lambda c: str(c.nodes) if c.nodes == c.ready_nodes else f"{c.ready_nodes} of {c.nodes} ready"),
        TableColumn("pods", lambda c: str(c.pods), wide=True),
        TableColumn("waiting", lambda c: str(c.waiting), wide=True),
        TableColumn("cpu free", _free(lambda room: room.cpu, cores)),
        TableColumn("memory free", _free(lambda room: room.memory, memory)),
        TableColumn("largest replica", _largest),
        TableColumn("message", lambda c: c.message, long=True),
    ),
    name=lambda c: c.name,
    nothing="no clusters",
)


def _outcome(record: AuditRecord) -> str:
    if record.allowed is False:
        return "denied"
    if record.dry_run:
        return "dry run"
    return {"begun": "begun", "opened": "opened", "done": "done"}.get(record.stage, record.stage)


def _details(record: AuditRecord) -> str:
    """Where a stream led and how it ended, and what was said about why."""
    stream = record.stream
    parts = [record.why, f"({record.reason})" if record.reason else ""]
    if stream is not None:
        where = f"{stream.replica} {stream.container}".strip()
        port = f"port {stream.port}" if stream.port else ""
        moved = f"{stream.bytes_in} bytes in, {stream.bytes_out} out" if stream.ended else ""
        parts = [where, stream.command, stream.path, port, stream.ended, moved, *parts]
    return "; ".join(part for part in (*map(_changed, record.changes), *parts) if part)


def _changed(change: RecordedChange) -> str:
    before, after = (_value(side) for side in (change.before, change.after))
    return f"{change.field}: {before} → {after or 'none'}" if before else f"{change.field}: {after}"


def _value(side: Any) -> str:
    if isinstance(side, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in cast("dict[str, Any]", side).items())
    if isinstance(side, list):
        return ", ".join(map(_value, cast("list[Any]", side)))
    return "" if side is None else str(side)


RECORDS: ResourceView[AuditRecord] = ResourceView(
    kind="record",
    columns=(
        TableColumn("when", lambda r: f"{r.time:%Y-%m-%d %H:%M:%S}"),
        TableColumn("who", lambda r: r.caller),
        TableColumn("what", lambda r: f"{r.verb} {r.resource}".strip()),
        TableColumn("on", lambda r: "/".join(part for part in (r.project, r.name) if part)),
        TableColumn("outcome", _outcome),
        TableColumn("status", lambda r: str(r.status or "")),
        TableColumn("request", lambda r: r.request, wide=True),
        TableColumn("from", lambda r: r.source, wide=True),
        TableColumn("details", _details, long=True),
    ),
    name=lambda r: str(r.seq),
    nothing="nothing is recorded",
)


@audit.default
def search(
    *,
    who: Annotated[str, Parameter(help="Only what this caller did or tried.")] = "",
    what: Annotated[str, Parameter(help="Only this operation: shells, or 'open shells'.")] = "",
    on: Annotated[str, Parameter(help="Only on this: PROJECT, or PROJECT/NAME.")] = "",
    request: Annotated[str, Parameter(help="Only the request with this id.")] = "",
    since: Annotated[str, Parameter(help="Only records since 15m, 2h or 3d ago, or since 2026-11-29T08:00:00Z.")] = "",
    until: Annotated[str, Parameter(help="Only records until 15m, 2h or 3d ago, or until 2026-11-29T08:00:00Z.")] = "",
    denied: Annotated[bool, Parameter(negative="", help="Only requests that permissions denied.")] = False,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], help="At most this many, newest first.", show_default=True)] = 50,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Search the audit log by who, what, when and request id."""
    formats.check(output)
    project, _, name = on.partition("/")
    found: list[AuditRecord] = []
    cursor = ""
    with options.client(where) as pin:
        while len(found) < limit:
            page = pin.admin.audit(
                who=who or None,
                what=what or None,
                project=project or None,
                name=name or None,
                request=request or None,
                since=since or None,
                until=until or None,
                denied=denied or None,
                limit=min(limit - len(found), PAGE),
                cursor=cursor or None,
                within=PATIENCE,
            )
            found += page.items
            cursor = page.cursor
            if not cursor:
                break
    formats.many(RECORDS, found, output)


@app.command
def clusters(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Member clusters: state and since when, nodes, free room, and the largest replica that fits."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(CLUSTERS, pin.admin.clusters().items, output)


@app.command(name="pod-security")
def pod_security(
    project: Annotated[str, Parameter(help="A project.")],
    level: Annotated[Level, Parameter(help="restricted ends a lowered level; privileged needs --reason and --until.")],
    /,
    *,
    reason: Annotated[str, Parameter(name=["--reason", "-r"], help="Why the project needs it; kept with the project.")] = "",
    until: Annotated[str, Parameter(help="When it ends, in UTC: 2027-01-31 or 2027-01-31T12:00:00Z.")] = "",
    approved_by: Annotated[str, Parameter(help="Who approved it. Default: you.")] = "",
    where: Where = ANYWHERE,
) -> None:
    """Set the Pod Security level of one project: lower it, or set it back to restricted."""
    with options.client(where) as pin:
        asked = {"level": level, "reason": reason, "until": f"{until}T00:00:00Z" if DAY.fullmatch(until) else until}
        approved = {"approvedBy": approved_by or pin.session.get().name} if level != "restricted" else {}
        made = pin.admin.projects_pod_security(project, {**asked, **approved}, reason=reason or None)
    ends = f" until {made.until}" if made.until else ""
    terminal.out(f"pods of project {project} keep to {made.level}{ends}")


@app.command
def limits(
    project: Annotated[str, Parameter(help="A project.")],
    /,
    *,
    workloads: Annotated[int | None, Parameter(help="Apps and units together.")] = None,
    pods: Annotated[int | None, Parameter(help="Replicas of all workloads that are not stopped.")] = None,
    cpu: Annotated[str, Parameter(help="CPU that these pods request: 20, 500m.")] = "",
    memory: Annotated[str, Parameter(help="Memory that they request: 64Gi.")] = "",
    storage: Annotated[str, Parameter(help="Ephemeral storage that they may write: 200Gi.")] = "",
    default_container_storage: Annotated[
        str, Parameter(help="Ephemeral storage that a container may write whose template says nothing of it: 2Gi.")
    ] = "",
    volumes: Annotated[str, Parameter(help="Bytes that volume claims of these pods request: 2Ti.")] = "",
    documents: Annotated[str, Parameter(help="Bytes of documents of apps and units, with revisions: 64Mi.")] = "",
    settings: Annotated[str, Parameter(help="Bytes of all versions of secrets and configs: 64Mi.")] = "",
    images: Annotated[str, Parameter(help="Bytes of images in the region's registry: 50Gi.")] = "",
    default: Annotated[
        bool, Parameter(negative="", help="Set every limit that is not named back to its default; without this it stays.")
    ] = False,
    yes: Yes = False,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Set limits of one project, and show all of them. Without options, only show them."""
    formats.check(output)
    counts = {"workloads": workloads, "pods": pods}
    amounts = {"cpu": cpu, "memory": memory, "storage": storage, "volumes": volumes}
    amounts |= {
        "defaultContainerStorage": default_container_storage,
        "documents": documents,
        "settings": settings,
        "images": images,
    }
    asked = {name: value for name, value in {**counts, **amounts}.items() if value not in (None, "")}
    if not yes:
        doubts = doubtful_amounts.of_bytes(
            {
                "memory": memory,
                "storage": storage,
                "defaultContainerStorage": default_container_storage,
                "volumes": volumes,
                "images": images,
            }
        )
        prompt.doubt(doubts, f"Limit project {project} to this?", "correct the amount, or add --yes")
    with options.client(where) as pin:
        if asked or default:
            present: dict[str, Any] = {} if default else formats.plain(pin.projects.get(project).limits) or {}
            pin.admin.projects_limits(project, {**present, **asked}, reason=reason or None)
        formats.many(LIMITS, pin.limits.list(project).items, output)


@audit.command
def verify(
    *,
    head: Annotated[str, Parameter(help="A head that you kept from an earlier verify; fails if its record is gone.")] = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> int:
    """Prove that no record was changed, removed or added, and since when; exit code 1 if one was, or anchors stopped."""
    formats.check(output)
    with options.client(where) as pin:
        report = pin.admin.audit_verify(head=head or None, within=PATIENCE)
    if output not in ("table", "wide"):
        formats.data(formats.plain(report), output)
        return _code(report)
    said = f"{count(report.records, 'record')} in {count(report.files, 'file')}, head {report.head}"
    if not report.faults:
        terminal.out(Styled("unbroken", "green"), f": {said}")
        _show_proofs(report)
        return _code(report)
    terminal.out(Styled("broken", "bold red"), f": {said}")
    for fault in report.faults:
        terminal.out(f"  {fault.file}:{fault.line}: {fault.what}")
    _show_proofs(report)
    return _code(report)


def _code(report: AuditReport) -> int:
    return FAILURE if report.faults or report.stopped else 0


def _show_proofs(report: AuditReport) -> None:
    for proof in report.proofs:
        since = f" since {proof.since:%Y-%m-%d %H:%M:%SZ}" if proof.since else ""
        terminal.out(Styled("proved", "green"), f": records up to {proof.until} are unchanged{since}, by {proof.anchor}")
    if report.unproved:
        terminal.out(Styled("not proved", "yellow"), f": the last {count(report.unproved, 'record')}")
    if report.stopped:
        terminal.out(Styled("not anchored", "bold red"), f": {report.stopped}")
