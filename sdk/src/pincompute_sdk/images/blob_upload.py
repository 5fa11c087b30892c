"""Uploads one blob of an image in pieces, and resumes where the registry stands after a lost connection."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import urlencode

from pincompute_sdk.core.http_messages import HttpResponse
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import Descriptor
from pincompute_sdk.images.registry_connection import ATTEMPTS, NoAnswerError, RegistryConnection, Scopes, local

PIECE = 8 * 1024 * 1024  # bytes of one request
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")


class BlobUpload:
    """One upload. `sent` learns of bytes that the registry has, and of fewer where it lost some."""

    def __init__(
        self,
        connection: RegistryConnection,
        scopes: Scopes,
        repository: str,
        blob: Descriptor,
        sent: Callable[[int], None],
    ) -> None:
        self._connection, self._scopes = connection, scopes
        self._uploads = f"/v2/{repository}/blobs/uploads/"
        self._blob, self._sent = blob, sent
        self._mount = ""
        self._mounted = False
        self._place = ""
        self._at = 0

    def run(self, source: BinaryIO, mount_from: str = "") -> bool:
        """Returns whether the registry took the blob from the repository `mount_from`, without an upload. Raises ImageError."""
        self._mount = urlencode({"mount": self._blob.digest, "from": mount_from}) if mount_from else ""
        failures = 0
        while True:
            before = self._at
            try:
                self._step(source)
            except NoAnswerError as failure:
                failures = 1 if self._at > before else failures + 1
                if failures >= ATTEMPTS:
                    raise
                self._connection.wait(failure, failures - 1)
                if self._resume():
                    return self._mounted
            else:
                return self._mounted

    def _step(self, source: BinaryIO) -> None:
        """All that is left, from where the registry stands."""
        if not self._place:
            begun = self._begun()
            if begun.status == 201:
                self._mounted = True
                self._move(self._blob.size)
                return
            self._place = local(begun.headers.get("location", ""))
            self._move(0)
        source.seek(self._at)
        while self._at < self._blob.size:
            self._send(source.read(min(PIECE, self._blob.size - self._at)))
        joint = "&" if "?" in self._place else "?"
        self._once("PUT", f"{self._place}{joint}{urlencode({'digest': self._blob.digest})}")

    def _begun(self) -> HttpResponse:
        """A mount that is refused, because the caller may not read the other repository, becomes an upload."""
        if self._mount:
            try:
                return self._once("POST", f"{self._uploads}?{self._mount}")
            except NoAnswerError:
                raise
            except ImageError:
                self._scopes, self._mount = self._scopes[:1], ""
        return self._once("POST", self._uploads)

    def _send(self, piece: bytes) -> None:
        if not piece:
            raise ImageError(f"the blob {self._blob.digest} is shorter than its image says", remedy="build the image again")
        end = self._at + len(piece)
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{self._at}-{end - 1}"}
        answer = self._once("PATCH", self._place, headers=headers, body=piece)
        self._place = local(answer.headers.get("location", self._place))
        self._move(end)

    def _resume(self) -> bool:
        """Ask where the upload stands; true where the blob is complete. An upload that is not known begins again."""
        path = f"{self._uploads.removesuffix('uploads/')}{self._blob.digest}"
        if self._connection.ask("HEAD", path, self._scopes, absent=True).status != 404:
            self._move(self._blob.size)
            return True
        if self._place:
            stands = self._connection.ask("GET", self._place, self._scopes, absent=True)
            self._place = "" if stands.status == 404 else local(stands.headers.get("location", self._place))
            found = _RANGE.fullmatch(stands.headers.get("range", ""))
            end = int(found[1]) if found else 0
            self._move(end + 1 if end else 0)
        return False

    def _move(self, to: int) -> None:
        self._sent(to - self._at)
        self._at = to

    def _once(self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b"") -> HttpResponse:
        return self._connection.once(method, path, self._scopes, headers=headers, body=body)
