"""Defines the settings of the federation, and reads them strictly from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from pincompute.api import allowed_values
from pincompute.engine.input_pollers import HttpEndpoint


class FederationSettingsError(Exception):
    """The file cannot be used. The message names the file, the field, and what was expected."""


URL = r"^(https?://[^\s@?#]+)?$"
HOOK_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


class _Section(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class PrometheusSettings(_Section):
    """The Prometheus that has the metrics of all projects' health gates.

    `url` is the base of its HTTP API, `token_file` a file with the bearer token that it wants, `ca_file` one with the authority
    of its certificate. Its series must name their project in the label `namespace`, by the scrape configuration alone
    (`honor_labels: false`), since the platform keeps each project to its own series by that label.
    """

    url: Annotated[str, msgspec.Meta(pattern=URL)] = ""
    token_file: str = ""
    ca_file: str = ""


class NotificationSettings(_Section):
    """The endpoint that is told of the stages of all rollouts: its URL, a file with the bearer token that it wants, and one
    with the authority of its certificate.
    """

    url: Annotated[str, msgspec.Meta(pattern=URL)] = ""
    token_file: str = ""
    ca_file: str = ""


class HookSettings(_Section):
    """A service that updates may ask: its URL, a file with the bearer token that it wants, one with the authority of its
    certificate, and the projects whose updates may ask it, by default all.
    """

    url: Annotated[str, msgspec.Meta(pattern=URL, min_length=1)]
    token_file: str = ""
    ca_file: str = ""
    projects: Annotated[list[str], msgspec.Meta(min_length=1)] | None = None


class FederationSettings(_Section):
    """`hooks` are by the names by which apps ask for them. Relative paths are relative to the file's folder."""

    prometheus: PrometheusSettings = PrometheusSettings()
    notifications: NotificationSettings = NotificationSettings()
    hooks: dict[Annotated[str, msgspec.Meta(pattern=HOOK_NAME)], HookSettings] = {}
    folder: str = "."

    def prometheus_endpoint(self) -> HttpEndpoint | None:
        """Returns where the metrics of health gates come from. Raises FederationSettingsError."""
        return self._endpoint("prometheus", self.prometheus)

    def notification_endpoint(self) -> HttpEndpoint | None:
        """Returns where notifications go. Raises FederationSettingsError."""
        return self._endpoint("notifications", self.notifications)

    def hook_endpoints(self) -> Mapping[str, HttpEndpoint]:
        """Returns the hooks of updates, by name. Raises FederationSettingsError."""
        found = {name: self._endpoint(f"hooks.{name}", given) for name, given in self.hooks.items()}
        return {name: endpoint for name, endpoint in found.items() if endpoint is not None}

    def hook_projects(self) -> Mapping[str, frozenset[str] | None]:
        """Returns the projects that may ask each hook; None for all."""
        return {name: frozenset(given.projects) if given.projects is not None else None for name, given in self.hooks.items()}

    def _endpoint(self, section: str, given: PrometheusSettings | NotificationSettings | HookSettings) -> HttpEndpoint | None:
        if not given.url:
            return None
        return HttpEndpoint(
            given.url,
            self._readable(f"{section}.tokenFile", given.token_file),
            self._readable(f"{section}.caFile", given.ca_file),
        )

    def _readable(self, field: str, name: str) -> Path | None:
        file = Path(self.folder, name)
        try:
            return file if name and file.read_text("ascii") else None
        except (OSError, ValueError) as problem:
            raise FederationSettingsError(f"{field}: {file} cannot be read as text: {problem}") from None


def load(file: Path | None) -> FederationSettings:
    """Returns the settings; the defaults without a file. Raises FederationSettingsError."""
    if file is None or not file.exists():
        return FederationSettings()
    try:
        content: Any = yaml.safe_load(file.read_text("utf-8")) or {}
        settings = msgspec.convert(content, FederationSettings)
    except OSError as problem:
        raise FederationSettingsError(f"{file} cannot be read: {problem.strerror}") from None
    except yaml.YAMLError as problem:
        raise FederationSettingsError(f"{file} is not YAML: {problem}") from None
    except msgspec.ValidationError as problem:
        raise FederationSettingsError(
            f"{file}: {allowed_values.told(str(problem), FederationSettings)}; docs/federation.md lists the settings"
        ) from None
    return msgspec.structs.replace(settings, folder=str(file.parent.resolve()))
