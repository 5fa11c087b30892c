"""`RegistryClient`: pushes images to the region's registry, and lists and reads what is there, with the user's rights.

with Client() as pin, registry_client.connect(pin) as registry:
    digest = registry.push(image, image_name.parse("shop/web:1"))
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

import httpx2
import msgspec

from pincompute_sdk.core import drivers, transport_security
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.generated.models import RegistryToken, StoredImage
from pincompute_sdk.images.blob_upload import BlobUpload
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import INDEXES, MANIFEST, MANIFESTS, Descriptor, ManifestBytes
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.oci_layout import DEFAULT_PLATFORM, LayoutImage
from pincompute_sdk.images.registry_connection import SECONDS, SERVICE, RegistryConnection, Scopes, local

if TYPE_CHECKING:
    from pincompute_sdk.client import Client

ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
PAGE = 1000  # tags of one answer
WORTHWHILE = 64 << 10  # bytes of a part for which other repositories are asked
MOST_SIBLINGS = 8  # repositories that are asked for a part
Siblings: TypeAlias = Callable[[str], Iterable[str]]
LARGEST = 4 << 20  # bytes of a manifest that a registry takes


@dataclass(frozen=True, slots=True)
class PushProgress:
    """Bytes of an image: how many the registry has, of how many, and how many of these it had before."""

    done: int
    total: int
    skipped: int


class _Tags(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


class RegistryClient:
    """Synchronous. Close it, or use it in a `with` block. `platform` is that of the region's nodes."""

    def __init__(
        self, connection: RegistryConnection, platform: str = DEFAULT_PLATFORM, siblings: Siblings = lambda _: ()
    ) -> None:
        """`siblings` lists repositories that may have parts of an image, such as its base, and that the caller may read."""
        self._connection = connection
        self._siblings = siblings
        self.platform = platform

    @property
    def address(self) -> str:
        return self._connection.address

    def push(
        self,
        image: LayoutImage,
        name: ImageName,
        progress: Callable[[PushProgress], None] = lambda _: None,
    ) -> str:
        """Upload what the registry lacks, then point the tag to the image. Returns the digest of its manifest.

        A large part that a sibling of the repository has is taken from there, without an upload.
        """
        total, done, skipped = image.size, 0, 0
        holders = BlobHolders(self, name.repository, self._siblings)

        def report(sent: int) -> None:
            nonlocal done
            done += sent
            progress(PushProgress(done, total, skipped))

        for blob in image.blobs:
            if self.has_blob(name.repository, blob.digest):
                skipped += blob.size
                report(blob.size)
                continue
            holder = holders.of(blob)
            scopes = _scopes(name.repository, "pull,push") + (_scopes(holder, "pull") if holder else ())
            with image.open(blob.digest) as source:
                if BlobUpload(self._connection, scopes, name.repository, blob, report).run(source, holder):
                    skipped += blob.size
                    report(0)
        return self.put_manifest(name, image.manifest)

    def put_manifest(self, name: ImageName, manifest: ManifestBytes) -> str:
        """Store the manifest under the name's tag, or untagged where it has none. Returns its digest.

        Raises ImageError for one that is too large.
        """
        if len(manifest.content) > LARGEST:
            raise ImageError(
                f"the manifest of {name} has {len(manifest.content)} bytes, and the registry takes at most {LARGEST >> 20} MiB",
                remedy="build the image with fewer layers and shorter annotations",
            )
        version = name.tag or manifest.digest
        headers = {"Content-Type": manifest.media_type or MANIFEST}
        self._connection.ask(
            "PUT",
            f"/v2/{name.repository}/manifests/{version}",
            _scopes(name.repository, "pull,push"),
            headers=headers,
            body=manifest.content,
        )
        return manifest.digest

    def digest(self, name: ImageName) -> str:
        """The digest that the tag points to; empty where there is no such image."""
        path = f"/v2/{name.repository}/manifests/{name.version or 'latest'}"
        answer = self._connection.ask("HEAD", path, _scopes(name.repository, "pull"), headers={"Accept": ACCEPT}, absent=True)
        return "" if answer.status == 404 else answer.headers.get("docker-content-digest", "")

    def manifest(self, name: ImageName) -> ManifestBytes:
        """Raises ImageError where there is no such image."""
        path = f"/v2/{name.repository}/manifests/{name.version or 'latest'}"
        answer = self._connection.ask("GET", path, _scopes(name.repository, "pull"), headers={"Accept": ACCEPT}, absent=True)
        if answer.status == 404:
            raise ImageError(f"there is no image {name}", remedy="`pin image list` shows the images of the project")
        return ManifestBytes(answer.body, answer.headers.get("content-type", MANIFEST))

    def blob(self, repository: str, digest: str) -> bytes:
        """A small blob of an image, such as its configuration, as a whole."""
        return self._connection.ask("GET", f"/v2/{repository}/blobs/{digest}", _scopes(repository, "pull")).body

    def has_blob(self, repository: str, digest: str, scopes: Scopes = ()) -> bool:
        """`scopes` are what the token is for; a push asks with the one that it needs anyway."""
        path = f"/v2/{repository}/blobs/{digest}"
        return self._connection.ask("HEAD", path, scopes or _scopes(repository, "pull,push"), absent=True).status != 404

    def tags(self, repository: str) -> tuple[str, ...]:
        """The repository's tags; none where there is no such repository."""
        path, found = f"/v2/{repository}/tags/list?n={PAGE}", list[str]()
        while path:
            answer = self._connection.ask("GET", path, _scopes(repository, "pull"), absent=True)
            if answer.status == 404:
                return ()
            found += msgspec.json.decode(answer.body, type=_Tags).tags or ()
            following = answer.headers.get("link", "")
            path = local(following[following.find("<") + 1 : following.find(">")]) if following else ""
        return tuple(found)

    def close(self) -> None:
        self._connection.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass(slots=True)
