"""Makes the admission policies: rules beyond one object's schema, finalizers, and fractions as text.

Policies that guard something fail closed. The API server evaluates them itself, so an evaluation that fails is a bug in the
policy and never an outage, while a write that slips through could leave pods that no object knows (finalizers) or give a
project's users what only the platform may write (shards). The policy that writes fractions as text guards nothing: what it
cannot read, the schema refuses field by field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pincompute.api import crds, fraction_policy, image_ownership, labels, member_clusters, rule_compiler, template_hash
from pincompute.api.kinds import KINDS, Kinds, WorkloadKind
from pincompute.api.meta import GROUP, VERSION, Manifest
from pincompute.api.revisions import PINREVISIONS

Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE"]

_ADMISSION = "admissionregistration.k8s.io"

PLATFORM_USER = "pincompute:"  # begins the user name of every process of the platform
_PLATFORM_ACCOUNT = f"system:serviceaccount:{labels.SYSTEM_NAMESPACE}:"
_CONTROLLERS = "system:serviceaccount:kube-system:"  # Kubernetes' own: they clear namespaces and collect garbage


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a policy applies to."""

    group: str
    version: str
    resources: tuple[str, ...]
    operations: tuple[Operation, ...]
    projects_only: bool = False

    def manifest(self) -> Manifest:
        rule = {
            "apiGroups": [self.group],
            "apiVersions": [self.version],
            "resources": list(self.resources),
            "operations": list(self.operations),
        }
        selector: Manifest = {"matchExpressions": [{"key": labels.PROJECT, "operator": "Exists"}]} if self.projects_only else {}
        return {"resourceRules": [rule], **({"namespaceSelector": selector} if selector else {})}


def host(kinds: Kinds = KINDS) -> list[Manifest]:
    workloads = tuple(kind.workload.plural for kind in kinds)
    return [
        *(policy for kind in kinds for policy in _rules_of(kind)),
        *_validating("platform-writes", _REVISIONS_WRITTEN, _by_platform(kinds)),
        *_workload_metadata(workloads),
        *_finalizer("membercluster-finalizer", (member_clusters.MEMBERCLUSTERS.plural,), labels.DRAIN_FINALIZER),
        *_mutating(
            "fractions-as-text",
            Match(GROUP, VERSION, workloads, ("CREATE", "UPDATE")),
            fraction_policy.as_text(),
            "Ignore",
            _NOT_BY_PLATFORM,
        ),
    ]


def member(kinds: Kinds = KINDS) -> list[Manifest]:
    internal = (*(kind.shard.plural for kind in kinds), member_clusters.CLUSTERCAPACITIES.plural)
    statuses = tuple(f"{plural}/status" for plural in internal)
    written = Match(GROUP, VERSION, (*internal, *statuses), ("CREATE", "UPDATE", "DELETE"))
    return [
        *_validating("platform-writes", written, _by_platform(kinds)),
        *_validating("requests-and-limits", _PODS_CREATED, _HAS_RESOURCES),
        *_validating("own-images", _PODS_WRITTEN, _OWN_IMAGES),
        *_mutating("shards-untracked", _shards_created(kinds), _UNTRACKED, "Ignore"),
    ]


def _shards_created(kinds: Kinds) -> Match:
    """Once an object is without the record of field managers, the API server keeps none for it."""
    return Match(GROUP, VERSION, tuple(kind.shard.plural for kind in kinds), ("CREATE",))


_IS_PLATFORM = (  # a process of the platform; the administrator of a region is a person
    f"(request.userInfo.username != '{labels.ADMINISTRATOR}' "
    f"&& ['{PLATFORM_USER}', '{_PLATFORM_ACCOUNT}'].exists(p, request.userInfo.username.startsWith(p)))"
)
_NOT_BY_PLATFORM: list[Manifest] = [  # which writes fractions as text itself, so that most writes cost nothing more
    {"name": "not-by-the-platform", "expression": f"!{_IS_PLATFORM}"}
]
_REVISIONS_WRITTEN = Match(GROUP, VERSION, (PINREVISIONS.plural,), ("CREATE", "UPDATE", "DELETE"))
_PODS_CREATED = Match("", "v1", ("pods",), ("CREATE",), projects_only=True)
_PODS_WRITTEN = Match("", "v1", ("pods", "pods/ephemeralcontainers"), ("CREATE", "UPDATE"), projects_only=True)

_PROJECT_JSON = f'{{"apiVersion":"{GROUP}/{VERSION}","kind":"Project","metadata":{{"name":"'
_IN_PROJECT: Manifest = {
    "expression": "request.operation != 'CREATE' || (has(namespaceObject.metadata.labels) "
    f"&& '{labels.PROJECT}' in namespaceObject.metadata.labels)",
    "messageExpression": f"""'namespace ' + request.namespace + ' is not a project: create the Project first, with: '
        + 'echo \\'{_PROJECT_JSON}' + request.namespace + '"}}}}\\' | kubectl apply -f -'""",
    "reason": "Forbidden",
}


