"""Applies patches: JSON merge patch (RFC 7386), JSON patch (RFC 6902), and strategic merge for built-in kinds.

Strategic merge follows list keys, `$patch: delete|replace` and `$deleteFromPrimitiveList`; it accepts and ignores
`$setElementOrder` and `$retainKeys`. Custom kinds do not have it, as in a real API server.
"""

from __future__ import annotations

from typing import Any

from pincompute.api.meta import Manifest
from pincompute.kube.api_errors import Invalid
from pincompute.testing.apiserver import error_responses
from pincompute.testing.apiserver.jsondata import is_list, is_map

_LIST_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "conditions": "type",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "ownerReferences": "uid",
    "topologySpreadConstraints": "topologyKey",
    "taints": "key",
    "addresses": "type",
}
_PORT_KEYS = ("containerPort", "port")
_SETS = ("finalizers",)
_IGNORED = ("$setElementOrder/", "$retainKeys")
_DELETE_VALUES = "$deleteFromPrimitiveList/"


def merge(target: Any, patch: Any) -> Any:
    """JSON merge patch: null removes, objects merge, everything else replaces."""
    if not is_map(patch):
        return patch
    result: Manifest = dict(target) if is_map(target) else {}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), part)
    return result


def strategic(target: Any, patch: Any) -> Any:
    """Strategic merge of a map."""
    if not is_map(patch):
        return patch
    changes = patch
    if changes.get("$patch") == "replace":
        return {name: part for name, part in changes.items() if name != "$patch"}
    result: Manifest = dict(target) if is_map(target) else {}
    for name, part in changes.items():
        _strategic_field(result, name, part)
    return result


def _strategic_field(result: Manifest, name: str, part: Any) -> None:
    if name.startswith(_IGNORED) or name == "$patch":
        return
    if name.startswith(_DELETE_VALUES):
        field = name.removeprefix(_DELETE_VALUES)
        result[field] = [item for item in result.get(field, []) if item not in part]
    elif part is None:
        result.pop(name, None)
    elif is_list(part):
        result[name] = _strategic_list(name, result.get(name) or [], part)
    else:
        result[name] = strategic(result.get(name), part)


def _strategic_list(name: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if name in _SETS:
        return target + [item for item in patch if item not in target]
    key = _key(name, patch)
    if not key:
        return patch
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    present = {item.get(key): item for item in target}
    for item in patch:
        if key not in item:
            raise error_responses.refuse(422, f"map: {item} does not contain declared merge key: {key}")
        if item.get("$patch") == "delete":
            present.pop(item[key], None)
        else:
            present[item[key]] = strategic(present.get(item[key]), item)
    return list(present.values())


def _key(name: str, patch: list[Any]) -> str:
    """The merge key of a list of maps; ports differ between containers and Services."""
    if name != "ports":
        return _LIST_KEYS.get(name, "")
    return next((key for key in _PORT_KEYS if any(key in item for item in patch)), "")


def json_patch(document: Any, operations: Any) -> Any:
    """Each operation works on a copy of the path it touches; the document itself stays."""
    if not is_list(operations):
        raise error_responses.bad_request("a JSON patch must be a list of operations")
    for operation in operations:
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: Manifest) -> Any:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _edit(document, path, "add", operation.get("value"))
        case "replace":
            return _edit(document, path, "replace", operation.get("value"))
        case "remove":
            return _edit(document, path, "remove", None)
        case "test":
            _test(document, path, operation)
            return document
        case "copy":
            return _edit(document, path, "add", _look(document, _pointer(operation["from"])))
        case "move":
            source = _pointer(operation["from"])
            return _edit(_edit(document, source, "remove", None), path, "add", _look(document, source))
        case unknown:
            raise error_responses.bad_request(
                f"JSON patch operation {unknown!r}: expected add, replace, remove, test, copy or move"
            )


def _pointer(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _test(document: Any, path: list[str], operation: Manifest) -> None:
    try:
        found = _look(document, path)
    except Invalid:
        found = None
    if found != operation.get("value"):
        raise error_responses.refuse(422, f"testing path {operation['path']} failed: the value is {found!r}")


def _look(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[_place(document, part, path)]
    return document


def _place(container: Any, part: str, path: list[str]) -> Any:
    """The key or index that exists; a path into nothing is the caller's mistake."""
    if is_map(container) and part in container:
        return part
    if is_list(container) and part.isdigit() and int(part) < len(container):
        return int(part)
    raise error_responses.refuse(422, f"the path /{'/'.join(path)} of the JSON patch does not exist at {part!r}")


def _edit(document: Any, path: list[str], what: str, value: Any) -> Any:
    if not path:
        return value
    head, *rest = path
    copy: Any = list(document) if is_list(document) else dict(document or {})
    if rest:
        place = _place(copy, head, path)
        copy[place] = _edit(copy[place], rest, what, value)
    elif what == "add":
        _add(copy, head, value, path)
    elif what == "remove":
        del copy[_place(copy, head, path)]
    else:
        copy[_place(copy, head, path)] = value
    return copy


def _add(container: Any, part: str, value: Any, path: list[str]) -> None:
    if is_map(container):
        container[part] = value
        return
    items = container
    if part == "-":
        items.append(value)
    elif part.isdigit() and int(part) <= len(items):
        items.insert(int(part), value)
    else:
        raise error_responses.refuse(422, f"the path /{'/'.join(path)} of the JSON patch does not exist at {part!r}")


def patched(target: Manifest, patch: Any, content_type: str, *, custom: bool) -> Manifest:
    """The object after a patch of the given type. Raises 415 for strategic merge of a custom kind."""
    match content_type:
        case "merge-patch":
            return merge(target, patch)
        case "json-patch":
            return json_patch(target, patch)
        case "strategic-merge-patch" if not custom:
            return strategic(target, patch)
        case _:
            accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
            raise error_responses.refuse(
                415, f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            )
