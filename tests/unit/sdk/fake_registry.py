"""A registry in memory, behind httpx2's mock transport, that can fail as a test says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from pincompute_sdk.generated.models import RegistryToken
from pincompute_sdk.images.registry_client import RegistryClient, Siblings
from pincompute_sdk.images.registry_connection import RegistryConnection, Scopes

Failure = Callable[[httpx2.Request], httpx2.Response | None]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class FakeRegistry:
    """`fails` is asked first: a response of its own, an exception that it raises, or None to go on."""

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[httpx2.Request] = field(default_factory=list)
    issued: list[Scopes] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    quiet: float = 60.0
    fails: Failure = lambda _: None
    lifetime: int = 300

    def client(self, siblings: Siblings = lambda _: ()) -> RegistryClient:
        http = httpx2.Client(base_url="https://registry.test", transport=httpx2.MockTransport(self._answer))
        connection = RegistryConnection("registry.test", http, self._issue, self.slept.append, self.told.append, self.quiet)
        return RegistryClient(connection, siblings=siblings)

    def methods(self) -> list[str]:
        return [request.method for request in self.asked]

    def _issue(self, scopes: Scopes) -> RegistryToken:
        self.issued.append(scopes)
        token = f"token-{len(self.issued)}"
        return RegistryToken(token=token, access_token=token, expires_in=self.lifetime, issued_at=datetime.now(UTC))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.asked.append(request)
        assert request.headers["authorization"].startswith("Bearer token-")
        failed = self.fails(request)
        return failed if failed is not None else self._route(request)

    def _route(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if found := re.fullmatch(r"/v2/(.+)/blobs/uploads/(.*)", path):
            return self._upload(request, found[1], found[2])
        if found := re.fullmatch(r"/v2/(.+)/blobs/(sha256:\w+)", path):
            there = self.blobs.get((found[1], found[2]))
            return httpx2.Response(404) if there is None else httpx2.Response(200, content=there)
        if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", path):
            return self._manifest(request, found[1], found[2])
        return httpx2.Response(404, content=fault("NAME_UNKNOWN", "repository name not known to registry"))

    def _upload(self, request: httpx2.Request, repository: str, upload: str) -> httpx2.Response:
        query = request.url.params
        if request.method == "POST":
            mounted = self.blobs.get((query.get("from", ""), query.get("mount", "")))
            if mounted is not None:
                self.blobs[repository, query["mount"]] = mounted
                return httpx2.Response(201)
            upload = f"u{len(self.uploads)}"
            self.uploads[upload] = b""
        if upload not in self.uploads:
            return httpx2.Response(404, content=fault("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"))
        return self._continued(request, repository, upload)

    def _continued(self, request: httpx2.Request, repository: str, upload: str) -> httpx2.Response:
        if request.method == "PATCH":
            begin = int(request.headers["content-range"].split("-")[0])
            if begin != len(self.uploads[upload]):
                return httpx2.Response(416, content=fault("RANGE_INVALID", "invalid content range"))
            self.uploads[upload] += request.content
        if request.method == "PUT":
            content = self.uploads.pop(upload)
            if digest(content) != request.url.params["digest"]:
                return httpx2.Response(400, content=fault("DIGEST_INVALID", "provided digest did not match uploaded content"))
            self.blobs[repository, digest(content)] = content
            return httpx2.Response(201)
        end = max(0, len(self.uploads[upload]) - 1)
        location = f"http://elsewhere.invalid/v2/{repository}/blobs/uploads/{upload}?_state=x"
        return httpx2.Response(204 if request.method == "GET" else 202, headers={"Location": location, "Range": f"0-{end}"})

    def _manifest(self, request: httpx2.Request, repository: str, version: str) -> httpx2.Response:
        if request.method == "PUT":
            said = (request.content, request.headers["content-type"])
            self.manifests[repository, version] = self.manifests[repository, digest(request.content)] = said
            return httpx2.Response(201)
        there = self.manifests.get((repository, version))
        if there is None:
            return httpx2.Response(404, content=fault("MANIFEST_UNKNOWN", "manifest unknown"))
        if request.method == "DELETE":
            del self.manifests[repository, version]
            return httpx2.Response(202)
        headers = {"Docker-Content-Digest": digest(there[0]), "Content-Type": there[1]}
        return httpx2.Response(200, content=there[0] if request.method == "GET" else b"", headers=headers)


def fault(code: str, message: str, detail: Any = None) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message, "detail": detail}]}).encode()
