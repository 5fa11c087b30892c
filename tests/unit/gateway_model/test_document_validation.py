"""What is wrong with a document: everything at once, at the field as it was written, with what to do."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import yaml

from pincompute.gateway.model import APP, UNIT, SimpleKind, document_parser
from pincompute.gateway.model.document_validation import DocumentScope, read
from pincompute.gateway.problems import Problem

SIDECARS = {"metrics": True, "audit": False}
PLACE = DocumentScope("shop", "", ("a", "b"))

GOOD = {
    "the example of the specification": """
        kind: App
        name: hello
        project: shop
        tier: OnDemand
        replicas: 6
        containers:
        - name: web
          image: registry.internal/hello:1
          ports: [{name: http, port: 8080}]
          resources: {cpu: 250m, memory: 128Mi}
          health: {http: {path: /, port: http}}
    """,
    "without kind and project": "{name: hello, containers: [{name: web, image: i}]}",
    "nulls mean nothing": "{name: hello, replicas: null, labels: null, containers: [{name: web, image: i, env: null}]}",
    "what was read is sent back": """
        {name: hello, containers: [{name: web, image: i}], id: u, generation: 3, author: dan, created: 2026-01-01T00:00:00Z,
         status: {state: Running}}
    """,
    "a fraction of a core": "{name: hello, containers: [{name: web, image: i, resources: {cpu: 0.5}}]}",
    "advanced": "{name: hello, containers: [{name: web, image: i}], advanced: {template: {spec: {nodeSelector: {disk: ssd}}}}}",
    "the full resource": """
        apiVersion: pincompute.io/v1alpha1
        kind: PinApp
        metadata: {name: hello, namespace: shop, resourceVersion: "3", annotations: {kubectl.kubernetes.io/last-applied: x}}
        spec: {template: {spec: {containers: [{name: web, image: i}]}}}
        status: {phase: Running}
    """,
}
WEB = "{name: x, containers: [{name: web, image: i, %s}]}"
BAD = {
    "no name": ("{containers: [{name: web, image: i}]}", "name", "is required: add name"),
    "no containers": ("{name: x}", "containers", "has 0 entries, at least 1 needed: add one"),
    "another project": ("{name: x, project: y, containers: [{name: a, image: i}]}", "project", "must be shop, as in the URL"),
    "another kind": ("{kind: Unit, name: x}", "kind", "send it to units instead"),
    "an unknown kind": ("{kind: app}", "kind", "write App"),
    "a container's own time to end": (  # S-163: Kubernetes has one for the whole pod
        WEB % "terminationGracePeriodSeconds: 5",
        "containers[0].terminationGracePeriodSeconds",
        "is not a field: write terminationGracePeriod at the top, where it holds for the whole workload",
    ),
    "a hook that outlasts the pod": (
        (
            "{name: x, containers: [{name: web, image: i}], "
            "advanced: {template: {spec: {containers: [{name: web, lifecycle: {preStop: {sleep: {seconds: 31}}}}]}}}}"
        ),
        "advanced.template.spec.containers[0].lifecycle.preStop.sleep.seconds",
        "must be at most the 30 seconds in which all containers of the replica end: sleep for less, or raise",
    ),
    "Kubernetes' word": (WEB % "readinessProbe: {}", "containers[0].readinessProbe", "is not a field: write health"),
    "a field of units": (
        "{name: x, containers: [{name: a, image: i}], activeDeadline: 1m}",
        "activeDeadline",
        "is not a field: remove it: only kind Unit has it",
    ),
    "what Kubernetes calls a pod": (
        "{name: x, containers: [{name: a, image: i}], terminationGracePeriod: 2h}",
        "terminationGracePeriod",
        "must be at most 3600 seconds, since the deletion of a project waits for its replicas: lower it",
    ),
    "a slip of the pen": (WEB % "portz: []", "containers[0].portz", "is not a field: write ports"),
    "a number for text": (WEB % "env: {A: 1}", "containers[0].env.A", 'write it in quotes, for example "1"'),
    "a check of a port that is not there": (
        WEB % "ports: [{name: http, port: 80}], health: {tcp: {port: web}}",
        "containers[0].health.tcp.port",
        '"web" is the name of none of the container\'s ports (http 80): write the number of a port without quotes',
    ),
    "a hook of a port that is not there": (
        (
            "{name: x, containers: [{name: web, image: i}], advanced: {template: {spec: {containers: "
            "[{name: web, lifecycle: {preStop: {httpGet: {port: web}}}}]}}}}"
        ),
        "advanced.template.spec.containers[0].lifecycle.preStop.httpGet.port",
        "(it has none): write the number of a port",
    ),
    "a port of a sidecar too": (
        (
            "{name: x, initContainers: [{name: agent, image: i, sidecar: true, ports: [{port: 80}]}], "
            "containers: [{name: web, image: i, ports: [{port: 79}, {port: 80}]}]}"
        ),
        "containers[0].ports[1].port",
        "port 80 (TCP) is that of container agent already, and both have one address: choose another port for one of them",
    ),
    "an amount that is none": (
        WEB % "resources: {limits: {cpu: 1x}}",
        "containers[0].resources.limits.cpu",
        '"1x" is not a quantity: use a number of at least 0 and an optional suffix, for example 500m or 128Mi',
    ),
    "more than the limit": (
        WEB % "resources: {cpu: 2, limits: {cpu: 1}}",
        "containers[0].resources",
        "requests must not be above limits",
    ),
    "a port out of range": (WEB % "ports: [{port: 70000}]", "containers[0].ports[0].port", "must be from 1 to 65535"),
    "a check without a port": (WEB % "health: {http: {path: /}}", "containers[0].health.http.port", "is required"),
    "an account that is none": (
        "{name: x, containers: [{name: a, image: i}], disruption: {maxUnavailable: many}}",
        "disruption.maxUnavailable",
        "must be a number from 0, or a percentage",
    ),
    "text that is no duration": (WEB % "health: {period: soon}", "containers[0].health.period", "is not a duration"),
    "no text where a duration is": (WEB % "health: {period: ''}", "containers[0].health.period", "is not a duration"),
    "a duration that is none": (WEB % "health: {period: 10}", "containers[0].health.period", 'write for example "10s"'),
    "two things to check": (
        WEB % "health: {http: {port: 80}, tcp: {port: 80}}",
        "containers[0].health",
        "has http and tcp, where only one may be said",
    ),
    "a volume of two things": (
        "{name: x, containers: [{name: a, image: i}], volumes: [{name: v, config: c, secret: s}]}",
        "volumes[0]",
        "has config and secret",
    ),
    "a value from two places": (
        WEB % "env: {A: {secret: s, key: k, field: f}}",
        "containers[0].env.A",
        "has secret and field",
    ),
    "a variable from nowhere": (WEB % "env: {A: {config: s}}", "containers[0].env.A", "is required: add key"),
    "a volume that is not there": (WEB % "mounts: [{volume: v, path: /v}]", "containers", "every name in mounts"),
    "a zone that is not there": ("{name: x, zones: [z], containers: [{name: a, image: i}]}", "zones[0]", "choose from a, b"),
    "a label of the platform's": (
        "{name: x, labels: {pincompute.io/a: b}, containers: [{name: a, image: i}]}",
        "labels[pincompute.io/a]",
        "remove the key",
    ),
    "a label that is none": (
        "{name: x, labels: {a: 'b c'}, containers: [{name: a, image: i}]}",
        "labels[a]",
        "correct the value",
    ),
    "said twice": (
        "{name: x, containers: [{name: a, image: i}], advanced: {template: {spec: {containers: [{name: a, image: j}]}}}}",
        "advanced.template.spec.containers[0].image",
        "contradicts `containers[0].image`",
    ),
    "a mistake in advanced": (
        "{name: x, containers: [{name: a, image: i}], advanced: {template: {spec: {hostNetwork: true}}}}",
        "advanced.template.spec.hostNetwork",
        "hostNetwork must not be true",
    ),
    "a mistake in the full resource": (
        "{apiVersion: pincompute.io/v1alpha1, kind: PinApp, metadata: {name: x}, spec: {replicaz: 1, template: {spec: {}}}}",
        "spec.replicaz",
        "write replicas",
    ),
    "the full resource elsewhere": (
        "{apiVersion: pincompute.io/v1alpha1, kind: PinApp, metadata: {name: x, namespace: y}, spec: {}}",
        "metadata.namespace",
        "must be shop",
    ),
}


def problems(text: str, kind: SimpleKind[Any] = APP) -> dict[str, str]:
    try:
        read(kind, yaml.safe_load(text), PLACE)
    except Problem as problem:
        return {error.field: error.message for error in problem.errors}
    return {}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name: str) -> None:
    wanted = read(APP, document_parser.parse(GOOD[name].encode(), "application/yaml"), PLACE)
    assert (wanted.name, wanted.manifest["metadata"]["namespace"], wanted.manifest["kind"]) == ("hello", "shop", "PinApp")
    assert set(wanted.manifest) == {"apiVersion", "kind", "metadata", "spec"}


@pytest.mark.parametrize("name", BAD)
def test_says_where_and_what_to_do(name: str) -> None:
    text, field, says = BAD[name]
    found = problems(text)
    assert field in found, found
    assert says in found[field]


ALL_AT_ONCE = {
    "a wrong container and a port of the next": (
        "{name: x, containers: [oops, {name: a, image: i, ports: [{port: 99999}]}]}",
        "containers[0] containers[1].ports[0].port",
    ),
    "wrong ones between right ones": (
        "{name: x, containers: [{name: A, image: i}, 3, {name: b, image: i, ports: [x, {port: 0}, [], {port: 70000}]}, null]}",
        """
        containers[0].name containers[1] containers[2].ports[0] containers[2].ports[1].port containers[2].ports[2]
        containers[2].ports[3].port containers[3]
        """,
    ),
    "wrong arguments, variables and mounts": (
        "{name: x, containers: [{name: a, image: i, args: [1, b, 2], env: {A: 1, B: {}}, mounts: [x, {volume: v, path: ''}]}]}",
        """
        containers containers[0].args[0] containers[0].args[2] containers[0].env.A containers[0].env.B containers[0].mounts[0]
        containers[0].mounts[1].path
        """,
    ),
    "wrong volumes and a check": (
        "{name: x, containers: [{name: a, image: i, health: {http: 3, tcp: {port: {}}}}], volumes: [1, {name: V, config: c}]}",
        "containers[0].health.http containers[0].health.tcp.port volumes[0] volumes[1].name",
    ),
    "a wrong container and the pod": (
        "{name: x, containers: [oops], advanced: {template: {spec: {hostNetwork: true, volumes: [{name: V}]}}}}",
        "advanced.template.spec.hostNetwork containers[0] volumes[0].name",
    ),
    "the full resource": (
        """
        apiVersion: pincompute.io/v1alpha1
        kind: PinApp
        metadata: {name: x}
        spec:
          replicas: x
          template:
            spec:
              hostPID: true
              containers:
              - oops
              - {name: a, image: i, ports: [{containerPort: 99999}, 5], volumeMounts: [{name: v, mountPath: /v}]}
        """,
        """
        spec.replicas spec.template.spec.containers spec.template.spec.containers[0]
        spec.template.spec.containers[1].ports[0].containerPort spec.template.spec.containers[1].ports[1]
        spec.template.spec.hostPID
        """,
    ),
}


@pytest.mark.parametrize("name", ALL_AT_ONCE)
def test_a_wrong_part_hides_no_other(name: str) -> None:
    text, fields = ALL_AT_ONCE[name]
    assert sorted(problems(text)) == fields.split()


FRACTIONS = {
    "simple": """
        name: x
        containers: [{name: a, image: i, resources: {cpu: 0.1}}]
        advanced: {template: {spec: {overhead: {cpu: 0.5}}}}
    """,
    "full": """
        apiVersion: pincompute.io/v1alpha1
        kind: PinApp
        metadata: {name: x}
        spec: {template: {spec: {overhead: {cpu: 0.5}, containers: [{name: a, image: i, resources: {requests: {cpu: 0.1}}}]}}}
    """,
}


@pytest.mark.parametrize("form", FRACTIONS)
def test_fractions_become_text_wherever_they_stand(form: str) -> None:
    pod = read(APP, yaml.safe_load(FRACTIONS[form]), PLACE).manifest["spec"]["template"]["spec"]
    assert (pod["overhead"], pod["containers"][0]["resources"]) == ({"cpu": "0.5"}, {"requests": {"cpu": "0.1"}})


def test_what_follows_from_another_mistake_is_not_told() -> None:
    assert list(problems("{name: x, containers: [3, {name: a, image: i}]}")) == ["containers[0]"]
    assert list(problems("{name: 5, containers: [{name: a, image: 5}]}")) == ["name", "containers[0].image"]


def test_what_has_no_one_field_is_reported_where_most_of_it_is_written() -> None:
    args = ["x" * 1000] * 500
    with pytest.raises(Problem) as caught:
        read(APP, {"name": "x", "containers": [{"name": "web", "image": "i", "args": args}]}, PLACE)
    assert [error.field for error in caught.value.errors] == ["containers"]


def test_a_value_in_quotes_is_no_name_of_a_field() -> None:
    assert APP.in_users_words('"containerPort" is not the containerPort of a PinApp') == (
        '"containerPort" is not the port of a App'
    )


def test_a_unit_may_end() -> None:
    text = "{kind: Unit, name: x, containers: [{name: a, image: i}], restartPolicy: Never, activeDeadline: 1m30s}"
    wanted = read(UNIT, yaml.safe_load(text), PLACE)
    spec = wanted.manifest["spec"]["template"]["spec"]
    assert (spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("Never", 90)


@pytest.mark.parametrize(
    "odd", [{"name": []}, {"containers": [[]]}, {"advanced": {"template": 3}}, {"update": "x"}, {"kind": []}]
)
def test_odd_input_is_a_problem_and_no_crash(odd: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        read(APP, {"name": "x", "containers": [{"name": "a", "image": "i"}], **odd}, PLACE)


MALFORMED = {
    "JSON that breaks off": (b'{"name":', "application/json", "line 1, column 9: it ends in the middle"),
    "nothing at all": (b"", "application/json", "it is empty"),
    "a letter out of place": (b'{"a": 1,\n "b": x}', "", "line 2, column 7"),
    "a list": (b"[]", "application/json", "must be an object, not a list"),
    "nested too deeply": (b'{"a":' * 200 + b"1" + b"}" * 200, "application/json", "nested deeper than 100"),
    "YAML that breaks off": (b"name: [a", "application/yaml", "line 2, column 1: did not find expected"),
    "two documents": (b"a: 1\n---\nb: 1\n", "application/yaml", "a second document from line 3 on"),
    "a key twice": (b"a: 1\nb: 1\na: 2\n", "application/yaml", 'line 3, column 1: "a" stands twice'),
    "a key that is no text": (b"1: 2", "application/yaml", "line 1, column 1: names of fields must be text"),
    "a program": (b"a: !!python/object:os.system x", "application/yaml", "line 1, column 4"),
    "no number": (b"a: .inf", "application/yaml", "not finite"),
    "binary": (b"\xff\xfe\x00", "application/yaml", "cannot be read"),
    "half a character": (
        b'a: 1\nb: "x\\ud800"',
        "application/yaml",
        "line 2, column 8: found invalid Unicode character escape code",
    ),
    "half a character in JSON": (b'{"a": "\\udc00x"}', "application/json", "line 1, column"),
    "something else": (b"x", "text/html", "text/html is not understood"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_read(name: str) -> None:
    body, content_type, says = MALFORMED[name]
    with pytest.raises(Problem) as caught:
        document_parser.parse(body, content_type)
    assert says in caught.value.detail
    assert caught.value.remedy


def test_a_control_character_is_written_as_an_escape() -> None:
    with pytest.raises(Problem) as caught:
        document_parser.parse(b'a: "x\x7f"', "application/yaml")
    assert caught.value.remedy == 'write it as an escape in double quotes, for example "\\x7f"'
    assert document_parser.parse(b'a: "x\\x7f"', "application/yaml") == {"a": "x\x7f"}


def test_a_small_text_cannot_blow_up() -> None:
    layers = [b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    layers += [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)]
    with pytest.raises(Problem) as caught:
        document_parser.parse(b"\n".join(layers), "application/yaml")
    assert caught.value.code == "too-large"


def test_dates_stay_text_and_empty_documents_do_not_count() -> None:
    assert document_parser.parse(b"---\na: 2026-01-01\n---\n", "application/yaml; charset=utf-8") == {"a": "2026-01-01"}


STEPS = "{name: hello, %s update: {steps: [1, 4]}, containers: [{name: web, image: i}]}"
OLD = {"replicas": 2, "update": {"steps": [1, 4]}}
SCALED = {
    "a new app": ("replicas: 2,", None, True),
    "after a scale, the same steps": ("replicas: 2,", OLD, False),
    "after a scale, without a count": ("", OLD, False),
    "a count that stays, and other steps": ("", {"replicas": 2, "update": {"steps": [2]}}, True),
    "enough, without a count": ("", {"replicas": 9}, False),
    "fewer than the steps say": ("replicas: 3,", OLD | {"replicas": 6}, True),
}


@pytest.mark.parametrize("name", SCALED)
def test_steps_of_more_than_all_replicas_are_refused_where_the_document_asks_for_them(name: str):
    """A scale is never refused, and what comes after it changes neither number."""
    replicas, present, refused = SCALED[name]
    scope = DocumentScope("shop", "", ("a",), present=present)
    with pytest.raises(Problem) if refused else nullcontext() as found:
        read(APP, yaml.safe_load(STEPS % replicas), scope)
    assert [error.field for error in found.value.errors] == ["update.steps"] if refused else found is None


@pytest.mark.parametrize(
    ("named", "known", "said"),
    [
        ("board", {"board", "freeze"}, None),
        ("bord", {"board", "freeze"}, 'hook "bord" does not exist: write board'),
        ("x", {"board", "freeze"}, 'hook "x" does not exist: write one of board, freeze, or ask an administrator for it'),
        (
            "board",
            set[str](),
            'hook "board" does not exist: there is none for this project: remove it, or ask an administrator for it',
        ),
        ("board", None, None),
    ],
)
def test_an_update_names_hooks_that_exist_for_its_project(named: str, known: set[str] | None, said: str | None) -> None:
    hooks = [{"name": named, "when": "BeforeStep"}]
    document = {"kind": "App", "name": "x", "containers": [{"name": "web", "image": "i"}], "update": {"hooks": hooks}}
    with pytest.raises(Problem) if said else nullcontext() as refused:
        read(APP, document, DocumentScope("shop", hooks=known))
    if said and refused is not None:
        (error,) = refused.value.errors
        assert (error.field, error.message) == ("update.hooks[0].name", said)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("metrics", None),
        ("metric", 'sidecar "metric" does not exist: write metrics'),
        ("audi", 'sidecar "audi" does not exist: there is metrics; an administrator adds one'),
        ("audit", "project shop may not have sidecar audit: leave it out, or ask an administrator"),
    ],
)
def test_an_app_names_sidecars_that_exist_and_allow_its_project(named: str, said: str | None) -> None:
    """No sidecar of others is suggested."""
    document = {"kind": "App", "name": "x", "containers": [{"name": "web", "image": "i"}], "sidecars": [named]}
    with pytest.raises(Problem) if said else nullcontext() as refused:
        read(APP, document, DocumentScope("shop", sidecars=SIDECARS))
    if said and refused is not None:
        (error,) = refused.value.errors
        assert (error.field, said in error.message) == ("sidecars", True), error
