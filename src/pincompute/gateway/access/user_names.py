"""Names the users and groups of an issuer, so that those of two issuers are never the same.

A user is a subject of an issuer (the claim `sub`), which the issuer never gives to somebody else. Users of many issuers may
change their `preferred_username`, so it names nobody unless the settings say so.

With one issuer names are as it says them. With several, each issuer's names begin with a prefix: the one of the settings, or
`URL#` as kube-apiserver has it. A name that would begin with another issuer's prefix is refused, such a group is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pincompute.gateway import problems
from pincompute.gateway.call_context import MADE_BY, PLATFORM
from pincompute.gateway.gateway_settings import IssuerSettings, SettingsError

SERVICE = "service:"
"""Names of subjects that are no person begin with this; no issuer can give such a name."""

RESERVED = (PLATFORM, SERVICE, "group:", "anonymous")
LONGEST_NAME = 253  # what a project's member may be called


@dataclass(frozen=True, slots=True)
class NamePrefix:
    """What the names of an issuer begin with, and what they must not begin with: the longer prefixes of others."""

    own: str
    others: tuple[str, ...]

    def name(self, claimed: str) -> str:
        """Returns the claimed name with the prefix; empty when it would be a name of another issuer."""
        name = self.own + claimed
        return "" if name.startswith(self.others) else name


@dataclass(frozen=True, slots=True)
class IssuerNames:
    """How the tokens of one issuer name a user and their groups."""

    issuer: IssuerSettings
    users: NamePrefix
    groups: NamePrefix

    def user(self, claims: Mapping[str, Any]) -> str:
        """Raises Problem 401."""
        claim = self.issuer.username_claim
        claimed = claims.get(claim)
        if not isinstance(claimed, str) or not claimed.strip() or not claimed.isprintable():
            raise _no_name(claim)
        name = self.users.name(claimed)
        if not name or name.startswith(RESERVED) or claimed.startswith(RESERVED) or MADE_BY in name:
            raise problems.refused_token(f"the user name {self.users.own + claimed!r} is reserved")
        if len(name) > LONGEST_NAME:
            raise _no_name(claim)
        if claim == "email" and claims.get("email_verified") is not True:
            raise problems.refused_token("the issuer has not verified the email address")
        return name

    def groups_of(self, claimed: Iterable[str]) -> frozenset[str]:
        return frozenset(name for group in claimed if (name := self.groups.name(group)))


def display(claims: Mapping[str, Any], name: str) -> str:
    """How the user likes to be called, which gives no rights; empty when that is their name."""
    said = claims.get("preferred_username")
    if not isinstance(said, str) or not said.isprintable() or len(said) > LONGEST_NAME or said == name:
        return ""
    return said


def of_issuers(issuers: Sequence[IssuerSettings]) -> dict[str, IssuerNames]:
    """Returns the names of each issuer by URL. Raises SettingsError when two issuers have the same URL or prefix."""
    single = len(issuers) == 1
    users = [_prefix(issuer.username_prefix, issuer, single=single) for issuer in issuers]
    groups = [_prefix(issuer.groups_prefix, issuer, single=single) for issuer in issuers]
    _check_unique("url", [issuer.url for issuer in issuers])
    _check_unique("usernamePrefix", users)
    _check_unique("groupsPrefix", groups)
    return {
        issuer.url: IssuerNames(issuer, _among(user, users), _among(group, groups))
        for issuer, user, group in zip(issuers, users, groups, strict=True)
    }


def _prefix(said: str | None, issuer: IssuerSettings, *, single: bool) -> str:
    if said is None:
        return "" if single else f"{issuer.url}#"
    if said.startswith(RESERVED):
        raise SettingsError(f"issuers: the prefix {said!r} of {issuer.url} is reserved; choose another one")
    return said


def _among(own: str, every: Collection[str]) -> NamePrefix:
    return NamePrefix(own, tuple(other for other in every if other != own and other.startswith(own)))


def _check_unique(field: str, values: Sequence[str]) -> None:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise SettingsError(f"issuers[].{field}: {twice!r} stands twice, so their users could not be told apart")


def _no_name(claim: str) -> problems.Problem:
    return problems.refused_token(f"its claim {claim!r} holds no user name of at most {LONGEST_NAME} printable characters")
