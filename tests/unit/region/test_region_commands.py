"""What the commands of `pincompute region` make of their words."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pincompute import main
from pincompute.region import lifecycle

WORDS = {
    "a command in a pod": ["exec", "web-a1-0", "-c", "web", "--", "ls", "-l", "--", "x"],
    "another context": ["--context", "a1", "get", "pods", "-A"],
    "help of kubectl": ["get", "--help"],
    "a version": ["--version"],
}


@pytest.mark.parametrize("case", WORDS)
def test_kubectl_gets_every_word_as_it_was_typed(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(lifecycle, "running", lambda _: SimpleNamespace(kubeconfig=tmp_path / "config"))
    monkeypatch.setattr(lifecycle, "find_binaries", lambda _: tmp_path)
    monkeypatch.setattr(os, "execv", lambda _, words: ran.append(words))
    main.app(["region", "kubectl", *WORDS[case]], exit_on_error=False, result_action="return_value")
    assert ran == [("kubectl", f"--kubeconfig={tmp_path}/config", *WORDS[case])]
