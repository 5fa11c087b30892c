"""The story in sentences: ordered, told once, and with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from history_samples import after, decision, event, exit_of, operation, revision, spec, state, template
from msgspec import structs

from pincompute.api.labels import CONTAINERS_RESTARTED_AT, RESTARTED_AT
from pincompute.api.meta import Manifest
from pincompute.domain import container_failure
from pincompute.gateway.history import exit_reasons, timeline
from pincompute.store.records import GONE, AnyRecord

Q = "registry.internal/hello"
PROGRAMS = ("kubectl-edit", "pincompute-federation", "argocd")


def web(**container: Any) -> Manifest:
    return template(**container)


def restarted(*notes: str) -> Manifest:
    return {**web(), "metadata": {"annotations": dict(zip(notes[::2], notes[1::2], strict=True))}}


def secret_variable(secret: str) -> Manifest:
    """A variable as an entry of `secrets` makes it."""
    name = secret.upper().replace("-", "_")
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "value"}}}


def mounting(env: list[Manifest], files: dict[str, str], mounts: dict[str, str], **config: Any) -> Manifest:
    """`files` are of configs, as app.yaml's field makes them; `mounts` are of emptyDir volumes."""
    mounted: list[Manifest] = [{"name": name, "mountPath": path} for path, name in mounts.items()]
    mounted += [{"name": f"config-{name}", "mountPath": path, "readOnly": True} for path, name in files.items()]
    volumes: list[Manifest] = [{"name": name, "emptyDir": {}} for name in mounts.values()]
    volumes += [{"name": f"config-{name}", "configMap": {"name": name, **config}} for name in files.values()]
    pod = {**web(env=env, volumeMounts=mounted)["spec"], "volumes": volumes}
    return spec(template={"spec": pod})


BOARD = {"name": "board", "when": "BeforeStep"}
PROOF = {"name": "proof", "when": "AfterStep"}
UP_AGAIN = state("Running", 9)

