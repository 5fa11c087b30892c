"""Why an image cannot be pulled or a container not be made: what is final, and what may heal by itself."""

from __future__ import annotations

import pytest

from pincompute.domain import container_failure

REPOSITORY = "registry.internal/shop/authentication"
IMAGE = f"{REPOSITORY}:1"
FORBIDDEN = "registry.internal/forbidden/not-found:403"


def resolve(image: str, why: str) -> str:
    host, _, path = image.partition("/")
    return (
        f'rpc error: code = Unknown desc = failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
        f'failed to do request: Head "https://{host}/v2/{path.replace(":", "/manifests/")}": {why}'
    )


PULLS = {
    "a registry that is down": (IMAGE, resolve(IMAGE, "dial tcp 10.0.0.9:5000: connect: connection refused"), "reached", False),
    "a name of words that refuse": (FORBIDDEN, resolve(FORBIDDEN, "dial tcp 10.0.0.9:5000: i/o timeout"), "reached", False),
    "a registry that fails": (
        IMAGE,
        "failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://auth/t: 503 Service",
        "reached",
        False,
    ),
    "a full disk": (
        IMAGE,
        (
            f'failed to pull and unpack image "{IMAGE}": failed to extract layer sha256:ab: write /var/lib/x: permission '
            "denied: no space left on device: /var/lib/y does not exist"
        ),
        "its node cannot store it",
        False,
    ),
    "too many requests": (IMAGE, "toomanyrequests: you have reached your unauthenticated pull rate limit", "toomany", False),
    "an image that does not exist": (IMAGE, f"failed to resolve image: {IMAGE}: not found", "says not found", True),
    "a refusal": (FORBIDDEN, resolve(FORBIDDEN, "unexpected status: 403 Forbidden"), "asks for credentials (403)", True),
    "a refused login": (IMAGE, "pull access denied: insufficient_scope", "asks for credentials", True),
    "content that the node lost": (IMAGE, "failed to unpack: content digest sha256:ab12: not found", "cannot be pulled", False),
}


@pytest.mark.parametrize(("image", "text", "said", "final"), PULLS.values(), ids=PULLS.keys())
def test_a_pull_is_final_only_when_the_registry_says_so(image: str, text: str, said: str, final: bool):
    found = container_failure.image_pull("container web", image, "ErrImagePull", text)
    assert (said in found.sentence, found.final) == (True, final), found


BACK_OFF = 'Back-off pulling image "{}": ErrImagePull: rpc error: code = NotFound desc = not found'


@pytest.mark.parametrize(
    ("image", "text", "another"),
    [
        ("registry.internal/hello:1", BACK_OFF.format("registry.internal/metrics:1"), True),
        ("registry.internal/hello:1", BACK_OFF.format("registry.internal/hello:1"), False),
        ("hello", BACK_OFF.format("docker.io/library/hello:latest"), False),
        ("team/hello:1", BACK_OFF.format("docker.io/team/hello:1"), False),
        ("docker.io/hello:1", BACK_OFF.format("docker.io/library/hello:1"), False),
        ("index.docker.io/team/hello", BACK_OFF.format("docker.io/team/hello:latest"), False),
        ("ghcr.io/team/hello:1", BACK_OFF.format("docker.io/team/hello:1"), True),
        ("r.example/a:1@sha256:ab", 'failed to pull and unpack image "r.example/a@sha256:ab": not found', False),
        ("r.example/a:1@sha256:ab", 'failed to pull and unpack image "r.example/a@sha256:cd": not found', True),
        ("registry.internal/hello:1", "not found", False),
    ],
)
def test_a_report_about_a_former_image_is_known_by_its_name(image: str, text: str, another: bool):
    """Else a corrected image would be undone for what was wrong with the former one."""
    assert container_failure.is_of_another_image(image, text) is another


STARTS = {
    "secrets that come late": ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting", False),
    "a runtime that is slow": ("RunContainerError", "context deadline exceeded", False),
    "the same at the start of the program": ("StartError", "failed to create task: context deadline exceeded", False),
    "a folder that does not exist": ("StartError", 'chdir to cwd ("/x") failed: no such file or directory', True),
    "a missing secret": ("CreateContainerConfigError", 'secret "db" not found', True),
}


@pytest.mark.parametrize(("reason", "text", "final"), STARTS.values(), ids=STARTS.keys())
def test_a_start_is_final_only_when_somebody_must_change_something(reason: str, text: str, final: bool):
    assert container_failure.start("container web", reason, text).final is final
