"""`pin init`: an app.yaml from this folder (its Dockerfile, its Python project, its name), or from three questions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, prompt
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import CONFLICT, USAGE
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.core import configuration

NAME = re.compile(r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")
EXPOSE = re.compile(r"^\s*EXPOSE\s+(?P<ports>.+?)\s*$", re.IGNORECASE | re.MULTILINE)
FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE | re.MULTILINE)
USER = re.compile(r"^\s*USER\s+(?P<user>\S+)", re.IGNORECASE | re.MULTILINE)
HEALTH = re.compile(r"[\"'](?P<path>/(?:healthz?|health[-_]?check|readyz?|livez|ping|status)/?)[\"']")
PORT = re.compile(r"[\"']PORT[\"']")
REGISTRY = "registry.internal"  # what every region calls its own registry
EXAMPLE = f"{REGISTRY}/hello:1"  # every region has it
NOBODY = 65532  # an ordinary user, for an image that names none
TEMPLATE = """\
# What to run. `pin deploy` shows what will happen and does it; `pin status {name}` shows what runs.
kind: App
name: {name}
{project}tier: OnDemand                # Reserved | OnDemand | Preemptible
replicas: {replicas}
containers:
- name: web
  image: {image}
{ports}  resources: {{cpu: 250m, memory: 128Mi}}
{advanced}"""
PORTS = """\
  ports: [{{name: http, port: {port}}}]
"""
HTTP_HEALTH = """\
  health: {{http: {{path: {path}, port: http}}}}
"""
TCP_HEALTH = """\
  health: {tcp: {port: http}}          # better a path that answers 200: {http: {path: /healthz, port: http}}
"""
ADVANCED = f"""\
# The image names no user by a number, so the program would start as root, which a project refuses.
advanced: {{template: {{spec: {{securityContext: {{runAsUser: {NOBODY}}}}}}}}}
"""


@dataclass(frozen=True, slots=True)
class DetectedApp:
    """What the folder tells. `built` is true when `pin image build` makes its image, whose name the project begins."""

    name: str
    image: str = ""
    port: int = 0  # 0 for none
    health: str = ""  # a path, or none
    root: bool = False  # the image starts as root
    built: bool = False


def init(
    folder: Annotated[Path, options.PATH, Parameter(help="Default: the current folder.")] = Path(),
    /,
    *,
    name: Annotated[str, Parameter(help="Name of the app.")] = "",
    image: Annotated[str, Parameter(help="Image to run.")] = "",
    port: Annotated[int | None, Parameter(help="Port it listens on; 0 for none.")] = None,
    project: Annotated[str, Parameter(name=["--project", "-p"], help="Project of the app. Default: the current project.")] = "",
    force: Annotated[bool, Parameter(negative="", help="Overwrite an existing app.yaml.")] = False,
) -> None:
    """Write an app.yaml from this folder, or from three questions."""
    target = folder / "app.yaml"
    if target.exists() and not force:
        raise CommandError(f"{target} exists already", remedy="edit it, or overwrite it with --force", code=CONFLICT)
    project = project or _project()
    given = _chosen(detect(folder.resolve()), name, image, port)
    if given.built:
        given = replace(given, image=_image_of(given.name, project))
    if not given.image:
        given = _ask(given, folder, asked=port is not None)
    _check(given)
    target.write_text(written(given, project), "utf-8")
    then = f"`pin image build{_argument(folder)}`, then `pin deploy{_argument(folder, 'app.yaml')}`"
    terminal.out(f"{target} is written: app {given.name}, image {given.image}. Next: {then if given.built else '`pin deploy`'}")


def detect(folder: Path) -> DetectedApp:
    """Returns the name of the folder, whether `pin image build` makes an image of it, and what its Dockerfile or code tells."""
    from pincompute_sdk.images.build import dockerfile_image, image_recipe, python_project

    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    name = name if NAME.match(name) else f"app-{name}".strip("-")
    built = DetectedApp(name, built=True)
    if (folder / image_recipe.RECIPE).is_file():
        return replace(built, root=_is_root(str(image_recipe.read(folder).user)))
    if dockerfile := dockerfile_image.find(folder):
        return _of_dockerfile(built, _text(dockerfile), folder)
    if python_project.is_project(folder):
        web = python_project.detect(folder).web or any(PORT.search(_text(file)) for file in _code(folder))
        return replace(built, port=python_project.PORT, health=_health(folder)) if web else built
    return DetectedApp(name)


def _image_of(name: str, project: str) -> str:
    """A project owns the images below its name, so an image that is built here has a name only in a project."""
    if not project:
        remedy = "log in and choose one (`pin login`, `pin project use NAME`), or add --project NAME"
        raise CommandError("no project is named, and the name of the image begins with it", remedy=remedy, code=USAGE)
    return f"{REGISTRY}/{project}/{name}:1"


def written(found: DetectedApp, project: str) -> str:
    checked = HTTP_HEALTH.format(path=found.health) if found.health else TCP_HEALTH
    return TEMPLATE.format(
        name=found.name,
        image=found.image,
        replicas=3 if found.built else 2,
        project=f"project: {project}\n" if project else "",
        ports=PORTS.format(port=found.port) + checked if found.port else "",
        advanced=ADVANCED if found.root else "",
    )


def _of_dockerfile(built: DetectedApp, text: str, folder: Path) -> DetectedApp:
    """What stands in the last stage and below it makes the image. The last USER of it holds, and the first EXPOSE."""
    made = _last_stage(text)
    exposed = EXPOSE.search(made)
    number = re.match(r"\d+", exposed["ports"]) if exposed else None
    users = [found["user"] for found in USER.finditer(made)]
    root = _is_root(users[-1] if users else "")
    return replace(built, port=int(number[0]) if number else 0, health=_health(folder), root=root)


def _last_stage(text: str) -> str:
    """The lines of the last stage, after those of the stages that it is built from."""
    stages, last = dict[str, str](), ""
    starts = [*FROM.finditer(text)]
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        last = stages.get(start["image"].lower(), "") + text[start.end() : end]
        stages[(start["name"] or "").lower()] = last
    return last


def _is_root(user: str) -> bool:
    """Whether a runtime takes the user for root. A name could be root's, and a runtime refuses one that it cannot judge."""
    number = user.partition(":")[0]
    return not number.isdigit() or int(number) == 0


