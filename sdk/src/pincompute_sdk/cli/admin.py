"""`pin admin`: what administrators do: the audit log's proof, the clusters behind the zones, a project's Pod Security."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pincompute_sdk.cli import help_pages, options
from pincompute_sdk.cli.exit_codes import FAILURE
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import count
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.generated.models import Cluster

Level = Literal["restricted", "baseline", "privileged"]
DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
PATIENCE = 300.0  # seconds: a log of years is read whole
app = help_pages.group("admin")
audit = App(name="audit", help="The audit log.", version_flags=[])
app.command(audit)

CLUSTERS: ResourceView[Cluster] = ResourceView(
    kind="cluster",
    columns=(
        TableColumn("name", lambda c: c.name),
        TableColumn("zone", lambda c: c.zone),
        TableColumn("ready", lambda c: "Ready" if c.ready else "Unknown", state=True),
        TableColumn("nodes", lambda c: str(c.nodes)),
        TableColumn("message", lambda c: c.message, long=True),
    ),
    name=lambda c: c.name,
    nothing="no clusters",
)


@app.command
def clusters(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Member clusters: zone, health, room."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(CLUSTERS, pin.admin.clusters().items, output)


@app.command(name="pod-security")
def pod_security(
    project: Annotated[str, Parameter(help="A project.")],
    level: Annotated[Level, Parameter(help="restricted takes a lowered level back; privileged needs --reason and --until.")],
    /,
    *,
    reason: Annotated[str, Parameter(name=["--reason", "-r"], help="Why the project needs it; kept with the project.")] = "",
    until: Annotated[str, Parameter(help="When it ends, in UTC: 2027-01-31 or 2027-01-31T12:00:00Z.")] = "",
    approved_by: Annotated[str, Parameter(help="Who approved it. Default: you.")] = "",
    where: Where = ANYWHERE,
) -> None:
    """Lower what Pod Security allows the pods of one project, or take it back."""
    with options.client(where) as pin:
        asked = {"level": level, "reason": reason, "until": f"{until}T00:00:00Z" if DAY.fullmatch(until) else until}
        approved = {"approvedBy": approved_by or pin.session.get().name} if level != "restricted" else {}
        made = pin.admin.projects_pod_security(project, {**asked, **approved}, reason=reason or None)
    ends = f" until {made.until}" if made.until else ""
    terminal.out(f"pods of project {project} keep to {made.level}{ends}")


@audit.command
def verify(
    *,
    head: Annotated[str, Parameter(help="The head of an earlier proof, kept elsewhere: it must still be there.")] = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> int:
    """Prove that no record was changed, removed or added; exit code 1 if one was."""
    formats.check(output)
    with options.client(where) as pin:
        report = pin.admin.audit_verify(head=head or None, within=PATIENCE)
    if output not in ("table", "wide"):
        formats.data(formats.plain(report), output)
        return FAILURE if report.faults else 0
    said = f"{count(report.records, 'record')} in {count(report.files, 'file')}, head {report.head}"
    if not report.faults:
        terminal.out(Styled("unbroken", "green"), f": {said}")
        return 0
    terminal.out(Styled("broken", "bold red"), f": {said}")
    for fault in report.faults:
        terminal.out(f"  {fault.file}:{fault.line}: {fault.what}")
    return FAILURE
