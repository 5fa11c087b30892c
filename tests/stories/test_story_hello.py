"""The first success: `pincompute region up`, and a service answers in three zones."""

from __future__ import annotations

from live_region import Region
from story_manifests import example


def test_up_says_where_hello_answers(greeting: str):
    """SPEC's first command: every zone has an address, and what it answered."""
    for zone in ("a", "b", "c"):
        assert f"zone {zone}: http://" in greeting
    assert greeting.count("hello from hello version 1, project demo") == 3


def test_hello_answers_in_three_zones(region: Region, project: str):
    """N2, S-020: six replicas, two a zone, each saying where it is."""
    region.apply(example(project))
    app = region.settled(project, "hello")
    assert region.spread(project, "hello") == {"a": 2, "b": 2, "c": 2}
    for cluster, zone in region.zones.items():
        answer = region.http(zone, project, "hello")
        assert (answer["project"], answer["zone"], answer["version"]) == (project, zone, "1")
        assert answer["pod"].startswith(f"hello-{cluster}-")
    assert app.status.where == "a1:2/2 b1:2/2 c1:2/2"
    assert app.status.message == ""


def test_kubectl_shows_the_four_answers(region: Region, project: str):
    """Is it running, where, which revision, and if not, why not."""
    region.apply(example(project, replicas=3))
    region.settled(project, "hello")
    shown = region.kubectl("get", "pinapps", "-n", project).splitlines()
    header, row = (line.split() for line in shown)
    assert header == ["NAME", "PHASE", "WANTED", "READY", "WHERE", "REVISION", "MESSAGE", "AGE"]
    revision = region.app(project, "hello").status.revision
    assert row[:-1] == ["hello", "Running", "3", "3", "a1:1/1", "b1:1/1", "c1:1/1", revision]
    described = region.kubectl("explain", "pinapp.spec.replicas")
    assert "How many pods to run, over all zones." in described


def test_explain_says_in_sentences_why_it_runs_where_it_runs(region: Region, project: str):
    region.apply(example(project, replicas=3))
    region.settled(project, "hello")
    said = region.run("explain", "hello", "--project", project).stdout
    assert said.startswith("hello should run 3 replicas; 3 are ready. It is running.")
    for zone in region.zones.values():
        assert f"1 replica in zone {zone}: score " in said
    unknown = region.run("explain", "nobody", "--project", project, succeed=False)
    assert unknown.returncode == 1
    assert f"there is no PinApp nobody in project {project}" in unknown.stderr
