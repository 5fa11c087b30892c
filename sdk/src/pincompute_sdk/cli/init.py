"""`pin init`: an app.yaml from this folder (its Dockerfile, its name), or from three questions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import prompt
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import CONFLICT, USAGE
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.core import configuration

NAME = re.compile(r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")
EXPOSE = re.compile(r"^\s*EXPOSE\s+(?P<ports>.+?)\s*$", re.IGNORECASE | re.MULTILINE)
REGISTRY = "registry.internal"  # what every region calls its own registry
TEMPLATE = """\
# What to run. `pin deploy` shows what will happen and does it; `pin status {name}` shows what runs.
kind: App
name: {name}
{project}tier: OnDemand                # Reserved | OnDemand | Preemptible
replicas: 2
containers:
- name: web
  image: {image}
{ports}  resources: {{cpu: 250m, memory: 128Mi}}
"""
PORTS = """\
  ports: [{{name: http, port: {port}}}]
  health: {{http: {{path: /, port: http}}}}   # change the path to one that answers 200
"""


@dataclass(frozen=True, slots=True)
class DetectedApp:
    """What the folder tells."""

    name: str
    image: str
    port: int  # 0 for none


def init(
    folder: Annotated[Path, Parameter(help="Default: the current folder.")] = Path(),
    /,
    *,
    name: Annotated[str, Parameter(help="Name of the app.")] = "",
    image: Annotated[str, Parameter(help="Image to run.")] = "",
    port: Annotated[int | None, Parameter(help="Port it listens on; 0 for none.")] = None,
    force: Annotated[bool, Parameter(negative="", help="Overwrite an existing app.yaml.")] = False,
) -> None:
    """Write an app.yaml from this folder, or from three questions."""
    target = folder / "app.yaml"
    if target.exists() and not force:
        raise CommandError(f"{target} exists already", remedy="edit it, or overwrite it with --force", code=CONFLICT)
    found = detect(folder.resolve())
    given = DetectedApp(name or found.name, image or found.image, found.port if port is None else port)
    if not given.image:
        given = _ask(given, asked=port is not None)
    _check(given)
    target.write_text(written(given, _project()), "utf-8")
    terminal.out(f"{target} is written: app {given.name}, image {given.image}. Next: `pin deploy`")


def detect(folder: Path) -> DetectedApp:
    """Name from the folder, port from the Dockerfile's EXPOSE, image named after the app when there is a Dockerfile."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    name = name if NAME.match(name) else f"app-{name}".strip("-")
    dockerfile = folder / "Dockerfile"
    if not dockerfile.is_file():
        return DetectedApp(name, "", 0)
    exposed = EXPOSE.search(dockerfile.read_text("utf-8", "replace"))
    number = re.match(r"\d+", exposed["ports"]) if exposed else None
    return DetectedApp(name, f"{REGISTRY}/{name}:1", int(number[0]) if number else 0)


def written(found: DetectedApp, project: str) -> str:
    return TEMPLATE.format(
        name=found.name,
        image=found.image,
        project=f"project: {project}\n" if project else "",
        ports=PORTS.format(port=found.port) if found.port else "",
    )


def _ask(found: DetectedApp, *, asked: bool) -> DetectedApp:
    name = prompt.text("Name of the app", found.name)
    image = prompt.text("Image to run", f"{REGISTRY}/{name}:1")
    port = str(found.port) if asked else prompt.text("Port it listens on (0 for none)", "8080")
    if not port.isdigit():
        raise CommandError(f"{port!r} is not a port", remedy="give a number from 1 to 65535, or 0", code=USAGE)
    return DetectedApp(name, image, int(port))


def _check(found: DetectedApp) -> None:
    if not NAME.match(found.name):
        remedy = "use at most 40 lower-case letters, digits or '-', start with a letter and do not end with '-'"
        raise CommandError(f"{found.name!r} cannot be a name", remedy=remedy, code=USAGE)
    if not 0 <= found.port <= 65535:
        raise CommandError(f"{found.port} is not a port", remedy="give a number from 1 to 65535, or 0", code=USAGE)


def _project() -> str:
    stored = configuration.load(configuration.path())
    return configuration.effective(stored).project
