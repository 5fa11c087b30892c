"""Says in a sentence why a container cannot start or has ended, what to do about it, and whether waiting helps.

The texts of kubelet and container runtime name every layer that an error passed, and differ from one attempt to the next. Here
they become one sentence that stays the same, so that a status is not written again for each attempt.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from pincompute.api import image_reference
from pincompute.api.builtin import ContainerStateTerminated

LONGEST = 300  # characters of a message from elsewhere
OUT_OF_MEMORY = "OOMKilled"
START_ERROR = "StartError"
NO_REGISTRY = "RegistryUnavailable"
CUT_OFF = 255  # exit code of a container whose end nobody saw
SIGNALLED = 128  # the kubelet adds the number of a signal to this, as shells do
IMAGE = frozenset({"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", NO_REGISTRY, "InvalidImageName"})
START = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"})
MEMORY_REMEDY = "raise resources.memory, or let the program use less"
APP_REMEDY = (
    "an app keeps running: start the server in the foreground, or deploy a unit with `restartPolicy: Never` for work that ends"
)
UNIT_REMEDY = "a unit starts again when it ends: write `restartPolicy: Never` for work that ends, or OnFailure"
AGAIN = "it is tried again by itself"
BUILD = "build it for the platform of the nodes"
ROOT_REMEDY = "give the image a USER that is a number and not 0, or set runAsUser in advanced.template.spec.securityContext"

_LAYERS = re.compile(
    r'Back-off pulling image "[^"]*":? ?|ErrImagePull:? ?|rpc error: code = \w+ desc = |failed to do request: |'
    r'failed to pull and unpack image "[^"]*": |failed to resolve (?:image|reference)(?: "[^"]*")?: |'
    r"failed to (?:create|start) containerd task: |failed to create shim task: |failed to create containerd container: |"
    r"OCI runtime (?:create|start) failed: |runc create failed: |unable to start container process: |"
    r' \(pod: "[^"]*", container: [^)]*\)|'
    r"error during container init: |read udp \S+->\S+: |: unknown$"
)
_NAMES = re.compile(r'"[^"]*"|\b\w+://\S+|\bsha256:[0-9a-f]+')  # of images, addresses and content: anything may be in them
_PULLED = re.compile(r'image "([^"]+)"')
_NODE = re.compile(r"no space left|failed to (?:extract|prepare|commit)|disk quota|read-only file system|input/output error")
_UNREACHABLE = re.compile(
    r"no such host|connection (?:refused|reset)|i/o timeout|network is unreachable|no route to host|\bEOF\b|time(?:d )?out|"
    r"deadline exceeded|dial tcp|\b50\d\b",
    re.IGNORECASE,
)
_LOOKUP = re.compile(r"no such host|lookup \S+", re.IGNORECASE)
_REFUSED = re.compile(
    r"unauthorized|authorization failed|authentication required|no basic auth credentials|insufficient_scope|"
    r"(?:pull access|access to the resource is) denied|^denied\b|\bforbidden\b|\b40[13]\b",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"manifest unknown|name unknown|repository (?:does not exist|name not known)|\b404\b|(?<!content digest : )\bnot found$",
    re.IGNORECASE,
)
_PLATFORM = re.compile(r"no match for platform|exec format error", re.IGNORECASE)
_NO_OBJECT = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found', re.IGNORECASE)
_NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<name>\S+)", re.IGNORECASE)
_NO_PROGRAM = re.compile(r"no such file|not found|permission denied|is a directory|not a directory", re.IGNORECASE)
_PROGRAM = re.compile(r'exec: "(?P<program>[^"]*)"')
_KINDS = {"secret": "secret", "configmap": "config"}


@dataclass(frozen=True, slots=True)
class ContainerFailure:
    """`message` ends in no full stop. `final`: waiting does not help, somebody has to change something. `needs_login`: the
    registry may give the image to another project.
    """

    reason: str
    message: str
    remedy: str
    final: bool
    needs_login: bool = False

    @property
    def sentence(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


def is_of_another_image(image: str, text: str) -> bool:
    """Returns whether the kubelet's message about a pull names another image than the container should run. For a moment after
    an image was corrected, the report is still about the former one, and says nothing about the new one.
    """
    named = _PULLED.findall(text)
    return bool(named) and not any(image_reference.is_same(each, image) for each in named)


def image_pull(container: str, image: str, reason: str, text: str) -> ContainerFailure:
    """Returns why the image of a container cannot be pulled. A registry that does not answer may answer later."""
    said, host = without_layers(text), _registry(image)
    judged = _without_names(said, image)
    what = f"image {image} of {container} cannot be pulled"
    if reason == "InvalidImageName":
        why = said.rpartition("invalid reference format: ")[2] or said
        return ContainerFailure(reason, f"{image}, the image of {container}, is not a valid name: {why}", "correct it", True)
    if reason == "ErrImageNeverPull":
        why = "imagePullPolicy is Never, and the node does not have it"
        return ContainerFailure(reason, f"{what}: {why}", "remove imagePullPolicy", True)
    if _PLATFORM.search(judged):
        why = "it has no variant for the architecture of the nodes"
        return ContainerFailure("ErrImagePull", f"{what}: {why}", BUILD, True)
    if _NODE.search(judged):
        remedy = "it is tried again by itself; an administrator looks at the node's disk"
        return ContainerFailure("ErrImagePull", f"{what}: its node cannot store it: {said}", remedy, False)
    if found := _UNREACHABLE.findall(judged):
        why = "its name cannot be resolved" if _LOOKUP.search(judged) else found[-1]
        remedy = _with_host(image, "check the registry's name; the pull is tried again by itself")
        return ContainerFailure(NO_REGISTRY, f"{what}: registry {host} cannot be reached ({why})", remedy, False)
    if _MISSING.search(judged):
        remedy = "correct the image's name or tag, or push that image"
        return ContainerFailure("ErrImagePull", f"{what}: registry {host} says not found", _with_host(image, remedy), True)
    if found := _REFUSED.findall(judged):
        why = f"registry {host} asks for credentials ({found[0]})"
        remedy = f"give the project its login with `pin registry login {host}`"
        return ContainerFailure("ErrImagePull", f"{what}: {why}", remedy, True, needs_login=True)
    remedy = "check the image's name and tag, and the registry"
    return ContainerFailure("ErrImagePull", f"{what}: {said}" if said else what, remedy, False)


def _without_names(said: str, image: str) -> str:
    """Returns the text without the names in it: an image may be called authentication, or forbidden."""
    repository = image_reference.split(image).path.rpartition("/")[2]
    names = re.compile(rf"\S*{re.escape(image)}|\S*/{re.escape(repository)}\b[^\s:]*")
    return names.sub("", _NAMES.sub("", said)).strip(" :")


def _registry(image: str) -> str:
    """Returns the host that the image's name means."""
    return image_reference.split_domain(image)[0] or image_reference.DOCKER_HUB


