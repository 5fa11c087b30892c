"""Parses references to images, `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by the grammar that kubelets and container runtimes use.

A node does not try to pull what the grammar does not allow. The same patterns stand in admission policies, so they are of the
kind that Python and RE2 read alike: without a look ahead, and without a backslash.

Source: https://github.com/distribution/reference (`regexp.go`, `normalize.go`)
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

DOCKER_HUB = "docker.io"
"""Where nodes look for an image that names no registry."""

LATEST = "latest"
"""The tag that is meant where neither a tag nor a digest is named."""

LONGEST_NAME = 255
"""Characters of a name without tag and digest."""

LONGEST = 1024
"""Characters of a text that is compared with the grammar at all; the grammar allows fewer."""

_LETTERS = "[a-z0-9]+"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
COMPONENT = f"{_LETTERS}(([._]|__|-+){_LETTERS})*"
REPOSITORY = f"{COMPONENT}(/{COMPONENT})*"
_NO_DOMAIN = f"{_LETTERS}((_|__|-+){_LETTERS})*"  # a first component with a dot would be a domain
TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
DIGEST = "sha(256:[a-f0-9]{64}|384:[a-f0-9]{96}|512:[a-f0-9]{128})"
DNS_DOMAIN = f"({_LABEL}[.])+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(:[0-9]{{1,5}})?"
"""A host with a name of the public DNS. The grammar allows others, to which no node may connect for a user."""

_VERSION = f"(:{TAG})?(@{DIGEST})?"
REFERENCE = f"^({DNS_DOMAIN}/{REPOSITORY}|{_NO_DOMAIN}(/{COMPONENT})+|{COMPONENT}){_VERSION}$"
BOUNDED = f"^.{{1,{LONGEST_NAME}}}{_VERSION}$"
"""Matches a reference whose name is not too long."""

ID = "^(sha256:.*|[a-f0-9]{64})$"
"""Matches what a container runtime takes for the beginning of an image's id, so that it runs any image that the node holds."""

DOMAIN = "^([^/]*[.:A-Z][^/]*|localhost)/"
"""Matches a reference that names a registry."""

LOCALHOST = "^([^/]*[.])?[lL][oO][cC][aA][lL][hH][oO][sS][tT](:[^/]*)?/"

_MATCHES = tuple(map(re.compile, (REFERENCE, BOUNDED)))
_ID, _DOMAIN, _PUBLIC, _LOCALHOST = map(re.compile, (ID, DOMAIN, DNS_DOMAIN, LOCALHOST))
_FORMER_HUB = "index.docker.io"
_OFFICIAL = "library/"  # where Docker Hub keeps images whose names have no folder
_HTTPS = ":443"


class ImageReference(NamedTuple):
    """The parts of a reference. `domain` is as it is written; all but `path` may be empty."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest where there is one, or else the tag."""
        return self.digest or self.tag or LATEST

    @property
    def name(self) -> str:
        """The registry and the path, as they are written."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def full_name(self) -> str:
        """The registry and the path as a node completes them: names without a registry are of Docker Hub."""
        host = normalized(self.domain or DOCKER_HUB)
        return f"{host}/{_OFFICIAL}{self.path}" if host == DOCKER_HUB and "/" not in self.path else f"{host}/{self.path}"

    @property
    def suffix(self) -> str:
        """The tag and the digest, as they are written."""
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(image: str) -> ImageReference | None:
    """Returns None for what no node pulls by name: it does not follow the grammar, is an id, or names no public host."""
    if len(image) > LONGEST or is_id(image) or not has_public_host(image):
        return None
    if not all(pattern.fullmatch(image) for pattern in _MATCHES):
        return None
    return split(image)


def split(image: str) -> ImageReference:
    """Returns the parts of a text that may follow the grammar or not."""
    domain, rest = split_domain(image)
    named, _, digest = rest.partition("@")
    path, _, tag = named.partition(":")
    return ImageReference(domain, path, tag, digest)


def is_same(one: str, other: str) -> bool:
    """Returns whether a node takes both for the same image, however each is written."""
    first, second = split(one), split(other)
    return (first.full_name, first.version) == (second.full_name, second.version)


def is_id(image: str) -> bool:
    return _ID.fullmatch(image) is not None


def has_public_host(image: str) -> bool:
    """Whether the registry, if one is named, has a name of the public DNS."""
    domain, _ = split_domain(image)
    if len(domain) > LONGEST:
        return False
    return not domain or (_PUBLIC.fullmatch(domain) is not None and not _LOCALHOST.match(image))


def split_domain(image: str) -> tuple[str, str]:
    """Returns the registry, empty where none is named, and the rest. The text may be anything."""
    if not _DOMAIN.match(image):
        return "", image
    domain, _, rest = image.partition("/")
    return domain, rest


@lru_cache(maxsize=4096)  # many workloads and all their events name the same few images
def host_of(image: str) -> str:
    """Returns the registry's host as `normalized` writes it."""
    return normalized(split_domain(image)[0] or DOCKER_HUB)


def normalized(host: str) -> str:
    """Returns the one form of a registry's host: in lower case, without the default port."""
    found = host.lower().removesuffix(_HTTPS)
    return DOCKER_HUB if found == _FORMER_HUB else found
