"""Decides which manifests and layers of a repository are garbage, because nothing uses them any more. Pure.

A tag keeps its image, and a workload or a revision to which it can go back keeps the digest that it names. An index keeps its
images. What just came or just lost its tag stays for a while: a push sends the blobs before the manifest, and some programs
push the images of an index one by one, long before the index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from pincompute.gateway.images.registry_storage import Link, Pushed, Released, StoredRepository
from pincompute.gateway.images.stored_manifest import StoredManifest

LOST = 3600.0  # seconds for which an image stays after another push took its last tag
UNNAMED = 86_400.0  # seconds for which a manifest without a tag and a blob without a manifest stay

Read = Callable[[str], StoredManifest]
"""What a manifest names, by its digest."""


@dataclass(frozen=True, slots=True)
class Unused:
    manifests: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    needed_again: tuple[str, ...] = ()  # what was deleted while a push went on that needed it


def find(stored: StoredRepository, used: Collection[str], read: Read, now: float) -> Unused:
    """`used` are digests that workloads and revisions name. `now` is in seconds since the epoch."""
    young = (digest for digest in stored.manifests if _is_young(stored, digest, now))
    kept = closure(stored, {*stored.tags.values(), *used, *young}, read)
    unused = tuple(sorted(stored.manifests.keys() - kept))
    needed = {part for digest in kept for part in parts(read(digest))}
    former = {part for digest in unused for part in parts(read(digest))}
    layers = (part for part, link in stored.layers.items() if part in former or not _is_new(link, now))
    links = (*stored.manifests.items(), *stored.layers.items())
    released = (digest for digest, link in links if isinstance(link, Released))
    return Unused(unused, tuple(sorted(set(layers) - needed)), tuple(sorted((kept | needed).intersection(released))))


def freed(stored: StoredRepository, deleted: Collection[str], used: Collection[str], read: Read) -> Unused:
    """What goes with images that somebody deletes: their images and blobs, unless others or `used` digests need them."""
    gone = closure(stored, deleted, read)
    kept = closure(stored, {*(stored.manifests.keys() - gone), *stored.tags.values(), *used}, read)
    needed = {part for digest in kept for part in parts(read(digest))}
    former = {part for digest in gone - kept for part in parts(read(digest))}
    return Unused(tuple(sorted(gone - kept)), tuple(sorted(former & stored.layers.keys() - needed)))


def closure(stored: StoredRepository, roots: Collection[str], read: Read) -> frozenset[str]:
    """The manifests of the repository among `roots`, with those that they name, however deep."""
    found, left = set[str](), list(roots)
    while left:
        digest = left.pop()
        if digest in stored.manifests and digest not in found:
            found.add(digest)
            left += (each.digest for each in read(digest).manifests)
    return frozenset(found)


def parts(manifest: StoredManifest) -> Iterator[str]:
    """Caches of builds are indexes that name layers where others name images."""
    return (part.digest for part in (*manifest.blobs, *manifest.manifests))


def _is_young(stored: StoredRepository, digest: str, now: float) -> bool:
    link, lost = stored.manifests[digest], stored.untagged.get(digest, 0.0)
    if isinstance(link, Pushed) and lost >= link.at:
        return now - lost < LOST
    return _is_new(link, now)


def _is_new(link: Link, now: float) -> bool:
    """Whether it was pushed so recently that the manifest which names it may follow."""
    return isinstance(link, Pushed) and now - link.at < UNNAMED
