"""The users of the issuer: `users.yaml`, read again whenever it changes. The first start makes `admin` and `dev`.

Their passwords are in the file `passwords` beside it, for whoever may read it. The surprising rule: an unknown user costs as
much time as a wrong password, so that nobody learns names by the clock.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import yaml

from pincompute.issuer import password_hashes, secret_files
from pincompute.issuer.oauth_errors import IssuerError

USERS = "users.yaml"
PASSWORDS = "passwords"
FIRST = {"admin": ("admins",), "dev": ("developers",)}
"""Users of the first start, with their groups."""


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    password: str
    groups: tuple[str, ...] = ()


class _UserFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    users: tuple[User, ...]


class Users:
    """All users by name."""

    def __init__(self, folder: Path) -> None:
        """Makes the first ones when there is no file. Raises IssuerError for a file that cannot be used."""
        self._path = folder / USERS
        if not self._path.exists():
            _make_first(folder)
        self._unknown = password_hashes.hashed(secrets.token_hex(16))
        self._read_at = (0, 0)
        self._users: dict[str, User] = {}
        self._refresh()

    def get(self, name: str) -> User | None:
        """As the file is now. Raises IssuerError."""
        self._refresh()
        return self._users.get(name)

    def check(self, name: str, password: str) -> User | None:
        """Takes tens of milliseconds: call it in a thread. Raises IssuerError."""
        user = self.get(name)
        good = password_hashes.matches(password, user.password if user else self._unknown)
        return user if good else None

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            if (state.st_mtime_ns, state.st_ino) != self._read_at:
                self._users = _read(self._path)
                self._read_at = (state.st_mtime_ns, state.st_ino)
        except OSError as problem:
            raise IssuerError(f"{self._path} cannot be read: {problem.strerror}") from None


def _read(path: Path) -> dict[str, User]:
    try:
        found = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), _UserFile).users
        for user in found:
            _check(user)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as problem:
        raise IssuerError(f"{path}: {problem}; expected users: [{{name, groups, password}}]") from None
    return {user.name: user for user in found}


def _check(user: User) -> None:
    """Raises ValueError."""
    if not user.name or not user.name.isprintable() or ":" in user.name:
        raise ValueError(f"user name {user.name!r} must be printable and without a colon")
    try:
        password_hashes.parse(user.password)
    except ValueError as problem:
        raise ValueError(f"password of user {user.name!r} {problem}") from None


def _make_first(folder: Path) -> None:
    chosen = {name: secrets.token_urlsafe(12) for name in FIRST}
    told = "".join(f"{name}: {password}\n" for name, password in chosen.items())
    entries = [{"name": name, "groups": list(FIRST[name]), "password": password_hashes.hashed(chosen[name])} for name in FIRST]
    secret_files.write(folder / PASSWORDS, told.encode())
    secret_files.write(folder / USERS, yaml.safe_dump({"users": entries}, sort_keys=False).encode())
