"""A registry for tests: stores in a folder as the region's does, and answers over HTTP without checking who asks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from gateway.served_gateway import WITHIN, Running, free_port, running
from joserfc.jwk import ECKey

from pincompute.gateway.gateway_settings import RegistrySettings
from pincompute.gateway.images.owner_files import OwnerFiles
from pincompute.gateway.images.registry_reader import RegistryReader
from pincompute.gateway.images.registry_storage import RegistryStorage


@dataclass
class RegistryDouble:
    """While it is `silent`, it answers with a failure. `age` is that of whatever is pushed next, in seconds."""

    folder: Path
    address: str = ""
    silent: bool = False
    age: float = 0.0

    def push(self, repository: str, tag: str, *layers: tuple[str, int], said: int | None = None) -> str:
        """An image of these layers, each with its size, or with what its manifest `said`. Returns its digest."""
        sizes = {digest(name.encode()): size for name, size in layers}
        for each, size in sizes.items():
            self.push_layer(repository, each, size)
        parts = [{"digest": each, "size": size if said is None else said} for each, size in sizes.items()]
        return self.push_manifest(repository, tag, {"layers": parts})

    def push_index(self, repository: str, tag: str, *images: str) -> str:
        """Of images of the repository, by their digests."""
        return self.push_manifest(repository, tag, {"manifests": [{"digest": each, "size": 1} for each in images]})

    def push_layer(self, repository: str, each: str, size: int) -> None:
        self._content(each, b"", size)
        self._write(self._at(repository) / "_layers" / each.replace(":", "/") / "link", each.encode())

    def push_manifest(self, repository: str, tag: str, manifest: object) -> str:
        content = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        each = digest(content)
        self._content(each, content, len(content))
        place, folder = each.replace(":", "/"), self._at(repository) / "_manifests"
        self._write(folder / "revisions" / place / "link", each.encode())
        if tag:
            self._write(folder / "tags" / tag / "index" / place / "link", each.encode())
            self._write(folder / "tags" / tag / "current" / "link", each.encode())
        return each

    def upload(self, repository: str, size: int) -> None:
        """Leave an upload under way."""
        self._write(self._at(repository) / "_uploads" / f"u{size}" / "data", b"", size)

    def holds(self, repository: str) -> bool:
        found = self.storage.read(repository)
        return bool(found.manifests or found.layers or found.tags)

    @property
    def storage(self) -> RegistryStorage:
        return RegistryStorage(self.folder)

    def _at(self, repository: str) -> Path:
        return self.folder / "docker/registry/v2/repositories" / repository

    def _content(self, each: str, content: bytes, size: int) -> None:
        algorithm, name = each.split(":")
        self._write(self.folder / "docker/registry/v2/blobs" / algorithm / name[:2] / name / "data", content, size)

    def _write(self, file: Path, content: bytes, size: int | None = None) -> None:
        """A file without content is sparse."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.truncate(file, len(content) if size is None else size)
        os.utime(file, (time.time() - self.age,) * 2)

    async def answer(self, request: web.Request) -> web.Response:
        if self.silent:
            return web.Response(status=503)
        path, storage = request.path.removeprefix("/v2/"), self.storage
        if path == "_catalog":
            last, projects = request.query.get("last", ""), storage.projects()
            names = sorted(name for project in projects for name in storage.repositories(project) if name > last)
            return web.json_response({"repositories": names})
        if path.endswith("/tags/list"):
            tags, last = storage.read(path.removesuffix("/tags/list")).tags, request.query.get("last", "")
            left, number = sorted(tag for tag in tags if tag > last), int(request.query["n"])
            link = {"Link": f'<{request.path}?n={number}&last={left[number - 1]}>; rel="next"'} if len(left) > number else {}
            return web.json_response({"tags": left[:number]}, headers=link)
        repository, _, version = path.rpartition("/")
        repository, _, kind = repository.rpartition("/")
        stored = storage.read(repository)
        if kind == "blobs":
            there = version in stored.layers
            return web.Response(headers={"Content-Length": str(storage.size(version))}) if there else web.Response(status=404)
        found = stored.tags.get(version, version)
        if found not in stored.manifests:
            return web.Response(status=404)
        return web.Response(body=storage.content(found), headers={"Docker-Content-Digest": found})


@asynccontextmanager
async def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[RegistryDouble, RegistrySettings]]:
    """The double, and the settings of gateways that use it; they ask it without TLS."""
    double = RegistryDouble(folder / "registry", f"127.0.0.1:{free_port()}")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", double.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    key = folder / "registry.key"
    key.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    monkeypatch.setattr(RegistryReader.__init__, "__defaults__", (time.monotonic, "http"))
    try:
        await web.TCPSite(runner, "127.0.0.1", int(double.address.partition(":")[2])).start()
        yield double, RegistrySettings(address=double.address, key=str(key), storage=str(double.folder))
    finally:
        await runner.cleanup()


@asynccontextmanager
async def quiet_gateway(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Running, RegistryDouble]]:
    """A gateway with the double, where nobody got a token to push to project shop for a long time."""
    async with serving(folder, monkeypatch) as (registry, settings), running(folder, registry=settings) as gateway:
        async with asyncio.timeout(WITHIN):
            while not OwnerFiles(registry.storage).owner("shop"):  # noqa: ASYNC110 - another task writes it
                await asyncio.sleep(0.02)
        quiet(registry)
        yield gateway, registry


def quiet(registry: RegistryDouble) -> None:
    """Nobody got a token to push for a long time."""
    os.utime(registry.folder / "pincompute/owners/shop", (0, 0))


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