class BlobHolders:
    """Finds repositories that have parts of an image that is pushed to `repository`. Siblings are listed when one is needed."""

    client: RegistryClient
    repository: str
    siblings: Siblings
    _known: list[str] | None = None
    _scopes: Scopes = ()  # one token is for all of them

    def of(self, blob: Descriptor) -> str:
        """The repository that has the blob; empty for a small one. The one that had the part before is asked first."""
        if blob.size < WORTHWHILE:
            return ""
        if self._known is None:
            self._known = list(islice(self.siblings(self.repository), MOST_SIBLINGS))
            self._scopes = tuple(scope for each in self._known for scope in _scopes(each, "pull"))
        for holder in self._known:
            if self._has(holder, blob.digest):
                self._known = [holder, *(each for each in self._known if each != holder)]
                return holder
        return ""

    def _has(self, repository: str, digest: str) -> bool:
        try:
            return self.client.has_blob(repository, digest, self._scopes)
        except PinError:  # an upload needs none of them
            return False


def connect(pin: Client, tell: Callable[[str], None] = lambda _text: None) -> RegistryClient:
    """The registry of the client's region. `tell` is called, from any thread, with what is waited for. Raises ImageError for a
    region without one of its own.
    """
    service = pin.service.get()
    if not service.registry:
        remedy = "push with your usual tool to the registry that your administrators name"
        raise ImageError("this region has no image registry of its own", remedy=remedy)
    url = f"https://{service.registry}"
    http = httpx2.Client(
        base_url=url,
        verify=_trust(pin.context.ca, service.registry_ca),
        timeout=httpx2.Timeout(SECONDS, connect=drivers.CONNECT),
        follow_redirects=False,
        trust_env=transport_security.may_use_proxy(url),
    )

    def issue(scopes: Scopes) -> RegistryToken:
        return pin.registry.token(scope=scopes, service=SERVICE)

    def siblings(repository: str) -> Iterator[str]:
        project, _, own = repository.partition("/")
        with suppress(PinError):
            found = sorted(pin.images.list(project).items, key=_pushed, reverse=True)
            yield from (f"{project}/{name}" for name in dict.fromkeys(each.name for each in found) if name != own)

    return RegistryClient(RegistryConnection(service.registry, http, issue, tell=tell), service.platform, siblings)


def _pushed(image: StoredImage) -> float:
    return image.pushed.timestamp() if image.pushed else 0.0


def _trust(ca: str, authority: str) -> ssl.SSLContext:
    """The authorities that the client trusts, and the registry's own, which the gateway named over a trusted connection."""
    context = transport_security.trust(ca)
    if authority:
        context.load_verify_locations(cadata=authority)
    return context


def _scopes(repository: str, actions: str) -> Scopes:
    return (f"repository:{repository}:{actions}",)
