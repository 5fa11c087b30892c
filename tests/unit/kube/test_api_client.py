"""Retries of what is safe and of nothing else, deadlines, the breaker, limits, credentials that change."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest
from aiohttp import web
from hostile_server import DROP, HostileServer, ReceivedRequest, status

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key
from pincompute.kube import api_errors
from pincompute.kube.api_client import ApiClient
from pincompute.kube.backoff import Backoff, BackoffLimits
from pincompute.kube.clock import Clock
from pincompute.kube.kubeconfig import ClusterConfig, ExecPlugin
from pincompute.kube.rate_limiter import RateLimiter

HASTY = Clock(random=lambda: 0.0)  # full jitter at its lowest: no waiting between attempts


def client(server: HostileServer, **config: object) -> ApiClient:
    made = ClusterConfig(server=server.address, **config)  # pyright: ignore[reportArgumentType]
    return ApiClient(made, name="a1", user_agent="pincompute-test/0.1", clock=HASTY)


async def test_get_decodes_and_says_who_asks(server: HostileServer) -> None:
    body = server.put("web")
    server.answer = lambda _seen: json_response(body)
    async with client(server) as api:
        pod = await api.get(PODS, Key("default", "web"))
    assert pod.key == Key("default", "web")
    assert server.requests[0].path == "/api/v1/namespaces/default/pods/web"
    assert server.requests[0].headers["User-Agent"] == "pincompute-test/0.1"  # S-325
    assert "gzip" in server.requests[0].headers["Accept-Encoding"]


def json_response(body: object) -> web.Response:
    return web.json_response(body)


REPEATED = {
    "a read that found the server unwell": ("GET", 503, 4),
    "a read that was shed": ("GET", 429, 4),
    "a write that was shed": ("POST", 429, 4),
    "a write that found the server unwell may have happened": ("POST", 503, 1),
    "a read of nothing": ("GET", 404, 1),
    "a write that conflicts": ("PATCH", 409, 1),
}


@pytest.mark.parametrize(("verb", "code", "times"), REPEATED.values(), ids=REPEATED.keys())
async def test_repeats_only_what_is_safe(server: HostileServer, verb: str, code: int, times: int) -> None:
    server.answer = lambda _seen: status(code, "", "no")
    async with client(server) as api:
        with pytest.raises(api_errors.Refused) as caught:
            await api.request(verb, "/api/v1/namespaces/x/pods", body=b"{}" if verb != "GET" else None)
    assert len(server.requests) == times
    assert caught.value.status.code == code
    assert str(caught.value) == f"{verb} /api/v1/namespaces/x/pods on a1: no"


@pytest.mark.parametrize(("verb", "times"), [("POST", 1), ("PATCH", 1)])
async def test_write_whose_answer_was_lost_is_not_repeated(server: HostileServer, verb: str, times: int) -> None:
    server.answer = lambda _seen: DROP
    async with client(server) as api:
        with pytest.raises(api_errors.Unreachable) as caught:
            await api.request(verb, "/api/v1/pods", body=b"{}")
    assert len(server.requests) == times
    assert caught.value.sent


async def test_write_that_was_never_sent_is_repeated(server: HostileServer) -> None:
    """The server is away for the first attempt and back for the second."""
    await server.stop()
    back = iter([False])

    async def sleep(_seconds: float) -> None:
        if next(back, True) is False:
            await server.start()

    clock = Clock(sleep=sleep, random=lambda: 0.0)
    async with ApiClient(ClusterConfig(server=server.address), name="a1", clock=clock) as api:
        server.answer = lambda _seen: json_response({})
        assert await api.request("POST", "/api/v1/pods", body=b"{}") == b"{}"
    assert len(server.requests) == 1


async def test_retry_after_is_honoured(server: HostileServer) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    left = iter(range(2))
    server.answer = lambda _seen: (
        status(429, "", "later", **{"Retry-After": "3"}) if next(left, None) is not None else json_response({})
    )
    async with ApiClient(ClusterConfig(server=server.address), name="a1", clock=Clock(sleep=sleep)) as api:
        await api.request("POST", "/x", body=b"{}")
    assert [seconds >= 3 for seconds in slept] == [True, True]


async def test_no_answer_within_the_deadline(server: HostileServer) -> None:
    server.hold = asyncio.Event()
    async with client(server) as api:
        with pytest.raises(api_errors.Unreachable, match="GET /version on a1: no answer within the deadline"):
            await api.request("GET", "/version", deadline=0.05)
    server.hold.set()


async def test_breaker_spares_a_dead_cluster_and_lets_it_back(server: HostileServer) -> None:
    now = [0.0]
    clock = Clock(monotonic=lambda: now[0], random=lambda: 0.0)
    await server.stop()
    async with ApiClient(ClusterConfig(server=server.address), name="a1", clock=clock) as api:
        for _ in range(3):
            with pytest.raises(api_errors.Unreachable, match=r"cannot connect to 127\.0\.0\.1:") as caught:
                await api.request("POST", "/x", body=b"{}", attempts=1)
            assert not caught.value.sent
        with pytest.raises(api_errors.Unreachable, match="given a rest"):
            await api.request("GET", "/x")
        await server.start()
        server.answer = lambda _seen: json_response({})
        with pytest.raises(api_errors.Unreachable, match="given a rest"):
            await api.request("GET", "/x")
        assert not server.requests
        now[0] += api.breaker.cooldown  # half-open
        assert await api.request("GET", "/x") == b"{}"
        assert not api.breaker.open


async def test_an_answer_to_the_probe_closes_the_breaker(server: HostileServer) -> None:
    async with client(server) as api:
        for _ in range(3):
            api.breaker.silent()
        assert api.breaker.open
        await api.probe(5.0)
        assert not api.breaker.open


async def test_status_of_an_invalid_object_names_the_fields(server: HostileServer) -> None:
    details = {"causes": [{"reason": "FieldValueInvalid", "message": "must be positive", "field": "spec.replicas"}]}
    body = {"kind": "Status", "code": 422, "reason": "Invalid", "message": "web is invalid", "details": details}
    server.answer = lambda _seen: web.json_response(body, status=422)
    async with client(server) as api:
        with pytest.raises(api_errors.Invalid) as caught:
            await api.request("POST", "/x", body=b"{}")
    assert caught.value.causes == (api_errors.StatusCause("spec.replicas", "must be positive", "FieldValueInvalid"),)


async def test_token_file_is_read_again_when_it_changes(server: HostileServer, tmp_path: Path) -> None:
    """F15: the next request carries the new token."""
    token = tmp_path / "token"
    token.write_text("first\n")
    server.answer = lambda _seen: json_response({})
    async with client(server, token_file=token) as api:
        await api.request("GET", "/x")
        swapped = tmp_path / "next"
        swapped.write_text("second\n")
        swapped.rename(token)
        await api.request("GET", "/x")
    assert [seen.headers["Authorization"] for seen in server.requests] == ["Bearer first", "Bearer second"]


def plugin(tmp_path: Path, expiry: str) -> ExecPlugin:
    """Counts its runs and gives the count as the token."""
    program = tmp_path / "plugin"
    status_ = f'{{"token": "run-$n", "expirationTimestamp": "{expiry}"}}' if expiry else '{"token": "run-$n"}'
    escaped = f'{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {status_}}}'
    lines = ("#!/bin/sh", f'echo x >> "{tmp_path}/runs"', f'n=$(wc -l < "{tmp_path}/runs")', f"cat <<END\n{escaped}\nEND")
    program.write_text("\n".join(lines) + "\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return ExecPlugin((str(program),))


@pytest.mark.parametrize(("expiry", "runs"), [("", 1), ("2100-01-01T00:00:00Z", 1), ("2001-01-01T00:00:00Z", 2)])
async def test_exec_plugin_runs_again_when_its_credential_expires(
    server: HostileServer, tmp_path: Path, expiry: str, runs: int
) -> None:
    server.answer = lambda _seen: json_response({})
    async with client(server, exec=plugin(tmp_path, expiry)) as api:
        await api.request("GET", "/x")
        await api.request("GET", "/x")
    assert server.requests[-1].headers["Authorization"] == f"Bearer run-{runs}"


async def test_exec_plugin_runs_again_when_its_token_is_refused(server: HostileServer, tmp_path: Path) -> None:
    def answer(seen: ReceivedRequest) -> web.Response:
        good = seen.headers["Authorization"] == "Bearer run-2"
        return json_response({}) if good else status(401, "Unauthorized", "Unauthorized")

    server.answer = answer
    async with client(server, exec=plugin(tmp_path, "")) as api:
        assert await api.request("POST", "/x", body=b"{}") == b"{}"


async def test_a_plugin_that_fails_is_named_and_does_not_open_the_breaker(server: HostileServer, tmp_path: Path) -> None:
    """S-012: a credential that cannot be had is not a cluster that is down."""
    async with client(server, exec=ExecPlugin((str(tmp_path / "missing"),), install_hint="install it")) as api:
        for _ in range(4):
            with pytest.raises(api_errors.Unreachable, match=r"missing: cannot be started: .* \(install it\)"):
                await api.request("GET", "/x", attempts=1)
        assert not api.breaker.open


def test_backoff_grows_is_capped_and_starts_over_after_calm() -> None:
    """S-320."""
    now = [0.0]
    backoff = Backoff(BackoffLimits(base=1.0, cap=6.0, calm=60.0), Clock(monotonic=lambda: now[0], random=lambda: 1.0))
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 6.0, 6.0]
    assert backoff.next(at_least=20.0) == 20.0
    now[0] = 500.0
    assert backoff.next() == 1.0


def test_bucket_lets_a_burst_pass_and_then_the_rate() -> None:
    now = [0.0]
    bucket = RateLimiter(rate=10.0, burst=3.0, clock=Clock(monotonic=lambda: now[0]))
    assert [bucket.reserve() for _ in range(5)] == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2])
    now[0] = 10.0
    assert bucket.reserve() == 0.0


async def test_bucket_gives_up_at_once_when_the_wait_is_longer_than_the_patience() -> None:
    bucket = RateLimiter(rate=1.0, burst=1.0, clock=Clock(monotonic=lambda: 0.0))
    assert await bucket.take(5.0)
    assert not await bucket.take(0.5)
    assert bucket.reserve() == 1.0  # the one who gave up is not waited for


def test_json_in_errors_is_optional() -> None:
    request = api_errors.RequestInfo("a1", "GET", "/x")
    assert str(api_errors.refusal(request, 502, b"<html>bad gateway</html>")) == "GET /x on a1: <html>bad gateway</html>"
    assert isinstance(api_errors.refusal(request, 502, b""), api_errors.Unavailable)
    expired = json.dumps({"reason": "Expired", "code": 410, "message": "too old"}).encode()
    assert isinstance(api_errors.refusal(request, 410, expired), api_errors.Gone)
