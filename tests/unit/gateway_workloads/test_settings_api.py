"""Secrets, configs and logins at registries: what is stored, who may do what, and what no answer says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from workload_gateway import Running

from pincompute.api.builtin import SECRETS
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.settings import KEPT, MOST, PINSECRETS
from pincompute.api.workloads import PinApp, PinAppSpec
from pincompute.gateway.workloads.setting_service import fixed_version
from pincompute.kube import api_errors, write_requests
from pincompute.kube.api_errors import ApiStatus, RequestInfo

DB = "/v1/projects/shop/secrets/db"
CONF = "/v1/projects/shop/configs/conf"
APPS = "/v1/projects/shop/apps"
VALUE = base64.b64encode(b"kestrel").decode()


async def test_a_value_is_stored_and_never_answered(gateway: Running, tmp_path: Path) -> None:
    answers = [await gateway.ask("dan", "PUT", DB, {"data": VALUE}) for _ in range(2)]
    answers += [await gateway.ask(who, "GET", path) for who in ("dan", "vera") for path in (DB, "/v1/projects/shop/secrets")]
    answers += [await gateway.ask("dan", "POST", f"{DB}/rollback", {})]
    assert [status for status, _, _ in answers] == [200] * 7
    assert answers[-1][1]["version"] == 1
    said = str(answers) + (tmp_path / "audit.log").read_text()
    assert VALUE not in said
    assert "kestrel" not in said
    assert "db.2" in said, "the audit log names the version"
    assert gateway.host.store.get(SECRETS, Key("shop", "db.2"))["data"] == {"value": VALUE}


async def test_the_audit_log_names_the_files_of_a_config_that_changed(gateway: Running, tmp_path: Path) -> None:
    def file(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    path = "/v1/projects/shop/configs/web"
    for files in ({"a": file("one"), "b": file("two"), "c": file("x")}, {"a": file("one"), "b": file("other"), "d": file("y")}):
        assert (await gateway.ask("dan", "PUT", path, {"files": files}))[0] == 200
    said = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    first, second = ([change["field"] for change in record["changes"]] for record in said if record.get("changes"))
    assert (first, second) == (["files[a]", "files[b]", "files[c]"], ["files[b]", "files[c]", "files[d]"])
    assert "other" not in (tmp_path / "audit.log").read_text()


async def test_a_viewer_sets_nothing_and_a_stranger_sees_nothing(gateway: Running) -> None:
    await gateway.ask("dan", "PUT", DB, {"data": VALUE})
    assert (await gateway.ask("vera", "PUT", DB, {"data": VALUE}))[0] == 403
    assert (await gateway.ask("vera", "DELETE", DB))[0] == 403
    for method, path, body in (
        ("GET", DB, None),
        ("PUT", DB, {"data": VALUE}),
        ("POST", f"{DB}/rollback", {}),
        ("DELETE", DB, None),
    ):
        assert (await gateway.ask("mallory", method, path, body))[0] == 404


async def test_a_login_replaces_none_at_another_registry(gateway: Running) -> None:
    """Two names of registries may make the same name of a secret."""
    login = {"user": "ann", "password": "kestrel"}
    status, made, _ = await gateway.ask("dan", "PUT", "/v1/projects/shop/registries/a.b-c.io", login)
    assert (status, made["name"], made["registry"]) == (200, "registry-a-b-c-io", "a.b-c.io")
    status, problem, _ = await gateway.ask("dan", "PUT", "/v1/projects/shop/registries/a-b.c.io", login)
    assert status == 409, problem
    assert "a.b-c.io" in problem["detail"]
    assert "kestrel" not in str(problem)
    assert gateway.host.store.get(PINSECRETS, Key("shop", "registry-a-b-c-io"))["spec"]["version"] == 1


async def test_the_name_of_a_registry_has_no_case(gateway: Running) -> None:
    login = {"user": "ann", "password": "kestrel"}
    status, made, _ = await gateway.ask("dan", "PUT", "/v1/projects/shop/registries/GHCR.io", login)
    assert (status, made["registry"]) == (200, "ghcr.io")
    status, again, _ = await gateway.ask("dan", "PUT", "/v1/projects/shop/registries/ghcr.IO", login)
    assert (status, again["version"]) == (200, 2)


async def test_the_default_port_of_a_registry_is_no_other_registry(gateway: Running) -> None:
    """Kubelets compare the port as it stands in an image, so the login has both names."""
    login = {"user": "ann", "password": "kestrel"}
    status, made, _ = await gateway.ask("dan", "PUT", "/v1/projects/shop/registries/ghcr.io:443", login)
    assert (status, made["registry"]) == (200, "ghcr.io")
    stored = gateway.host.store.get(SECRETS, Key("shop", "registry-ghcr-io.1"))["data"][".dockerconfigjson"]
    assert list(json.loads(base64.b64decode(stored))["auths"]) == ["ghcr.io", "ghcr.io:443"]


async def set_times(gateway: Running, times: int) -> None:
    for _ in range(times):
        assert (await gateway.ask("dan", "PUT", DB, {"data": VALUE}))[0] == 200


async def rolled_back(gateway: Running, to: int = 0) -> int:
    status, made, _ = await gateway.ask("dan", "POST", f"{DB}/rollback", {"to": to} if to else {})
    assert status == 200, made
    return made["version"]


async def test_a_rollback_never_uses_a_value_that_was_rolled_back_from(gateway: Running) -> None:
    await set_times(gateway, 2)
    assert await rolled_back(gateway) == 1
    await set_times(gateway, 1)
    assert await rolled_back(gateway) == 1, "3 was set while 1 was in use"
    status, problem, _ = await gateway.ask("dan", "POST", f"{DB}/rollback", {})
    assert (status, problem["detail"]) == (409, "secret db has no version before 1")


async def test_a_new_value_leaves_the_one_that_was_in_use(gateway: Running) -> None:
    await set_times(gateway, KEPT)
    assert await rolled_back(gateway, to=1) == 1
    await set_times(gateway, 2)
    assert await rolled_back(gateway) == KEPT + 1
    assert await rolled_back(gateway) == 1


WEB = {"kind": "App", "name": "web", "replicas": 1, "containers": [{"name": "web", "image": "nginx"}]}


def naming(secret: str) -> dict[str, object]:
    variable = {"name": "DB", "valueFrom": {"secretKeyRef": {"name": secret, "key": "value"}}}
    return {"spec": {"containers": [{"name": "web", "image": "nginx", "env": [variable]}]}}


async def test_a_version_of_a_former_revision_is_kept(gateway: Running) -> None:
    """An update that fails goes back to it, and so may its user."""
    await set_times(gateway, 1)
    assert (await gateway.ask("dan", "POST", "/v1/projects/shop/apps", WEB))[0] == 201
    await gateway.superseded("web", "a", naming("db.1"))
    await set_times(gateway, KEPT + 2)
    assert await rolled_back(gateway, to=1) == 1


@pytest.mark.parametrize("secret", ["db", "db.1"])
async def test_what_a_former_revision_names_is_not_removed(gateway: Running, secret: str) -> None:
    """An update that is on its way may be undone."""
    await set_times(gateway, 1)
    await gateway.ask("dan", "POST", "/v1/projects/shop/apps", WEB)
    await gateway.superseded("web", "a", naming(secret))
    status, problem, _ = await gateway.ask("dan", "DELETE", DB)
    assert (await gateway.ask("dan", "DELETE", f"{DB}?dryRun=true"))[1]["detail"] == problem["detail"]
    assert (status, problem["detail"]) == (409, "secret db is used by app web, revision a")
    assert (await gateway.ask("dan", "DELETE", "/v1/projects/shop/apps/web"))[0] == 202
    assert (await gateway.ask("dan", "DELETE", f"{DB}?dryRun=true"))[0] == 204
    assert (await gateway.ask("dan", "GET", DB))[0] == 200, "a dry run deletes nothing"
    assert (await gateway.ask("dan", "DELETE", DB))[0] == 204, "what a deleted app went back to needs nothing"


async def test_a_rollback_to_what_names_a_secret_that_is_gone_is_refused(gateway: Running) -> None:
    await set_times(gateway, 1)
    await gateway.ask("dan", "POST", "/v1/projects/shop/apps", WEB)
    await gateway.superseded("web", "a", naming("db.7"))
    status, problem, _ = await gateway.ask("dan", "POST", "/v1/projects/shop/apps/web/rollback", {})
    assert (status, problem["code"]) == (422, "invalid")
    assert "the project has no version 7 of secret db" in problem["errors"][0]["message"]


async def test_a_refused_set_leaves_nothing(gateway: Running) -> None:
    """And so nothing counts that nobody sees."""
    await gateway.ask("root", "PUT", "/v1/admin/projects/shop/limits", {"settings": "2Ki"})
    status, problem, _ = await gateway.ask("dan", "PUT", DB, {"data": base64.b64encode(b"x" * 4096).decode()})
    assert (status, problem["code"]) == (403, "limit-exceeded")
    assert gateway.host.store.list(PINSECRETS, "shop").items == []


async def test_only_settings_with_a_value_count(gateway: Running) -> None:
    """One that a gateway began before it crashed is taken over, and is none before."""
    for number in range(MOST):
        metadata = {"name": f"begun-{number}", "namespace": "shop"}
        made = gateway.host.store.create(PINSECRETS, "shop", {"metadata": metadata, "spec": {}})
    await gateway.clusters.cache(HOST, PINSECRETS).until(int(made["metadata"]["resourceVersion"]))
    status, answer, _ = await gateway.ask("dan", "PUT", "/v1/projects/shop/secrets/begun-1", {"data": VALUE})
    assert (status, answer["version"]) == (200, 1)


@pytest.mark.parametrize(("named", "version"), {"db": 0, "db.2": 2, "other.2": 0}.items())
def test_a_workload_that_names_a_version_gets_no_new_value(named: str, version: int):
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": named, "key": "value"}}}]
    template: Any = {"spec": {"containers": [{"name": "web", "image": "a", "env": env}]}}
    obj = PinApp(metadata=ObjectMeta(name="web"), spec=PinAppSpec(template=template))
    assert fixed_version(obj, "secret", "db") == version


async def test_a_full_namespace_says_what_to_remove(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_given: Any, **_named: Any) -> None:
        raise api_errors.Forbidden(RequestInfo("host", "POST", "/"), ApiStatus(message="exceeded quota: pincompute-objects"))

    monkeypatch.setattr(write_requests, "create", full)
    status, problem, _ = await gateway.ask("dan", "PUT", DB, {"data": VALUE})
    assert (status, problem["detail"]) == (409, "the namespace of project shop holds as many secrets as it may")
    assert "remove secrets that nobody uses" in problem["remedy"]


WEB = {"kind": "App", "name": "web", "containers": [{"name": "web", "image": "docker.io/shop/web:1"}]}


def web(**container: Any) -> dict[str, Any]:
    return {**WEB, "containers": [{**WEB["containers"][0], **container}]}


FILE = {"/etc/web.conf": {"config": "conf", "key": "wbe.conf"}}
ITEMS = {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "wbe.conf", "path": "web.conf"}]}}
RESOURCE = {
    "apiVersion": "pincompute.io/v1alpha1",
    "kind": "PinApp",
    "metadata": {"name": "web"},
    "spec": {"template": {"spec": {"containers": WEB["containers"], "volumes": [ITEMS]}}},
}
WRONG_KEYS = [
    (web(files=FILE), "containers[0].files[/etc/web.conf]", "config conf has no file wbe.conf; did you mean web.conf?"),
    (web(env={"MODE": FILE["/etc/web.conf"]}), "containers[0].env.MODE", "config conf has no file wbe.conf"),
    (web(env={"KEY": {"secret": "db", "key": "kex"}}), "containers[0].env.KEY", "secret db has no key kex: it has one, value"),
    (RESOURCE, "spec.template.spec.volumes[0].configMap.items[0].key", "did you mean web.conf?"),
]


async def with_settings(gateway: Running) -> None:
    await gateway.ask("dan", "PUT", DB, {"data": VALUE})
    status, _, _ = await gateway.ask("dan", "PUT", CONF, {"files": {"web.conf": VALUE}})
    assert status == 200


@pytest.mark.parametrize(("document", "field", "said"), WRONG_KEYS)
async def test_a_key_that_a_setting_lacks_is_refused(gateway: Running, document: Any, field: str, said: str) -> None:
    await with_settings(gateway)
    for query in ("", "?dryRun=true"):
        status, problem, _ = await gateway.ask("dan", "POST", f"{APPS}{query}", document)
        assert status == 422, problem
        (error,) = problem["errors"]
        assert error["field"] == field
        assert said in error["message"]


async def test_a_key_is_judged_by_the_version_that_is_named(gateway: Running) -> None:
    await with_settings(gateway)
    assert (await gateway.ask("dan", "PUT", CONF, {"files": {"other.conf": VALUE}}))[0] == 200
    for config, key, expected in (("conf", "web.conf", 422), ("conf.1", "other.conf", 422), ("conf.1", "web.conf", 201)):
        document = web(files={"/etc/web.conf": {"config": config, "key": key}})
        status, answer, _ = await gateway.ask("dan", "POST", APPS, document)
        assert status == expected, answer


async def test_an_optional_key_may_be_missing(gateway: Running) -> None:
    await with_settings(gateway)
    document = web(env={"MODE": {"config": "conf", "key": "none", "optional": True}})
    assert (await gateway.ask("dan", "POST", APPS, document))[0] == 201


async def test_a_change_is_judged_by_the_keys_that_it_brings(gateway: Running) -> None:
    """A key that was there when the app named it holds up no other change, and a whole document asks for it again."""
    await with_settings(gateway)
    document = web(files={"/etc/web.conf": {"config": "conf", "key": "web.conf"}})
    assert (await gateway.ask("dan", "POST", APPS, document))[0] == 201
    assert (await gateway.ask("dan", "PUT", CONF, {"files": {"other.conf": VALUE}}))[0] == 200
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/web", {"replicas": 2}))[0] == 200
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/web", {"containers": web(files=FILE)["containers"]}))[0] == 422
    assert (await gateway.ask("dan", "PUT", f"{APPS}/web", document))[0] == 422