STORIES: dict[str, tuple[Sequence[AnyRecord], list[str]]] = {
    "a first revision says what it was": (
        [revision(author="alice")],
        ["alice created hello: 3 replicas of hello:1"],
    ),
    "an operation and the revision it made are one line": (
        [revision(), operation(seconds=10, generation=2, reason="load test"), revision(2, 10, spec=spec(6))],
        ["somebody created hello: 3 replicas of hello:1", "alice scaled hello from 3 to 6: load test"],
    ),
    "an operation that made none is a line of its own": (
        [operation("restart", detail="hello-a1-0"), operation("delete", 1, reason="no use", outcome="forbidden")],
        ["alice restarted hello (hello-a1-0)", "alice deleted hello: no use; it was refused (forbidden)"],
    ),
    "an image that changed": (
        [revision(), revision(2, 1, author="bob", spec=spec(image=f"{Q}:2"))],
        ["somebody created hello: 3 replicas of hello:1", "bob changed hello (image of web from hello:1 to hello:2)"],
    ),
    "many changes at once": (
        [revision(), revision(2, 1, manager="kubectl", spec=spec(1, tier="Reserved", template={"spec": {}}))],
        [
            "somebody created hello: 3 replicas of hello:1",
            "somebody with kubectl changed hello (replicas from 3 to 1, container web removed, tier)",
        ],
    ),
    "a change past the gateway tells the program": (
        [revision(), *(revision(2 + n, 1 + n, manager=m, spec=spec(4 + n)) for n, m in enumerate(PROGRAMS))],
        [
            "somebody created hello: 3 replicas of hello:1",
            "somebody with kubectl (kubectl-edit) scaled hello from 3 to 4",
            "the platform (pincompute-federation) scaled hello from 4 to 5",
            "somebody with argocd scaled hello from 5 to 6",
        ],
    ),
    "variables are told by name, set and removed": (
        [
            revision(
                author="bob", spec=spec(template=web(env=[{"name": "LEVEL", "value": "info"}, {"name": "OLD", "value": "x"}]))
            ),
            revision(2, 1, author="bob", spec=spec(template=web(env=[{"name": "LEVEL", "value": "debug"}, {"name": "NEW"}]))),
            revision(3, 2, author="bob", spec=spec(template=web(env=[{"name": "NEW"}]))),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "bob changed hello (env of web: LEVEL and NEW set, OLD removed)",
            "bob changed hello (env of web: LEVEL removed)",
        ],
    ),
    "fields have the names that users write": (
        [
            revision(author="bob"),
            revision(2, 1, author="bob", spec=spec(template=web(readinessProbe={}, volumeMounts=[]))),
            revision(
                3,
                2,
                author="bob",
                spec=spec(template={"spec": {**web()["spec"], "volumes": [], "terminationGracePeriodSeconds": 1}}),
            ),
            revision(
                4,
                3,
                author="bob",
                spec=spec(template={"metadata": {"labels": {"a": "b"}}, "spec": {**web()["spec"], "hostname": "h"}}),
            ),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "bob changed hello (health, mounts of web)",
            "bob changed hello (health, mounts of web, terminationGracePeriod, volumes)",
            (
                "bob changed hello (advanced.template.spec.hostname, terminationGracePeriod, volumes, "
                "advanced.template.metadata)"
            ),
        ],
    ),
    "secrets and files are told as app.yaml names them": (
        [
            revision(author="bob", spec=mounting([secret_variable("db-password")], {}, {})),
            revision(2, 1, author="bob", spec=mounting([secret_variable("api-key")], {"/etc/web": "web-conf"}, {})),
            revision(3, 2, author="bob", spec=mounting([secret_variable("api-key")], {}, {"/data": "work"})),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "bob changed hello (secrets of web: api-key set, db-password removed, files of web: /etc/web set)",
            "bob changed hello (files of web: /etc/web removed, mounts of web, volumes)",
        ],
    ),
    "a change of how a volume is mounted is told although app.yaml has no field for it": (
        [
            revision(author="bob", spec=mounting([], {"/etc/web": "web-conf"}, {})),
            revision(2, 1, author="bob", spec=mounting([], {"/etc/web": "web-conf"}, {}, defaultMode=0o400)),
        ],
        ["bob created hello: 3 replicas of hello:1", "bob changed hello (volumes)"],
    ),
    "rules are told by their fields": (
        [
            revision(author="bob", spec=spec(update={"inPlace": "Prefer"})),
            revision(2, 1, author="bob", spec=spec(update={"inPlace": "Require", "maxSurge": 1}, historyLimit=3)),
            revision(
                3,
                2,
                author="bob",
                spec=spec(
                    update={"inPlace": "Require", "maxSurge": 1},
                    historyLimit=3,
                    placement={"zones": ["a"], "clusters": ["a1"]},
                    disruption={"maxUnavailable": 1},
                ),
            ),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "bob changed hello (historyLimit, update.inPlace from Prefer to Require, update.maxSurge)",
            "bob changed hello (advanced.placement.clusters, zones, disruption.maxUnavailable)",
        ],
    ),
    "hooks are told one by one": (
        [
            revision(author="bob", spec=spec(update={})),
            revision(2, 1, author="bob", spec=spec(update={"hooks": [BOARD, PROOF]})),
            revision(3, 2, author="bob", spec=spec(update={"hooks": [PROOF, {**BOARD, "timeoutSeconds": 3600}]})),
            revision(4, 3, author="bob", spec=spec(update={"hooks": [{**BOARD, "timeoutSeconds": 3600}, PROOF]})),
            revision(5, 4, author="bob", spec=spec(update={"hooks": [{**BOARD, "timeoutSeconds": 3600}]})),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "bob changed hello (hook board before each step added, hook proof after each step added)",
            "bob changed hello (timeoutSeconds of hook board before each step from 300 to 3600)",
            "bob changed hello (update.hooks)",
            "bob changed hello (hook proof after each step removed)",
        ],
    ),
    "a restart is one, whoever asks for it": (
        [
            revision(author="bob"),
            operation("restart", 1, generation=2),
            revision(2, 1, spec=spec(template=restarted(RESTARTED_AT, "1"))),
            revision(3, 2, author="eve", spec=spec(template=restarted(RESTARTED_AT, "2"))),
            operation("restart", 3, generation=4),
            revision(4, 3, spec=spec(template=restarted(RESTARTED_AT, "2", CONTAINERS_RESTARTED_AT, '{"web": "3"}'))),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "alice restarted hello",
            "eve restarted hello",
            "alice restarted hello (restart of web)",
        ],
    ),
    "a placement names zones, a change of it only what moved": (
        [decision(1, a1=2, b1=2), decision(2, a1=1, b1=3)],
        ["hello: placed 2 in zone a, 2 in zone b", "hello: placed 1 in zone b, removed 1 in zone a"],
    ),
    "a decision that moved nothing is not told": ([decision(1, a1=2), decision(2, a1=2)], ["hello: placed 2 in zone a"]),
    "what has no place says why": (
        [decision(1, unplaced=2, b1=1)],
        ["hello: placed 1 in zone b, 2 without a place (zone a has room for 0 more)"],
    ),
    "a state two gateways saw at different moments is told once": (
        [
            state("Running", 1),
            state("Running", 3),
            state("Degraded", 5, before="Running", message="web fails."),
            state("Running", 9),
        ],
        ["hello is Running", "hello went from Running to Degraded: web fails", "hello is Running"],
    ),
    "kubectl scale leaves no author": (
        [revision(author="bob"), revision(2, 10, spec=spec(2))],
        [
            "bob created hello: 3 replicas of hello:1",
            "hello was scaled from 3 to 2 with `kubectl scale` or by an autoscaler; Kubernetes does not record who",
        ],
    ),
    "a pause past the gateway is a pause": (
        [
            revision(author="bob"),
            revision(2, 10, author="eve", spec=spec(paused=True)),
            revision(3, 20, author="eve", spec=spec(paused=False)),
            revision(4, 30, author="eve", spec=spec(6, stopped=True)),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "eve paused hello",
            "eve resumed hello",
            "eve changed hello (replicas from 3 to 6, stopped)",
        ],
    ),
    "a deletion past the gateway leaves no author": (
        [state("Running", 0), state("Deleting", 1, before="Running"), state(GONE, 2, before="Deleting")],
        [
            "hello is Running",
            "hello went from Running to Deleting",
            "hello was deleted; no record says by whom; nothing of it is left",
        ],
    ),
    "a deletion through the gateway names its author once": (
        [state("Running", 0), operation("delete", 1), state(GONE, 2, before="Deleting")],
        ["hello is Running", "alice deleted hello", "hello was deleted; nothing of it is left"],
    ),
    "a container that the kubelet ends for another definition was asked to end": (
        [
            event(10, reason="Killing", message="Container web definition changed, will be restarted", object="hello-b1-0"),
            exit_of(0, 11),
            exit_of(0, 20),
        ],
        [
            "hello-b1-0: container web restarts with what was changed",
            "web in hello-b1-0 (zone b) ended with exit code 0 (it had been asked to end)",
            (f"web in hello-b1-0 (zone b) ended with exit code 0: {container_failure.APP_REMEDY}"),
        ],
    ),
    "the end": ([state(GONE, 1, before="Deleting")], ["hello was deleted; nothing of it is left"]),
    "the same event of many pods is one line": (
        [event(n, object=f"hello-a1-{n}", message=f"pulled in {n}ms for hello-a1-{n}") for n in range(6)],
        ["6 replicas: Pulled: pulled in 0ms for hello-a1-0"],
    ),
    "an event that came back after a while is another line": (
        [event(0, 5, count=3), event(3000, count=2)],
        [
            "hello-a1-0: Pulled: Container image already present on machine (3 times)",
            "hello-a1-0: Pulled: Container image already present on machine (2 times)",
        ],
    ),
    "a crash loop is one line, of several pods as well": (
        [exit_of(137, 60 * n, reason="OOMKilled", memory_limit="32Mi", pod=f"hello-b1-{n % 2}") for n in range(5)],
        [
            (
                "web in 2 replicas ended with exit code 137 (out of memory; limit 32Mi), 5 times: "
                "raise resources.memory, or let the program use less"
            )
        ],
    ),
    "what ended before a change and after it are two lines": (
        [
            revision(author="bob"),
            exit_of(1, 1),
            exit_of(1, 2),
            revision(2, 3, author="bob", spec=spec(image=f"{Q}:2")),
            exit_of(1, 4),
        ],
        [
            "bob created hello: 3 replicas of hello:1",
            "web in hello-b1-0 (zone b) ended with exit code 1, 2 times: what it wrote last may say why",
            "bob changed hello (image of web from hello:1 to hello:2)",
            "web in hello-b1-0 (zone b) ended with exit code 1: what it wrote last may say why",
        ],
    ),
    "a restart separates events as a change does": (
        [event(1), operation("restart", 2), event(3)],
        [
            "hello-a1-0: Pulled: Container image already present on machine",
            "alice restarted hello",
            "hello-a1-0: Pulled: Container image already present on machine",
        ],
    ),
    "a change of another workload separates nothing": (
        [event(1), revision(2, 2, name="other", uid="uid-other"), event(3)],
        [
            "hello-a1-0: Pulled: Container image already present on machine (2 times)",
            "somebody changed other: 3 replicas of hello:1",
        ],
    ),
    "different ends are different lines": (
        [exit_of(1, 1), exit_of(1, 2), exit_of(2, 3)],
        [
            "web in hello-b1-0 (zone b) ended with exit code 1, 2 times: what it wrote last may say why",
            "web in hello-b1-0 (zone b) ended with exit code 2: what it wrote last may say why",
        ],
    ),
    "different events are different lines": (
        [event(0), event(1, reason="Failed", message="no such image")],
        ["hello-a1-0: Pulled: Container image already present on machine", "hello-a1-0: Failed: no such image"],
    ),
}


