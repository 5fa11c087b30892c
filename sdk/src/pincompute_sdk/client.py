"""`Client`, the synchronous client of the platform. `AsyncClient` is in `async_client`.

    with Client(project="demo") as pin:
        for app in pin.apps.iterate("demo"):
            print(app.name, app.status.state if app.status else "new")

Without arguments they use the context that `pin login` stored; the PINCOMPUTE_* variables override it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx2
import msgspec

from pincompute_sdk.core import configuration, drivers, hooks, retry, transport_security
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.drivers import SyncDriver
from pincompute_sdk.core.errors import ConfigurationError
from pincompute_sdk.core.exchange import ClientSession
from pincompute_sdk.core.operation import SyncCaller
from pincompute_sdk.core.token_source import TokenSource
from pincompute_sdk.generated.synchronous import Resources


def context(name: str = "", **over: str) -> Context:
    """The stored context `name` (or the current one), the environment's values and then `over` on top."""
    found = configuration.effective(configuration.load(configuration.path()), name=name)
    given = {field: value for field, value in over.items() if value}
    if given.get("server", found.server) != found.server:
        found = msgspec.structs.replace(found, token=given.get("token", ""), refresh_token="", expires=0)
    if "token" in given:
        found = msgspec.structs.replace(found, refresh_token="", expires=0)
    return msgspec.structs.replace(found, **given)


class Client(Resources):
    """Synchronous. Close it, or use it in a `with` block."""

    def __init__(
        self, using: Context | None = None, *, policy: retry.Policy | None = None, hooks: Sequence[hooks.Hook] = (), **over: str
    ) -> None:
        self.context = using or context(**over)
        self.state = session_of(self.context, policy, hooks)
        http = httpx2.Client(
            base_url=self.context.server,
            verify=transport_security.trust(self.context.ca),
            limits=drivers.CONNECTIONS,
            follow_redirects=False,
            trust_env=transport_security.may_use_proxy(self.context.server),
        )
        self._driver = SyncDriver(self.state, http)
        self.caller = SyncCaller(self._driver)
        super().__init__(self.caller)

    def close(self) -> None:
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def session_of(using: Context, policy: retry.Policy | None, given: Sequence[hooks.Hook]) -> ClientSession:
    if not using.server:
        raise ConfigurationError(
            "no server is known", remedy="`pin login --server https://HOST:PORT`, or set PINCOMPUTE_SERVER"
        )
    transport_security.check_address(using.server)
    configuration.check_token(using.token)
    credentials = TokenSource(using, configuration.path())
    return ClientSession(
        using.server,
        credentials.token,
        credentials.renewable,
        credentials.renewal_due,
        credentials.renew,
        policy or retry.Policy(),
        tuple(given),
    )
