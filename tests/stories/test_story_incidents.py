"""Incidents: `pin deploy`, `pin status` and `pin explain` name the true cause and a remedy that works.

Somebody who had not read the code wrote the incidents, and what an honest answer must contain; rows have the numbers of that
list. Several are deployed at the same time, and each is looked at when its deploy has ended; what never ran is deleted then, so
that crashes do not add up. Each word must be in all three answers, unless the table says otherwise.

Not here, because what they need does not exist or harms the other stories of the region:

    a registry with credentials, or one that is down: unit tests have the texts
    a storage class, a full disk, a node under pressure: no such thing in the region
    a node, a cluster or a program that dies, DNS that is down: tests/stories/test_story_availability.py and tests/faults
    two users at once, an expired token: the stories of access and input
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Condition
from typing import Any, NamedTuple, TypeVar

import pytest
from live_region import COMMAND_WITHIN, WITHIN, Region
from saved_image import save
from terminal_user import IMAGES, TALKER, PinOutput, TerminalUser

from pincompute.api.builtin import NODES
from pincompute.api.quantity import cpu_millis
from pincompute.api.workloads import PINAPPS, PinApp, WorkloadStatus

T = TypeVar("T")

AT_ONCE = 6  # commands of a pool; each is a process
PACE = 1.0  # seconds between two looks at the region
FAILED, WRONG, FORBIDDEN, WAITS = 1, 2, 4, 6  # exit statuses of a deploy
REFUSED = (WRONG, FORBIDDEN)  # nothing changes, so only the answer to the deploy counts
ALL_CPU = "ALL"  # stands for all that a node of this region has


def shell(script: str) -> dict[str, Any]:
    return {"command": ["/bin/sh", "-c", script]}


HELLO: dict[str, Any] = {
    "image": "registry.internal/hello:1",
    "args": ["8080"],
    "ports": [{"name": "http", "port": 8080}],
}


def check(**how: Any) -> dict[str, Any]:
    return {**how, "period": "1s"}


def pod(**spec: Any) -> dict[str, Any]:
    """Fields of a pod that only `advanced` can say."""
    return {"advanced": {"template": {"spec": spec}}}


def beside(name: str, script: str) -> dict[str, Any]:
    return {"name": name, "image": f"{TALKER}:1", "resources": {"cpu": "10m", "memory": "32Mi"}, **shell(script)}


@dataclass(frozen=True)
class Incident:
    """`container` and `app` are changes of a talker that runs. `says`: parts of every answer, `a|b` one of them; `lies`: of
    none. `before`: it runs well at first. `seen`: what the region says when somebody looks who does not wait for the deploy.
    """

    container: Mapping[str, Any]
    says: Sequence[str]
    lies: Sequence[str] = ()
    app: Mapping[str, Any] = field(default_factory=dict)
    before: bool = False
    status: int = FAILED
    replicas: int = 1
    seen: str = ""


FIRST: dict[str, Incident] = {
    # -- the image
    "i01-image-mistyped": Incident(
        {"image": "registry.internal/helo:1"},
        ["registry.internal/helo:1", "no image helo", "did you mean registry.internal/hello?", "containers[0].image"],
        ["rollback"],
        status=WRONG,
    ),
    "i03-registry-host": Incident(
        {"image": "registry.internl/hello:1"},
        ["registry.internl", "cannot be resolved|cannot be reached", "image", "check the registry's name"],
        ["not found", "tag"],
    ),
    "i04-image-without-registry": Incident({"image": "hello:1"}, ["docker.io/library/hello:1", "name the registry"]),
    "i07-image-malformed": Incident(
        {"image": "registry.internal/Hello:1"}, ["registry.internal/Hello:1", "lower-case", "containers[0].image"], status=WRONG
    ),
    "i29-image-of-root": Incident(
        {"image": "registry.internal/faulty:1", "command": ["/bin/bash", "-c", "while true; do sleep 1; done"]},
        ["root", "USER", "runAsUser", "web"],
        ["exit code"],
    ),
    # -- the program
    "i12-no-such-command": Incident(
        {**HELLO, **shell("hello 8080")},
        ["/bin/sh", "no such file", "command", "cannot start", "web", "0 of 1"],
        ["out of memory", "ended with exit code", "wrote nothing"],
    ),
    "i13-ends-well": Incident(
        shell("exit 0"), ["exit code 0", "ended", "keeps running", "foreground", "web", "0 of 1"], ["Completed successfully"]
    ),
    "i14-ends-badly": Incident(
        shell("echo FATAL cannot parse config line 7 >&2; exit 1"),
        ["exit code 1", "FATAL cannot parse config line 7", "--previous", "web", "0 of 3"],
        replicas=3,
    ),
    "i15-no-argument": Incident(
        shell("[ $# -gt 0 ] || { echo usage: server PORT >&2; exit 64; }"), ["exit code 64", "usage: server PORT", "web"]
    ),
    "i16-crash-after-start": Incident(
        shell("sleep 2; echo FATAL giving up >&2; exit 3"), ["exit code 3", "FATAL giving up", "0 of 1"]
    ),
    "i18-out-of-memory": Incident(
        shell("x=a; while true; do x=$x$x; done"), ["out of memory", "32Mi", "resources.memory", "137", "web"]
    ),
    "i21-signal": Incident(shell("exit 139"), ["139", "SIGSEGV", "--previous", "web"], ["out of memory"]),
    "i22-no-variable": Incident(
        shell('[ -n "$DATABASE_URL" ] || { echo FATAL DATABASE_URL is not set >&2; exit 1; }'),
        ["exit code 1", "FATAL DATABASE_URL is not set"],
    ),
    "i24-sidecar": Incident(
        {},
        ["sidecar metrics", "exit code 2", "metrics is lost"],
        ["container web ended"],
        app={"initContainers": [{**beside("metrics", "echo metrics is lost; exit 2"), "sidecar": True}]},
    ),
    "i25-second-container": Incident(
        {},
        ["container agent", "exit code 1", "agent fails"],
        ["container web ended"],
        app={"containers": [beside("agent", "sleep 1; echo agent fails; exit 1")]},
    ),
    "i26-init-fails": Incident(
        {},
        ["init container migrate", "exit code 4", "no schema", "0 of 1"],
        ["container web ended"],
        app={"initContainers": [beside("migrate", "echo no schema; exit 4")]},
    ),
    "i27-init-never-ends": Incident(
        {},
        ["init container migrate", "still runs", "sidecar", "0 of 1"],
        ["crashed", "restartPolicy"],
        app={"initContainers": [beside("migrate", "while true; do sleep 1; done")]},
        status=WAITS,
        seen="still runs",
    ),
    "i28-read-only": Incident(
        shell("echo x > /x || exit 1; sleep 100"),
        ["Read-only file system", "/x", "exit code 1"],
        app=pod(containers=[{"name": "web", "securityContext": {"readOnlyRootFilesystem": True}}]),
    ),
    "i31-permission": Incident(shell("echo x > /x || exit 1; sleep 100"), ["Permission denied", "/x", "exit code 1"]),
    "i82-wrong-name-of-a-service": Incident(
        {"image": "registry.internal/faulty:1", "command": ["/bin/bash", "-c", ": > /dev/tcp/helo/8080"]},
        ["helo", "exit code 1", "Name or service not known|name resolution"],
        ["image"],
        app=pod(securityContext={"runAsUser": 65532}),
    ),
    # -- its checks
    "i32-probe-port": Incident(
        {**HELLO, "health": check(http={"port": 8081, "path": "/healthz"})},
        ["8081", "connection refused", "/healthz", "health check", "0 of 1", "0.0.0.0", "8080"],
        ["ended with"],
        status=WAITS,
        seen="health check fails",
    ),
    "i33-probe-path": Incident(
        {**HELLO, "health": check(http={"port": "http", "path": "/nowhere"})},
        ["/nowhere", "404", "health check", "port http", "0 of 1"],
        ["ended with"],
        status=WAITS,
        seen="health check fails",
    ),
    "i34-probe-scheme": Incident(
        {**HELLO, "health": check(http={"port": "http", "path": "/", "scheme": "HTTPS"})},
        ["HTTPS", "plain HTTP", "scheme", "port http"],
        status=WAITS,
        seen="health check fails",
    ),
    "i35-probe-names-no-port": Incident(
        {**HELLO, "health": check(http={"port": "web", "path": "/"})},
        ["containers[0].health.http.port", '"web" is the name of none', "(http 8080)", "number of a port|add a port"],
        ["strconv", "advanced"],
        status=WRONG,
    ),
    "i37-liveness": Incident(
        {**HELLO, "liveness": check(http={"port": 8081}, failureThreshold=2)},
        ["liveness", "restarts it", "2 times within 2 s", "initialDelay", "8081"],
        ["out of memory", "keeps running", "ended by itself"],
    ),
    "i38-startup": Incident(
        {**HELLO, "startup": check(tcp={"port": 8081}, failureThreshold=2)},
        ["startup", "restarts it", "failureThreshold 2", "8081"],
        ["out of memory", "keeps running", "ended by itself"],
    ),
    "i40-probe-times-out": Incident(
        {"health": check(command=["/bin/sleep", "5"], timeout="1s")},
        ["health check", "/bin/sleep 5", "in time|timed out", "timeout"],
        ["refused"],
        status=WAITS,
        seen="health check fails",
    ),
    # -- what it needs
    "i42-no-secret": Incident(
        {"env": {"PW": {"secret": "db-nowhere"}}},
        ["secret", "db-nowhere", "pin secret set db-nowhere", "PW|env"],
        ["crashed"],
        status=WRONG,
    ),
    "i44-no-config": Incident(
        {"mounts": [{"volume": "conf", "path": "/etc/web"}]},
        ["config", "web-conf", "volumes|conf", "pin config set web-conf"],
        app={"volumes": [{"name": "conf", "config": "web-conf"}]},
        status=WRONG,
    ),
    "i47-no-claim": Incident(
        {"mounts": [{"volume": "data", "path": "/data"}]},
        ["claim", "data", "not found|does not exist"],
        ["cpu", "memory"],
        app={"volumes": [{"name": "data", "claim": "data"}]},
        status=WAITS,
        seen="claim",
    ),
    # -- its place
    "i48-larger-than-a-node": Incident(
        {"resources": {"cpu": "10m", "memory": "1Ti"}},
        ["memory 1024Gi", "no node", "a node has memory", "1 of 1 replica fits on no node", "ask for less"],
        ["when there is room", "free some"],
    ),
    "i48-larger-than-the-project": Incident(
        {"resources": {"cpu": "10m", "memory": "10Ti"}},
        ["containers[0].resources.memory", "10Ti", "of 8Ti", "ask for less", "pin admin limits"],
        status=FORBIDDEN,
    ),
    "i49-cpu-without-m": Incident(
        {"resources": {"cpu": 100, "memory": "32Mi"}}, ["cpu 100", "100m", "a node has cpu", "ask for less"]
    ),
    "i50-no-room": Incident(
        {"resources": {"cpu": ALL_CPU, "memory": "32Mi"}},
        ["1 of 1 replica waits for room", "the node with the most room left now has cpu", "zones a, b and c", "free some"],
        ["no node that is large enough"],
    ),
    "i52-no-such-zone": Incident(
        {}, ["zones", "x", "a, b, c|a, b and c"], ["cpu", "memory"], app={"zones": ["x"]}, status=WRONG
    ),
    "i53-one-zone-does-not-exist": Incident({}, ["zones", "z", "a, b, c|a, b and c"], app={"zones": ["a", "z"]}, status=WRONG),
    "i54-no-such-node": Incident(
        {}, ["disk", "ssd", "node", "0 of 1"], ["Insufficient"], app=pod(nodeSelector={"disk": "ssd"})
    ),
    "i55-no-gpu": Incident(
        {"resources": {"cpu": "10m", "memory": "32Mi", "gpu": 1}}, ["nvidia.com/gpu 1", "no nvidia.com/gpu", "no node"]
    ),
    # -- what is refused
    "i20-memory-in-milli": Incident(
        {"resources": {"cpu": "10m", "memory": "512m"}}, ["512m", "memory", "512Mi|512M"], status=WRONG
    ),
    "i23-same-port-twice": Incident(
        HELLO,
        ["containers[1].ports[0].port", "port 8080 (TCP)", "container web", "choose another port"],
        ["advanced"],
        status=WRONG,
        app={"containers": [{**HELLO, "name": "other", "ports": [{"name": "http2", "port": 8080}]}]},
    ),
    "i30-privileged": Incident(
        {},
        ["privileged", "securityContext"],
        ["room"],
        app=pod(containers=[{"name": "web", "securityContext": {"privileged": True}}]),
        status=WRONG,
    ),
    "i30-folder-of-the-node": Incident(
        {}, ["hostPath", "volumes"], ["room"], app=pod(volumes=[{"name": "h", "hostPath": {"path": "/"}}]), status=WRONG
    ),
    "i56-port-of-the-node": Incident(
        {},
        ["hostPort", "ports"],
        ["room"],
        app=pod(containers=[{"name": "web", "ports": [{"containerPort": 8080, "hostPort": 8080}]}]),
        status=WRONG,
    ),
    "i72-deadline": Incident({}, ["activeDeadline", "App|app"], app=pod(activeDeadlineSeconds=30), status=WRONG),
    "i74-field-mistyped": Incident({"imgae": f"{TALKER}:1"}, ["imgae", "did you mean image", ":1:"], status=WRONG),
}
UPDATES: dict[str, Incident] = {
    "i02-tag-mistyped": Incident(
        {"image": f"{TALKER}:11"},
        [f"{TALKER}:11", "the nearest tags are", "containers[0].image"],
        before=True,
        status=WRONG,
        replicas=3,
    ),
    "i12-update-of-the-command": Incident(
        {"command": ["/bin/nothing"]},
        ["/bin/nothing", "cannot start", "1 of 1", "of the former revision"],
        ["0 of 1", "wrote nothing"],
        before=True,
    ),
    "i17-update-crashes": Incident(
        shell("sleep 2; echo FATAL no table >&2; exit 5"),
        ["exit code 5", "FATAL no table", "3 of 3", "of the former revision"],
        ["0 of 3"],
        before=True,
        replicas=3,
    ),
    "i25-update-of-the-agent": Incident(
        {},
        ["agent", "exit code 1", "3 of 3", "of the former revision"],
        ["container web ended"],
        app={"containers": [beside("agent", "sleep 1; exit 1")]},
        before=True,
        replicas=3,
    ),
    "i48-update-larger-than-a-node": Incident(
        {"resources": {"cpu": "10m", "memory": "1Ti"}},
        ["no node", "memory 1024Gi", "a node has memory", "1 of 1", "of the former revision", "ask for less"],
        ["0 of 1", "free some"],
        before=True,
    ),
    "i57-update-without-room": Incident(
        {"resources": {"cpu": ALL_CPU, "memory": "32Mi"}},
        ["no node has room", "cpu", "1 of 1", "of the former revision", "free some"],
        ["0 of 1"],
        before=True,
    ),
    "i59-update-not-ready": Incident(
        {"health": check(tcp={"port": 8081})},
        ["8081", "connection refused", "1 of 1", "of the former revision"],
        ["0 of 1"],
        before=True,
        status=WAITS,
        seen="health check fails",
    ),
    "i75-container-removed": Incident({"name": "other"}, ["web", "removes", "--yes"], before=True, status=WRONG),
}
EVERY = {**FIRST, **UPDATES}


class Answers(NamedTuple):
    """What the three commands print of an incident."""

    deploy: PinOutput
    status: str
    explain: str


def manifest(name: str, incident: Incident | None, replicas: int, cpu: str = "") -> str:
    """The talker, changed as the incident says; JSON is YAML."""
    changed = incident or Incident({}, [])
    web = {"name": "web", "image": f"{TALKER}:1", "resources": {"cpu": "10m", "memory": "32Mi"}, **changed.container}
    app = {**changed.app, "containers": [web, *changed.app.get("containers", ())]}
    whole = {"kind": "App", "name": name, "replicas": replicas, "terminationGracePeriod": "2s", **app}
    return json.dumps(whole).replace(ALL_CPU, cpu)


@dataclass
class ObservedApps:
    """The apps of the project as the region last showed them: one reader for all who wait."""

    apps: Mapping[str, PinApp] = field(default_factory=dict[str, PinApp])
    changed: Condition = field(default_factory=Condition)

    def show(self, apps: Sequence[PinApp]) -> None:
        with self.changed:
            self.apps = {app.metadata.name: app for app in apps}
            self.changed.notify_all()

    def until(self, name: str, holds: Callable[[WorkloadStatus], bool]) -> None:
        """When it does not come, the table says what is missing."""
        with self.changed:
            self.changed.wait_for(lambda: name in self.apps and holds(self.apps[name].status), WITHIN)


@dataclass(frozen=True)
class Reporter:
    """A developer who deploys an incident, waits until the platform says something, and asks what is wrong."""

    dev: TerminalUser
    cpu: str
    delete: Callable[[str], None]
    observed: ObservedApps = field(default_factory=ObservedApps)

    def begin(self, name: str) -> None:
        file = self.dev.write(f"{name}-before.yaml", manifest(name, None, EVERY[name].replicas))
        self.dev.pin("deploy", "-f", file, "--detach", within=COMMAND_WITHIN)
        self.observed.until(name, lambda status: status.phase == "Running")

    def look(self, name: str) -> Answers:
        incident = EVERY[name]
        file = self.dev.write(f"{name}.yaml", manifest(name, incident, incident.replicas, self.cpu))
        way = () if name == "i75-container-removed" else ("--yes",)
        deployed = self.waited(file, name) if incident.seen else self.deploy(file, "--timeout", f"{WITHIN:.0f}", *way)
        if incident.status in REFUSED:
            return Answers(deployed, "", "")
        found = Answers(deployed, self.ask("status", name), self.ask("explain", name))
        if not incident.before:
            self.delete(name)
        return found

    def ask(self, *question: str) -> str:
        return self.dev.pin(*question, status=None, within=COMMAND_WITHIN).out

    def deploy(self, file: str, *more: str) -> PinOutput:
        return self.dev.pin("deploy", "-f", file, *more, status=None, within=COMMAND_WITHIN)

    def waited(self, file: str, name: str) -> PinOutput:
        """The end of a deploy that gives up some seconds after the platform said what it waits for."""
        begun = self.deploy(file, "--detach", "--yes")
        if begun.status:
            return begun
        self.observed.until(name, lambda status: EVERY[name].seen in status.message)
        return self.deploy(file, "--timeout", "2", "--yes")


@pytest.fixture(scope="module")
def answers(region: Region, dev: TerminalUser, shop: str) -> Mapping[str, Future[Answers]]:
    """What is said of every incident; the deploys go on at the same time, those that take longest first."""
    region.run("region", "image", "build", str(IMAGES / "faulty"), "--tag", "faulty:1")
    cpu = min(cpu_millis(node.status.allocatable["cpu"]) for member in region.members.values() for node in member.list(NODES))
    reporter = Reporter(dev, f"{cpu}m", partial(region.delete, PINAPPS.kind, shop))
    slow = {name for name, incident in EVERY.items() if incident.status == FAILED}
    with ThreadPoolExecutor(AT_ONCE) as slowly, ThreadPoolExecutor(AT_ONCE) as quickly:

        def done(found: Mapping[str, Future[T]]) -> Mapping[str, Future[T]]:
            while not all(each.done() for each in found.values()):
                reporter.observed.show(region.host.list(PINAPPS, shop))
                time.sleep(PACE)
            return found

        done({name: quickly.submit(reporter.begin, name) for name in UPDATES})
        return done({name: (slowly if name in slow else quickly).submit(reporter.look, name) for name in (*UPDATES, *FIRST)})


@pytest.mark.parametrize("name", EVERY)
def test_the_cause_and_a_remedy_are_named(answers: Mapping[str, Future[Answers]], name: str):
    incident = EVERY[name]
    deployed, status, explained = answers[name].result()
    said = {"deploy": deployed.out + deployed.err, "status": status, "explain": explained}
    if incident.status in REFUSED:
        said = {"deploy": deployed.err}
    wrong = [f"{where} does not say {part!r}" for where, text in said.items() for part in incident.says if not _has(text, part)]
    wrong += [f"{where} says {part!r}" for where, text in said.items() for part in incident.lies if _has(text, part)]
    wrong += [f"deploy ended with {deployed.status}, not {incident.status}"] if deployed.status != incident.status else []
    updated = incident.before and incident.status not in REFUSED
    wrong += ["deploy does not say `pin rollback`"] if updated and "pin rollback" not in deployed.err else []
    assert not wrong, "\n".join([*wrong, *(f"--- {where}\n{text}" for where, text in said.items())])


def _has(text: str, part: str) -> bool:
    return any(re.search(_whole_numbers(one), text, re.IGNORECASE) for one in part.split("|"))


def _whole_numbers(part: str) -> str:
    """Returns the pattern of a part: `0 of 1` is not said by `score 90 of 100`."""
    before, after = r"(?<!\d)" if part[0].isdigit() else "", r"(?!\d)" if part[-1].isdigit() else ""
    return before + re.escape(part) + after


def test_an_update_that_fails_took_no_replica_that_served(region: Region, shop: str, answers: Mapping[str, Future[Answers]]):
    del answers
    serving = {name: sum(placed.ready for placed in region.pods(shop, name)) for name in UPDATES}
    assert all(serving[name] >= incident.replicas for name, incident in UPDATES.items()), serving


def test_what_is_refused_leaves_nothing_behind(region: Region, shop: str, answers: Mapping[str, Future[Answers]]):
    del answers
    stored = {app.metadata.name for app in region.host.list(PINAPPS, shop)}
    refused = {name for name, incident in FIRST.items() if incident.status in REFUSED}
    assert not stored & refused


def test_users_read_of_zones_and_replicas_and_not_of_clusters_and_pods(answers: Mapping[str, Future[Answers]]):
    for name, answer in answers.items():
        deployed, status, explained = answer.result()
        for text in (deployed.out, deployed.err, status, explained):
            found = [word for cluster in ("a1", "b1", "c1") for word in (f"{name}-{cluster}", f" {cluster} ") if word in text]
            assert not found, f"{name}: {found}\n{text}"
            assert "spec." not in text.replace("advanced.template.spec.", ""), f"{name}\n{text}"  # as they wrote it


def test_an_image_for_another_processor_comes_not_in(dev: TerminalUser, shop: str):
    """I11."""
    with dev.client() as pin:
        file = save(pin, f"{TALKER}:1", dev.home / "arm.tar", called="example.com/arm:1", architecture="arm64")
    said = dev.pin("image", "import", file.name, status=FAILED).err
    assert all(part in said for part in ("example.com/arm:1", "linux/arm64", "`docker build --platform linux/amd64`"))


def test_a_deploy_of_what_is_paused_or_stopped_does_not_wait(dev: TerminalUser, shop: str):
    """I61, I62."""
    dev.write("held.yaml", manifest("held", None, 1))
    dev.pin("deploy", "-f", "held.yaml")
    dev.pin("pause", "held")
    dev.write("changed.yaml", manifest("held", Incident({"env": {"COLOR": "red"}}, []), 1))
    paused = dev.pin("deploy", "-f", "changed.yaml").out
    assert "held is paused: 1 of 1 replica runs as before, and the change waits for `pin resume held`" in paused
    dev.pin("resume", "held")
    dev.pin("stop", "held")
    assert "held is stopped: 0 replicas run until `pin start held`" in dev.pin("deploy", "-f", "held.yaml").out
    dev.pin("delete", "held", "--yes")