def _health(folder: Path) -> str:
    """A path that the program's own code names and that is there to be asked for its health."""
    return next((found["path"] for file in _code(folder) if (found := HEALTH.search(_text(file)))), "")


def _code(folder: Path) -> Iterator[Path]:
    """Python files of the folder and of its packages."""
    for file in sorted((*folder.glob("*.py"), *folder.glob("*/*.py"), *folder.glob("src/*/*.py"))):
        hidden = any(part.startswith(".") or part == "venv" for part in file.relative_to(folder).parts)
        if not hidden and file.is_file() and file.resolve().is_relative_to(folder):
            yield file


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace")


def _chosen(found: DetectedApp, name: str, image: str, port: int | None) -> DetectedApp:
    """Returns what the options overrule."""
    if image:
        found = replace(found, image=image, built=False, root=False)
    return replace(found, name=name or found.name, port=found.port if port is None else port)


def _argument(folder: Path, file: str = "") -> str:
    """What a command needs to find the folder from here."""
    return "" if folder.resolve() == Path.cwd() else f" {folder / file}"


def _ask(found: DetectedApp, folder: Path, *, asked: bool) -> DetectedApp:
    """Asks for what a folder without a program does not tell."""
    if not sys.stdin.isatty():
        lacks = "has no Dockerfile and no Python project" if folder.exists() else "does not exist"
        raise CommandError(
            f"the folder {folder.resolve()} {lacks}, and there is no terminal to ask",
            remedy="name an image and its port: `pin init --image IMAGE --port PORT`",
            code=USAGE,
        )
    name = prompt.text("Name of the app", found.name)
    image = prompt.text("Image to run", EXAMPLE)
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
