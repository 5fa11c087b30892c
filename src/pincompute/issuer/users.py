"""The users of the issuer. They stand in `users.yaml`, which is read again whenever it changes.

The first start makes the users `admin` and `dev` and writes their passwords into the file `passwords` beside it. Passwords are
stored as scrypt hashes that carry their own cost: `scrypt$16384$8$1$SALT$HASH`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

import msgspec
import yaml

from pincompute.issuer.issuer_folder import IssuerError, write
from pincompute.kube.clock import Clock

USERS = "users.yaml"
PASSWORDS = "passwords"
FIRST = {"admin": ("admins",), "dev": ("developers",)}
"""Users of the first start, with their groups."""

COST, BLOCK, PARALLEL = 16384, 8, 1  # 16 MiB and some 50 ms for one guess
LARGEST_COST = 1 << 20
LONGEST_PASSWORD = 1024  # characters
FREE_FAILURES = 5  # wrong passwords of a user without a wait; each further one doubles the wait
FREE_OF_ADDRESS = 30  # as well, of an address, behind which many users may log in at the same time
LONGEST_WAIT = 60.0  # seconds
FORGET = 900.0  # seconds after the last wrong password
MOST_ATTEMPTS = 10_000  # users and addresses that are remembered


class LoginFailed(Exception):  # noqa: N818 - the page shows it
    """The message is for the user. It does not tell a wrong name from a wrong password."""


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    password: str
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or ":" in self.name:
            raise ValueError(f"user name {self.name!r} must be printable and without a colon")
        _parse(self.password)

    @property
    def credential(self) -> str:
        """Differs after every change of the password. A login ends with the credential that it was made with."""
        return hashlib.sha256(self.password.encode()).hexdigest()


class _UserFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    users: tuple[User, ...]


class LoginAttempts:
    """Attempts by user and by address: how many have not succeeded, and the time of the last one.

    An attempt counts from its begin, so those that run at the same time count against each other.
    """

    def __init__(self) -> None:
        self._unsuccessful: dict[str, tuple[int, float]] = {}  # the latest is last

    def __len__(self) -> int:
        return len(self._unsuccessful)

    def begin(self, user: str, address: str, now: float) -> None:
        """Raises LoginFailed when it is too early for another attempt, which then does not count."""
        self._forget(now)
        wait = max(self._wait(f"user {user}", FREE_FAILURES, now), self._wait(f"address {address}", FREE_OF_ADDRESS, now))
        if wait > 0:
            raise LoginFailed(f"Too many attempts. Wait {max(1, round(wait))} seconds and try again.")
        for key in (f"user {user}", f"address {address}"):
            count, _ = self._unsuccessful.pop(key, (0, 0.0))
            self._unsuccessful[key] = count + 1, now

    def succeeded(self, user: str, address: str) -> None:
        """Forgets the user's attempts and takes this one of the address back.

        Others of the address stay, or whoever has an account could guess on after each login of their own.
        """
        self._unsuccessful.pop(f"user {user}", None)
        key = f"address {address}"
        count, last = self._unsuccessful.get(key, (0, 0.0))
        if count > 1:
            self._unsuccessful[key] = count - 1, last
        else:
            self._unsuccessful.pop(key, None)

    def _wait(self, key: str, free: int, now: float) -> float:
        """Seconds until the next attempt."""
        count, last = self._unsuccessful.get(key, (0, 0.0))
        if count < free:
            return 0.0
        return last + min(LONGEST_WAIT, 2.0 ** min(count - free, 10)) - now

    def _forget(self, now: float) -> None:
        while self._unsuccessful:
            key, (_, last) = next(iter(self._unsuccessful.items()))
            if len(self._unsuccessful) < MOST_ATTEMPTS and now - last < FORGET:
                return
            del self._unsuccessful[key]


class Users:
    """All users by name."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Makes the first users when there is no file. Raises IssuerError for a file that cannot be used."""
        self._path = folder / USERS
        self._clock = clock
        if not self._path.exists():
            _make_first(folder)
        self._unknown = hashed(secrets.token_hex(16))
        self._checking = asyncio.Semaphore(2)  # a guess costs 16 MiB and 50 ms
        self._attempts = LoginAttempts()
        self._read_at = (0, 0)
        self._users: dict[str, User] = {}
        self._refresh()

    def get(self, name: str) -> User | None:
        """As the file is now. Raises IssuerError."""
        self._refresh()
        return self._users.get(name)

    async def login(self, name: str, password: str, source: str) -> User:
        """Raises LoginFailed. An unknown user costs as much time as a wrong password, so the time tells nobody names."""
        self._attempts.begin(name[:256], source, self._clock.wall().timestamp())
        user = self.get(name)
        async with self._checking:
            good = await asyncio.to_thread(matches, password, user.password if user else self._unknown)
        if user is None or not good:
            raise LoginFailed("The user name or the password is not right.")
        self._attempts.succeeded(name[:256], source)
        return user

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            if (state.st_mtime_ns, state.st_ino) != self._read_at:
                found = msgspec.convert(yaml.safe_load(self._path.read_text("utf-8")), _UserFile).users
                self._users = {user.name: user for user in found}
                self._read_at = (state.st_mtime_ns, state.st_ino)
        except OSError as problem:
            raise IssuerError(f"{self._path} cannot be read: {problem.strerror}") from None
        except (yaml.YAMLError, msgspec.ValidationError) as problem:
            raise IssuerError(f"{self._path}: {problem}; expected users: [{{name, groups, password}}]") from None


def _make_first(folder: Path) -> None:
    chosen = {name: secrets.token_urlsafe(12) for name in FIRST}
    listed = "".join(f"{name}: {password}\n" for name, password in chosen.items())
    entries = [{"name": name, "groups": list(FIRST[name]), "password": hashed(chosen[name])} for name in FIRST]
    write(folder / PASSWORDS, listed.encode())
    write(folder / USERS, yaml.safe_dump({"users": entries}, sort_keys=False).encode())


def hashed(password: str) -> str:
    salt = os.urandom(16)
    digest = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return "$".join(("scrypt", f"{COST}${BLOCK}${PARALLEL}", *(base64.b64encode(part).decode() for part in (salt, digest))))


def matches(password: str, stored: str) -> bool:
    """Takes tens of milliseconds: call it in a thread."""
    digest, salt, *costs = _parse(stored)
    return len(password) <= LONGEST_PASSWORD and hmac.compare_digest(_scrypt(password, salt, *costs), digest)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 128 * cost * block * parallel + (1 << 20)
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=memory, dklen=32)


def _parse(stored: str) -> tuple[bytes, bytes, int, int, int]:
    """The digest, the salt and the costs. Raises ValueError."""
    try:
        scheme, *costs, salt, digest = stored.split("$")
        cost, block, parallel = map(int, costs)
        found = base64.b64decode(digest, validate=True), base64.b64decode(salt, validate=True), cost, block, parallel
    except ValueError:
        raise ValueError("a password is not scrypt$N$r$p$SALT$HASH") from None
    if scheme != "scrypt" or not (2 <= cost <= LARGEST_COST and 1 <= block <= 32 and 1 <= parallel <= 16):
        raise ValueError("a password is not scrypt$N$r$p$SALT$HASH with numbers that can be used")
    return found
