"""Decides who may read the figures: the member's own API server says who holds a token, and whether they have the right.

The right is `get` of the non-resource URL /usage. Verdicts are kept for a minute, and so few reviews run at once that a flood
of wrong tokens costs the API server little. A token that was allowed before neither waits behind such a flood nor is forgotten
for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from pincompute.api.meta import Manifest
from pincompute.api.usage import PATH
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import KubeError
from pincompute.kube.cache_views import Unknown

log = logging.getLogger(__name__)

Verdict: TypeAlias = Literal["allowed", "unknown caller", "not allowed", "no verdict"]

ALLOWED_FOR = 60.0  # seconds that a verdict counts
REFUSED_FOR = 10.0
MOST = 256  # tokens that were allowed, and as many that were refused, whose verdicts are kept
AT_ONCE = 4  # reviews of tokens that were allowed before, and as many of others
LINE = 64  # callers that wait for a review of a token that was not allowed before
DEADLINE = 5.0


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class _TokenStatus(msgspec.Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()


class _TokenReview(msgspec.Struct, frozen=True):
    status: _TokenStatus = _TokenStatus()


class _AccessStatus(msgspec.Struct, frozen=True):
    allowed: bool = False


class _AccessReview(msgspec.Struct, frozen=True):
    status: _AccessStatus = _AccessStatus()


_Verdicts: TypeAlias = dict[bytes, tuple[Verdict, float]]
"""By the digest of the token: the verdict, and until when it counts."""


@dataclass(slots=True)
class CallerReview:
    """`client` gives the client of the member's API server, or raises Unknown."""

    client: Callable[[], ApiClient]
    _allowed: _Verdicts = field(default_factory=dict[bytes, tuple[Verdict, float]], init=False)
    _refused: _Verdicts = field(default_factory=dict[bytes, tuple[Verdict, float]], init=False)
    _known_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)
    _line: int = field(default=0, init=False)

    async def judge(self, authorization: str) -> Verdict:
        """Judges the value of an Authorization header."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > 16_384:
            return "unknown caller"
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._remembered(digest)
        if known is not None:
            return known
        if digest in self._allowed:
            return await self._review(token, digest, self._known_places)
        if self._line >= LINE:
            return "no verdict"
        self._line += 1
        try:
            return await self._review(token, digest, self._places)
        finally:
            self._line -= 1

    async def _review(self, token: str, digest: bytes, places: asyncio.Semaphore) -> Verdict:
        async with places:
            known = self._remembered(digest)  # by who stood before in the line
            if known is not None:
                return known
            verdict = await self._ask(token)
        if verdict == "allowed":
            self._refused.pop(digest, None)
            _remember(self._allowed, digest, verdict, ALLOWED_FOR)
        elif verdict != "no verdict":
            self._allowed.pop(digest, None)
            _remember(self._refused, digest, verdict, REFUSED_FOR)
        return verdict

    def _remembered(self, digest: bytes) -> Verdict | None:
        verdict, until = self._allowed.get(digest) or self._refused.get(digest) or (None, 0.0)
        return verdict if until > time.monotonic() else None

    async def _ask(self, token: str) -> Verdict:
        try:
            answer = await self._create("authentication.k8s.io/v1", "TokenReview", "tokenreviews", {"token": token})
            found = msgspec.json.decode(answer, type=_TokenReview).status
            if not found.authenticated:
                return "unknown caller"
            spec = {
                "user": found.user.username,
                "uid": found.user.uid,
                "groups": list(found.user.groups),
                "extra": {name: list(values) for name, values in found.user.extra.items()},
                "nonResourceAttributes": {"path": PATH, "verb": "get"},
            }
            answer = await self._create("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", spec)
            allowed = msgspec.json.decode(answer, type=_AccessReview).status.allowed
        except (KubeError, Unknown, msgspec.MsgspecError) as problem:
            log.warning("a caller cannot be judged", extra={"problem": str(problem)})
            return "no verdict"
        return "allowed" if allowed else "not allowed"

    async def _create(self, version: str, kind: str, plural: str, spec: dict[str, Any]) -> bytes:
        review: Manifest = {"apiVersion": version, "kind": kind, "spec": spec}
        body = msgspec.json.encode(review)
        return await self.client().request("POST", f"/apis/{version}/{plural}", body=body, deadline=DEADLINE)


def _remember(verdicts: _Verdicts, digest: bytes, verdict: Verdict, seconds: float) -> None:
    verdicts.pop(digest, None)
    while len(verdicts) >= MOST:
        del verdicts[next(iter(verdicts))]
    verdicts[digest] = verdict, time.monotonic() + seconds