@pytest.mark.parametrize("case", STORIES)
def test_stories(case: str) -> None:
    records, want = STORIES[case]
    assert [line.sentence for line in timeline.entries(records)] == want


@pytest.mark.parametrize("case", STORIES)
def test_the_order_in_which_records_come_does_not_matter(case: str) -> None:
    records, want = STORIES[case]
    assert [line.sentence for line in timeline.entries(records[::-1])] == want


def test_what_came_at_the_same_moment_stands_in_the_order_of_cause() -> None:
    records = [event(), exit_of(), state("Running"), decision(a1=1), revision(), operation("restart")]
    assert [line.type for line in timeline.entries(records)] == ["operation", "revision", "decision", "state", "exit", "event"]


def test_within_a_second_what_was_wanted_comes_before_what_came_of_it() -> None:
    """Kubelet's times are cut to the second, so a container seems to end before somebody asked for it."""
    records = [event(0, reason="Killing", message="stopping"), operation("restart", 0.4), state("Degraded", 0.2)]
    assert [line.type for line in timeline.entries(records)] == ["operation", "event", "state"]


def test_within_a_second_a_decision_comes_after_what_it_is_about() -> None:
    """The time of a decision is cut to the second, the time of the revision is not."""
    lines = timeline.entries([decision(0, a1=3), revision(seconds=0.8, author="alice")])
    assert [line.type for line in lines] == ["revision", "decision"]


