"""Every way a call can fail has its own class and its own words (issue: unreachable, not trusted, clock, token, versions)."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import socketserver
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pincompute_sdk
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fake_server import Reply, answering, document, problem
from pincompute_sdk import Client, errors
from pincompute_sdk.core import retry
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.core.exchange import DeprecationNotice

from pincompute.gateway.problems import CODES

ONCE = retry.Policy(attempts=1)
APP = {"name": "hello"}
WRITTEN = {"message": "will be", "links": {"self": "/", "watch": "/"}, "item": APP}
NOW = dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_the_gateway_has_a_class(code: str) -> None:
    status, _ = CODES[code]
    with (
        answering(problem(status, code, detail="why", remedy="what to do")) as server,
        _client(server.url) as pin,
        pytest.raises(errors.Problem) as caught,
    ):
        pin.apps.get("demo", "hello")
    assert caught.value.document.code == code
    assert (caught.value.reason, caught.value.remedy, caught.value.request_id) == ("why", "what to do", "r-1")


def test_refused_fields_are_named() -> None:
    fields = [{"field": "containers[0].image", "expected": "an image", "message": "is missing"}]
    with (
        answering(problem(422, "invalid", errors=fields)) as server,
        _client(server.url) as pin,
        pytest.raises(errors.InvalidError) as caught,
    ):
        pin.apps.create("demo", APP)
    assert [(f.field, f.message) for f in caught.value.fields] == [("containers[0].image", "is missing")]


@pytest.mark.parametrize(
    ("message", "reason", "said"),
    [
        ("registry.internal/shop/web:9: not found.", "not found", "registry.internal/shop/web:9: not found. push it"),
        ("it is not there", "Not there.", "it is not there. push it"),
        ("the registry refuses this (404)", "not found", "the registry refuses this (404). not found. push it"),
        ("no answer", "", "no answer. push it"),
    ],
)
def test_a_reason_that_the_message_says_is_not_said_twice(message: str, reason: str, said: str) -> None:
    assert str(PinError(message, reason=reason, remedy="push it")) == said


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with _client(f"http://127.0.0.1:{port}") as pin, pytest.raises(errors.UnreachableError, match="nothing listens there"):
        pin.apps.get("demo", "hello")


def test_a_name_that_does_not_exist() -> None:
    with _client("https://gateway.invalid") as pin, pytest.raises(errors.UnreachableError, match="cannot be resolved"):
        pin.apps.get("demo", "hello")


def test_an_answer_that_breaks_off() -> None:
    with (
        answering(Reply(200, b'{"na', drop=True)) as server,
        _client(server.url) as pin,
        pytest.raises(errors.UnreachableError, match="closed before the answer"),
    ):
        pin.apps.get("demo", "hello")


def test_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with _client(url) as pin, pytest.raises(errors.UnreachableError, match="did not answer in time"):
            pin.apps.get("demo", "hello", within=0.2)


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    tls = _certificate(tmp_path, NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=1))
    with (
        answering(document(APP), tls=tls) as server,
        _client(server.url) as pin,
        pytest.raises(errors.UntrustedServerError) as caught,
    ):
        pin.apps.get("demo", "hello")
    assert "PINCOMPUTE_CA" in caught.value.remedy


def test_a_certificate_that_is_trusted_by_name(tmp_path: Path) -> None:
    tls = _certificate(tmp_path, NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=1))
    ca = str(tmp_path / "server.crt")
    with answering(document(APP), tls=tls) as server, Client(Context(server=server.url, ca=ca), policy=ONCE) as pin:
        assert pin.apps.get("demo", "hello").name == "hello"


@pytest.mark.parametrize("days", [-10, 10])
def test_a_certificate_that_is_not_of_this_time_points_at_the_clock(tmp_path: Path, days: int) -> None:
    begins = NOW + dt.timedelta(days=days - 1)
    tls = _certificate(tmp_path, begins, begins + dt.timedelta(days=2))
    ca = str(tmp_path / "server.crt")
    with (
        answering(document(APP), tls=tls) as server,
        Client(Context(server=server.url, ca=ca), policy=ONCE) as pin,
        pytest.raises(errors.UntrustedServerError) as caught,
    ):
        pin.apps.get("demo", "hello")
    assert "clock" in caught.value.remedy


def test_plain_http_where_tls_is_spoken_is_told() -> None:
    with (
        answering(document(APP)) as server,
        _client(server.url.replace("http:", "https:")) as pin,
        pytest.raises(errors.UnreachableError, match=r"wrong scheme.*does not speak TLS.*check the port"),
    ):
        pin.apps.get("demo", "hello")


def test_plain_http_to_a_server_that_speaks_tls_is_told(tmp_path: Path) -> None:
    tls = _certificate(tmp_path, NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=1))
    with (
        answering(document(APP), tls=tls) as server,
        _client(server.url.replace("https:", "http:")) as pin,
        pytest.raises(errors.UnreachableError, match=r"wrong scheme.*TLS is spoken there.*write https://"),
    ):
        pin.apps.get("demo", "hello")


@contextmanager
def _greeting(words: bytes) -> Iterator[int]:
    """A server of another protocol, which speaks first."""

    class Greeter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(words)
            self.request.recv(1000)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_of_another_protocol_is_told(scheme: str) -> None:
    with (
        _greeting(b"SSH-2.0-OpenSSH_9.2\r\n") as port,
        _client(f"{scheme}://127.0.0.1:{port}") as pin,
        pytest.raises(errors.UnreachableError, match=r"is not a pincompute server.*neither HTTP nor TLS.*check the port"),
    ):
        pin.apps.get("demo", "hello")


def test_a_refused_token_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pin login` alone would not help: the variable overrules what it stores."""
    monkeypatch.setenv("PINCOMPUTE_TOKEN", "old")
    with (
        answering(problem(401, "unauthenticated", detail="it was revoked", remedy="create a new one")) as server,
        Client(Context(server=server.url, token="old"), policy=ONCE) as pin,
        pytest.raises(errors.UnauthenticatedError) as caught,
    ):
        pin.apps.get("demo", "hello")
    assert caught.value.reason == "it was revoked"
    assert caught.value.remedy.startswith("PINCOMPUTE_TOKEN holds this token: put a valid one there")
    assert "create a new one" in caught.value.remedy