def _with_host(image: str, remedy: str) -> str:
    named = image_reference.split(image)
    if named.domain:
        return remedy
    own = f"registry.internal/PROJECT/{named.path.rpartition('/')[2]}{named.suffix}"
    return f"a name without a registry means {named.full_name}{named.suffix}: name the registry, as in {own}"


def start(container: str, reason: str, text: str) -> ContainerFailure:
    """Returns why a container cannot be made from its image."""
    said = without_layers(text)
    if found := _NO_OBJECT.search(said) or _NO_KEY.search(said):
        return _of_missing(container, found, reason)
    if "runAsNonRoot" in said or "non-root" in said:
        return ContainerFailure(reason, f"{container} cannot start: {said}", ROOT_REMEDY, True)
    if _PLATFORM.search(said):
        return ContainerFailure(reason, f"{container} cannot start: {said}", BUILD, True)
    program = _PROGRAM.search(said)
    if program is not None or reason == START_ERROR:
        name = f"command {program['program']}" if program else "its command"
        why = said.rpartition(": ")[2] if program else said
        remedy = "name a program that the image has, or leave `command` out"
        final = _NO_PROGRAM.search(said) is not None
        return ContainerFailure(START_ERROR, f"{container} cannot start: {name}: {why}", remedy if final else AGAIN, final)
    remedy = AGAIN if _UNREACHABLE.search(said) else "correct what the container says, or what that refers to"
    return ContainerFailure(reason, f"{container} cannot start: {said}", remedy, False)