def test_a_change_that_has_no_line_separates_what_happened() -> None:
    lines = timeline.entries([exit_of(1, 1), exit_of(1, 3)], changes=[revision(2, 2)])
    assert [(line.type, line.count) for line in lines] == [("exit", 1), ("exit", 1)]


def test_only_a_new_pod_template_is_a_new_revision() -> None:
    records = [
        revision(revision="v2aa", author="alice"),
        revision(2, 1, revision="v2aa", author="alice", spec=spec(6)),
        revision(3, 2, revision="v2bb", author="alice", spec=spec(6, image=f"{Q}:2")),
    ]
    assert [line.revision for line in timeline.entries(records)] == ["v2aa", "", "v2bb"]


def test_a_revision_of_an_app_that_rolls_names_the_versions_of_its_secrets() -> None:
    first = revision(1, settings=("version 1 of secret db",))
    second = revision(2, 10, spec=spec(image="registry.internal/hello:2"), settings=("version 2 of secret db",))
    third = revision(3, 20, spec=spec(replicas=4, image="registry.internal/hello:2"), settings=("version 2 of secret db",))
    said = [entry.sentence for entry in timeline.entries((first, second, third))]
    assert "3 replicas of hello:1, version 1 of secret db" in said[0]
    assert "(image of web from hello:1 to hello:2, version 2 of secret db)" in said[1]
    assert "secret" not in said[2]


def test_another_version_of_a_secret_is_a_revision_that_nobody_wrote() -> None:
    first = revision(1, 1, settings=("version 1 of secret db",), revision="a")
    second = revision(1, 9, settings=("version 2 of secret db",), revision="b", rolled=True)
    (_, line) = timeline.entries((first, second))
    assert (line.sentence, line.revision) == ("hello rolls to version 2 of secret db", "b")
    (_, line) = timeline.entries((first, structs.replace(second, author="ann")))
    assert line.sentence == "hello rolls to version 2 of secret db, which ann put in use"