@pytest.mark.parametrize(("minutes", "side"), [(-10, "ahead of"), (10, "behind")])
@pytest.mark.parametrize("code", ["clock-wrong", "token-expired"])
def test_a_refused_token_and_clocks_that_differ(minutes: int, side: str, code: str) -> None:
    """Which clock is wrong cannot be known here: both sides' words are told."""
    theirs = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    refusal = problem(401, code, detail="the gateway's clock says so")
    with (
        answering(Reply(401, refusal.body, {**refusal.headers, "Date": theirs})) as server,
        _client(server.url) as pin,
        pytest.raises(errors.ClockError, match=f"10 minutes {side} the server's clock; the gateway's clock says so") as caught,
    ):
        pin.apps.get("demo", "hello")
    assert "if it is the server's" in caught.value.remedy


def test_an_expired_token_says_log_in() -> None:
    with (
        answering(problem(401, "token-expired")) as server,
        _client(server.url) as pin,
        pytest.raises(errors.TokenExpiredError) as caught,
    ):
        pin.apps.get("demo", "hello")
    assert "pin login" in caught.value.remedy


OLDER, NEWER = "0.0.9", "9.0.0"


@pytest.mark.parametrize(("version", "words"), [(OLDER, "older than this SDK"), (NEWER, "newer than this SDK")])
def test_a_call_the_server_does_not_know(version: str, words: str) -> None:
    with (
        answering(Reply(404, b"Not Found", {"Pincompute-Server": version})) as server,
        _client(server.url) as pin,
        pytest.raises(errors.VersionError, match=words) as caught,
    ):
        pin.apps.get("demo", "hello")
    assert version in caught.value.remedy


@pytest.mark.parametrize(("status", "code"), [(404, "unknown-path"), (405, "method-not-allowed")])
@pytest.mark.parametrize(("version", "words"), [(OLDER, "older than this SDK"), (NEWER, "newer than this SDK")])
def test_a_call_the_server_says_it_does_not_know(status: int, code: str, version: str, words: str) -> None:
    """As the gateway itself says it: the SDK adds which side must move, and to which version."""
    said = problem(status, code, detail="there is nothing at /v1/new")
    with (
        answering(Reply(said.status, said.body, {**said.headers, "Pincompute-Server": version})) as server,
        _client(server.url) as pin,
        pytest.raises(errors.VersionError, match=words) as caught,
    ):
        pin.apps.get("demo", "hello")
    assert isinstance(caught.value, errors.Problem)
    assert f"pincompute-sdk {version}" in caught.value.remedy


