"""The issuer's pages: plain HTML that any browser and any screen reader can use. No scripts, no pictures, one small style.

Whatever comes from outside is escaped here and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape

STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#111;background:#fff}"
    "label{display:block;margin-top:1rem;font-weight:600}input{font:inherit;width:100%;padding:.5rem;box-sizing:border-box;"
    "border:1px solid #555}button{font:inherit;margin:1.5rem 1rem 0 0;padding:.5rem 1.5rem}"
    ".error{border-left:.4rem solid #b00020;padding:.5rem 1rem}code{font-size:1.3rem;letter-spacing:.1em}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}input{color:#eee;background:#222}}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()


def login(action: str, hidden: Mapping[str, str], name: str = "", error: str = "") -> str:
    """Name and password, on the way back to a program."""
    return _page(
        "Log in to pincompute",
        f"{_error(error)}<form method=post action={_quoted(action)}>{_hidden(hidden)}{_credentials(name)}"
        "<button type=submit>Log in</button></form>",
    )


def enter_code(action: str, hidden: Mapping[str, str], error: str = "") -> str:
    """The code a device shows."""
    return _page(
        "Connect a device",
        f"{_error(error)}<p>Enter the code that the device or terminal shows.</p>"
        f"<form method=get action={_quoted(action)}>{_hidden(hidden)}"
        "<label for=code>Code</label><input id=code name=user_code autocomplete=off autocapitalize=characters "
        "spellcheck=false required autofocus><button type=submit>Go on</button></form>",
    )


def confirm_device(action: str, hidden: Mapping[str, str], code: str, name: str = "", error: str = "") -> str:
    """The user compares the code, so that nobody else's device is let in by a link."""
    return _page(
        "Connect a device",
        f"{_error(error)}<p>Does your device or terminal show this code? <code>{escape(code)}</code></p>"
        "<p>If it does not, or if somebody sent you here, choose Refuse: whoever has the device will act as you.</p>"
        f"<form method=post action={_quoted(action)}>{_hidden(hidden)}{_credentials(name)}"
        "<button type=submit name=answer value=allow>Log in and connect</button>"
        "<button type=submit name=answer value=refuse formnovalidate>Refuse</button></form>",
    )


def message(title: str, text: str) -> str:
    """The end of a way."""
    return _page(title, f"<p role=status>{escape(text)}</p>")


def _credentials(name: str) -> str:
    return (
        f"<label for=name>User name</label><input id=name name=username value={_quoted(name)} autocomplete=username "
        "autocapitalize=none spellcheck=false required>"
        "<label for=password>Password</label><input id=password name=password type=password autocomplete=current-password "
        "required>"
    )


def _error(text: str) -> str:
    return f"<p role=alert class=error>{escape(text)}</p>" if text else ""


def _hidden(values: Mapping[str, str]) -> str:
    return "".join(f"<input type=hidden name={_quoted(name)} value={_quoted(value)}>" for name, value in values.items())


def _quoted(value: str) -> str:
    return f'"{escape(value, quote=True)}"'


def _page(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f'<meta name=viewport content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
