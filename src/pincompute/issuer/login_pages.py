"""The HTML of the issuer: plain pages for any browser and any screen reader, without scripts and pictures.

Whatever comes from outside is escaped here and nowhere else. The headers keep other sites out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

from litestar import Response

STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#111;background:#fff}"
    "label{display:block;margin-top:1rem;font-weight:600}input{font:inherit;width:100%;padding:.5rem;box-sizing:border-box;"
    "border:1px solid #555}button{font:inherit;margin:1.5rem 1rem 0 0;padding:.5rem 1.5rem}"
    ".error{border-left:.4rem solid #b00020;padding:.5rem 1rem}code{font-size:1.3rem;letter-spacing:.1em}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}input{color:#eee;background:#222}}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def login(action: str, hidden: Mapping[str, str], name: str = "", error: str = "", redirect: str = "") -> Response[str]:
    """Name and password, on the way back to a program at `redirect`."""
    button = "<button type=submit>Log in</button>"
    return _page(
        "Log in to pincompute",
        _form("post", action, hidden, _credentials(name) + button),
        error,
        401 if error else 200,
        redirect,
    )


def enter_code(action: str, error: str = "") -> Response[str]:
    """The code that a device shows."""
    field = (
        "<label for=code>Code</label><input id=code name=user_code autocomplete=off autocapitalize=characters "
        "spellcheck=false required autofocus><button type=submit>Go on</button>"
    )
    text = "<p>Enter the code that the device or terminal shows.</p>"
    return _page("Connect a device", text + _form("get", action, {}, field), error, 404 if error else 200)


def confirm_device(action: str, hidden: Mapping[str, str], code: str, name: str = "", error: str = "") -> Response[str]:
    """The user compares the code, so that a link does not let in somebody else's device."""
    text = (
        f"<p>Does your device or terminal show this code? <code>{escape(code)}</code></p>"
        "<p>If it does not, or if somebody sent you here, choose Refuse: whoever has the device will act as you.</p>"
    )
    buttons = (
        "<button type=submit name=answer value=allow>Log in and connect</button>"
        "<button type=submit name=answer value=refuse formnovalidate>Refuse</button>"
    )
    return _page(
        "Connect a device", text + _form("post", action, hidden, _credentials(name) + buttons), error, 401 if error else 200
    )


def message(title: str, text: str, status: int = 200) -> Response[str]:
    return _page(title, f"<p role=status>{escape(text)}</p>", "", status)


def headers(redirect: str = "") -> dict[str, str]:
    """`redirect` is where a form may lead in the end: browsers want to know."""
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


def _form(method: str, action: str, hidden: Mapping[str, str], content: str) -> str:
    fields = "".join(f"<input type=hidden name={_quoted(name)} value={_quoted(value)}>" for name, value in hidden.items())
    return f"<form method={method} action={_quoted(action)}>{fields}{content}</form>"


def _credentials(name: str) -> str:
    return (
        f"<label for=name>User name</label><input id=name name=username value={_quoted(name)} autocomplete=username "
        "autocapitalize=none spellcheck=false required>"
        "<label for=password>Password</label><input id=password name=password type=password autocomplete=current-password "
        "required>"
    )


def _quoted(value: str) -> str:
    return f'"{escape(value, quote=True)}"'


def _page(title: str, body: str, error: str, status: int, redirect: str = "") -> Response[str]:
    alert = f"<p role=alert class=error>{escape(error)}</p>" if error else ""
    html = (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f'<meta name=viewport content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{alert}{body}</main></body></html>"
    )
    return Response(html, media_type="text/html", status_code=status, headers=headers(redirect))
