"""Says what a Kubernetes event tells of a replica, in the words of users, who know zones and replicas and no nodes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from pincompute.domain import container_failure, image_pinning
from pincompute.domain.container_failure import short
from pincompute.gateway.operation import pod_troubles
from pincompute.store.records import EventRecord

_Found: TypeAlias = "re.Match[str]"


def _image(found: _Found) -> str:
    """Returns the name as users write it, without the digest to which a deploy pins it."""
    return f"image {image_pinning.unpinned(found['image'])}"


def _because(text: str) -> str:
    return f": {container_failure.without_layers(text)}" if text else ""


def _room(found: _Found) -> str:
    return f"no node takes it: {short(found['why'].partition('. ')[0])}"


_KNOWN: tuple[tuple[str, str, Callable[[_Found], str]], ...] = (
    ("Scheduled", r"Successfully assigned", lambda _: "it has a node"),
    ("FailedScheduling", r"(?P<why>.*)", _room),
    ("Preempted", r"", lambda _: "it gives its room to replicas of a higher tier"),
    ("Pulling", r'Pulling image "(?P<image>[^"]+)"', lambda m: f"its node pulls {_image(m)}"),
    (
        "Pulled",
        r'Successfully pulled image "(?P<image>[^"]+)" in (?P<time>[\d.hmsµ]+)',
        lambda m: f"its node has pulled {_image(m)} in {m['time']}",
    ),
    ("Pulled", r'image "(?P<image>[^"]+)"', lambda m: f"its node has {_image(m)} already"),
    ("Created", r"(?:Created container:? (?P<name>\S+))?", lambda m: f"{_container(m)} is made"),
    ("Started", r"(?:Started container:? (?P<name>\S+))?", lambda m: f"{_container(m)} has started"),
    ("Killing", r"Stopping container (?P<name>\S+)", lambda m: f"{_container(m)} is asked to end"),
    (
        "Killing",
        r"ontainer (?P<name>\S+) failed (?P<check>liveness|startup) probe",
        lambda m: f"{_container(m)} restarts, because its {m['check']} check failed",
    ),
    ("Killing", r"ontainer (?P<name>\S+) definition changed", lambda m: f"{_container(m)} restarts with what was changed"),
    (
        "BackOff",
        r"restarting failed container[ =](?P<name>\S+)",
        lambda m: f"{_container(m)} ended again, and it waits longer before the next start",
    ),
    (
        "BackOff",
        r'pulling image "(?P<image>[^"]+)"',
        lambda m: f"{_image(m)} cannot be pulled yet, and it is tried again",
    ),
    (
        "Failed",
        r'Failed to pull image "(?P<image>[^"]+)":? ?(?P<why>.*)',
        lambda m: f"{_image(m)} cannot be pulled{_because(m['why'])}",
    ),
    ("Failed", r"^Error: (?:ErrImagePull|ImagePullBackOff)$", lambda _: "its image cannot be pulled"),
    ("Failed", r"^Error: (?P<why>.*)", lambda m: f"a container cannot start{_because(m['why'])}"),
    ("Evicted", r"(?P<why>.*)", lambda m: f"its node ended it{_because(m['why'])}"),
    ("CheckPending", r"", lambda _: "it starts, and its check does not pass yet"),
    ("NodeNotReady", r"", lambda _: "its node does not answer"),
    ("TaintManagerEviction", r"Cancelling", lambda _: "it stays, because its node answers again"),
    ("TaintManagerEviction", r"", lambda _: "it leaves its node, which does not answer"),
    ("SandboxChanged", r"", lambda _: "its node makes it anew"),
)


def _container(found: _Found) -> str:
    name = found["name"]
    return f"container {name.rstrip(',')}" if name else "a container"


def sentence(event: EventRecord) -> str:
    """Returns Kubernetes' own words for an event that is not among those which kubelet and scheduler often make."""
    if trouble := pod_troubles.sentence(event):
        return trouble
    for reason, pattern, words in _KNOWN:
        if event.reason == reason and (found := re.search(pattern, event.message, re.DOTALL)) is not None:
            return words(found)
    return f"{event.reason}: {short(event.message)}"
