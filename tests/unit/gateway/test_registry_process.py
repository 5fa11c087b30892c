"""The SDK's client and the gateway's reader against the registry itself, as a region configures it but without TLS."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx2
import msgspec
import pytest
import yaml
from gateway.served_gateway import free_port
from joserfc.jwk import ECKey
from pincompute_sdk.generated.models import RegistryToken
from pincompute_sdk.images import blob_upload, image_name, registry_client
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import ManifestBytes
from pincompute_sdk.images.oci_layout import LayoutImage, open_layout
from pincompute_sdk.images.registry_client import RegistryClient
from pincompute_sdk.images.registry_connection import RegistryConnection, Scopes
from sdk.image_files import LayoutFolder

from pincompute.domain import registry_access
from pincompute.domain.image_pinning import Digest, NoImage
from pincompute.gateway.gateway_settings import RegistrySettings
from pincompute.gateway.images import registry_storage, unused_images
from pincompute.gateway.images.image_inventory import ImageInventory
from pincompute.gateway.images.image_leases import ImageLeases
from pincompute.gateway.images.image_removal import ImageRemoval, NamedImages
from pincompute.gateway.images.owner_files import OwnerFiles
from pincompute.gateway.images.registry_reader import RegistryReader
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.registry_tokens import RegistryTokens
from pincompute.gateway.images.stored_bytes import StoredBytes
from pincompute.gateway.images.stored_manifest import StoredManifests
from pincompute.region.build import binary_cache
from pincompute.region.images import image_registry

pytestmark = pytest.mark.programs
BUILT = (binary_cache.cache_root(os.environ) / "binaries").glob("registry-*/registry")
BINARIES = sorted(BUILT, key=lambda path: path.stat().st_mtime)
WITHIN = 20.0


@dataclass(frozen=True)
class Served:
    address: str
    tokens: RegistryTokens
    settings: RegistrySettings
    folder: Path

    @property
    def storage(self) -> RegistryStorage:
        return RegistryStorage(self.folder / "data")

    def client(self, allowed: tuple[str, ...] = (), siblings: tuple[str, ...] = ()) -> RegistryClient:
        """With all that is asked for, or, as another's, with what is `allowed` only."""

        def issue(scopes: Scopes) -> RegistryToken:
            asked = registry_access.parse(scopes)
            issued = self.tokens.issue("dan", [a for a in asked if not allowed or a.repository in allowed])
            return msgspec.convert(msgspec.to_builtins(issued), RegistryToken)

        http = httpx2.Client(base_url=f"http://{self.address}", trust_env=False)
        return RegistryClient(RegistryConnection(self.address, http, issue, lambda _: None), siblings=lambda _: siblings)

    def reader(self) -> RegistryReader:
        return RegistryReader(self.settings, self.tokens, scheme="http")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not BINARIES:
        pytest.skip("no region was built on this machine")
    folder, address = tmp_path_factory.mktemp("registry"), f"127.0.0.1:{free_port()}"
    key = ECKey.generate_key("P-256")
    (folder / "token.key").write_bytes(key.as_pem(private=True))
    public = key.as_dict(private=False, use="sig", alg=registry_access.ALGORITHM, kid=key.thumbprint())
    (folder / "token.jwks").write_bytes(msgspec.json.encode({"keys": [public]}))
    (folder / "config.yaml").write_text(yaml.safe_dump(_configuration(folder, address)))
    settings = RegistrySettings(address=address, key=str(folder / "token.key"))
    with _process(folder, address):
        yield Served(address, RegistryTokens(settings, time.time), settings, folder)


@contextmanager
def _process(folder: Path, address: str) -> Generator[None]:
    quiet = {**image_registry.QUIET, "PATH": os.environ["PATH"]}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen((BINARIES[-1], "serve", folder / "config.yaml"), env=quiet, stdout=log, stderr=log)
        try:
            _wait(address)
            yield
        finally:
            process.terminate()
            process.wait(10)


def _configuration(folder: Path, address: str) -> dict[str, object]:
    auth = {
        "nodes": "nodes",
        "realm": "http://gateway.invalid/token",
        "service": registry_access.SERVICE,
        "issuer": registry_access.ISSUER,
        "jwks": str(folder / "token.jwks"),
        "signingalgorithms": [registry_access.ALGORITHM],
    }
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}
    return {"version": "0.1", "storage": storage, "http": {"addr": address}, "auth": {"region": auth}}


def _wait(address: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not _answers(address):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"http://{address}/v2/", trust_env=False).status_code == 401
    except httpx2.HTTPError:
        return False


def _image(folder: Path, text: str) -> LayoutImage:
    layout = LayoutFolder(folder / text)
    return open_layout(layout.write(layout.image(text))).image()


def _named(text: str) -> image_name.ImageName:
    return image_name.parse(text)


