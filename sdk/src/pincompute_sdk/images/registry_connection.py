"""Sends requests to the region's registry, each with a token of the gateway, and maps refusals to sentences.

oras-py does the same work over requests and jsonschema, a second HTTP stack, and cannot resume an upload. This is the
small part of the protocol that the platform needs, on the HTTP library of the SDK.

Source: https://github.com/opencontainers/distribution-spec
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2
import msgspec

from pincompute_sdk.core import drivers
from pincompute_sdk.core.http_messages import HttpResponse
from pincompute_sdk.generated.models import RegistryToken
from pincompute_sdk.images.image_errors import ImageError

SERVICE = "pincompute-registry"
SECONDS = 60.0  # without a byte
MARGIN = 60.0  # seconds before its end at which a token is renewed
ATTEMPTS = 5  # in a row without progress
PASSING = frozenset({429, 500, 502, 503, 504})
LONGEST = 30.0  # seconds of one wait, whatever the registry asks for
QUIET = 5.0  # seconds without an answer after which people are told what is waited for

Scopes = tuple[str, ...]


class NoAnswerError(ImageError):
    """The registry did not answer, or only with a failure that passes. The request may be repeated.

    `retry_after` is the time that the registry asks for, in seconds.
    """

    retry_after: float | None = None

    def pause(self, attempt: int) -> float:
        """Seconds before the next attempt."""
        return min(LONGEST, max(min(8.0, 0.5 * 2**attempt), self.retry_after or 0.0))


class _RegistryFault(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""
    detail: object = None


class _RegistryFaults(msgspec.Struct, frozen=True):
    errors: tuple[_RegistryFault, ...] = ()


@dataclass(slots=True)
class RegistryConnection:
    """A registry at `address`, with the tokens that `issue` gets for scopes. `sleep` waits between attempts. `tell` is called,
    from any thread, with what a request waits for, since nothing else would say it for minutes.
    """

    address: str
    http: httpx2.Client
    issue: Callable[[Scopes], RegistryToken]
    sleep: Callable[[float], None] = time.sleep
    tell: Callable[[str], None] = lambda _text: None
    quiet: float = QUIET
    _tokens: dict[Scopes, tuple[str, float]] = field(default_factory=dict[Scopes, tuple[str, float]])

    def ask(
        self,
        method: str,
        path: str,
        scopes: Scopes,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        absent: bool = False,
    ) -> HttpResponse:
        """One request, repeated while the failure passes. With `absent`, 404 is an answer. Raises ImageError."""
        for attempt in range(ATTEMPTS):
            try:
                return self.once(method, path, scopes, headers=headers, body=body, absent=absent)
            except NoAnswerError as failure:
                if attempt == ATTEMPTS - 1:
                    raise
                self.wait(failure, attempt)
        raise AssertionError

    def wait(self, failure: NoAnswerError, attempt: int) -> None:
        """Waits until the next attempt after this one, the first of which is 0, and says so."""
        pause = failure.pause(attempt)
        self.tell(f"{failure.message}: trying again in {pause:.0f} s, attempt {attempt + 2} of {ATTEMPTS}")
        self.sleep(pause)

    def once(
        self,
        method: str,
        path: str,
        scopes: Scopes,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        absent: bool = False,
    ) -> HttpResponse:
        """As `ask`, but raises NoAnswerError at the first failure that passes. A refused token is renewed once."""
        answer = self._send(method, path, scopes, headers or {}, body)
        if answer.status == 401 and self._tokens.pop(scopes, None):
            answer = self._send(method, path, scopes, headers or {}, body)
        if answer.status < 400 or (absent and answer.status == 404):
            return answer
        raise self._refusal(answer)

    def _send(self, method: str, path: str, scopes: Scopes, headers: Mapping[str, str], body: bytes | None) -> HttpResponse:
        login = {"Authorization": f"Bearer {self._token(scopes)}"}
        try:
            with self._patience():
                response = self.http.request(method, path, headers={**headers, **login}, content=body)
        except httpx2.HTTPError as error:
            failed = drivers.failed(error)
            kind = NoAnswerError if failed.passing else ImageError
            remedy = "check your network, and that the region is up; then repeat the command, which resumes"
            raise kind(f"the registry {self.address} cannot be reached", reason=failed.message, remedy=remedy) from error
        return HttpResponse(
            response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
        )

    @contextmanager
    def _patience(self) -> Generator[None]:
        """Tells what is waited for, once an answer takes long."""
        text = f"the registry {self.address} has not answered for {self.quiet:.0f} s: waiting for it, at most {SECONDS:.0f} s"
        timer = threading.Timer(self.quiet, self.tell, (text,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _token(self, scopes: Scopes) -> str:
        known, until = self._tokens.get(scopes, ("", 0.0))
        now = time.monotonic()
        if not known or now > until:
            issued = self.issue(scopes)
            known = issued.token
            self._tokens[scopes] = (known, now + issued.expires_in - MARGIN)
        return known

    def _refusal(self, answer: HttpResponse) -> ImageError:
        said = _said(answer)
        if answer.status in PASSING:
            message = f"the registry {self.address} is busy or fails ({answer.status})"
            failure = NoAnswerError(message, reason=said, remedy="repeat the command later")
            failure.retry_after = answer.retry_after
            return failure
        return ImageError(f"the registry refuses this ({answer.status})", reason=said, remedy=_remedy(answer.status))


def local(location: str) -> str:
    """The path and query of a place in the registry. The registry may know itself by another address."""
    parts = urlsplit(location)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _said(answer: HttpResponse) -> str:
    try:
        faults = msgspec.json.decode(answer.body, type=_RegistryFaults).errors
    except msgspec.MsgspecError:
        return " ".join(answer.body[:200].decode("utf-8", "replace").split())
    return "; ".join(_sentence(fault) for fault in faults)


def _sentence(fault: _RegistryFault) -> str:
    """The registry writes what is particular to the case into `detail`, in which only text is meant for people."""
    return fault.detail if isinstance(fault.detail, str) and fault.detail else (fault.message or fault.code)


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "ask an owner of the project for a role that allows it"
    if status == 404:
        return "`pin image list` shows the images of the project"
    return ""
