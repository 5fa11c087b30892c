"""Kubeconfigs that work, and ones that do not with a message that names the field and what was expected."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pincompute.kube import kubeconfig
from pincompute.kube.kubeconfig import ConfigError

PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n").decode()

GOOD = f"""
current-context: a1
clusters:
- name: c
  cluster: {{server: "https://10.64.0.1:16010/", certificate-authority-data: {PEM}, tls-server-name: api}}
- name: other
  cluster: {{server: "https://other"}}
users:
- name: u
  user: {{client-certificate-data: {PEM}, client-key-data: {PEM}}}
- name: t
  user: {{token: secret}}
contexts:
- name: a1
  context: {{cluster: c, user: u, namespace: web}}
- name: b1
  context: {{cluster: other, user: t}}
"""


def edited(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_current_context() -> None:
    loaded = kubeconfig.from_bytes(GOOD.encode(), "Secret x/y")
    assert loaded.server == "https://10.64.0.1:16010"
    assert loaded.server_name == "api"
    assert loaded.namespace == "web"
    assert loaded.certificate == base64.b64decode(PEM)
    assert loaded.verify


def test_named_context_and_secrets_do_not_show(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(GOOD)
    loaded = kubeconfig.load(file, "b1")
    assert loaded.token == "secret"
    assert "secret" not in repr(loaded)
    assert kubeconfig.contexts(file) == ("a1", "b1")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    (tmp_path / "plugin").write_text("#!/bin/sh\n")
    file = tmp_path / "kubeconfig"
    file.write_text(edited("{token: secret}", "{tokenFile: token}"))
    assert kubeconfig.load(file, "b1").token_file == tmp_path / "token"
    plugin = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [--go]}}"
    file.write_text(edited("{token: secret}", plugin))
    loaded = kubeconfig.load(file, "b1").exec
    assert loaded is not None
    assert loaded.command == (f"{tmp_path}/plugin", "--go")


BAD = {
    "not YAML": ("{a: [", "is not YAML"),
    "not a mapping": ("- 1", "Expected `object`, got `array`"),
    "wrong type": (edited("current-context: a1", "current-context: [a1]"), r"`\$.current-context`"),
    "no current context": (edited("current-context: a1", ""), "current-context is not set; name one of its contexts: a1, b1"),
    "unknown current context": (
        edited("current-context: a1", "current-context: z9"),
        "'z9' does not exist; its contexts: a1, b1",
    ),
    "unknown cluster": (edited("cluster: c, user", "cluster: d, user"), "cluster 'd' is not among clusters"),
    "unknown user": (edited("user: u, namesp", "user: v, namesp"), "user 'v' is not among users"),
    "no address": (edited('"https://10.64.0.1:16010/"', '""'), "server: expected an https:// address, found ''"),
    "not base64": (
        edited(f"certificate-authority-data: {PEM}", "certificate-authority-data: '%%'"),
        "authority-data: is not base64",
    ),
    "not PEM": (edited(f"client-key-data: {PEM}", "client-key-data: YWJj"), "client-key-data: expected PEM"),
    "no key": (edited(f", client-key-data: {PEM}", ""), "client-certificate and client-key go together"),
    "a path": (
        edited(f"certificate-authority-data: {PEM}", "certificate-authority: /etc/shadow"),
        "a path is not allowed here",
    ),
    "a program": (
        edited(f"client-certificate-data: {PEM}, client-key-data: {PEM}", "exec: {command: rm, apiVersion: v1}"),
        "exec: a program is not allowed here",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_kubeconfig_that_does_not_work_says_why(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        kubeconfig.from_bytes(text.encode(), "Secret x/y")
    assert str(caught.value).startswith("kubeconfig of Secret x/y: ")


def test_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none: cannot be read: No such file"):
        kubeconfig.load(tmp_path / "none")


def test_certificate_file_that_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(edited(f"certificate-authority-data: {PEM}", "certificate-authority: ca.crt"))
    with pytest.raises(ConfigError, match=r"certificate-authority: file .*/ca.crt does not exist"):
        kubeconfig.load(file)


def test_in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="give a kubeconfig instead"):
        kubeconfig.in_cluster(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text(name)
    loaded = kubeconfig.in_cluster(tmp_path)
    assert loaded.server == "https://[fd00::1]:443"
    assert loaded.token_file == tmp_path / "token"
    assert loaded.namespace == "namespace"
