"""Asks the region's registry, as the gateway itself: what a tag points to, and which tags there are.

The gateway signs its own tokens, each for one repository and for reading. An answer has a time limit, and after a failure
nobody waits for the registry for some seconds, so that its outage slows no deploy.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from pincompute.domain import registry_access
from pincompute.domain.image_pinning import Digest, NoImage, Resolution, Unresolved
from pincompute.domain.registry_access import PULL, Access
from pincompute.gateway.gateway_settings import RegistrySettings
from pincompute.gateway.images.registry_tokens import RegistryTokens

TIMEOUT = 2.0  # seconds for one answer
PAUSE = 5.0  # seconds without another request after a failure
LARGEST = 1 << 20  # bytes of an answer
TAGS = 1000  # tags of one answer
REUSE = 60.0  # seconds for which a token is sent again; it lives longer
TOKENS = 1000  # that are kept
NAME = "system:gateway"
_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)
T = TypeVar("T")
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class RegistrySilent(Exception):  # noqa: N818 - a state, not an error of ours
    """The registry does not answer, or fails."""


class _TagList(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


class RegistryReader:
    """The registry of a region. Without one that the settings name, nothing is known."""

    def __init__(
        self,
        settings: RegistrySettings,
        tokens: RegistryTokens,
        now: Callable[[], float] = time.monotonic,
        scheme: str = "https",
    ) -> None:
        """`now` is monotonic."""
        self._settings, self._tokens, self._now = settings, tokens, now
        self._root = f"{scheme}://{settings.address}/v2"
        self._silent_until = float("-inf")
        self._issued = dict[str, tuple[str, float]]()  # token, and until when it is sent
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0

    @property
    def configured(self) -> bool:
        return bool(self._settings.address and self._settings.key)

    async def resolve(self, repository: str, version: str) -> Resolution:
        """The digest of a tag, or whether there is the image of a digest. A name outside the grammar has no image."""
        if not registry_access.names_image(repository, version):
            return NoImage()
        if self._now() < self._silent_until:
            return Unresolved()
        try:
            async with self._asked("HEAD", repository, f"{repository}/manifests/{quote(version)}") as answer:
                if answer.status == 404:
                    return NoImage()
                if 400 <= answer.status < 500:
                    return Unresolved()  # a refusal of this request is no outage for others
                answer.raise_for_status()
                digest = answer.headers.get("Docker-Content-Digest", "")
                return Digest(digest) if digest else Unresolved()
        except _FAILURES:
            self._silent_until = self._now() + PAUSE
            return Unresolved()

    async def some_tags(self, repository: str) -> tuple[str, ...]:
        """The first tags of a repository, at most TAGS; none where it is not there. Raises RegistrySilent."""
        if not registry_access.is_repository(repository):
            return ()
        if self._now() < self._silent_until:
            raise RegistrySilent
        content = await self._read(repository, f"{repository}/tags/list?{urlencode({'n': TAGS})}")
        return (_decoded(content, _TagList).tags or ()) if content else ()

    async def _read(self, repository: str, path: str) -> bytes:
        """Reads an answer; it is empty for 404. Raises RegistrySilent."""
        try:
            async with self._asked("GET", repository, path) as answer:
                if answer.status == 404:
                    return b""
                answer.raise_for_status()
                return await _content(answer)
        except _FAILURES as error:
            raise RegistrySilent(str(error) or type(error).__name__) from error

    @asynccontextmanager
    async def _asked(self, method: str, repository: str, path: str) -> AsyncGenerator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {self._token(repository)}", "Accept": _MANIFESTS}
        url = f"{self._root}/{path}"
        async with (
            self._shared() as session,
            session.request(method, url, headers=headers, ssl=self._trust, allow_redirects=False) as answer,
        ):
            yield answer

    @asynccontextmanager
    async def _shared(self) -> AsyncGenerator[aiohttp.ClientSession]:
        """The session of all requests under way, so that they share connections. The last one closes it."""
        if self._session is None:
            limit: Any = aiohttp.ClientTimeout(total=TIMEOUT)
            self._session = aiohttp.ClientSession(timeout=limit, connector=aiohttp.TCPConnector(limit=0))
        session = self._session
        self._under_way += 1
        try:
            yield session
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._session = None
                await session.close()

    def _token(self, repository: str) -> str:
        """One for each repository and minute: a signature costs more than the request that it allows."""
        token, until = self._issued.get(repository, ("", float("-inf")))
        if self._now() < until:
            return token
        self._issued.pop(repository, None)
        if len(self._issued) >= TOKENS:
            self._issued.pop(next(iter(self._issued)))
        token = self._tokens.issue(NAME, (Access(repository, PULL),)).token
        self._issued[repository] = token, self._now() + REUSE
        return token

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.ca or None)


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """One read gives what has arrived, which may be a part. Raises ValueError for more than LARGEST."""
    found = bytearray()
    async for piece in answer.content.iter_any():
        found += piece
        if len(found) > LARGEST:
            raise ValueError(f"an answer has more than {LARGEST} bytes")
    return bytes(found)


def _decoded(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RegistrySilent(f"its answer cannot be read: {error}") from error
