"""Remembers what this process applied to a cluster, so that an unchanged apply costs no request (S-004).

A mutating policy in a member may change what we apply, and our body would then never equal the object. The cache therefore
compares our body with our last body, and the object with the API server's answer to the last apply.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from pincompute.api.meta import Key, Manifest, Object, ObjectMeta, Resource

CAPACITY = 100_000  # bodies remembered; the oldest are forgotten, which costs one request each

Place: TypeAlias = tuple[Resource[Any], Key, str]
"""Kind, name and field manager."""


@dataclass(slots=True)
class AppliedCache:
    """Holds a digest of the last body of each object and manager, and the metadata that the API server answered."""

    _last: dict[Place, tuple[bytes, ObjectMeta]] = field(default_factory=dict[Place, tuple[bytes, ObjectMeta]])

    def holds(self, place: Place, body: Manifest, seen: Object) -> bool:
        """Returns whether applying `body` would change nothing, judged by `seen`, the object as a cache shows it."""
        digest, answer = self._last.get(place, (b"", seen.metadata))
        return digest == _digest(body) and _same(answer, seen.metadata)

    def remember(self, place: Place, body: Manifest, answer: Object) -> None:
        self._last.pop(place, None)
        if len(self._last) >= CAPACITY:
            del self._last[next(iter(self._last))]
        self._last[place] = (_digest(body), answer.metadata)


def _digest(body: Manifest) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(body, order="deterministic"), digest_size=16).digest()


def _same(answer: ObjectMeta, seen: ObjectMeta) -> bool:
    """Returns whether nothing has changed that an apply could own. A status write raises the version, but not the
    generation.
    """
    if answer.uid != seen.uid:
        return False
    if answer.resource_version == seen.resource_version:
        return True
    return bool(answer.generation) and _owned(answer) == _owned(seen)


def _owned(meta: ObjectMeta) -> tuple[object, ...]:
    return meta.generation, meta.labels, meta.annotations, meta.finalizers, meta.owner_references
