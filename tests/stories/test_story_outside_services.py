"""Updates follow the outside services that an administrator named: a hook, a real Prometheus, and a receiver of events."""

from __future__ import annotations

import os
from collections.abc import Iterator

import outside_services
import pytest
from live_region import Region
from outside_services import METRIC, PROMETHEUS, TOKEN, OutsideServices
from terminal_user import TALKER, PinOutput, TerminalUser

from pincompute.api.labels import REVISION
from pincompute.region.region_programs import SETTINGS

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif("LONG_STORIES" not in os.environ, reason="it restarts a region twice: `make deep` runs it"),
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed"),
]
CLOSED = "the change board is closed until Monday"
FULL = "the board meets at noon"


@pytest.fixture(scope="module")
def outside(region: Region, shop: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideServices]:
    """The services, named in the settings of the federation as docs/federation.md says."""
    settings, token, folder = region.home / SETTINGS, region.home / "board.token", tmp_path_factory.mktemp("prometheus")
    assert not settings.exists()
    with outside_services.serving(shop) as services, outside_services.prometheus(services, folder) as prometheus:
        token.write_text(f"{TOKEN}\n")
        settings.write_text(
            f"prometheus:\n  url: {prometheus}\n"
            f"notifications:\n  url: http://{services.address}/events\n  tokenFile: {token.name}\n"
            f"hooks:\n  change-board:\n    url: http://{services.address}/board\n    tokenFile: {token.name}\n"
            f"    projects: [{shop}]\n"
        )
        region.run("region", "up")
        try:
            yield services
        finally:
            settings.unlink()
            token.unlink()
            region.run("region", "up")


def service(name: str, version: int, update: str) -> str:
    """An app.yaml; another version is another variable of the environment, and so another revision."""
    return (
        f"kind: App\nname: {name}\nreplicas: 3\nterminationGracePeriod: 1s\nupdate: {{onFailure: Rollback, {update}}}\n"
        f"containers:\n- name: web\n  image: {TALKER}:1\n  command: [/bin/sh, -c, exec sleep 100000]\n"
        f'  resources: {{cpu: 10m, memory: 32Mi}}\n  env: {{VERSION: "{version}"}}\n'
    )


ASKING = "strategy: Canary, steps: [1], approval: FirstStep, hooks: [{name: change-board, when: BeforeStep}]"
GATED = (
    "strategy: Canary, steps: [1], bakeSeconds: 15, "
    f"metrics: [{{name: errors, metric: {METRIC}, function: Maximum, windowSeconds: 15, max: 2}}]"
)


def said(dev: TerminalUser, region: Region, name: str, text: str) -> str:
    """What `pin status` says once it holds the text."""

    def shown() -> str:
        out = dev.pin("status", name).out
        assert text in out, out
        return out

    return region.eventually(f"`pin status {name}` says {text}", shown)


def deploy(dev: TerminalUser, name: str, version: int, update: str, *more: str, status: int = 0) -> PinOutput:
    dev.write(f"{name}.yaml", service(name, version, update))
    return dev.pin("deploy", "-f", f"{name}.yaml", *more, status=status)


def revisions(region: Region, project: str, name: str) -> set[str]:
    """Of the pods that are not ending."""
    return {placed.pod.metadata.labels[REVISION] for placed in region.pods(project, name)}


def test_an_update_follows_the_services_that_an_administrator_named(
    region: Region, dev: TerminalUser, shop: str, outside: OutsideServices
) -> None:
    """A hook holds it up and lets it go on; a metric out of bounds and a hook's no undo it; each stage is told once."""
    for name, update in (("asks", ASKING), ("gated", GATED)):
        deploy(dev, name, 1, update)
    assert (outside.questions, outside.events) == ([], []), "the first start of an app is no update"
    first = {name: region.app(shop, name).status.revision for name in ("asks", "gated")}
    outside.verdict, outside.figure = (202, FULL), 1
    for name, update in (("asks", ASKING), ("gated", GATED)):
        deploy(dev, name, 2, update, "--detach")
    said(dev, region, "asks", f'change-board, before the step: asks the update to wait: "{FULL}"')
    assert revisions(region, shop, "asks") == {first["asks"]}
    outside.verdict = (200, "")
    said(dev, region, "gated", "errors: 1 ✔ must be at most 2")
    outside.figure = 7
    said(dev, region, "asks", "waits for an approval: `pin rollout approve asks`")
    dev.pin("rollout", "approve", "asks")
    region.eventually("asks is updated", lambda: region.app(shop, "asks").status.rollout.state == "Complete")
    outside.verdict = (403, CLOSED)
    refused = deploy(dev, "asks", 3, ASKING, status=1)
    assert f'hook change-board before the step refuses: "{CLOSED}"' in refused.err
    assert CLOSED in dev.pin("status", "asks").out
    assert CLOSED in dev.pin("explain", "asks").out
    kept = dev.pin("rollout", "history", "asks", "-o", "wide").out.splitlines()[1:]
    assert [line.split()[0] for line in kept] == ["3", "2", "1"], kept
    assert "present, failed" in kept[0]
    assert CLOSED in kept[0]
    region.eventually("gated is undone", lambda: region.app(shop, "gated").status.phase == "RolledBack")
    assert revisions(region, shop, "gated") == {first["gated"]}
    for shown in (("status", "gated"), ("explain", "gated"), ("rollout", "history", "gated", "-o", "wide")):
        assert "errors" in dev.pin(*shown).out
    region.eventually("the end was told", lambda: outside.stages("asks")[-1:] == ["rolledback"])
    told = outside.stages("asks")
    assert told[:3] == ["started", "awaitingapproval", "completed"]
    assert told[-2:] == ["failed", "rolledback"]
    assert told[3:-2] in ([], ["started"]), "what is refused at once may have no time to tell that it has started"
    assert outside.stages("gated") == ["started", "failed", "rolledback"]
    assert {each["data"]["hook"] for each in outside.questions} == {"change-board"}
