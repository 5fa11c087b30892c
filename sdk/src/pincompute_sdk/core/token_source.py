"""Provides a client's access token and renews it in time. Programs that share a stored login renew it one at a time.

Issuers accept a refresh token once and may end the whole login when it comes a second time (RFC 9700, 4.14.2). So a program
renews only while it holds the lock of the configuration, and first uses what another program has stored since.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from msgspec.structs import replace

from pincompute_sdk.core import configuration, oidc_login
from pincompute_sdk.core.configuration import Configuration, Context
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.core.oidc_login import LoginEndedError, OidcIssuer

EARLY = 30.0  # seconds before its expiry at which a token is renewed


@dataclass(slots=True)
class TokenSource:
    """Holds the login of one client. `file` is the configuration that may hold it too.

    A login that the file held at the beginning ends with it: other programs may hold the same refresh token.
    """

    context: Context
    file: Path
    _renewal: Lock = field(default_factory=Lock)
    _was_stored: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.renewable():
            self._was_stored = _login_of(self.context, configuration.load(self.file)) is not None

    def token(self) -> str:
        """Returns the present token, without I/O."""
        return self.context.token

    def renewal_due(self) -> bool:
        """Returns whether the token ends soon. A login that ended stays due: another program may store a new one."""
        return _is_due(self.context)

    def renewable(self) -> bool:
        return bool(self.context.refresh_token and self.context.issuer)

    def renew(self, token: str) -> None:
        """Gets new tokens in place of `token` and stores them, unless another thread has replaced it meanwhile.

        A refused renewal drops the refresh token: the user must log in again.
        """
        with self._renewal:
            if self.context.token == token:
                self._renew()

    def _renew(self) -> None:
        with configuration.locked(self.file):
            stored = _login_of(self.context, configuration.load(self.file))
            if stored is None and self._was_stored:
                self.context = replace(self.context, refresh_token="")
                return
            if stored is not None and stored.token != self.context.token:
                self.context = _with_tokens(self.context, stored)
                if not _is_due(self.context):
                    return
            if self.renewable():
                self.context = _renewed(self.context)
                self._store()

    def _store(self) -> None:
        """Stores the tokens in every context of this login. What cannot be stored still serves this process."""
        found = configuration.load(self.file)
        contexts = {
            name: _with_tokens(context, self.context) if _is_login_of(self.context, context) else context
            for name, context in found.contexts.items()
        }
        if contexts != found.contexts:
            with suppress(OSError):
                configuration.save(self.file, replace(found, contexts=contexts))


def _is_due(context: Context) -> bool:
    return bool(context.expires) and context.expires - time.time() < EARLY


def _renewed(context: Context) -> Context:
    """Only a refusal of the login itself ends it. An issuer that is down or busy is asked again at the next call."""
    issuer = OidcIssuer(context.issuer, context.client_id, context.ca)
    try:
        grant = issuer.renew(issuer.endpoints(), context.refresh_token)
    except LoginEndedError:
        return replace(context, refresh_token="")
    except PinError:
        if context.expires > time.time():
            return context
        raise
    return replace(oidc_login.granted(context, grant), user=context.user)  # `user` finds the stored login again


def _login_of(context: Context, found: Configuration) -> Context | None:
    return next((stored for stored in found.contexts.values() if _is_login_of(context, stored)), None)


def _is_login_of(context: Context, stored: Context) -> bool:
    return (stored.server, stored.issuer, stored.user) == (context.server, context.issuer, context.user)


def _with_tokens(context: Context, other: Context) -> Context:
    return replace(context, token=other.token, refresh_token=other.refresh_token, expires=other.expires)
