"""Every class of characters reaches a member unchanged, by server-side apply and by create."""

from __future__ import annotations

import json

import pytest
from contract_client import APPLY, Api, configmap

from pincompute.kube import yaml_safe_json

CLASSES = {
    "C0": "".join(map(chr, range(0x20))),
    "ASCII": "".join(map(chr, range(0x20, 0x7F))),
    "DEL": "\x7f",
    "C1": "".join(map(chr, range(0x80, 0xA0))),
    "next line": "a\x85 \x85b",
    "line and paragraph separators": "a\u2028 \u2028b\u2029 \u2029c",
    "spaces and soft hyphens": "\xa0\xad\u1680\u2000\u200b\u3000",
    "directions": "\u200e\u202a\u202e\u2066\u2069",
    "byte order mark": "\ufeffa\ufeff",
    "not characters": "\ufdd0\ufffe\uffff\U0001fffe\U0001ffff\U0010ffff",
    "private use": "\ue000\uf8ff\U000f0000",
    "beside surrogates": "\ud7ff\ue000",
    "beyond 16 bits": "\U00010000\U0001f600",
    "YAML": "\n---\n...\n&a *a !!x {[#: \t'\"\\",
}


@pytest.mark.parametrize("name", CLASSES)
async def test_characters_are_stored_as_they_are(api: Api, name: str) -> None:
    text = CLASSES[name]
    body = configmap("c", data={"a": text, "b": text * 2})
    path = api.core("configmaps", "c")
    applied = (await api.patch(path, yaml_safe_json.encode(body), APPLY, fieldManager="one")).ok(201)
    assert applied["data"] == body["data"]
    again = (await api.patch(path, yaml_safe_json.encode(body), APPLY, fieldManager="one")).ok()
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]
    created = (await api.post(api.core("configmaps"), {**body, "metadata": {"generateName": "c-"}})).ok(201)
    assert created["data"] == body["data"]


@pytest.mark.parametrize("name", CLASSES)
async def test_characters_of_a_variable_are_stored_as_they_are(api: Api, name: str) -> None:
    container = {"name": "a", "image": "i:1", "env": [{"name": "A", "value": CLASSES[name]}], "args": [CLASSES[name]]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    stored = (await api.patch(api.core("pods", "p"), yaml_safe_json.encode(body), APPLY, fieldManager="one")).ok(201)
    made = stored["spec"]["containers"][0]
    assert (made["env"], made["args"]) == (container["env"], container["args"])


UNESCAPED = {"DEL": "refused", "C1": "refused", "next line": "changed", "line and paragraph separators": "changed"}


@pytest.mark.region
@pytest.mark.parametrize("api", ["real"], indirect=True)
@pytest.mark.parametrize("name", UNESCAPED)
async def test_why_they_are_escaped(api: Api, name: str) -> None:
    """The body of an apply is read as YAML by a real API server; the in-memory one takes it as the JSON it is."""
    body = configmap("c", data={"a": CLASSES[name]})
    plain = json.dumps(body, ensure_ascii=False).encode()
    answer = await api.patch(api.core("configmaps", "c"), plain, APPLY, fieldManager="one")
    if UNESCAPED[name] == "refused":
        assert "control characters are not allowed" in answer.refused(400, "BadRequest")["message"]
    else:
        assert answer.ok(201)["data"]["a"] != CLASSES[name]
