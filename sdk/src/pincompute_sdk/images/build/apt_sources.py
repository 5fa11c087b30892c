"""Reads the package sources of this machine: which distribution, from where, through which proxy, and which versions."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

DISTRIBUTIONS = ("debian", "ubuntu")
DEFAULT = "stable"
LOGINS = {"Dir::Etc::netrc": Path("/etc/apt/auth.conf"), "Dir::Etc::netrcparts": Path("/etc/apt/auth.conf.d")}
CONNECTIONS = ("Acquire::http::", "Acquire::https::")
SECONDS = 60.0
_LOGIN = re.compile(r"://[^/@\s]+@")


def suite() -> str:
    """The machine's own release, or Debian's stable one."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return DEFAULT
    return release.get("VERSION_CODENAME", DEFAULT) if release.get("ID") in DISTRIBUTIONS else DEFAULT


def lines() -> list[str]:
    """Lines of sources.list for the distribution itself; none where mmdebstrap's default is right."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    listed = _output("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    return list(dict.fromkeys(chosen(listed, suite())))


def chosen(listed: str, release: str) -> Iterator[str]:
    """Yields the sources of the distribution: of this release, its updates and its security updates."""
    for line in listed.splitlines():
        address, name, component, origin = (*line.split(" "), "", "", "", "")[:4]
        known = origin.lower() if origin and not origin.startswith("$") else address
        if name.startswith(release) and any(each in known for each in DISTRIBUTIONS):
            yield f"deb {address} {name} {component}"


def transport() -> list[str]:
    """Options of apt that say how to reach the sources, such as a proxy. They may hold passwords."""
    dumped = _output("apt-config", "dump").splitlines()
    given = [line.removesuffix(";") for line in dumped if line.startswith(CONNECTIONS) and not line.endswith('"";')]
    return given + [f'{option} "{place}"' for option, place in LOGINS.items() if place.exists()]


def as_configuration(options: Sequence[str]) -> str:
    """Returns the options as the text of a file of apt."""
    return "".join(f"{option};\n" for option in options)


def without_logins(line: str) -> str:
    """Returns a line of output without the logins in its addresses."""
    return _LOGIN.sub("://", line)


def versions(packages: Sequence[str]) -> list[str]:
    """These packages and all that they need, with the versions that this machine's package lists know; no network."""
    options = ("-o", "Dir::State::status=/dev/null", "-o", "APT::Install-Recommends=false")
    planned = _output("apt-get", "--simulate", *options, "install", *packages)
    return sorted(line.partition(")")[0].partition(" ")[2] for line in planned.splitlines() if line.startswith("Inst "))


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
