"""Gathers how pip on this machine reaches its index, so that pip in a base reaches it too. Nothing of it gets into an image."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
ELSEWHERE = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_PYTHON",
    "PIP_CACHE_DIR",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_REQUIREMENT",
)
SYSTEM = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")


@dataclass(frozen=True, slots=True)
class PipSettings:
    """Variables, and files and folders of this machine that must be there at the same place."""

    environment: Mapping[str, str]
    places: tuple[Path, ...]


def gather(environment: Mapping[str, str] = os.environ) -> PipSettings:
    """Gathers pip's variables and configuration files, without those that say where to install."""
    given = {name: value for name, value in environment.items() if _concerns(name)}
    home = environment.get("HOME", "/root")
    files = [Path("/etc/pip.conf"), Path(home, ".config/pip/pip.conf"), Path(home, ".pip/pip.conf"), Path(home, ".netrc")]
    files += [Path(given["PIP_CONFIG_FILE"])] if "PIP_CONFIG_FILE" in given else []
    present = [file for file in files if file.is_file()]
    values = [*given.values(), *(value for file in present if file.name == "pip.conf" for value in _values(file))]
    named = [Path(word.removeprefix("file://")) for value in values for word in value.split()]
    places = [*present, *(place for place in named if place.is_absolute() and place != Path("/") and place.exists())]
    system = [Path(place) for place in SYSTEM if Path(place).exists()]
    return PipSettings({**given, "HOME": home}, tuple(dict.fromkeys((*system, *places))))


def _concerns(name: str) -> bool:
    return (name.startswith("PIP_") and name not in ELSEWHERE) or name.upper() in NAMES


def _values(file: Path) -> Iterator[str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except (configparser.Error, UnicodeDecodeError):
        return  # pip itself complains about it
    for section in parser.sections():
        yield from (value for _, value in parser.items(section))
