"""The client of the registry: what it uploads, how it resumes, and what it says of refusals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from pincompute_sdk.client import Client
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.images import blob_upload, image_name, registry_client
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.oci_layout import LayoutImage, open_layout
from pincompute_sdk.images.registry_client import PushProgress
from sdk.fake_registry import FakeRegistry, fault
from sdk.fake_server import Asked, Reply, answering, document, problem
from sdk.image_files import LayoutFolder

NAME = image_name.parse("shop/web:1")
TOKEN = {"token": "t", "access_token": "t", "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def image(tmp_path: Path) -> LayoutImage:
    layout = LayoutFolder(tmp_path / "layout")
    return open_layout(layout.write(layout.image())).image()


def test_a_push_uploads_every_part_and_sets_the_tag(image: LayoutImage):
    registry, seen = FakeRegistry(), list[PushProgress]()
    with registry.client() as client:
        digest = client.push(image, NAME, seen.append)
        assert client.digest(NAME) == digest == image.manifest.digest
    assert {name for _, name in registry.blobs} == {blob.digest for blob in image.blobs}
    assert seen[-1] == PushProgress(image.size, image.size, 0)
    assert set(registry.issued) == {("repository:shop/web:pull,push",), ("repository:shop/web:pull",)}


def test_a_second_push_uploads_nothing(image: LayoutImage):
    registry, seen = FakeRegistry(), list[PushProgress]()
    with registry.client() as client:
        client.push(image, NAME)
        registry.asked.clear()
        client.push(image, image_name.parse("shop/web:2"), seen.append)
    assert "POST" not in registry.methods()
    assert seen[-1] == PushProgress(image.size, image.size, image.size)


def test_parts_that_another_image_of_the_project_has_are_not_uploaded_again(
    image: LayoutImage, monkeypatch: pytest.MonkeyPatch
):
    """The first other repository without them is asked once for each part, and the one with them is asked first then."""
    monkeypatch.setattr(registry_client, "WORTHWHILE", 1)
    registry, seen = FakeRegistry(), list[PushProgress]()
    with registry.client(lambda _: ("shop/other", "shop/base")) as client:
        client.push(image, image_name.parse("shop/base:1"))
        registry.asked.clear()
        client.push(image, NAME, seen.append)
    assert registry.methods().count("PATCH") == 0
    assert ("repository:shop/web:pull,push", "repository:shop/base:pull") in registry.issued
    assert seen[-1] == PushProgress(image.size, image.size, image.size)
    asked = [request.url.path.split("/")[3] for request in registry.asked if request.method == "HEAD"]
    assert asked.count("other") == 1
    assert asked.count("base") == len(image.blobs)


def test_small_parts_are_uploaded_without_asking_for_others(image: LayoutImage):
    registry, listed = FakeRegistry(), list[str]()
    with registry.client(lambda repository: listed.append(repository) or ("shop/base",)) as client:
        client.push(image, NAME)
    assert listed == []


def test_of_many_other_images_a_few_are_asked(image: LayoutImage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry_client, "WORTHWHILE", 1)
    registry = FakeRegistry()
    with registry.client(lambda _: (f"shop/other{number}" for number in range(1000))) as client:
        client.push(image, NAME)
    heads = [request for request in registry.asked if request.method == "HEAD" and "other" in request.url.path]
    assert len(heads) == registry_client.MOST_SIBLINGS * len(image.blobs)


def test_a_repository_that_may_not_be_read_is_left_out(image: LayoutImage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry_client, "WORTHWHILE", 1)
    registry = FakeRegistry(fails=lambda request: httpx2.Response(403) if "/base/" in request.url.path else None)
    with registry.client(lambda _: ("shop/base",)) as client:
        assert client.push(image, NAME) == image.manifest.digest
    assert {repository for repository, _ in registry.blobs} == {"shop/web"}


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "GET", "HEAD"])
@pytest.mark.parametrize("arrives", [True, False], ids=["after it was done", "before it was done"])
def test_a_lost_connection_resumes(image: LayoutImage, monkeypatch: pytest.MonkeyPatch, method: str, arrives: bool):
    monkeypatch.setattr(blob_upload, "PIECE", 50)
    registry, lost = FakeRegistry(), 0

    def fails(request: httpx2.Request) -> None:
        nonlocal lost
        if request.method == method and lost < 2:
            lost += 1
            if arrives:
                registry._route(request)
            raise httpx2.ReadError("connection reset")

    registry.fails = fails
    seen = list[PushProgress]()
    with registry.client() as client:
        assert client.push(image, NAME, seen.append) == image.manifest.digest
    assert registry.manifests["shop/web", "1"][0] == image.manifest.content
    assert seen[-1].done == image.size
    assert lost == 2 or method == "GET"


def test_a_lost_upload_begins_again(image: LayoutImage):
    registry, lost = FakeRegistry(), 0

    def fails(request: httpx2.Request) -> None:
        nonlocal lost
        if request.method == "PUT" and not lost:
            lost += 1
            registry.uploads.clear()
            raise httpx2.ReadError("the registry restarted")

    registry.fails = fails
    with registry.client() as client:
        assert client.push(image, NAME) == image.manifest.digest


def test_a_registry_that_stays_away_is_named(image: LayoutImage):
    registry = FakeRegistry(fails=lambda _: httpx2.Response(503))
    with registry.client() as client, pytest.raises(ImageError, match="is busy or fails"):
        client.push(image, NAME)
    assert len(registry.slept) == 4  # between five attempts
    assert registry.told[0] == "the registry registry.test is busy or fails (503): trying again in 0 s, attempt 2 of 5"
    assert [text.rpartition(" attempt ")[2] for text in registry.told] == ["2 of 5", "3 of 5", "4 of 5", "5 of 5"]


def test_a_registry_that_does_not_answer_is_told_while_it_is_waited_for(image: LayoutImage):
    """A push was mute for minutes."""
    registry = FakeRegistry(quiet=0.05)
    told = threading.Event()

    def fails(_request: httpx2.Request) -> None:
        if not told.is_set():
            assert _soon(lambda: registry.told)
            told.set()

    registry.fails = fails
    with registry.client() as client:
        assert client.push(image, NAME) == image.manifest.digest
    assert registry.told[0] == "the registry registry.test has not answered for 0 s: waiting for it, at most 60 s"


def _soon(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


@pytest.mark.parametrize(("asked", "slept"), [("3", 3.0), ("600", 30.0)], ids=["what it asks for", "no longer than 30 s"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_says_when_to_come_again(image: LayoutImage, status: int, asked: str, slept: float):
    registry = FakeRegistry()
    registry.fails = lambda _: httpx2.Response(status, headers={"Retry-After": asked}) if len(registry.asked) == 1 else None
    with registry.client() as client:
        assert client.push(image, NAME) == image.manifest.digest
    assert registry.slept == [slept]


@pytest.mark.parametrize(("status", "code"), [(429, "too-many-requests"), (503, "unavailable")])
@pytest.mark.parametrize("fails", [2, 1000])
def test_a_busy_gateway_is_asked_again_for_a_token_and_not_for_ever(status: int, code: str, fails: int):
    service = {"version": "0.1.0", "issuer": "", "clientId": "pin", "registry": "127.0.0.1:1", "platform": "linux/amd64"}
    busy = replace(problem(status, code, detail="come again"), headers={"Retry-After": "0"})
    asked = list[Asked]()

    def token(request: Asked) -> Reply:
        asked.append(request)
        return document(TOKEN) if len(asked) > fails else busy

    with (
        answering(document(service), token) as server,
        Client(Context(server=server.url)) as pin,
        registry_client.connect(pin) as client,
        nullcontext() if fails < 1000 else pytest.raises(PinError, match="come again"),
    ):
        assert client._connection.issue(("repository:shop/web:pull",)).token == "t"
    assert 3 <= len(asked) <= 11


def test_the_registrys_own_sentence_is_passed_on(image: LayoutImage):
    why = "project shop stores 1.0 GiB of images, and its quota is 1 GiB"
    registry = FakeRegistry(
        fails=lambda r: httpx2.Response(403, content=fault("DENIED", "denied", why)) if r.method == "PATCH" else None
    )
    with registry.client() as client, pytest.raises(ImageError, match="its quota is 1 GiB"):
        client.push(image, NAME)
    assert registry.slept == []


def test_a_token_is_renewed_before_it_ends_and_when_it_is_refused(image: LayoutImage):
    short = FakeRegistry(lifetime=30)
    with short.client() as client:
        client.push(image, NAME)
    assert len(short.issued) == len(short.asked)
    refused = FakeRegistry()
    refused.fails = lambda r: httpx2.Response(401) if r.headers["authorization"] == "Bearer token-1" else None
    with refused.client() as client:
        client.push(image, NAME)
    assert len(refused.issued) == 2


def test_a_truncated_part_is_named(image: LayoutImage):
    file = image.layout.file(image.blobs[0].digest)
    file.write_bytes(file.read_bytes()[:-1])
    with FakeRegistry().client() as client, pytest.raises(ImageError, match="shorter than its image says"):
        client.push(image, NAME)


def test_an_image_that_is_absent_is_said(image: LayoutImage):
    with FakeRegistry().client() as client:
        assert client.digest(NAME) == ""
        assert client.tags("shop/web") == ()
        with pytest.raises(ImageError, match="there is no image shop/web:1"):
            client.manifest(NAME)
