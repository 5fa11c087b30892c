"""A story's client of one cluster: it shares no code with the product, only its types."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import yaml

from pincompute.api.meta import Manifest, Object, Resource

T = TypeVar("T", bound=Object)

DEADLINE = 10.0
PATCHES = {"merge": "application/merge-patch+json", "apply": "application/apply-patch+yaml"}


class ApiRefusal(Exception):  # noqa: N818 - reads as what it is
    """The API server said no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class WatchEvent(NamedTuple):
    """One event of a watch."""

    type: str
    object: Manifest


class ClusterClient:
    """Reads and writes one cluster as its administrator. Raises Refusal, or OSError while nobody answers."""

    def __init__(self, kubeconfig: Path, name: str) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        context = next(c["context"] for c in content["contexts"] if c["name"] == name)
        cluster = next(c["cluster"] for c in content["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in content["users"] if u["name"] == context["user"])
        self.name = name
        self.server: str = cluster["server"]
        self._tls = _tls(cluster, user)

    def get(self, resource: Resource[T], namespace: str, name: str) -> T | None:
        """None when there is no such object."""
        try:
            return msgspec.json.decode(self.request("GET", resource.path(namespace, name)), type=resource.type)
        except ApiRefusal as refusal:
            if refusal.code == 404:
                return None
            raise

    def list(self, resource: Resource[T], namespace: str = "", labels: str = "") -> tuple[T, ...]:
        body = self.request("GET", resource.path(namespace), labelSelector=labels)
        return tuple(msgspec.convert(item, resource.type) for item in json.loads(body)["items"] or ())

    def apply(self, resource: Resource[Any], manifest: Manifest) -> None:
        """As `kubectl apply --server-side` does, unknown fields refused."""
        meta = manifest["metadata"]
        self._patch(
            resource.path(meta.get("namespace", ""), meta["name"]), "apply", manifest, fieldManager="story", force="true"
        )

    def change(self, resource: Resource[Any], namespace: str, name: str, change: Manifest, subresource: str = "") -> None:
        """Merge a change into an object that exists."""
        self._patch(resource.path(namespace, name, subresource), "merge", change)

    def delete(self, resource: Resource[Any], namespace: str, name: str) -> None:
        """What is gone already is no error."""
        try:
            self.request("DELETE", resource.path(namespace, name))
        except ApiRefusal as refusal:
            if refusal.code != 404:
                raise

    def watch(self, path: str, since: str, silence: float, **query: str) -> Iterator[WatchEvent]:
        """Changes after a version. Raises TimeoutError after so many seconds in which nothing came."""
        asked = {"watch": "1", "resourceVersion": since, "allowWatchBookmarks": "true", **query}
        with self._open("GET", path, None, "", asked, silence) as answer:
            for line in answer:
                yield WatchEvent(**json.loads(line))

    def request(self, verb: str, path: str, body: bytes | None = None, content_type: str = "", **query: str) -> bytes:
        with self._open(verb, path, body, content_type, query, DEADLINE) as answer:
            return answer.read()

    def _patch(self, path: str, kind: str, body: Manifest, **query: str) -> None:
        query["fieldValidation"] = "Strict"
        self.request("PATCH", path, json.dumps(body).encode(), PATCHES[kind], **query)

    def _open(self, verb: str, path: str, body: bytes | None, content_type: str, query: dict[str, str], timeout: float) -> Any:
        asked = urllib.parse.urlencode({name: value for name, value in query.items() if value})
        request = urllib.request.Request(f"{self.server}{path}?{asked}", body, method=verb)
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            return urllib.request.urlopen(request, timeout=timeout, context=self._tls)
        except urllib.error.HTTPError as error:
            with error:
                raise ApiRefusal(error.code, _message(error.read())) from None


def _message(body: bytes) -> str:
    try:
        return json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")


def _tls(cluster: Manifest, user: Manifest) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as pair:  # the ssl module reads certificates from files only
        for part in ("client-certificate-data", "client-key-data"):
            pair.write(base64.b64decode(user[part]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context