_SPEC_CHANGES: Manifest = {  # so that an object which a later rule refuses can still be deleted, and its metadata be changed
    "name": "spec-changes",
    "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec",
}


def _rules_of(kind: WorkloadKind) -> list[Manifest]:
    """The kind's rules, on create and update of its objects and not on writes of their status, of which there are more."""
    match = Match(GROUP, VERSION, (kind.workload.plural,), ("CREATE", "UPDATE"))
    body: Manifest = {
        "matchConditions": [_SPEC_CHANGES],
        "variables": [*rule_compiler.variables(crds.workload_schema(kind)), *_TEMPLATE_IMAGES],
        "validations": [_IN_PROJECT, rule_compiler.VALIDATION, _TEMPLATE_IMAGES_OWN],
    }
    return _validating(f"{kind.name}-rules", match, body)


_TEMPLATE_IMAGES = image_ownership.variables("object.spec.template.spec", ("containers", "initContainers", "volumes"))
_TEMPLATE_IMAGES_OWN: Manifest = image_ownership.VALIDATION | {
    "expression": f"({rule_compiler.TEMPLATE_STAYS}) || {image_ownership.VALIDATION['expression']}"
}
_OWN_IMAGES: Manifest = {
    "matchConditions": [_SPEC_CHANGES],
    "variables": image_ownership.variables("object.spec"),
    "validations": [image_ownership.VALIDATION],
}


_HAS_RESOURCES: Manifest = {
    "variables": [
        {
            "name": "containers",
            "expression": "object.spec.containers + object.spec.?initContainers.orValue([])",
        },
        {"name": "requests", "expression": "object.spec.?resources.?requests.orValue({})"},  # of the pod as a whole
        {"name": "limits", "expression": "object.spec.?resources.?limits.orValue({})"},
        {
            "name": "lacking",
            "expression": """variables.containers.filter(c,
                !['cpu', 'memory'].all(r, r in variables.requests
                    || (has(c.resources) && has(c.resources.requests) && r in c.resources.requests))
                || !('memory' in variables.limits
                    || (has(c.resources) && has(c.resources.limits) && 'memory' in c.resources.limits))
                ).map(c, c.name)""",
        },
    ],
    "validations": [
        {
            "expression": "variables.lacking.size() == 0",
            "messageExpression": "'in a project every container needs resources.requests.cpu, resources.requests.memory and "
            "resources.limits.memory; incomplete: ' + variables.lacking.join(', ') + '. For example requests: "
            f"{{cpu: {template_hash.DEFAULT_CPU}, memory: {template_hash.DEFAULT_MEMORY}}}, limits: "
            f"{{memory: {template_hash.DEFAULT_MEMORY}}}'",
            "reason": "Invalid",
        }
    ],
}


def _by_platform(kinds: Kinds) -> Manifest:
    workloads = " or ".join(kind.workload.kind for kind in kinds)
    return {
        "validations": [
            {
                "expression": "request.userInfo.groups.exists(g, g == 'system:masters') || "
                f"['{PLATFORM_USER}', '{_PLATFORM_ACCOUNT}', '{_CONTROLLERS}', 'system:kube-controller-manager'].exists(p, "
                "request.userInfo.username.startsWith(p))",
                "messageExpression": "'only the platform writes ' + request.resource.resource + ', and ' "
                f"+ request.userInfo.username + ' is not part of it: change the {workloads} instead, in the host cluster'",
                "reason": "Forbidden",
            }
        ]
    }


def _validating(name: str, match: Match, body: Manifest) -> list[Manifest]:
    spec = {"failurePolicy": "Fail", "matchConstraints": match.manifest(), **body}
    binding: Manifest = {"validationActions": ["Deny"]}
    return _with_binding("ValidatingAdmissionPolicy", name, spec, binding)


def _finalizer(name: str, plurals: tuple[str, ...], finalizer: str) -> list[Manifest]:
    """Also on update: `kubectl replace` with the user's file would otherwise take the finalizer away."""
    match = Match(GROUP, VERSION, plurals, ("CREATE", "UPDATE"))
    lacking = f"!has(object.metadata.finalizers) || !('{finalizer}' in object.metadata.finalizers)"
    conditions = [
        {"name": "lives", "expression": "!has(object.metadata.deletionTimestamp)"},
        {"name": "lacks-it", "expression": lacking},
    ]
    add = f"""has(object.metadata.finalizers)
        ? [JSONPatch{{op: "add", path: "/metadata/finalizers/-", value: "{finalizer}"}}]
        : [JSONPatch{{op: "add", path: "/metadata/finalizers", value: ["{finalizer}"]}}]"""
    return _mutating(name, match, add, "Fail", conditions)


