"""`AsyncClient`: as `Client`, with `await`, `async for` and `async with`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx2

from pincompute_sdk.client import context, session_of
from pincompute_sdk.core import drivers, hooks, retry, transport_security
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.drivers import AsyncDriver
from pincompute_sdk.core.operation import AsyncCaller
from pincompute_sdk.generated.asynchronous import AsyncResources


class AsyncClient(AsyncResources):
    """Asynchronous. Close it, or use it in an `async with` block."""

    def __init__(
        self, using: Context | None = None, *, policy: retry.Policy | None = None, hooks: Sequence[hooks.Hook] = (), **over: str
    ) -> None:
        self.context = using or context(**over)
        self.state = session_of(self.context, policy, hooks)
        http = httpx2.AsyncClient(
            base_url=self.context.server,
            verify=transport_security.trust(self.context.ca),
            limits=drivers.CONNECTIONS,
            follow_redirects=False,
            trust_env=transport_security.may_use_proxy(self.context.server),
        )
        self._driver = AsyncDriver(self.state, http)
        self.caller = AsyncCaller(self._driver)
        super().__init__(self.caller)

    async def close(self) -> None:
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self.close()
