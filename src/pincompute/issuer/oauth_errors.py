"""What the issuer answers to programs that ask wrongly, in the words of RFC 6749 and RFC 8628."""

from __future__ import annotations


class IssuerError(Exception):
    """The issuer cannot run. The message names the file and what to do."""


class OAuthError(Exception):
    """`code` is registered with IANA ("invalid_grant"); the description is for people."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
