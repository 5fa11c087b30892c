"""Implements `pincompute explain`: it reads a workload from the host and prints why it runs where it runs."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from pincompute.api import kinds as table
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key
from pincompute.domain import placement_text
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound
from pincompute.kube.kubeconfig import load as load_kubeconfig


class NoSuchWorkload(Exception):  # noqa: N818 - an answer to a question
    """There is nothing of that name to explain."""


async def explain(kind: str, project: str, name: str, kubeconfig: Path | None, context: str, kinds: Kinds = KINDS) -> None:
    """Prints the explanation. Without a kind it takes the first there is. Raises NoSuchWorkload, ConfigError, KubeError."""
    path = kubeconfig or Path(os.environ.get("PINCOMPUTE_HOME", Path.home() / ".pincompute")) / "kubeconfig"
    asked = table.called(kind, kinds) if kind else kinds[0]
    if asked is None:
        known = ", ".join(each.name for each in kinds)
        raise NoSuchWorkload(f"--kind {kind}: there is no such kind; write one of {known}")
    async with ApiClient(load_kubeconfig(path, context), name=context, user_agent="pincompute-explain") as host:
        try:
            found = await host.get(asked.workload, Key(project, name))
        except NotFound:
            plurals = ",".join(each.workload.plural for each in kinds)
            raise NoSuchWorkload(
                f"there is no {asked.workload.kind} {name} in project {project}; see what there is: "
                f"kubectl --kubeconfig {path} --context {context} -n {project} get {plurals}"
            ) from None
        members = (await host.list_page(MEMBERCLUSTERS)).items or ()
    console = Console(highlight=False)
    for sentence in placement_text.sentences(asked, found, {member.metadata.name for member in members}):
        console.print(sentence)
