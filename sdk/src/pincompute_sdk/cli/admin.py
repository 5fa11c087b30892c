"""`pin admin`: what administrators do: the audit log's proof, and the clusters behind the zones."""

from __future__ import annotations

from typing import Annotated

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
