"""Maps the outcome of a call to an error that says what happened, why, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pincompute_sdk
from pincompute_sdk.core import address_probe, configuration, errors
from pincompute_sdk.core.http_messages import HttpResponse, NoResponse, Outcome

if TYPE_CHECKING:
    from pincompute_sdk.core.exchange import ClientSession

SKEW = 60.0  # seconds of clock difference from which a refused token is blamed on the clock


def error(session: ClientSession, outcome: Outcome) -> errors.PinError:
    if (isinstance(outcome, NoResponse) or not _is_problem(outcome)) and configuration.region_is_down(session.server):
        return _region_down(session.server)
    if isinstance(outcome, NoResponse):
        strange = _stranger(session.server) if _may_be_strange(session, outcome) else None
        return strange or _no_answer(session.server, outcome)
    if outcome.status == 401:
        return _not_known(session, outcome, datetime.now(UTC))
    if outcome.status in (404, 405, 501) and not _is_problem(outcome):
        return _unknown_call(session, outcome)
    found = errors.problem(outcome.status, outcome.body, request_id=outcome.request_id, retry_after=outcome.retry_after)
    return _of_versions(session.server_version, found)


def undecodable(server_version: str, what: str, why: str, request_id: str = "") -> errors.VersionError:
    """The server's answer does not have the shape this SDK was generated for."""
    return errors.VersionError(
        f"the server's answer to {what} has a shape this SDK does not know",
        reason=f"{why}; {_versions(server_version)}",
        remedy=_move(server_version),
        request_id=request_id,
    )


def _region_down(server: str) -> errors.UnreachableError:
    reason = f"{server} is the address of the region in {configuration.region_home()}, which does not run"
    return errors.UnreachableError("the region is not up", reason=reason, remedy="`pincompute region up`")


def _may_be_strange(session: ClientSession, failed: NoResponse) -> bool:
    """Whether the address may be wrong: nothing was ever answered there, and something listens."""
    silent = failed.trouble in ("dropped", "network", "untrusted")
    return silent and not session.server_version and not failed.of_certificate


def _stranger(server: str) -> errors.UnreachableError | None:
    """The error for an address with the wrong scheme or port; None when what listens there is not known."""
    secure, found = server.startswith("https:"), address_probe.listener(server)
    if found == "tls" and not secure:
        reason, remedy = "the address begins with http://, and TLS is spoken there", "write https:// instead of http://"
        return errors.UnreachableError(f"{server} has the wrong scheme", reason=reason, remedy=remedy)
    if found == "http" and secure:
        reason = "it does not speak TLS; plain HTTP is spoken there"
        remedy = "check the port; plain http:// is possible on this machine only"
        return errors.UnreachableError(f"{server} has the wrong scheme", reason=reason, remedy=remedy)
    if found == "other":
        reason, remedy = "neither HTTP nor TLS is spoken there", "check the port: the gateway's address is https://HOST:PORT"
        return errors.UnreachableError(f"{server} is not a pincompute server", reason=reason, remedy=remedy)
    return None


def _no_answer(server: str, failed: NoResponse) -> errors.PinError:
    if failed.trouble == "untrusted":
        return _untrusted(server, failed.message)
    reasons = {
        "unresolved": (
            "its name cannot be resolved",
            "check the address (PINCOMPUTE_SERVER, --server) and the DNS",
        ),
        "refused": ("nothing listens there", "check the address and port, and that the platform is up"),
        "timeout": ("it did not answer in time", "try again; if it stays silent, check the network or a longer --timeout"),
        "dropped": (
            "the connection was closed before the answer was complete",
            "try again; look first whether a write took effect",
        ),
        "network": ("the network is away", "check this machine's connection"),
    }
    reason, remedy = reasons[failed.trouble]
    return errors.UnreachableError(f"{server} cannot be reached", reason=f"{reason} ({failed.message})", remedy=remedy)


def _untrusted(server: str, message: str) -> errors.PinError:
    if "expired" in message or "not yet valid" in message:
        remedy = "check this machine's clock (`date -u`); if it is right, the server's certificate must be renewed"
    elif "mismatch" in message or "doesn't match" in message:
        remedy = "use the name the certificate was made for, or ask the administrator to add this name"
    else:
        remedy = "name the authority that signed it: PINCOMPUTE_CA=/path/ca.crt, or `pin login --ca /path/ca.crt`"
    return errors.UntrustedServerError(f"{server} is not trusted", reason=message, remedy=remedy)


def _not_known(session: ClientSession, answer: HttpResponse, now: datetime) -> errors.PinError:
    found = errors.problem(answer.status, answer.body, request_id=answer.request_id)
    skew = (now - answer.date).total_seconds() if answer.date else 0.0
    if abs(skew) > SKEW:
        side = "ahead of" if skew > 0 else "behind"
        differ = f"this machine's clock is {_words(abs(skew))} {side} the server's clock"
        return errors.ClockError(
            "the token was refused, and the clocks differ",
            reason=f"{differ}; {found.reason}" if found.reason else differ,
            remedy="set the clock that is wrong (`timedatectl set-ntp true`); if it is the server's, tell who runs it",
            request_id=answer.request_id,
        )
    found.remedy = found.remedy or "log in again: `pin login`"
    if configuration.is_of_environment(session.token()):
        found.remedy = (
            f"PINCOMPUTE_TOKEN holds this token: put a valid one there, or unset it and use `pin login` ({found.remedy})"
        )
    return found


def _unknown_call(session: ClientSession, answer: HttpResponse) -> errors.PinError:
    version = session.server_version
    if not version:
        return errors.VersionError(
            f"{session.server} does not know this call",
            reason="it does not answer as a pincompute server does",
            remedy="check that the address is the gateway's (`pin version` shows both sides)",
            request_id=answer.request_id,
        )
    return errors.VersionError(
        "the server does not know this call", reason=_versions(version), remedy=_move(version), request_id=answer.request_id
    )


def _of_versions(server: str, found: errors.Problem) -> errors.Problem:
    """Adds both versions to an error that a difference between them may explain."""
    if not server or compare(server, pincompute_sdk.__version__) == 0:
        return found
    if isinstance(found, errors.UnknownCallError):
        found.reason, found.remedy = f"{found.reason}; {_versions(server)}", _move(server)
    elif isinstance(found, errors.InvalidError):
        found.remedy = "; ".join(part for part in (found.remedy, _versions(server)) if part)
    return found


def _is_problem(answer: HttpResponse) -> bool:
    return "problem+json" in answer.headers.get("content-type", "")


def _versions(server: str) -> str:
    ours = pincompute_sdk.__version__
    if not server:
        return f"this SDK is {ours}"
    order = compare(server, ours)
    word = "older than" if order < 0 else "newer than" if order > 0 else "the same version as"
    return f"the server ({server}) is {word} this SDK ({ours})"


def _move(server: str) -> str:
    order = compare(server, pincompute_sdk.__version__) if server else 0
    if order > 0:
        return f"move to pincompute-sdk {server} (`pip install --upgrade pincompute-sdk`)"
    if order < 0:
        return f"use pincompute-sdk {server} with this server, or ask for the server to be upgraded"
    return "report this with the request id"


def compare(left: str, right: str) -> int:
    """Below, at or above 0 as `left` is older than, equal to or newer than `right`; what is not a number counts as 0."""
    a, b = _numbers(left), _numbers(right)
    return (a > b) - (a < b)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.partition("+")[0].split(".")[:3])


def _words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"
