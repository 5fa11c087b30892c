"""Defines PinSecret and PinConfig, the settings of a project: what is known of their values, never the values themselves.

Version 7 of the secret `db-password` is an immutable Secret `db-password.7` in the project's namespace on the host; a version
of a config is an immutable ConfigMap. Names of settings hold no dot, so the name of a version is nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pincompute.api import image_reference
from pincompute.api.builtin import CONFIGMAPS, SECRETS
from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, VERSION, Object, Resource, Struct, doc

SecretType: TypeAlias = Literal["Opaque", "dockerconfigjson"]

KEPT = 10  # versions of a setting that are kept
MOST_VERSIONS = 100  # of a setting, with those that something names
MOST = 200  # settings of one kind in a project
ENTRY = "value"  # the one entry of a Secret that carries a secret
DOCKER_CONFIG = ".dockerconfigjson"  # the one entry of a Secret that carries a login
STEP = 1024  # bytes
LARGEST = 512 * 1024  # bytes of a secret, and of all files of a config together
ROOT_CERTIFICATES = "kube-root-ca.crt"  # a ConfigMap that Kubernetes itself keeps in every namespace


class SettingVersion(Struct):
    number: Annotated[int, doc("Counts the versions from 1; a number is never used again.", minimum=1)]
    time: Annotated[datetime, doc("When it was set.")]
    author: Annotated[str, doc("Who set it.")] = ""
    size: Annotated[int, doc("Bytes that it takes, in steps of 1 KiB, so that it says little of a short value.", minimum=0)] = 0
    previous: Annotated[
        int, doc("The version that was in use when this one was set; 0 for the first, and where it is not known.", minimum=0)
    ] = 0
    request: Annotated[str, doc("Digest of the idempotency key of the request that set it.")] = ""


class SettingSpec(Struct):
    version: Annotated[int, doc("The version in use.", minimum=0)] = 0
    versions: Annotated[
        tuple[SettingVersion, ...],
        doc("The versions that are kept, oldest first.", maxItems=MOST_VERSIONS),
    ] = ()


class PinSecretSpec(SettingSpec):
    type: Annotated[SecretType, doc("Opaque, or dockerconfigjson for the login at an image registry.")] = "Opaque"
    registry: Annotated[str, doc("The image registry that the login is for.", maxLength=253)] = ""


class PinConfigSpec(SettingSpec):
    """What is asked for: which version is in use."""


class SettingCopy(Struct):
    """The value in one member, under the plain name or, if `pinned`, under the name of its version. A copy is recorded before
    it is made and until it is removed, so no copy is ever forgotten.
    """

    cluster: Annotated[str, doc("Member cluster.")]
    version: Annotated[int, doc("The version that is there.")]
    namespace: Annotated[str, doc("Uid of the namespace that holds it.")] = ""
    pinned: Annotated[bool, doc("It has the name of its version and never changes.")] = False
    making: Annotated[bool, doc("It is being made, and may not be there yet.")] = False
    removing: Annotated[bool, doc("Nothing there needs it, and it is being removed.")] = False
    problem: Annotated[str, doc("Why the member does not take it.")] = ""

    @property
    def present(self) -> bool:
        """Returns whether replicas may start with it."""
        return not self.making and not self.removing


class SettingStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that was acted on.")] = 0
    copies: Annotated[tuple[SettingCopy, ...], doc("Where the value is.")] = ()
    stored: Annotated[tuple[int, ...], doc("Versions that the host may hold.")] = ()
    conditions: Conditions = ()


class PinSecret(Object):
    """A secret of a project: its versions, who set them and where they are. The values are in Secrets."""

    spec: Annotated[PinSecretSpec, doc("Which version is in use.")] = PinSecretSpec()
    status: Annotated[SettingStatus, doc("Where the value is.")] = SettingStatus()

    @property
    def registry(self) -> str:
        """Returns the host of the registry that it is a login for, in its one form; empty for other secrets."""
        return image_reference.normalized(self.spec.registry)


class PinConfig(Object):
    """A config of a project: files in versions, who set them and where they are. The files are in ConfigMaps."""

    spec: Annotated[PinConfigSpec, doc("Which version is in use.")] = PinConfigSpec()
    status: Annotated[SettingStatus, doc("Where the files are.")] = SettingStatus()


Setting: TypeAlias = PinSecret | PinConfig

PINSECRETS = Resource(GROUP, VERSION, "PinSecret", "pinsecrets", True, PinSecret)
PINCONFIGS = Resource(GROUP, VERSION, "PinConfig", "pinconfigs", True, PinConfig)


@dataclass(frozen=True, slots=True)
class SettingKind:
    """One kind of setting: how users call one, its resource, and the built-in kind that carries its values."""

    word: str
    resource: Resource[Any]
    carrier: Resource[Any]


SECRET = SettingKind("secret", PINSECRETS, SECRETS)
CONFIG = SettingKind("config", PINCONFIGS, CONFIGMAPS)
SETTINGS: tuple[SettingKind, ...] = (SECRET, CONFIG)


def highest(setting: Setting) -> int:
    """Returns the newest version that is recorded, 0 before the first."""
    return max((each.number for each in setting.spec.versions), default=0)


def is_kept(setting: Setting, version: int) -> bool:
    return any(each.number == version for each in setting.spec.versions)


def total_size(versions: Iterable[SettingVersion]) -> int:
    """Returns the bytes that these versions take."""
    return sum(each.size for each in versions)


def recorded_size(size: int) -> int:
    """Returns the size that a version records for a value of so many bytes."""
    return -(-max(size, 1) // STEP) * STEP


def pending_removals(setting: Setting) -> int:
    """Counts the versions that are not kept and that the host may still hold, because nobody has removed them yet."""
    stored = setting.status.stored
    held = {*stored, *range(max(stored, default=0) + 1, highest(setting) + 1)}
    return len(held - {each.number for each in setting.spec.versions})


def stored_name(name: str, version: int) -> str:
    """Returns the name of the object that holds one version."""
    return f"{name}.{version}"