def test_looks_into_containers_that_an_earlier_version_recorded_have_words_of_their_own() -> None:
    records = [
        operation("open", 1, detail="shells"),
        operation("open", 2, detail="ports"),
        operation("get", 2, detail="files"),
        operation("update", 3, detail="files"),
    ]
    assert [line.sentence for line in timeline.entries(records)] == [
        "alice opened a shell or ran a command in hello",
        "alice connected to a port of hello",
        "alice copied files out of hello",
        "alice copied files into hello",
    ]


def test_earlier_revisions_tell_what_the_first_on_a_page_changed() -> None:
    (line,) = timeline.entries([revision(7, 10, spec=spec(9), author="bob")], [revision(5, 1, spec=spec(1)), revision(6, 2)])
    assert line.sentence == "bob scaled hello from 3 to 9"


EXITS = {
    "out of memory": (
        exit_of(137, reason="OOMKilled", memory_limit="32Mi"),
        (
            "web in hello-b1-0 (zone b) ended with exit code 137 (out of memory; limit 32Mi): "
            "raise resources.memory, or let the program use less"
        ),
    ),
    "killed": (
        exit_of(137, reason="Error"),
        (
            "web in hello-b1-0 (zone b) ended with exit code 137 (SIGKILL): "
            "it did not end within its grace period, or its liveness check failed: look at the events"
        ),
    ),
    "its own failure": (
        exit_of(3, reason="Error", message="no\nconfiguration."),
        "web in hello-b1-0 (zone b) ended with exit code 3 (no configuration): what it wrote last may say why",
    ),
    "a service that returned": (
        exit_of(0, reason="Completed"),
        f"web in hello-b1-0 (zone b) ended with exit code 0: {container_failure.APP_REMEDY}",
    ),
    "asked to end": (
        exit_of(143, reason="Error", expected=True),
        "web in hello-b1-0 (zone b) ended with exit code 143 (SIGTERM; it had been asked to end)",
    ),
    "asked to end and not gone in time": (
        exit_of(137, reason="GracePeriodExceeded", expected=True),
        (
            "web in hello-b1-0 (zone b) ended with exit code 137 (SIGKILL after its grace period; it had been asked to end): "
            "end the program when it gets SIGTERM, or raise terminationGracePeriod"
        ),
    ),
    "no such command": (
        exit_of(127, reason="ContainerCannotRun"),
        (
            "web in hello-b1-0 (zone b) ended with exit code 127 (ContainerCannotRun): "
            "its command was not found: check `command` and the image"
        ),
    ),
    "a signal that is none": (
        exit_of(255, reason="Unknown"),
        (
            "web in hello-b1-0 (zone b) ended with exit code 255 (its end was not seen): "
            "its node or container runtime was restarted; the container runs again by itself"
        ),
    ),
    "evicted": (
        exit_of(0, container="", reason="Evicted", message="The node was low on resource: memory."),
        (
            "hello-b1-0 (zone b) failed (Evicted; The node was low on resource: memory): "
            "its node ran short: request what it uses, or add nodes"
        ),
    ),
    "evicted for what it wrote": (
        exit_of(0, container="", reason="Evicted", message='Container web exceeded its local ephemeral storage limit "1Gi". '),
        (
            'hello-b1-0 (zone b) failed (Evicted; Container web exceeded its local ephemeral storage limit "1Gi"): '
            "raise resources.limits.storage, write less, or write to a volume that is not on the node"
        ),
    ),
}


@pytest.mark.parametrize("case", EXITS)
def test_exits_in_words(case: str) -> None:
    record, want = EXITS[case]
    assert exit_reasons.sentence(record) == want


def test_a_warning_is_what_somebody_may_have_to_mend() -> None:
    lines = timeline.entries([exit_of(1), exit_of(143, 1, expected=True), state("Degraded", 2), state("Running", 3), event(4)])
    assert [line.warning for line in lines] == [True, False, True, False, False]


def test_an_event_tells_until_when_it_was_seen() -> None:
    (line,) = timeline.entries([event(0, 120, count=12, warning=True)])
    assert (line.at, line.until, line.count, line.warning) == (after(0), after(120), 12, True)
