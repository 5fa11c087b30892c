"""`pincompute explain`: reads one workload from the host and prints why it runs where it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from rich.console import Console

from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.meta import Key
from pincompute.domain import explanation
from pincompute.kube import config
from pincompute.kube.errors import NotFound
from pincompute.kube.transport import Client

KINDS = {"pinapp": PINAPP, "pinpod": PINPOD}


class NoSuchWorkload(Exception):  # noqa: N818 - an answer to a question
    """There is nothing of that name to explain."""


async def explain(kind: Literal["pinapp", "pinpod"], project: str, name: str, kubeconfig: Path | None, context: str) -> None:
    """Raises NoSuchWorkload, ConfigError, KubeError."""
    path = kubeconfig or Path(os.environ.get("PINCOMPUTE_HOME", Path.home() / ".pincompute")) / "kubeconfig"
    asked = KINDS[kind]
    async with Client(config.load(path, context), name=context, user_agent="pincompute-explain") as host:
        try:
            found = await host.get(asked.workload, Key(project, name))
        except NotFound:
            raise NoSuchWorkload(
                f"there is no {asked.workload.kind} {name} in project {project}; see what there is: "
                f"kubectl --kubeconfig {path} --context {context} -n {project} get pinapps,pinpods"
            ) from None
    console = Console(highlight=False)
    for sentence in explanation.sentences(found):
        console.print(sentence)
