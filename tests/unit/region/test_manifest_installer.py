"""A region is set up although an API server is silent for a moment, as on a busy machine."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import ApiStatus, KubeError, RequestInfo, Unreachable, of_status
from pincompute.region import cli
from pincompute.region.cluster import manifest_installer
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.region_error import RegionError

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}
KINDS = b'{"resources": [{"name": "namespaces", "kind": "Namespace", "namespaced": false}]}'


REQUEST = RequestInfo("a1", "PATCH", "/")
FAILURES = {
    "silent": Unreachable(REQUEST, "connection timeout"),
    "starting": of_status(
        REQUEST, ApiStatus("Failure", 403, "Forbidden", 'namespaces "demo" is forbidden: not yet ready to handle request'), 403
    ),
}


class BusyClient:
    """Answers every second request."""

    name = "a1"

    def __init__(self, failure: KubeError = FAILURES["silent"]) -> None:
        self.answered: list[str] = []
        self._failure = failure
        self._asked = 0

    async def request(self, verb: str, path: str, **_options: Any) -> bytes:
        self._asked += 1
        if self._asked % 2:
            raise self._failure
        self.answered.append(f"{verb} {path}")
        return KINDS


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_installer, "PAUSE", 0.0)


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_request_that_a_busy_server_does_not_serve_is_repeated(failure: str) -> None:
    client = BusyClient(FAILURES[failure])
    await Installer(cast("ApiClient", client)).apply(NAMESPACE)
    assert client.answered == ["GET /api/v1", "PATCH /api/v1/namespaces/demo"]


async def test_a_server_that_stays_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_installer, "PATIENCE", -1.0)
    with pytest.raises(Unreachable, match="on a1: connection timeout"):
        await Installer(cast("ApiClient", BusyClient())).apply(NAMESPACE)


async def test_a_kind_that_is_not_served_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_installer, "ESTABLISHED", -1.0)
    with pytest.raises(RegionError, match="cluster a1 does not serve ConfigMap of v1"):
        await Installer(cast("ApiClient", BusyClient())).apply({**NAMESPACE, "kind": "ConfigMap"})


def test_a_step_that_took_too_long_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A TimeoutError is an OSError whose text is empty."""
    with pytest.raises(SystemExit), cli._reporting("nothing is left behind"):
        raise TimeoutError
    said = " ".join(capsys.readouterr().err.split())
    assert "a step took too long (this machine may be too busy); run the command again" in said
