"""Defines the settings of the federation, and reads them strictly from a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from pincompute.engine.input_pollers import HttpEndpoint


class FederationSettingsError(Exception):
    """The file cannot be used. The message names the file, the field, and what was expected."""


URL = r"^(https?://[^\s@?#]+)?$"


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


class FederationSettings(_Section):
    """Relative paths are relative to the file's folder."""

    prometheus: PrometheusSettings = PrometheusSettings()
    notifications: NotificationSettings = NotificationSettings()
    folder: str = "."

    def prometheus_endpoint(self) -> HttpEndpoint | None:
        """Returns where the metrics of health gates come from. Raises FederationSettingsError."""
        return self._endpoint("prometheus", self.prometheus)

    def notification_endpoint(self) -> HttpEndpoint | None:
        """Returns where notifications go. Raises FederationSettingsError."""
        return self._endpoint("notifications", self.notifications)

    def _endpoint(self, section: str, given: PrometheusSettings | NotificationSettings) -> HttpEndpoint | None:
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
        raise FederationSettingsError(f"{file}: {problem}; docs/federation.md lists the settings") from None
    return msgspec.structs.replace(settings, folder=str(file.parent.resolve()))
