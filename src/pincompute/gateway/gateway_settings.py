"""Defines the settings of the gateway and their defaults, and reads them strictly from a YAML file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
import yaml

from pincompute.api import allowed_values


class SettingsError(Exception):
    """The file cannot be used. The message names the file, the field, and what was expected."""


class _Section(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class ListenSettings(_Section):
    """Where the gateway listens. `client_ca` is the authority of client certificates of platform parts."""

    address: str = "127.0.0.1"
    port: int = 8443
    certificate: str = ""
    key: str = ""
    client_ca: str = ""


class IssuerSettings(_Section):
    """An OIDC issuer whose tokens are accepted. `ca` is a file with the authority of its certificate.

    Users may change other claims than `sub` at many issuers: name one only if its users cannot. The prefixes are those of
    `access.user_names`. `key_lifetime` is how long keys count, in seconds, while the issuer does not answer.
    """

    url: str
    client_id: str = "pincompute"
    username_claim: str = "sub"
    groups_claim: str = "groups"
    username_prefix: str | None = None
    groups_prefix: str | None = None
    ca: str = ""
    key_lifetime: float = 3600.0


class RoleRule(_Section):
    """Verbs on resources; "*" stands for all."""

    resources: tuple[str, ...]
    verbs: tuple[str, ...]


class AccessSettings(_Section):
    """`platform_roles`: role to the users and groups (`group:NAME`) that have it; `custom_roles`: role to its rules."""

    platform_roles: dict[str, tuple[str, ...]] = {}
    custom_roles: dict[str, tuple[RoleRule, ...]] = {}
    leeway: float = 30.0  # seconds that clocks may differ


class LimitSettings(_Section):
    """Tokens a second (a read costs 1, a write 2, a list 5) of a project, of one caller, of all together; sizes in bytes.

    `projects_per_user`: projects that one user has created and that exist; administrators create as many as they like.
    """

    rate: float = 200.0
    burst: float = 400.0
    caller_rate: float = 100.0
    caller_burst: float = 200.0
    capacity: float = 5000.0
    concurrency: int = 256
    body: int = 3 * 1024 * 1024
    headers: int = 32 * 1024
    connections: int = 12_000
    streams: int = 64
    projects_per_user: int = 20


class AuditSettings(_Section):
    """`fail_open`: go on without a record when it cannot be written; otherwise what would need one is refused.

    `rotate` in bytes; `keep` finished files, all when it is 0; `sync` to the disk before going on, within 0.1 s, or when the
    system likes.

    This gateway anchors the log's head on the host under `name`, or under its machine and port. `collector` is a URL that gets
    each head as well.
    """

    file: str = "audit.log"
    fail_open: bool = False
    rotate: int = 64 * 1024 * 1024
    keep: int = 0
    sync: Literal["always", "soon", "never"] = "soon"
    name: str = ""
    collector: Annotated[str, msgspec.Meta(pattern=r"^(https?://\S+)?$")] = ""


class ShellSettings(_Section):
    """`origins` are the consoles' addresses that may open shells from a browser."""

    origins: tuple[str, ...] = ()
    idle: float = 1800.0
    transcripts: bool = False


class RegistrySettings(_Section):
    """The region's image registry. `key` is a file with the private key that signs its tokens; without one there are none.

    `ca` is a file with the authority of its certificate, for clients that do not know it. `platform` is that of the nodes.
    `storage` is the folder in which it stores images; without one, images are not listed, counted, deleted or collected.
    `garbage_collection_period`: seconds between two passes that free what nothing uses.
    """

    address: str = ""
    key: str = ""
    ca: str = ""
    platform: str = "linux/amd64"
    storage: str = ""
    garbage_collection_period: float = 600.0

    def __post_init__(self) -> None:
        if self.garbage_collection_period <= 0:
            raise ValueError("`garbageCollectionPeriod` must be more than 0 seconds")

    def authority(self) -> str:
        """The content of `ca`; empty without one. Raises SettingsError."""
        try:
            return Path(self.ca).read_text("ascii") if self.ca else ""
        except (OSError, ValueError) as problem:
            raise SettingsError(f"registry.ca: {self.ca} holds no certificate that can be used: {problem}") from None


class SdkSettings(_Section):
    """SDKs before `oldest` get a notice: since when they are deprecated, until when they are served. Empty: none does."""

    oldest: Annotated[str, msgspec.Meta(pattern=r"^(\d+(\.\d+)*)?$")] = ""
    deprecated: date | None = None
    sunset: date | None = None

    def __post_init__(self) -> None:
        if self.oldest and self.deprecated is None:
            raise ValueError("`deprecated` is missing: the day since which SDKs before `oldest` are")


class GatewaySettings(_Section):
    """Relative paths are relative to the file's folder. `store` is a database's URL; empty: SQLite in that folder."""

    listen: ListenSettings = ListenSettings()
    issuers: tuple[IssuerSettings, ...] = ()
    access: AccessSettings = AccessSettings()
    limits: LimitSettings = LimitSettings()
    audit: AuditSettings = AuditSettings()
    shells: ShellSettings = ShellSettings()
    sdk: SdkSettings = SdkSettings()
    registry: RegistrySettings = RegistrySettings()
    store: str = ""
    folder: str = "."

    def path(self, name: str) -> Path:
        return Path(self.folder, name)

    @property
    def database(self) -> str:
        return self.store or f"sqlite+aiosqlite:///{self.path('gateway.db')}"


_RENAMED = {("registry", "collectEvery"): "garbageCollectionPeriod"}


def load(file: Path) -> GatewaySettings:
    """Raises SettingsError."""
    try:
        content: Any = yaml.safe_load(file.read_text("utf-8")) or {}
        _check_names(file, content)
        return msgspec.structs.replace(msgspec.convert(content, GatewaySettings), folder=str(file.parent.resolve()))
    except OSError as problem:
        raise SettingsError(f"{file} cannot be read: {problem.strerror}; name the gateway's settings with --config") from None
    except yaml.YAMLError as problem:
        raise SettingsError(f"{file} is not YAML: {problem}") from None
    except msgspec.ValidationError as problem:
        raise SettingsError(
            f"{file}: {allowed_values.told(str(problem), GatewaySettings)}; see docs/gateway.md for the settings"
        ) from None


def _check_names(file: Path, content: Any) -> None:
    """Raises SettingsError for a name that a setting had once."""
    for (section, former), name in _RENAMED.items():
        given = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
        if former in (given.get(section) or ()):
            raise SettingsError(f"{file}: `{section}.{former}` is called `{section}.{name}` now: write that")
