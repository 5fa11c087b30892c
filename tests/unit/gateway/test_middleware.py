"""What every request passes, through a whole gateway."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gateway.served_gateway import Running, running
from litestar import get

from pincompute import __version__
from pincompute.gateway import application
from pincompute.gateway.composition import printed_document
from pincompute.kube.api_client import ApiClient


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        yield found


async def test_everything_but_the_front_page_wants_to_know_who_calls(gateway: Running):
    status, problem, headers = await gateway.ask("", "GET", "/v1/projects/shop/apps")
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert headers["Content-Type"] == "application/problem+json"
    assert "Bearer" in headers["WWW-Authenticate"]
    assert problem["requestId"] == headers["X-Request-Id"]
    status, service, _ = await gateway.ask("", "GET", "/.well-known/pincompute")
    assert (status, service["version"] != "") == (200, True)


async def test_what_may_not_be_seen_and_what_does_not_exist_are_one_answer(gateway: Running):
    """Section 5.2: nobody learns by asking."""
    answers = [
        await gateway.ask("mallory", "GET", path, **{"X-Request-Id": "same"})
        for path in ("/v1/projects/shop/apps/hello", "/v1/projects/nowhere/apps/hello")
    ]
    assert [status for status, _, _ in answers] == [404, 404]
    told = [{k: str(v).replace("nowhere", "shop") for k, v in problem.items()} for _, problem, _ in answers]
    assert told[0] == told[1]


async def test_who_may_look_but_not_change_is_told_so(gateway: Running):
    status, problem, _ = await gateway.ask("vera", "DELETE", "/v1/projects/shop/apps/hello")
    assert (status, problem["code"]) == (403, "forbidden")
    assert problem["detail"] == "vera may not delete apps in project shop: your role is viewer"


async def test_a_service_token_ends_by_our_clock_whatever_the_hosts_says(gateway: Running, monkeypatch: pytest.MonkeyPatch):
    """Only what is written down follows the host's clock: a wrong one neither ends a token nor keeps it alive."""
    bearer = await gateway.token("vera")
    for ahead in (timedelta(days=2), -timedelta(days=2)):
        monkeypatch.setattr(ApiClient, "now", lambda _, ahead=ahead: datetime.now(UTC) + ahead)
        assert (await gateway.send("GET", "/v1/projects/shop/apps", None, bearer)).status == 200


PATHS = ("/healthz", "/v1/projects/shop/apps", "/v1/projects/shop/apps/none", "/v1/apps?x=1", "/v2")


async def test_every_answer_tells_the_version_of_the_server(gateway: Running):
    """From whichever part of the gateway it comes."""
    for subject, path in itertools.product(("", "alice"), PATHS):
        bearer = {"Authorization": f"Bearer {await gateway.token(subject)}"} if subject else {}
        async with gateway.http.get(gateway.url + path, headers=bearer) as answer:
            assert answer.headers.getall("Pincompute-Server") == [__version__], path


async def test_who_may_not_do_it_is_told_whom_to_ask(gateway: Running):
    """A project that does not exist yet has no owner."""
    _, problem, _ = await gateway.ask("vera", "DELETE", "/v1/projects/shop/apps/hello")
    assert problem["remedy"].startswith("ask an owner of the project")
    status, problem, _ = await gateway.ask("alice", "POST", "/v1/projects", {"name": "mine"})
    assert (status, problem["remedy"]) == (403, "ask an administrator to create it, or for the platform role project-creator")
    _, problem, _ = await gateway.ask("alice", "GET", "/v1/admin/clusters")
    assert problem["remedy"].startswith("ask an administrator")


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(gateway: Running):
    status, problem, _ = await gateway.ask("alice", "GET", "/v2/apps")
    assert (status, problem["code"]) == (404, "unknown-path")
    status, problem, _ = await gateway.ask("alice", "PATCH", "/.well-known/pincompute")
    assert (status, problem["code"]) == (405, "method-not-allowed")


async def test_a_route_without_an_operation_does_not_start(gateway: Running):
    """Deny by default."""

    @get("/v1/forgotten")
    async def forgotten() -> None: ...

    parts = application.ApplicationParts(gateway.gateway.settings, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="/v1/forgotten declares no operation"):
        application.build(parts, [forgotten])


def test_the_document_names_a_problem_for_every_operation():
    document = printed_document()
    assert '"openapi": "3.1' in document
    assert "#/components/schemas/Problem" in document


async def test_the_document_is_made_apart_from_requests_and_then_served(gateway: Running):
    async with asyncio.timeout(60):
        while (await gateway.ask("", "GET", "/openapi.json"))[0] == 503:  # noqa: ASYNC110 - it is being made elsewhere
            await asyncio.sleep(0.1)
    status, document, _ = await gateway.ask("", "GET", "/openapi.json")
    assert (status, document["openapi"][:3]) == (200, "3.1")
