"""An update walks zone by zone, waits where it should, and undoes itself when it fails (N1, S-125, S-129)."""

from __future__ import annotations

from live_region import Region
from terminal_user import TALKER, TerminalUser

from pincompute.api.labels import REVISION

ZONES = ("a", "b", "c")


def service(name: str, broken_in: str, update: str) -> str:
    """An app.yaml of six replicas. A replica in the zone `broken_in` ends at once, as a program that misses its database."""
    script = f'if [ "$ZONE" = "{broken_in}" ]; then echo cannot reach the database; exit 3; fi; exec sleep 100000'
    return (
        f"kind: App\nname: {name}\nreplicas: 6\nterminationGracePeriod: 1s\nupdate: {update}\ncontainers:\n- name: web\n"
        f"  image: {TALKER}:1\n  command: [/bin/sh, -c, '{script}']\n  resources: {{cpu: 10m, memory: 32Mi}}\n"
        f"  env: {{ZONE: {{field: \"metadata.labels['pincompute.io/zone']\"}}}}\n"
    )


def revisions(region: Region, project: str, name: str) -> dict[str, set[str]]:
    """Of the pods that are not ending, by zone."""
    found: dict[str, set[str]] = {zone: set() for zone in ZONES}
    for placed in region.pods(project, name):
        found[region.zones[placed.cluster]].add(placed.pod.metadata.labels[REVISION])
    return found


def drawn(dev: TerminalUser, name: str, text: str) -> str:
    """What `pin status` draws, once it holds the text."""
    shown = dev.pin("status", name).out
    return shown if text in shown else ""


def test_an_update_that_fails_in_the_second_zone_is_undone_in_both(region: Region, dev: TerminalUser, shop: str):
    """N1: the third zone never sees it. `pin deploy` ends with the reason, and the former revision serves everywhere."""
    update = "{strategy: ZoneByZone, onFailure: Rollback, maxUnavailable: 2}"
    dev.write("app.yaml", service("walk", "nowhere", update))
    dev.pin("deploy")
    before = region.app(shop, "walk").status.revision
    untouched = {placed.uid for placed in region.pods(shop, "walk") if region.zones[placed.cluster] == "c"}
    dev.write("app.yaml", service("walk", "b", update))
    with region.watching(shop, "walk") as during:
        failed = dev.pin("deploy", "--note", "reads another database", status=1)
        region.eventually("it is undone", lambda: region.app(shop, "walk").status.phase == "RolledBack")
    assert revisions(region, shop, "walk") == {key: {before} for key in ZONES}
    assert during.fewest_ready >= 4
    assert untouched == {placed.uid for placed in region.pods(shop, "walk") if region.zones[placed.cluster] == "c"}
    assert "the update of walk failed, and it is undone; 6 of 6 replicas serve" in failed.err
    assert "in zone b" in failed.err
    assert "zones: c ✔ → b now → a" in failed.out
    shown = dev.pin("status", "walk").out
    assert "in zone b" in shown
    assert "6/6 ready" in shown
    dev.write("app.yaml", service("walk", "x", update))
    dev.pin("deploy", "--detach", "--note", "the third")
    rows = [line.split() for line in dev.pin("rollout", "history", "walk").out.splitlines()[1:]]
    by_state = {row[4].rstrip(","): row for row in rows if len(row) > 4}
    assert by_state["present"][-2:] == ["the", "third"]
    assert (by_state["failed"][0], by_state["failed"][5:]) == ("2", ["reads", "another", "database"])
    assert "~ containers.web.command: " in dev.pin("rollout", "diff", "walk", "--from", "2").out


def test_an_update_that_ends_all_replicas_first(region: Region, dev: TerminalUser, shop: str):
    """The plan warns of it. Never do two revisions run at a time, and what fails goes back the same way."""
    update = "{strategy: Recreate, onFailure: Rollback}"
    dev.write("app.yaml", service("alone", "nowhere", update))
    dev.pin("deploy")
    before = region.app(shop, "alone").status.revision
    dev.write("app.yaml", service("alone", "b", update))
    with region.watching(shop, "alone") as during:
        failed = dev.pin("deploy", status=1)
        region.eventually("it is undone", lambda: region.app(shop, "alone").status.phase == "RolledBack")
    assert (
        "ends all its replicas before the first one of the new revision starts, so nothing of it serves meanwhile" in failed.out
    )
    assert "the update of alone failed, and it is undone" in failed.err
    assert revisions(region, shop, "alone") == {key: {before} for key in ZONES}
    assert during.fewest_ready == 0
    assert during.most_live == 6


def test_a_rollout_waits_for_its_approval(region: Region, dev: TerminalUser, shop: str):
    """S-129: the first step waits until somebody approves it; what is aborted goes back."""
    update = "{strategy: ZoneByZone, approval: FirstStep, maxUnavailable: 2}"
    dev.write("app.yaml", service("careful", "nowhere", update))
    dev.pin("deploy")
    for broken_in, decision in (("x", "approve"), ("y", "abort")):
        before = region.app(shop, "careful").status.revision
        dev.write("app.yaml", service("careful", broken_in, update))
        assert "careful waits for an approval" in dev.pin("deploy").out
        shown = region.eventually("the status shows it", lambda: drawn(dev, "careful", "zones: a ✔ → b now → c"))
        assert "waits for an approval: `pin rollout approve careful`" in shown
        region.eventually(
            "zone a alone has changed",
            lambda: [len(found) for found in revisions(region, shop, "careful").values()] == [1, 1, 1],
        )
        dev.pin("rollout", decision, "careful", "--reason", "seen")
        assert region.app(shop, "careful").status.rollout.state == ("Complete" if decision == "approve" else "RolledBack")
        assert (before in set().union(*revisions(region, shop, "careful").values())) is (decision == "abort")
    assert "aborted" in dev.pin("timeline", "careful").out