async def test_an_image_is_pushed_in_pieces_listed_and_deleted(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blob_upload, "PIECE", 50)
    first, second = _image(tmp_path, "first"), _image(tmp_path, "second")
    reader = served.reader()
    with served.client() as client:
        pushed = client.push(first, _named("shop/web:1"))
        client.push(first, _named("shop/web:stable"))
        client.push(second, _named("shop/tools/cli:2"))
        for other in ("shop-a/web:1", "shopping/web:1", "sho/web:1", "zebra/web:1"):
            client.push(first, _named(other))
        assert await reader.resolve("shop/web", "1") == Digest(pushed) == Digest(first.manifest.digest)
        assert await reader.resolve("shop/web", pushed) == Digest(pushed)
        assert await reader.resolve("shop/web", "9") == NoImage()
        assert await reader.resolve("shop/absent", "1") == NoImage()
        inventory = ImageInventory(served.storage, StoredManifests(served.storage))
        listed = await inventory.of("shop", "", {"shop/web": {pushed: ("app hello",)}})
        assert {(image.name, image.tags, tuple(user.name for user in image.used_by)) for image in listed} == {
            ("web", ("1", "stable"), ("app hello",)),
            ("tools/cli", ("2",), ()),
        }
        assert all(image.size > first.size and image.created is not None for image in listed)
        blobs = {blob.digest: blob.size for image in (first, second) for blob in image.blobs}
        manifests = len(first.manifest.content) + len(second.manifest.content)
        found = await StoredBytes(served.storage).of("shop")
        assert found is not None
        assert (found.named, found.removed) == (sum(blobs.values()) + manifests, 0)
        storage, unused = served.storage, AsyncMock(return_value={})
        leases, owners = ImageLeases(storage), OwnerFiles(storage)
        removal = ImageRemoval(storage, StoredManifests(storage), inventory, leases, owners, time.time)
        await removal.remove(NamedImages("shop", "web", "stable"), unused, dry_run=True)
        assert client.tags("shop/web") == ("1", "stable")
        await removal.remove(NamedImages("shop", "web", "stable"), unused, dry_run=False)
        assert client.tags("shop/web") == ("1",)
        await removal.remove(NamedImages("shop", "web", digest=pushed), unused, dry_run=False)
        assert not any(client.has_blob("shop/web", blob.digest) for blob in first.blobs)
        assert (client.digest(_named("shop/web:1")), client.tags("shop/web")) == ("", ())
    assert await reader.resolve("shop-a/web", "1") == Digest(pushed)  # another project's stays


def _padded(image: LayoutImage, length: int) -> ManifestBytes:
    """The manifest of the image, with an annotation that makes it so long."""
    manifest = {**msgspec.json.decode(image.manifest.content), "annotations": {"pad": ""}}
    manifest["annotations"]["pad"] = "x" * (length - len(msgspec.json.encode(manifest)))
    return ManifestBytes(msgspec.json.encode(manifest), image.manifest.media_type)


async def test_a_large_manifest_counts_and_one_beyond_the_largest_is_refused(served: Served, tmp_path: Path):
    """The registry says so to every program, and `pin` says it before it asks."""
    image, largest = _image(tmp_path, "padded"), registry_client.LARGEST
    assert largest == registry_storage.LARGEST
    with served.client() as client:
        client.push(image, _named("pad/web:1"))
        before = served.storage.stored_bytes("pad").named
        for length in (3 << 19, largest):
            client.put_manifest(_named("pad/web:2"), _padded(image, length))
        assert served.storage.stored_bytes("pad").named == before + (3 << 19) + largest
        with pytest.raises(ImageError, match=f"has {largest + 1} bytes, and the registry takes at most 4 MiB"):
            client.put_manifest(_named("pad/web:3"), _padded(image, largest + 1))
        scopes = ("repository:pad/web:pull,push",)
        headers, body = {"Content-Type": image.manifest.media_type}, _padded(image, largest + 1).content
        with pytest.raises(ImageError, match="request body too large"):
            client._connection.ask("PUT", "/v2/pad/web/manifests/3", scopes, headers=headers, body=body)
        assert client.tags("pad/web") == ("1", "2")


def test_what_a_former_project_left_is_removed_with_its_parts(served: Served, tmp_path: Path):
    image = _image(tmp_path, "former")
    with served.client() as client:
        for name in ("former/web:1", "former/web:2", "former/deep/api:1", "former-a/web:1"):
            client.push(image, _named(name))
        served.storage.remove_project("former")
        for repository in ("former/web", "former/deep/api"):
            assert client.tags(repository) == ()
            assert client.digest(_named(f"{repository}@{image.manifest.digest}")) == ""
            assert not any(client.has_blob(repository, blob.digest) for blob in image.blobs)
        assert client.digest(_named("former-a/web:1")) == image.manifest.digest
        assert all(client.has_blob("former-a/web", blob.digest) for blob in image.blobs)


