"""`pin login`, `logout`, `whoami`. The device flow works everywhere; the browser flow needs a browser on this machine."""

from __future__ import annotations

import getpass
import sys
import time
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter

from pincompute_sdk.cli import browser_callback, options
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import ACCESS, TIMEOUT, USAGE
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.client import Client
from pincompute_sdk.core import configuration, oidc_login
from pincompute_sdk.core.configuration import Configuration, Context
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.core.oidc_login import Grant, OidcIssuer
from pincompute_sdk.generated.models import Session

SESSION: ResourceView[Session] = ResourceView(kind="user", columns=(), name=lambda s: s.name)


def login(
    *,
    browser: Annotated[bool, Parameter(negative="", help="In a browser on this machine, instead of a code.")] = False,
    token: Annotated[
        str | None,
        Parameter(allow_leading_hyphen=True, help="A service token; '-' asks for it or reads it from stdin."),
    ] = None,
    where: Where = ANYWHERE,
) -> None:
    """Log in: device flow, --browser, or --token."""
    using = _target(where)
    if token is not None:
        _keep(where, _with_token(using, token))
        return
    service = oidc_login.service(using.server, using.ca)
    if not service.issuer:
        raise CommandError(
            f"{using.server} names no issuer to log in at", remedy="use a service token: `pin login --token TOKEN`", code=ACCESS
        )
    issuer = OidcIssuer(service.issuer, service.client_id, using.ca)
    grant = _in_browser(issuer) if browser else _by_device(issuer)
    placed = msgspec.structs.replace(using, issuer=issuer.url, client_id=issuer.client_id)
    _keep(where, oidc_login.granted(placed, grant))


def _target(where: Where) -> Context:
    """The context to log in to: one that does not exist yet begins empty."""
    stored = configuration.load(configuration.path())
    known = where.context in stored.contexts
    found = options.context(where if known else replace(where, context=""))
    if not found.server:
        remedy = "`pin login --server https://HOST:PORT`; on the machine of a region, set PINCOMPUTE_HOME"
        raise CommandError("no server is known", remedy=remedy, code=USAGE)
    return msgspec.structs.replace(found, token="", refresh_token="", expires=0)


def _with_token(using: Context, token: str) -> Context:
    if token == "-":  # noqa: S105 - the word for "ask"
        token = getpass.getpass("Service token: ") if sys.stdin.isatty() else sys.stdin.readline()
    token = token.strip()
    if not token or token.startswith("-"):
        remedy = "`pin login --token TOKEN`, or `--token -` and the token on stdin"
        raise CommandError("no token is given", remedy=remedy, code=USAGE)
    return msgspec.structs.replace(using, token=token, issuer="", client_id="", user="")


def _by_device(issuer: OidcIssuer) -> Grant:
    at = issuer.endpoints()
    device = issuer.device(at)
    terminal.err("Open ", Styled(device.verification_uri, "cyan"))
    terminal.err("and enter ", Styled(device.user_code, "bold"))
    if device.verification_uri_complete:
        terminal.err(f"or open {device.verification_uri_complete}")
    terminal.err(f"Waiting for your login; the code lasts {max(1, round(device.expires_in / 60))} min, and Ctrl-C ends this.")
    sys.stderr.flush()
    end = time.monotonic() + device.expires_in
    for grant in issuer.poll(at, device):
        if grant is not None:
            return grant
        if time.monotonic() > end:
            break
        time.sleep(device.interval)
    raise CommandError("the code was not entered in time", remedy="run `pin login` again", code=TIMEOUT)


def _in_browser(issuer: OidcIssuer) -> Grant:
    at = issuer.endpoints()
    with browser_callback.RedirectListener() as listener:
        attempt = oidc_login.browser_login(issuer, at, listener.redirect, listener.state)
        terminal.err(f"If no browser opens, open\n{attempt.url}")
        sys.stderr.flush()
        browser_callback.browse(attempt.url)
        code = listener.code()
    return issuer.exchange_code(at, code, attempt.verifier, attempt.redirect)


def _keep(where: Where, context: Context) -> None:
    """Stored only after the server has accepted the token."""
    with Client(context) as pin:
        session = pin.session.get()
        project = context.project or _only_project(pin)
    name = session.name or context.user
    named = msgspec.structs.replace(context, user=name, project=project)

    def stored(before: Configuration) -> Configuration:
        called = where.context or before.current or urlsplit(context.server).hostname or "default"
        return Configuration(current=called, contexts={**before.contexts, called: named})

    called = configuration.change(configuration.path(), stored).current
    project_note = f", project {named.project}" if named.project else "; next: `pin project use NAME`"
    terminal.out(f"logged in to {context.server} as {name} (context {called}{project_note})")


def _only_project(pin: Client) -> str:
    """Whoever is in one project need not name it."""
    found = pin.projects.list(limit=2).items
    return found[0].name if len(found) == 1 else ""


def logout(*, where: Where = ANYWHERE) -> None:
    """Forget the tokens of a context, and revoke them at the issuer."""
    at = configuration.path()
    stored = configuration.load(at)
    called = where.context or stored.current
    if where.context and called not in stored.contexts:
        known = ", ".join(sorted(stored.contexts)) or "none"
        raise CommandError(f"there is no context {called}", reason=f"known: {known}", remedy="choose one of them", code=USAGE)
    if called not in stored.contexts:
        raise CommandError("you are not logged in", remedy="`pin login`", code=ACCESS)
    context = stored.contexts[called]
    bare = msgspec.structs.replace(context, token="", refresh_token="", expires=0, user="")
    configuration.change(at, lambda found: msgspec.structs.replace(found, contexts={**found.contexts, called: bare}))
    terminal.out(f"logged out of {context.server} (context {called})")
    if context.issuer and context.refresh_token:
        issuer = OidcIssuer(context.issuer, context.client_id, context.ca)
        try:
            issuer.revoke(issuer.endpoints(), context.refresh_token)
        except PinError as error:
            terminal.err(f"warning: the token is removed here but not revoked: {error}")


def whoami(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Who you are to the server, and until when."""
    formats.check(output)
    with options.client(where) as pin:
        session = pin.session.get()
        server, project = pin.context.server, pin.context.project
    if output not in ("table", "wide"):
        formats.one(SESSION, session, output)
        return
    called = f"{session.display_name}, " if session.display_name else ""
    groups = f", groups {', '.join(session.groups)}" if session.groups else ""
    terminal.out(f"{session.name} ({called}{session.kind or 'user'}{groups}) at {server}")
    if session.scope:
        terminal.out(f"by a service token that is limited to {session.scope}")
    if project:
        terminal.out(f"project {project}")
    if session.expires:
        terminal.out(f"until {session.expires:%Y-%m-%d %H:%M:%S %Z} ({_left(session.expires)})")


def _left(until: object) -> str:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    return f"in {age(now, until)}" if isinstance(until, datetime) and until > now else "over"
