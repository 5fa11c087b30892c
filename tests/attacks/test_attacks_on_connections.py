"""Where a token must not go: over plain HTTP, except to this machine itself, and there through no proxy."""

from __future__ import annotations

import pytest
from pincompute_sdk.client import Client
from pincompute_sdk.core import oidc_login, transport_security
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.errors import ConfigurationError
from pincompute_sdk.core.oidc_login import OidcIssuer
from sdk.fake_server import answering, document

READ_ON_THE_WAY = (
    "http://gateway.example",
    "http://10.0.0.1:8443",
    "http://127.0.0.1.example",
    "http://127.0.0.1@gateway.example",
    "http://localhost:80@gateway.example/",
    "http://localhost.example",
    "http://gateway.example#@127.0.0.1",
    "http://127.0.0.1\\@gateway.example",
    "HTTP://gateway.example",
    "http://[2001:db8::1]",
    "http://0.0.0.0",
    "ws://127.0.0.1",
    "//gateway.example",
    "http://",
    "http://[",
)


@pytest.mark.parametrize("address", READ_ON_THE_WAY)
def test_a_token_goes_to_no_address_on_the_way_to_which_it_can_be_read(address: str):
    with pytest.raises(ConfigurationError):
        Client(Context(server=address, token="secret"))
    with pytest.raises(ConfigurationError):
        OidcIssuer(address, "pincompute").endpoints()
    with pytest.raises(ConfigurationError):
        oidc_login.fetch("POST", address, "", {"refresh_token": "secret"})


@pytest.mark.parametrize("address", ["https://gateway.example", "http://127.0.0.1:1", "http://localhost", "http://[::1]:8443"])
def test_tls_and_this_machine_are_fine(address: str):
    transport_security.check_address(address)
    assert transport_security.may_use_proxy(address) is address.startswith("https:")


def test_a_proxy_gets_no_token_for_this_machine(monkeypatch: pytest.MonkeyPatch):
    with answering(document({"name": "dev", "kind": "user"})) as server:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with Client(Context(server=server.url, token="secret")) as pin:
            assert pin.session.get().name == "dev"
