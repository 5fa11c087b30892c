"""Checks the claims of a token. Pure: the signature is checked before, the time is handed in.

An expired token and one from the future get different problems: one needs a login, the other a clock that is set right. The
message says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from pincompute.gateway import problems
from pincompute.gateway.access import user_names
from pincompute.gateway.access.user_names import IssuerNames
from pincompute.gateway.call_context import Caller
from pincompute.gateway.gateway_settings import IssuerSettings
from pincompute.gateway.problems import Problem


def caller(claims: Mapping[str, Any], names: IssuerNames, now: float, leeway: float) -> Caller:
    """`now` in seconds since the epoch, `leeway` in seconds. Raises Problem 401."""
    _check_audience(claims, names.issuer)
    expires = _check_times(claims, now, leeway)
    name, groups = names.user(claims), names.groups_of(_strings(claims, names.issuer.groups_claim))
    return Caller(name, groups, "user", expires=expires + leeway, display=user_names.display(claims, name))


def _check_audience(claims: Mapping[str, Any], issuer: IssuerSettings) -> None:
    if claims.get("iss") != issuer.url:
        raise problems.refused_token(f"its issuer is {claims.get('iss')!r}, expected {issuer.url!r}")
    if issuer.client_id not in _strings(claims, "aud"):
        raise problems.refused_token(f"it is meant for {claims.get('aud')!r}, expected {issuer.client_id!r}")


def _check_times(claims: Mapping[str, Any], now: float, leeway: float) -> float:
    expires = _seconds(claims, "exp")
    if expires is None:
        raise problems.refused_token("it has no expiry (claim exp)")
    for claim, word in (("nbf", "is not valid before"), ("iat", "was issued at")):
        when = _seconds(claims, claim)
        if when is not None and when > now + leeway:
            raise clock_wrong(f"the token {word} {_shown(when)}", when - now, now, leeway)
    if expires + leeway <= now:
        raise problems.token_expired(
            f"the token expired {_span(now - expires)} ago, at {_shown(expires)}: the gateway's clock says {_shown(now)}",
            "log in again with `pin login`; if you have only just done so, the clocks of the issuer and the gateway differ",
        )
    return expires


def _strings(claims: Mapping[str, Any], name: str) -> list[str]:
    """A claim that is a string or a list of them."""
    value = claims.get(name, [])
    try:
        return msgspec.convert([value] if isinstance(value, str) else value, list[str])
    except msgspec.ValidationError:
        raise problems.refused_token(f"its claim {name!r} is no list of names") from None


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LAST:
        raise problems.refused_token(f"its claim {name!r} is no time")
    return float(value)


LAST = 253402300800  # the year 10000: what a date can say, and never NaN or infinity


def clock_wrong(what: str, ahead: float, now: float, leeway: float) -> Problem:
    return Problem(
        "clock-wrong",
        f"{what}, which is {_span(ahead)} in the future: the gateway's clock says {_shown(now)}, and clocks may differ by "
        f"{_span(leeway)}",
        "set the clock of the issuer's or the gateway's machine right (`timedatectl` shows it)",
        headers={"WWW-Authenticate": 'Bearer realm="pincompute", error="invalid_token"'},
    )


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _span(seconds: float) -> str:
    """Returns a span of time in the two largest units that matter."""
    whole = round(seconds)
    for size, unit, small, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"
