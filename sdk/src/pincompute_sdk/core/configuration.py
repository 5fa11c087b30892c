"""Stores servers and identities in `~/.config/pincompute/config.yaml`. Environment variables override them.

The file holds tokens, so it is written with mode 0600 and replaced as a whole; `pin` warns about one that others may read.
Programs that change it hold the lock file beside it, so that none undoes what another has just stored.
Environment: PINCOMPUTE_SERVER, PINCOMPUTE_TOKEN, PINCOMPUTE_PROJECT, PINCOMPUTE_CA, PINCOMPUTE_CONTEXT, PINCOMPUTE_CONFIG.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pincompute_sdk.core.errors import ConfigurationError


class Context(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """One server and one identity there. `expires` is in seconds since the epoch."""

    server: str = ""
    ca: str = ""
    project: str = ""
    token: str = ""
    refresh_token: str = ""
    expires: float = 0
    issuer: str = ""
    client_id: str = ""
    user: str = ""


class Configuration(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    current: str = ""
    contexts: dict[str, Context] = {}


def path(environment: Mapping[str, str] = os.environ) -> Path:
    if environment.get("PINCOMPUTE_CONFIG"):
        return Path(environment["PINCOMPUTE_CONFIG"])
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / "pincompute" / "config.yaml"


def load(at: Path) -> Configuration:
    """An absent file is an empty configuration."""
    import yaml

    from pincompute_sdk.core import yaml_mistakes

    try:
        text = at.read_text("utf-8")
    except FileNotFoundError:
        return Configuration()
    except OSError as error:
        raise ConfigurationError(f"{at} cannot be read", reason=str(error), remedy=f"chown $USER {at}") from error
    try:
        return msgspec.convert(yaml.safe_load(text) or {}, Configuration)
    except yaml.YAMLError as error:
        found = yaml_mistakes.of(text, error)  # without the line itself, which may have a token
        raise _unreadable(at, f"line {found.line}, column {found.column}: {found.sentence}", found.remedy) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise _unreadable(at, " ".join(str(error).split()), "correct it") from error


def _unreadable(at: Path, reason: str, remedy: str) -> ConfigurationError:
    remedy = f"{remedy}; or remove the file and `pin login` again"
    return ConfigurationError(f"{at} is not a configuration of pin", reason=reason, remedy=remedy)


def check_token(token: str) -> None:
    """Raises ConfigurationError for a token that no header can carry. The message does not show it."""
    if not token or all("!" <= letter <= "~" for letter in token):
        return
    holder = "PINCOMPUTE_TOKEN" if is_of_environment(token) else "the token"
    found = "a line break" if "\n" in token or "\r" in token else "a blank" if " " in token else "a character that no token has"
    raise ConfigurationError(
        f"{holder} is not a token",
        reason=f"it holds {found}",
        remedy="give only the token itself: `pin token create NAME` prints it, alone, on stdout",
    )


def is_of_environment(token: str, environment: Mapping[str, str] = os.environ) -> bool:
    return bool(token) and environment.get("PINCOMPUTE_TOKEN") == token


def exposed(at: Path) -> bool:
    """Whether others than the owner may read the file."""
    try:
        return bool(at.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def save(at: Path, configuration: Configuration) -> None:
    """Replaces the file in one step, readable by its owner only."""
    import yaml

    at.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = yaml.safe_dump(msgspec.to_builtins(configuration), sort_keys=False)
    handle, name = tempfile.mkstemp(dir=at.parent, prefix=".config-")  # mode 0600 by mkstemp
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(at)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def locked(at: Path) -> Generator[None]:
    """Hold the lock of the file. Where it cannot be locked, as on a read-only file system, nobody can change it either."""
    with suppress(OSError):
        at.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = os.open(at.with_name(f"{at.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def change(at: Path, changed: Callable[[Configuration], Configuration]) -> Configuration:
    """Apply a change to what the file holds now, and store the result."""
    with locked(at):
        result = changed(load(at))
        save(at, result)
    return result


def region_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Where an embedded region has its data, if there is one."""
    home = environment.get("PINCOMPUTE_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".pincompute")
    return Path(home)


def region_is_down(server: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the server is the one of an embedded region whose supervisor does not run."""
    home = region_home(environment)
    try:
        if not server or region(environment).server != server:
            return False
        folder = os.open(home, os.O_PATH | os.O_DIRECTORY)  # a socket's own path may have 107 characters only
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(f"/proc/self/fd/{folder}/supervisor.sock")
        finally:
            os.close(folder)
    except (FileNotFoundError, ConnectionRefusedError):
        return True
    except (OSError, ConfigurationError):  # it cannot be known
        return False
    return False


def region(environment: Mapping[str, str] = os.environ) -> Context:
    """A region that runs on this machine (`make up`) needs no address: its home tells server and authority."""
    client_file = region_home(environment) / "client.yaml"
    if not client_file.is_file():
        return Context()
    import yaml

    try:
        return msgspec.convert(yaml.safe_load(client_file.read_text("utf-8")), Context)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{client_file} cannot be used", reason=str(error), remedy="`make up` writes it anew"
        ) from error


def effective(configuration: Configuration, environment: Mapping[str, str] = os.environ, name: str = "") -> Context:
    """The chosen context with the environment's values on top of it; a token of the environment is never renewed."""
    chosen = name or environment.get("PINCOMPUTE_CONTEXT", "") or configuration.current
    if chosen and chosen not in configuration.contexts:
        known = ", ".join(sorted(configuration.contexts)) or "none"
        raise ConfigurationError(
            f"there is no context {chosen}",
            reason=f"known: {known}",
            remedy="choose one of them, or log in: `pin login --context NAME`",
        )
    found = configuration.contexts.get(chosen) or region(environment)
    over = {
        field: environment[variable]
        for field, variable in (("server", "PINCOMPUTE_SERVER"), ("project", "PINCOMPUTE_PROJECT"), ("ca", "PINCOMPUTE_CA"))
        if environment.get(variable)
    }
    if over.get("server", found.server) != found.server:
        found = msgspec.structs.replace(found, token="", refresh_token="", expires=0)  # a token is for its server only
    if environment.get("PINCOMPUTE_TOKEN"):
        found = msgspec.structs.replace(found, token=environment["PINCOMPUTE_TOKEN"], refresh_token="", expires=0)
    return msgspec.structs.replace(found, **over)