def test_a_field_that_an_older_server_does_not_know() -> None:
    fields = [{"field": "invented", "expected": "a field of App", "message": "is not known"}]
    said = problem(422, "invalid", errors=fields, remedy="leave it out")
    with (
        answering(Reply(said.status, said.body, {**said.headers, "Pincompute-Server": OLDER})) as server,
        _client(server.url) as pin,
        pytest.raises(errors.InvalidError) as caught,
    ):
        pin.apps.create("demo", APP)
    assert caught.value.remedy == (f"leave it out; the server ({OLDER}) is older than this SDK ({pincompute_sdk.__version__})")


def test_a_server_that_is_none() -> None:
    with (
        answering(Reply(404, b"<h1>nginx</h1>")) as server,
        _client(server.url) as pin,
        pytest.raises(errors.VersionError, match="does not answer as a pincompute server"),
    ):
        pin.apps.get("demo", "hello")


def test_an_answer_of_another_shape() -> None:
    with (
        answering(document({"name": 7}, Pincompute_Server=NEWER)) as server,
        _client(server.url) as pin,
        pytest.raises(errors.VersionError, match="shape this SDK does not know"),
    ):
        pin.apps.get("demo", "hello")


def test_fields_of_a_newer_server_are_skipped() -> None:
    with answering(document({**APP, "invented": {"later": 1}, "tier": "Platinum"})) as server, _client(server.url) as pin:
        assert pin.apps.get("demo", "hello").tier == "Platinum"


def test_deprecation_names_the_version_to_move_to_and_is_said_once() -> None:
    calls = f"this server has deprecated what pincompute-sdk {pincompute_sdk.__version__} calls"
    want = f"{calls}: move to pincompute-sdk 0.4.0; it is served until Wed, 01 Jul 2026 00:00:00 GMT"
    reply = document(APP, Deprecation="@1767225600", Sunset="Wed, 01 Jul 2026 00:00:00 GMT", Pincompute_Sdk="0.4.0")
    with answering(reply) as server, _client(server.url) as pin, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pin.apps.get("demo", "hello")
        pin.apps.get("demo", "hello")
    assert [str(w.message) for w in caught if w.category is DeprecationNotice] == [want]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """S-250: the version of the last write goes with every later call; a lower one does not replace it."""
    replies = [document(WRITTEN, 201, Pincompute_Version=f"pinapps.{n}") for n in (99, 100, 98)]
    with answering(*replies, document(APP)) as server, _client(server.url) as pin:
        for _ in range(3):
            pin.apps.create("demo", APP)
        pin.apps.get("demo", "hello")
    sent = [asked.headers.get("pincompute-min-version") for asked in server.asked]
    assert sent == [None, "pinapps.99", "pinapps.100", "pinapps.100"]


def _client(url: str) -> Client:
    return Client(Context(server=url), policy=ONCE)


def _certificate(folder: Path, begins: dt.datetime, ends: dt.datetime) -> ssl.SSLContext:
    """Self-signed for 127.0.0.1; the certificate is its own authority, in server.crt."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context


def test_a_region_on_this_machine_that_is_not_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever answers at its address, or does not."""
    monkeypatch.setenv("PINCOMPUTE_HOME", str(tmp_path))
    with answering(Reply(404, b"<html>nothing here</html>")) as server, _client(server.url) as pin:
        (tmp_path / "client.yaml").write_text(f"server: {server.url}\n")
        with pytest.raises(errors.UnreachableError, match="the region is not up") as caught:
            pin.apps.get("demo", "hello")
        assert caught.value.remedy == "`pincompute region up`"
        with socket.socket(socket.AF_UNIX) as supervisor:
            monkeypatch.chdir(tmp_path)  # a socket's own path may have 107 characters only
            supervisor.bind("supervisor.sock")
            supervisor.listen()
            with pytest.raises(errors.VersionError, match="does not know this call"):
                pin.apps.get("demo", "hello")