def test_an_upload_resumes_where_the_registry_stands(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blob_upload, "PIECE", 60)
    image, lost = _image(tmp_path, "resumed"), 0
    with served.client() as client:
        send = client._connection.http.send

        def loses(request: httpx2.Request, **more: object) -> httpx2.Response:
            nonlocal lost
            answer = send(request, **more)  # type: ignore[arg-type]
            if request.method in ("PATCH", "PUT") and lost < 4:
                lost += 1
                raise httpx2.ReadError("connection reset after the registry had acted")
            return answer

        monkeypatch.setattr(client._connection.http, "send", loses)
        assert client.push(image, _named("resume/web:1")) == image.manifest.digest
    assert lost == 4


@pytest.mark.parametrize(
    ("allowed", "uploaded"), [((), False), (("based/closed",), True)], ids=["may read it", "may not read it"]
)
def test_a_base_is_uploaded_once_for_all_images_of_a_project(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: tuple[str, ...], uploaded: bool
):
    """What the caller may not read is no source, however the client asks for it."""
    monkeypatch.setattr(registry_client, "WORTHWHILE", 1)
    image, sent = _image(tmp_path, "based"), 0
    with served.client() as client:
        client.push(image, _named("based/web:1"))
    with served.client(allowed=allowed, siblings=("based/web",)) as client:
        request = client._connection.http.request

        def counted(method: str, path: str, **more: Any) -> httpx2.Response:
            nonlocal sent
            sent += len(more.get("content") or b"") if method == "PATCH" else 0
            return request(method, path, **more)

        monkeypatch.setattr(client._connection.http, "request", counted)
        assert client.push(image, _named("based/closed:1" if uploaded else "based/open:1")) == image.manifest.digest
    assert sent == (image.size if uploaded else 0)


def test_parts_of_another_project_are_taken_only_with_the_right_to_read_them(served: Served, tmp_path: Path):
    image = _image(tmp_path, "secret")
    with served.client() as client:
        client.push(image, _named("bank/vault:1"))
    with served.client(allowed=("mallory/web",)) as thief:
        for blob in image.blobs:
            upload = f"/v2/mallory/web/blobs/uploads/?mount={blob.digest}&from=bank/vault"
            scopes = ("repository:mallory/web:pull,push", "repository:bank/vault:pull")
            with pytest.raises(ImageError, match="refuses this") as refused:
                thief._connection.ask("POST", upload, scopes, body=b"")
            with pytest.raises(ImageError) as absent:
                thief._connection.ask("POST", upload.replace(blob.digest, "sha256:" + "0" * 64), scopes, body=b"")
            assert str(refused.value) == str(absent.value), "the answer does not tell whether the blob is there"
            assert not thief.has_blob("mallory/web", blob.digest)
        digest = thief.push(image, _named("mallory/web:1"))  # from their own files
        assert digest == image.manifest.digest
        with pytest.raises(ImageError, match="refuses this"):
            thief._connection.ask("GET", "/v2/_catalog", ("repository:mallory/web:pull",))


def test_what_nothing_names_is_freed_while_the_registry_runs(served: Served, tmp_path: Path):
    """What stays is whole, what goes is gone for clients at once, and comes again with the next push."""
    former, kept, other = (_image(tmp_path, text) for text in ("outdated", "kept", "apart"))
    storage, now = served.storage, time.time()
    with served.client() as client:
        client.push(former, _named("own/web:1"))
        client.push(kept, _named("own/web:1"))
        client.push(other, _named("own/api:1"))
        stored = storage.read("own/web")
        assert stored.manifests.keys() == {former.manifest.digest, kept.manifest.digest}
        assert stored.tags == {"1": kept.manifest.digest}
        assert stored.untagged.keys() == {former.manifest.digest}
        unused = unused_images.find(stored, (), StoredManifests(storage).read, now + 2 * unused_images.LOST)
        assert unused.manifests == (former.manifest.digest,)
        for digest in unused.manifests:
            assert storage.remove_manifest("own/web", digest)
        for digest in unused.layers:
            assert storage.remove_layer("own/web", digest)
        assert storage.remove_blobs(now + 60) == 0
        freed = storage.remove_blobs(now + 60)
        gone = {former.manifest.digest, *unused.layers}
        assert freed >= len(former.manifest.content) > 0
        assert not any(map(storage.size, gone))
        assert client.digest(_named(f"own/web@{former.manifest.digest}")) == ""
        assert not any(client.has_blob("own/web", digest) for digest in unused.layers)
        for name, image in {"own/web": kept, "own/api": other}.items():
            assert client.digest(_named(f"{name}:1")) == image.manifest.digest
            assert all(client.blob(name, blob.digest) for blob in image.blobs)
        client.push(former, _named("own/web:1"))
        assert all(client.blob("own/web", blob.digest) for blob in former.blobs)
        storage.remove_tag("own/web", "1", former.manifest.digest)
        assert client.tags("own/web") == ()
        assert client.digest(_named(f"own/web@{former.manifest.digest}")) == former.manifest.digest