def _workload_metadata(plurals: tuple[str, ...]) -> list[Manifest]:
    """One policy for all that the platform changes in a workload's metadata, since each policy costs every write something.

    The finalizer is there from the start, and `kubectl replace` with the user's file does not take it away. The record of
    field managers, half of an object's bytes, is removed unless somebody applies the object on the server's side. What takes
    the record's place is the author of the spec, where the author is not the platform: `<generation> <user name>`. What the
    gateway notes about operations is changed by the platform only. The API server evaluates the policy again after another one
    has changed the object, since a spec that differs only in its notation makes no generation and has no new author.
    """
    match = Match(GROUP, VERSION, plurals, ("CREATE", "UPDATE"))
    patches = " + ".join((_FINALIZER, _UNTRACKED, _AUTHOR, _TRUE_NOTES))
    return _mutating("workload-metadata", match, patches, "Fail", variables=_AUTHORSHIP, reinvocation="IfNeeded")


_FINALIZER = f"""(has(object.metadata.deletionTimestamp) ? []
    : !has(object.metadata.finalizers)
        ? [JSONPatch{{op: "add", path: "/metadata/finalizers", value: ["{labels.SHARDS_FINALIZER}"]}}]
    : !("{labels.SHARDS_FINALIZER}" in object.metadata.finalizers)
        ? [JSONPatch{{op: "add", path: "/metadata/finalizers/-", value: "{labels.SHARDS_FINALIZER}"}}]
    : [])"""
_UNTRACKED = """(has(object.metadata.managedFields) && !object.metadata.managedFields.exists(m, m.operation == "Apply")
    ? [JSONPatch{op: "remove", path: "/metadata/managedFields"}]
    : [])"""
_CHANGED_BY = f"metadata.?annotations[?'{labels.CHANGED_BY}'].orValue('')"
_OPERATIONS = f"metadata.?annotations[?'{labels.OPERATIONS}'].orValue('')"
_AUTHORSHIP: list[Manifest] = [
    {"name": "given", "expression": f"object.{_CHANGED_BY}"},
    {"name": "before", "expression": f"request.operation == 'CREATE' ? '' : oldObject.{_CHANGED_BY}"},
    {
        "name": "author",
        "expression": f"""request.operation != 'CREATE' && object.spec == oldObject.spec ? variables.before
            : {_IS_PLATFORM} ? ''
            : request.operation == 'CREATE' ? '1 ' + request.userInfo.username
            : string(oldObject.metadata.generation + 1) + ' ' + request.userInfo.username""",
    },
    {"name": "notes", "expression": f"object.{_OPERATIONS}"},
    {
        "name": "true_notes",
        "expression": f"""{_IS_PLATFORM} ? variables.notes
            : request.operation == 'CREATE' ? '' : oldObject.{_OPERATIONS}""",
    },
]
_PATH = "/metadata/annotations/" + labels.CHANGED_BY.replace("/", "~1")
_AUTHOR = f"""(variables.given == variables.author ? []
    : variables.author == "" ? [JSONPatch{{op: "remove", path: "{_PATH}"}}]
    : has(object.metadata.annotations) ? [JSONPatch{{op: "add", path: "{_PATH}", value: variables.author}}]
    : [JSONPatch{{op: "add", path: "/metadata/annotations", value: {{"{labels.CHANGED_BY}": variables.author}}}}])"""


_NOTES = "/metadata/annotations/" + labels.OPERATIONS.replace("/", "~1")
_TRUE_NOTES = f"""(variables.notes == variables.true_notes ? []
    : variables.true_notes == "" ? [JSONPatch{{op: "remove", path: "{_NOTES}"}}]
    : has(object.metadata.annotations) || variables.author != ""
        ? [JSONPatch{{op: "add", path: "{_NOTES}", value: variables.true_notes}}]
    : [JSONPatch{{op: "add", path: "/metadata/annotations", value: {{"{labels.OPERATIONS}": variables.true_notes}}}}])"""


def _mutating(
    name: str,
    match: Match,
    patches: str,
    failure: Literal["Fail", "Ignore"],
    conditions: list[Manifest] | None = None,
    variables: list[Manifest] | None = None,
    reinvocation: Literal["Never", "IfNeeded"] = "Never",
) -> list[Manifest]:
    spec = {
        "failurePolicy": failure,
        "reinvocationPolicy": reinvocation,
        "matchConstraints": match.manifest(),
        **({"matchConditions": conditions} if conditions else {}),
        **({"variables": variables} if variables else {}),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patches}}],
    }
    return _with_binding("MutatingAdmissionPolicy", name, spec, {})


def _with_binding(kind: str, name: str, spec: Manifest, binding: Manifest) -> list[Manifest]:
    full = f"{name}.{GROUP}"
    common = {"apiVersion": f"{_ADMISSION}/v1"}
    metadata = {"name": full, "labels": {labels.MANAGED_BY: labels.PINCOMPUTE}}
    return [
        {**common, "kind": kind, "metadata": metadata, "spec": spec},
        {**common, "kind": f"{kind}Binding", "metadata": metadata, "spec": {"policyName": full, **binding}},
    ]
