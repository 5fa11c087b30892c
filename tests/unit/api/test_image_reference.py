"""References to images: what nodes can pull by name, with the verdicts of the distribution project's own parser."""

from __future__ import annotations

import pytest

from pincompute.api import image_reference
from pincompute.api.image_reference import ImageReference

SHA256, SHA512 = "sha256:" + "f" * 64, "sha512:" + "f" * 128

PARSED = {
    "debian": ImageReference("", "debian"),
    "docker/docker": ImageReference("", "docker/docker"),
    "test_com/foo": ImageReference("", "test_com/foo"),
    "docker---rules/dock__er": ImageReference("", "docker---rules/dock__er"),
    "test.com:5000": ImageReference("", "test.com", "5000"),  # a tag, because no path follows
    "lowercase:Uppercase": ImageReference("", "lowercase", "Uppercase"),
    "192.168.0.1:80": ImageReference("", "192.168.0.1", "80"),
    "b.gcr.io/test.example.com/my-app:test.example.com": ImageReference(
        "b.gcr.io", "test.example.com/my-app", "test.example.com"
    ),
    "xn--n3h.com:18080/foo": ImageReference("xn--n3h.com:18080", "foo"),
    f"test.com/repo:tag@{SHA256}": ImageReference("test.com", "repo", "tag", SHA256),
    f"test.com/repo@{SHA512}": ImageReference("test.com", "repo", "", SHA512),
    "REGISTRY.internal/hello:1": ImageReference("REGISTRY.internal", "hello", "1"),
    f"docker.io/{'1a' * 32}": ImageReference("docker.io", "1a" * 32),
    "a/" * 127 + "a:tag-puts-this-over-max": ImageReference("", "a/" * 127 + "a", "tag-puts-this-over-max"),
}


@pytest.mark.parametrize("image", PARSED)
def test_a_reference_has_parts(image: str) -> None:
    assert image_reference.parse(image) == PARSED[image]


NONE = [
    "",
    " ",
    "hello world",
    "hello\n",
    "hello:1\n",
    ":justtag",
    f"@{SHA256}",
    "repo:",
    "repo@",
    "repo:tag:tag",
    "repo:-foo",
    f"repo:{'t' * 129}",
    "repo@sha256:" + "f" * 34,
    "repo@sha256:" + "F" * 64,
    "repo@md5:" + "f" * 64,
    f"repo@{SHA256}:tag",
    "Uppercase:tag",
    "docker/Docker",
    "docker///docker",
    "docker/",
    "/docker",
    "https://github.com/docker/docker",
    "-docker/docker",
    "docker-/docker",
    "-docker.io/docker",
    "dock..er/docker",
    "dock_.er/docker",
    "dock___er/docker",
    "registry.example.com/../shop/web",
    "registry.example.com/shop/../web",
    "registry.example.com/./web",
    "registry.example.com/%2e%2e/web",
    "registry.example.com:/web",
    "registry.example.com:123456/web",
    "registry..example.com/web",
    "registry-.example.com/web",
    "user@registry.example.com/web",
    "réseau.example.com/web",
    "aa/asdf$$^/aa",
    "a/" * 128 + "a:tag",
    "1a" * 32,  # the id of an image
    "sha256:a",
]


@pytest.mark.parametrize("image", NONE)
def test_what_no_node_pulls_by_name_is_none(image: str) -> None:
    assert image_reference.parse(image) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1:5000", "[::1]:5000", "localhost", "LOCALHOST:1", "a.localhost", "node:1", "NODE"]
)
def test_a_host_without_a_public_name_is_none(host: str) -> None:
    assert not image_reference.has_public_host(f"{host}/web:1")
    assert image_reference.parse(f"{host}/web:1") is None


@pytest.mark.parametrize(
    ("image", "host"),
    {
        "debian:12": "docker.io",
        "docker/docker": "docker.io",
        "index.docker.io/docker/docker": "docker.io",
        "docker.io:443/docker/docker": "docker.io",
        "GHCR.io/web": "ghcr.io",
        "ghcr.io:443/web": "ghcr.io",
        "ghcr.io:8443/web": "ghcr.io:8443",
    }.items(),
)
def test_a_registry_has_one_name(image: str, host: str) -> None:
    assert image_reference.host_of(image) == host


@pytest.mark.parametrize(
    ("image", "full", "suffix"),
    [
        ("debian", "docker.io/library/debian", ""),
        ("debian:12@sha256:ab", "docker.io/library/debian", ":12@sha256:ab"),
        ("team/web:1", "docker.io/team/web", ":1"),
        ("docker.io/web", "docker.io/library/web", ""),
        ("index.docker.io/team/web", "docker.io/team/web", ""),
        ("GHCR.io:443/web:1", "ghcr.io/web", ":1"),
        ("reg:5000/web", "reg:5000/web", ""),
    ],
)
def test_a_name_is_completed_as_a_node_does(image: str, full: str, suffix: str) -> None:
    found = image_reference.split(image)
    assert (found.full_name, found.suffix) == (full, suffix)
    assert f"{found.name}{found.suffix}" == image
