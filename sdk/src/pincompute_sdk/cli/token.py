"""`pin token`: service tokens for programs. The secret is shown once, when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import help_pages, near_names, options
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Reason, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.generated.models import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pincompute_sdk.client import Client

app = help_pages.group("token")

TOKENS: ResourceView[Token] = ResourceView(
    kind="token",
    columns=(
        TableColumn("id", lambda t: t.id),
        TableColumn("name", lambda t: t.name),
        TableColumn("project", lambda t: t.project),
        TableColumn("role", lambda t: t.role),
        TableColumn("age", lambda t: age(t.created)),
        TableColumn("expires", lambda t: f"{t.expires:%Y-%m-%d %H:%M}" if t.expires else "never"),
    ),
    name=lambda t: t.id,
    nothing="no tokens",
)


@app.command(name="list", alias="ls")
def list_(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Your service tokens, without their secrets."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(TOKENS, pin.tokens.list().items, output)


@app.command
def create(
    name: Annotated[str, Parameter(help="What will use it, for example ci.")],
    /,
    *,
    role: Annotated[str, Parameter(help="What it may do in the project.", show_default=True)] = "developer",
    days: Annotated[int, Parameter(help="Days until it expires.", show_default=True)] = 30,
    reason: Reason = "",
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Make a service token; its secret is printed once, on stdout."""
    formats.check(output)
    with options.client(where) as pin:
        made = pin.tokens.create(
            {"name": name, "project": options.project(pin.context), "role": role, "days": days}, reason=reason or None
        )
    if output != "table":
        formats.one(TOKENS, made, output)
        return
    terminal.err(f"token {made.id} for {name}; keep it now, it is not shown again:")
    terminal.out(f"{made.secret}")


@app.command
def revoke(
    token: Annotated[str, Parameter(help="An id of `pin token list`.")], /, *, reason: Reason = "", where: Where = ANYWHERE
) -> None:
    """Revoke a token at once."""
    with options.client(where) as pin, near_names.explained(token, lambda: _ids(pin), "pin token list"):
        pin.tokens.delete(token, reason=reason or None)
    terminal.out(f"token {token} is revoked")


def _ids(pin: Client) -> Iterator[str]:
    return (token.id for token in pin.tokens.list().items)
