"""What pages need besides their text: headers that keep other sites out, the forms' secret, and fields read strictly.

The surprising rule: every form carries the value of a cookie that only this site can set. A form another site sends has the
cookie, but not the value.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response
from litestar.datastructures import Cookie

from pincompute.issuer.html_pages import STYLE_HASH
from pincompute.issuer.oauth_errors import OAuthError

COOKIE = "pincompute-form"
FIELD = "form"
SHORTEST = 32  # characters of the secret
IssuerRequest = Request[Any, Any, Any]


async def fields(request: IssuerRequest) -> dict[str, str]:
    """Of a form. Raises OAuthError for a field that is there twice, or is a file (RFC 6749, 3.2)."""
    form = await request.form()
    return _single([(name, value) for name, value in form.multi_items()])


def query(request: IssuerRequest) -> dict[str, str]:
    """Of the address. Raises OAuthError for a parameter that is there twice."""
    return _single(list(request.query_params.multi_items()))


def _single(items: list[tuple[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in items:
        if name in found or not isinstance(value, str):
            raise OAuthError("invalid_request", f"{name} must be there once, as text")
        found[name] = value
    return found


def secret(request: IssuerRequest) -> str:
    """The one this browser has, or a new one; the same however often it is asked for in one request."""
    known = request.cookies.get(COOKIE, "")
    if len(known) < SHORTEST:
        known = request.scope["state"].setdefault(COOKIE, secrets.token_urlsafe(32))
    return known


def check(request: IssuerRequest, form: Mapping[str, str]) -> None:
    """Raises OAuthError for a form that is not from one of our pages."""
    known, given = request.cookies.get(COOKIE, ""), form.get(FIELD, "")
    if len(known) < SHORTEST or not hmac.compare_digest(known.encode(), given.encode()):
        raise OAuthError("invalid_request", "the form is too old, or cookies are off: go back, load the page again", 403)


def page(request: IssuerRequest, html: str, status: int = 200, redirect: str = "") -> Response[str]:
    """`redirect` is where the form may lead to in the end; browsers ask that to be said."""
    cookie = Cookie(
        COOKIE, path="/", value=secret(request), httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
    return Response(html, media_type="text/html", status_code=status, headers=headers(redirect), cookies=[cookie])


def headers(redirect: str = "") -> dict[str, str]:
    where = urlsplit(redirect)
    leads = f" {where.scheme}://{where.netloc}" if redirect else ""
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'{leads}; "
        "frame-ancestors 'none'; base-uri 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