def _of_missing(container: str, found: re.Match[str], reason: str) -> ContainerFailure:
    given = found.groupdict()
    kind, name = _KINDS[given["kind"].lower()], given["name"].rpartition("/")[2]
    if key := given.get("key"):
        message = f"{container} needs key {key} of {kind} {name}, which does not have that key"
        return ContainerFailure(reason, message, f"add the key to the {kind}, or correct the name of the key", True)
    message = f"{container} needs {kind} {name}, which does not exist in the project"
    return ContainerFailure(reason, message, f"create the {kind}, or correct its name", True)


def ended(container: str, how: ContainerStateTerminated, again: str, limit: str = "") -> ContainerFailure:
    """Returns why a container ended. `again` is the command that shows the output of its last run; `limit` its memory."""
    if how.exit_code == CUT_OFF and how.reason == "Unknown":
        message = f"{container} ended with its node, which restarted"
        return ContainerFailure("NodeRestarted", message, "it starts again by itself", False)
    if how.reason in (START_ERROR, "ContainerCannotRun"):
        return start(container, START_ERROR, how.message)
    details = "; ".join(
        part for part in (exit_reason(how.reason, how.exit_code), _limit(how, limit), short(how.message)) if part
    )
    message = f"{container} ended with exit code {how.exit_code}" + (f" ({details})" if details else "")
    return ContainerFailure("CrashLoopBackOff", message, _remedy_of_exit(how, again), True)


def killed(container: str, how: ContainerStateTerminated, checks: str, again: str) -> ContainerFailure:
    """Returns why a container ended that its liveness or startup check may have ended."""
    message = f"{container} ended with exit code {how.exit_code}, and it has a check that restarts it when it fails: {checks}"
    remedy = f"give it longer (startup, initialDelay, failureThreshold) or correct the check; {again} shows what it wrote last"
    return ContainerFailure("CrashLoopBackOff", message, remedy, True)


def _limit(how: ContainerStateTerminated, limit: str) -> str:
    return f"limit {limit}" if how.reason == OUT_OF_MEMORY and limit else ""


def exit_reason(reason: str, code: int) -> str:
    """Returns what an exit code and the kubelet's reason mean, in words; empty where the code says all."""
    if reason == OUT_OF_MEMORY:
        return "out of memory"
    if code > SIGNALLED and reason in ("", "Error", "Completed") and (name := signal_name(code - SIGNALLED)):
        return name
    return "" if reason in ("Error", "Completed") else reason


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _remedy_of_exit(how: ContainerStateTerminated, again: str) -> str:
    if how.reason == OUT_OF_MEMORY:
        return MEMORY_REMEDY
    if not how.exit_code:
        return APP_REMEDY
    if how.exit_code == SIGNALLED + signal.SIGKILL:
        why = "it was killed: its liveness check failed, or it did not end within its grace period"
        return f"{why}; {again} shows what it wrote last"
    return f"{again} shows what it wrote last"


def without_layers(text: str) -> str:
    """Returns a text of kubelet or container runtime without the names of the layers that it passed."""
    return short(_LAYERS.sub("", text))


def short(text: str) -> str:
    """Returns one line of bounded length, without the final full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
