"""A region is set up although an API server is silent for a moment, as on a busy machine."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.region import cli
from pincompute.region.cluster import manifest_installer
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.region_error import RegionError

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}
KINDS = b'{"resources": [{"name": "namespaces", "kind": "Namespace", "namespaced": false}]}'


class SilentClient:
    """Answers every second request."""

    name = "a1"

    def __init__(self) -> None:
        self.answered: list[str] = []
        self._asked = 0

    async def request(self, verb: str, path: str, **_options: Any) -> bytes:
        self._asked += 1
        if self._asked % 2:
            raise Unreachable(RequestInfo(self.name, verb, path), "connection timeout")
        self.answered.append(f"{verb} {path}")
        return KINDS


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_installer, "PAUSE", 0.0)


async def test_a_request_to_which_no_answer_comes_is_repeated() -> None:
    client = SilentClient()
    await Installer(cast("ApiClient", client)).apply(NAMESPACE)
    assert client.answered == ["GET /api/v1", "PATCH /api/v1/namespaces/demo"]


async def test_a_server_that_stays_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_installer, "PATIENCE", -1.0)
    with pytest.raises(Unreachable, match="GET /api/v1 on a1: connection timeout"):
        await Installer(cast("ApiClient", SilentClient())).apply(NAMESPACE)


async def test_a_kind_that_is_not_served_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_installer, "ESTABLISHED", -1.0)
    with pytest.raises(RegionError, match="cluster a1 does not serve ConfigMap of v1"):
        await Installer(cast("ApiClient", SilentClient())).apply({**NAMESPACE, "kind": "ConfigMap"})


def test_a_step_that_took_too_long_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A TimeoutError is an OSError whose text is empty."""
    with pytest.raises(SystemExit), cli._reporting("nothing is left behind"):
        raise TimeoutError
    said = " ".join(capsys.readouterr().err.split())
    assert "a step took too long (this machine may be too busy); run the command again" in said
