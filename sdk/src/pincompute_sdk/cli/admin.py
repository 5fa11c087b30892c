"""`pin admin`: what administrators do: the audit log's proof, and the clusters behind the zones."""

from __future__ import annotations

import sys

from cyclopts import App

from pincompute_sdk.cli import options
from pincompute_sdk.cli.failure import FAILURE
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats
from pincompute_sdk.cli.output.formats import View
from pincompute_sdk.cli.output.table import Column
from pincompute_sdk.generated.models import Cluster

app = App(name="admin", help="For administrators: audit, clusters.", help_format="plaintext", version_flags=[])
audit = App(name="audit", help="The audit log.", help_format="plaintext", version_flags=[])
app.command(audit)

CLUSTERS: View[Cluster] = View(
    kind="cluster",
    columns=(
        Column("name", lambda c: c.name),
        Column("zone", lambda c: c.zone),
        Column("ready", lambda c: "Ready" if c.ready else "Unknown", state=True),
        Column("nodes", lambda c: str(c.nodes)),
        Column("message", lambda c: c.message, long=True),
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
def verify(*, where: Where = ANYWHERE) -> int:
    """Prove that no record was changed, removed or added; exit code 1 if one was."""
    with options.client(where) as pin:
        verdict = pin.admin.audit_verify()
    sys.stdout.write(f"{verdict.message or ('unbroken' if verdict.ok else 'broken')}: {verdict.records} records\n")
    return 0 if verdict.ok else FAILURE
