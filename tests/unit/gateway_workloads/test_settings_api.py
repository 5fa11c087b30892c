"""Secrets, configurations and logins at registries: what is stored, who may do what, and what no answer says."""

from __future__ import annotations

import base64
from pathlib import Path

from workload_gateway import Running

from pincompute.api.builtin import SECRETS
from pincompute.api.meta import Key
from pincompute.api.settings import PINSECRETS

DB = "/v1/projects/shop/secrets/db"
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
