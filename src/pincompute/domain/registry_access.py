"""Decides what a token for the region's registry allows, in the terms of the registry's token protocol.

A client asks for scopes, such as `repository:shop/web:pull,push`. The answer is a token that names what of it is allowed. A
name is taken only in the one form in which the registry itself stores it, so that no two spellings mean the same repository.

Source: https://distribution.github.io/distribution/spec/auth/token
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pincompute.api import image_reference
from pincompute.api.image_ownership import project_of

SERVICE = "pincompute-registry"
ISSUER = "pincompute"
ALGORITHM = "ES256"
LIFETIME = 300  # seconds
LEEWAY = 30  # seconds by which the clocks of the issuer and of the registry may differ

PULL, PUSH, DELETE = "pull", "push", "delete"
ACTIONS = (PULL, PUSH, DELETE)
ALL = "*"
MOST_SCOPES = 16
REPOSITORY = re.compile(image_reference.REPOSITORY)
TAG = re.compile(image_reference.TAG)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHAPE = "repository:PROJECT/NAME:pull,push"


class InvalidScope(ValueError):  # noqa: N818 - it names what is invalid
    """A scope cannot be read. The message says why."""


class Access(NamedTuple):
    """Something that may be done with one repository."""

    repository: str
    action: str


class Denial(NamedTuple):
    """Something that was asked for and is not allowed."""

    access: Access
    why: str


def is_repository(name: str) -> bool:
    return len(name) <= image_reference.LONGEST_NAME and REPOSITORY.fullmatch(name) is not None


def names_image(repository: str, version: str) -> bool:
    """Whether an image can have this name. `version` is a tag or a digest."""
    return is_repository(repository) and (TAG.fullmatch(version) or DIGEST.fullmatch(version)) is not None


def parse(scopes: Iterable[str]) -> tuple[Access, ...]:
    """Every action once, in the order in which it was asked for. Raises InvalidScope."""
    asked = [scope for text in scopes for scope in text.split(" ") if scope]
    if len(asked) > MOST_SCOPES:
        raise InvalidScope(f"more than {MOST_SCOPES} scopes are asked for")
    return tuple(dict.fromkeys(access for scope in asked for access in _parse_one(scope)))


def _parse_one(scope: str) -> Iterable[Access]:
    kind, _, rest = scope.partition(":")
    name, colon, actions = rest.rpartition(":")
    shown = scope[:80]
    if kind != "repository" or not colon:
        raise InvalidScope(f"{shown!r} is not of the form {_SHAPE}")
    if not is_repository(name):
        raise InvalidScope(
            f"{shown!r} does not name a repository: lower-case letters and digits are expected, such as shop/web"
        )
    chosen = ACTIONS if actions == ALL else actions.split(",")
    for action in chosen:
        if action not in ACTIONS:
            raise InvalidScope(f"{shown!r} asks for {action[:20]!r}: one of {', '.join(ACTIONS)} is expected")
    return (Access(name, action) for action in chosen)


def decide(asked: Iterable[Access], in_project: Callable[[str, str], str]) -> tuple[tuple[Access, ...], tuple[Denial, ...]]:
    """What is granted and what is denied. `in_project` says why a project denies an action; empty where it allows it."""
    granted, denied = list[Access](), list[Denial]()
    for access in asked:
        project = project_of(access.repository)
        why = in_project(project, access.action) if project else _of_platform(access.action)
        if why:
            denied.append(Denial(access, why))
        else:
            granted.append(access)
    return tuple(granted), tuple(denied)


def _of_platform(action: str) -> str:
    if action == PULL:
        return ""
    return "it is an image of the platform, which only `pincompute region image build` on the region's machine changes"


def refused(granted: tuple[Access, ...], denied: tuple[Denial, ...]) -> tuple[Denial, ...]:
    """The denials for which no token is issued at all, so that the user reads the reason.

    A client that copies between repositories also asks to pull from the other one, and does without where that is denied.
    """
    changes = tuple(denial for denial in denied if denial.access.action != PULL)
    return changes or (() if granted else denied)


def claims(subject: str, granted: Iterable[Access], now: int, identity: str) -> dict[str, Any]:
    """What the token says. `now` is in seconds since the epoch; `identity` is unique."""
    actions: dict[str, list[str]] = {}
    for access in granted:
        actions.setdefault(access.repository, []).append(access.action)
    return {
        "iss": ISSUER,
        "sub": subject,
        "aud": SERVICE,
        "iat": now,
        "nbf": now - LEEWAY,
        "exp": now + LIFETIME,
        "jti": identity,
        "access": [{"type": "repository", "name": name, "actions": allowed} for name, allowed in actions.items()],
    }
