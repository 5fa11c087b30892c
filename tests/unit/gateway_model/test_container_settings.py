"""`secrets` and `files` of containers: what they become, how they come back, and what is refused at which place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.gateway.model import APP, container_settings, document_validation
from pincompute.gateway.model.document_validation import DocumentScope
from pincompute.gateway.problems import Problem

Data = dict[str, Any]
KNOWN = {"secret": {"db-password", "tls-key", "db-password.3", "x" * 60}, "config": {"web-conf"}}


def app(*containers: Data, **more: Any) -> Data:
    named = [{"name": f"c{n}", "image": "r/web:1", **each} for n, each in enumerate(containers)]
    return {"kind": "App", "name": "web", "project": "demo", "containers": named, **more}


def template(document: Data) -> Data:
    return document_validation.read(APP, document, DocumentScope("demo", settings=KNOWN)).manifest["spec"]["template"]["spec"]


def shown(document: Data) -> Data:
    """What a reader gets back."""
    manifest = document_validation.read(APP, document, DocumentScope("demo", settings=KNOWN)).manifest
    return msgspec.json.decode(msgspec.json.encode(APP.of_manifest(manifest)))


def test_secrets_are_variables_before_those_of_env() -> None:
    """A variable of env may refer to one that stands before it."""
    document = app({"secrets": ["db-password"], "env": {"URL": "db:$(DB_PASSWORD)"}})
    assert template(document)["containers"][0]["env"] == [
        {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db-password", "key": "value"}}},
        {"name": "URL", "value": "db:$(DB_PASSWORD)"},
    ]
    assert shown(document)["containers"][0]["env"] == {"DB_PASSWORD": {"secret": "db-password"}, "URL": "db:$(DB_PASSWORD)"}


def test_a_version_of_a_secret_is_the_same_variable() -> None:
    assert container_settings.variable_name("db-password.3") == "DB_PASSWORD"


def test_files_are_read_only_mounts_of_one_volume_for_each_setting() -> None:
    files = {"/etc/web": "web-conf", "/etc/one.conf": {"config": "web-conf", "key": "one.conf"}, "/key": {"secret": "tls-key"}}
    work = {"name": "work", "emptyDir": {}}
    document = app({"files": files, "mounts": [{"volume": "work", "path": "/work"}]}, {"files": files}, volumes=[work])
    made = template(document)
    assert made["volumes"] == [
        work,
        {"name": "config-web-conf", "configMap": {"name": "web-conf"}},
        {"name": "secret-tls-key", "secret": {"secretName": "tls-key"}},
    ]
    mounts = [
        {"name": "config-web-conf", "mountPath": "/etc/web", "readOnly": True},
        {"name": "config-web-conf", "mountPath": "/etc/one.conf", "readOnly": True, "subPath": "one.conf"},
        {"name": "secret-tls-key", "mountPath": "/key", "readOnly": True, "subPath": "value"},
    ]
    assert made["containers"][0]["volumeMounts"] == [{"name": "work", "mountPath": "/work"}, *mounts]
    assert made["containers"][1]["volumeMounts"] == mounts


BACK = {
    "each kind of file": app({"files": {"/etc/web": "web-conf", "/etc/a": {"config": "web-conf", "key": "a"}}}),
    "a secret": app({"files": {"/key": {"secret": "tls-key"}}}),
    "a version": app({"files": {"/key": {"secret": "db-password.3"}}}),
    "a long name": app({"files": {"/key": {"secret": "x" * 60}}}),
    "beside other volumes": app(
        {"files": {"/etc/web": "web-conf"}, "mounts": [{"volume": "work", "path": "/work"}]},
        volumes=[{"name": "work", "emptyDir": {}}],
    ),
    "in an init container": app({}, initContainers=[{"name": "i", "image": "r/i:1", "files": {"/etc/web": "web-conf"}}]),
}


@pytest.mark.parametrize("case", BACK)
def test_files_come_back_as_they_were_written(case: str) -> None:
    document = BACK[case]
    back = shown(document)
    assert {name: back.get(name) for name in document} == document
    assert template(back) == template(document)


VOLUME = {"name": "config-web-conf", "config": "web-conf"}
MOUNT = {"volume": "config-web-conf", "path": "/etc/web"}
AS_THEY_ARE = {
    "a mount that is written to": app({"mounts": [MOUNT]}, volumes=[VOLUME]),
    "another name": app(
        {"mounts": [{**MOUNT, "volume": "conf", "readOnly": True}]}, volumes=[{"name": "conf", "config": "web-conf"}]
    ),
    "another order": app(
        {"mounts": [{**MOUNT, "readOnly": True}, {"volume": "work", "path": "/work"}]},
        volumes=[VOLUME, {"name": "work", "emptyDir": {}}],
    ),
    "a volume that nothing mounts": app({}, volumes=[VOLUME]),
}


@pytest.mark.parametrize("case", AS_THEY_ARE)
def test_what_files_would_not_make_stays_among_mounts_and_volumes(case: str) -> None:
    document = AS_THEY_ARE[case]
    back = shown(document)
    assert {name: back.get(name) for name in document} == document
    assert template(back) == template(document)


REFUSED = {
    "a secret that is not there": (
        app({"secrets": ["db-pasword"]}),
        "containers[0].secrets[0]",
        "did you mean db-password? Or set it with `pin secret set db-pasword`",
    ),
    "a config that is not there": (
        app({}, {"files": {"/etc/web": "nginx"}}),
        "containers[1].files[/etc/web]",
        "`pin config set nginx`",
    ),
    "a secret file that is not there": (
        app({"files": {"/key": {"secret": "key"}}}),
        "containers[0].files[/key]",
        "`pin secret set key`",
    ),
    "a variable twice": (
        app({"secrets": ["db-password"], "env": {"DB_PASSWORD": "x"}}),
        "containers[0].secrets[0]",
        "sets the variable DB_PASSWORD, which is set already: keep one of them",
    ),
    "a relative path": (app({"files": {"etc": "web-conf"}}), "containers[0].files.etc", "absolute path"),
    "a way up": (app({"files": {"/a/../b": "web-conf"}}), "containers[0].files[/a/../b]", "absolute path"),
    "the root": (app({"files": {"/": "web-conf"}}), "containers[0].files[/]", "absolute path"),
    "a path twice": (
        app({"files": {"/a": "web-conf", "/a/": "web-conf"}}),
        "containers[0].files[/a/]",
        "is mounted already: choose another path",
    ),
    "nothing": (app({"files": {"/a": {}}}), "containers[0].files[/a]", "names nothing"),
    "two sources": (app({"files": {"/a": {"secret": "tls-key", "config": "web-conf"}}}), "containers[0].files[/a]", "only one"),
    "a key of a secret": (
        app({"files": {"/a": {"secret": "tls-key", "key": "x"}}}),
        "containers[0].files[/a].key",
        "a secret has one value",
    ),
    "another volume of the name": (
        app({"files": {"/a": "web-conf"}}, volumes=[{"name": "config-web-conf", "emptyDir": {}}]),
        "containers[0].files[/a]",
        "`volumes` has another one of this name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_named_where_it_is_written(case: str) -> None:
    document, field, words = REFUSED[case]
    with pytest.raises(Problem) as caught:
        template(document)
    assert [error.field for error in caught.value.errors] == [field]
    assert words in caught.value.errors[0].message
