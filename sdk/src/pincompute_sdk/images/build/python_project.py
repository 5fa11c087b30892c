"""Finds out how a Python project starts and what it needs, from the names and the text of its files. Nothing of it is run.

The first of these decides how it starts: the line `web:` of a Procfile; the program of `[project.scripts]`; an ASGI or WSGI
application, when a server for it is among the requirements; `main.py`, `app.py` or a package with `__main__.py`.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from pincompute_sdk.core import named_file
from pincompute_sdk.images.build import requirement_paths
from pincompute_sdk.images.image_errors import ImageError

PROJECT, REQUIREMENTS, PROCFILE = "pyproject.toml", "requirements.txt", "Procfile"
PORT = 8080
STARTERS = ("main.py", "app.py", "asgi.py", "wsgi.py")
Protocol: TypeAlias = Literal["asgi", "wsgi", ""]
SERVERS: Mapping[str, tuple[Protocol, str]] = {
    "uvicorn": ("asgi", "uvicorn {app} --host 0.0.0.0 --port $PORT"),
    "hypercorn": ("asgi", "hypercorn {app} --bind 0.0.0.0:$PORT"),
    "granian": ("asgi", "granian --interface asgi --host 0.0.0.0 --port $PORT {app}"),
    "gunicorn": ("wsgi", "gunicorn {app} --bind 0.0.0.0:$PORT"),
    "waitress": ("wsgi", "waitress-serve --listen=0.0.0.0:$PORT {app}"),
}
FRAMEWORKS: Mapping[str, Protocol] = {
    "FastAPI": "asgi", "Starlette": "asgi", "Litestar": "asgi", "Quart": "asgi", "get_asgi_application": "asgi",
    "Flask": "wsgi", "Bottle": "wsgi", "Falcon": "wsgi", "get_wsgi_application": "wsgi",
}  # fmt: skip
APPLICATIONS = ("app", "application")
REMEDY = (
    f"write the line `web: COMMAND` into a file {PROCFILE}, for example `web: python3 server.py`; or name an entry in "
    f"[project.scripts] of {PROJECT}; or write main.py or app.py; or add uvicorn or gunicorn to the requirements"
)
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_BRINGS_UVICORN = re.compile(r"\s*fastapi\[(?:standard|all)", re.IGNORECASE)
_WEB = re.compile(r"^web:\s*(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PythonProject:
    """What the files say. `command` is a line for a shell; `why` says where it comes from."""

    name: str
    command: str
    why: str
    requirement_files: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    installs_itself: bool = False
    dynamic: bool = False  # only its build backend knows the dependencies
    local_places: tuple[str, ...] = ()  # files and folders of the project from which dependencies are installed
    python: str = ""

    @property
    def comes_with_dependencies(self) -> bool:
        """Installing the dependencies installs the project itself."""
        return self.dynamic or os.curdir in self.local_places

    @property
    def web(self) -> bool:
        """It surely listens on $PORT."""
        return "$PORT" in self.command


def is_project(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (PROJECT, REQUIREMENTS, *STARTERS[:2]))


def detect(folder: Path) -> PythonProject:
    """Raises ImageError that says what to write where the command cannot be found."""
    metadata = _metadata(folder)
    described = _table(metadata, "project")
    files = tuple(_requirement_files(folder))
    dependencies = () if files else tuple(str(item) for item in described.get("dependencies", ()))
    requirement_paths.check(folder, f"dependencies of {PROJECT}", dependencies)
    dynamic = not files and (
        ("dependencies" in described.get("dynamic", ())) or (bool(metadata.get("build-system")) and not described)
    )
    lists, local = [folder / file for file in files], requirement_paths.local
    names = _names(folder, files, dependencies)
    command, why = _command(folder, described, names)
    return PythonProject(
        name=str(described.get("name", "")),
        command=command,
        why=why,
        requirement_files=files,
        dependencies=dependencies,
        installs_itself=(bool(described.get("name")) and ("build-system" in metadata or "scripts" in described)) or dynamic,
        dynamic=dynamic,
        local_places=tuple(dict.fromkeys(place for text in (*map(_text, lists), *dependencies) for place in local(text))),
        python=str(described.get("requires-python", "")),
    )


def _metadata(folder: Path) -> dict[str, Any]:
    file = folder / PROJECT
    try:
        return tomllib.loads(named_file.text(file))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ImageError(f"{file} cannot be read", reason=str(error), remedy="correct it") from error


def _table(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = metadata.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _requirement_files(folder: Path) -> Iterator[str]:
    """requirements.txt and the files that it includes, each once. Raises ImageError for one outside the folder."""
    waiting, seen = [REQUIREMENTS], set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen or not (folder / name).is_file():
            continue
        seen.add(name)
        yield name
        waiting += requirement_paths.lists(folder, name, _text(folder / name))


def _names(folder: Path, files: tuple[str, ...], dependencies: tuple[str, ...]) -> frozenset[str]:
    """The required packages, in lower case."""
    lines = [line for file in files for line in _text(folder / file).splitlines()] + list(dependencies)
    names = {found[1].lower() for line in lines if (found := _NAME.match(line))}
    return frozenset(names | ({"uvicorn"} if any(map(_BRINGS_UVICORN.match, lines)) else set()))


def _command(folder: Path, described: Mapping[str, Any], names: frozenset[str]) -> tuple[str, str]:
    for find in (_of_procfile, _of_script, _of_server, _of_module):
        found = find(folder, described, names)
        if found is not None:
            return found
    raise ImageError(f"it is not clear how the Python project in {folder} starts", remedy=REMEDY)


def _of_procfile(folder: Path, _described: Mapping[str, Any], _names: frozenset[str]) -> tuple[str, str] | None:
    file = folder / PROCFILE
    found = _WEB.search(_text(file)) if file.is_file() else None
    return (found[1], f"the line web: of {PROCFILE}") if found else None


def _of_script(folder: Path, described: Mapping[str, Any], _names: frozenset[str]) -> tuple[str, str] | None:
    """The only one, or the one with the project's name."""
    scripts = list(cast("Mapping[str, Any]", described.get("scripts") or {}))
    own = str(described.get("name", ""))
    if len(scripts) == 1 or own in scripts:
        return shlex.quote(own if own in scripts else scripts[0]), f"[project.scripts] of {PROJECT}"
    if scripts and not (folder / STARTERS[0]).is_file():
        names = ", ".join(scripts)
        raise ImageError(
            f"{PROJECT} has several programs in [project.scripts]: {names}",
            remedy=f"write the one to start into a file {PROCFILE}: `web: {scripts[0]}`",
        )
    return None


def _of_server(folder: Path, _described: Mapping[str, Any], names: frozenset[str]) -> tuple[str, str] | None:
    found = next(_applications(folder), None)
    if found is None:
        return None
    file, name, protocol = found
    kinds = (protocol,) if protocol else ("asgi", "wsgi")
    server = next((server for server, (kind, _) in SERVERS.items() if kind in kinds and server in names), "")
    if not server:
        if _starts_itself(_text(folder / file)):
            return None
        wanted = "gunicorn" if protocol == "wsgi" else "uvicorn"
        requirements = REQUIREMENTS if (folder / REQUIREMENTS).is_file() else PROJECT
        remedy = f"add {wanted} to {requirements}; or write the line `web: COMMAND` into a file {PROCFILE}"
        raise ImageError(f"{file} has an application {name}, but no server is among the requirements", remedy=remedy)
    path = Path(file).with_suffix("")
    module = ".".join(path.parts[1:] if path.parts[0] == "src" else path.parts)
    return SERVERS[server][1].format(
        app=f"{module}:{name}"
    ), f"the application {name} in {file}, and {server} among the requirements"


def _of_module(folder: Path, _described: Mapping[str, Any], _names: frozenset[str]) -> tuple[str, str] | None:
    for name in STARTERS[:2]:
        if (folder / name).is_file():
            return f"python3 {name}", name
    packages = sorted((*folder.glob("*/__main__.py"), *folder.glob("src/*/__main__.py")))
    if len(packages) == 1:
        return f"python3 -m {packages[0].parent.name}", str(packages[0].relative_to(folder))
    return None


def _applications(folder: Path) -> Iterator[tuple[str, str, Protocol]]:
    """Files with a global `app` or `application` that a server could serve: file, name, protocol where it is known."""
    for pattern in ("", "*/", "src/*/"):
        for starter in STARTERS:
            for file in sorted(folder.glob(f"{pattern}{starter}")):
                if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
                    continue
                for name, protocol in _globals(_text(file)):
                    yield str(file.relative_to(folder)), name, protocol


def _globals(text: str) -> Iterator[tuple[str, Protocol]]:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)) if name in APPLICATIONS:
                called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
                yield name, FRAMEWORKS.get(called, "")
            case ast.AsyncFunctionDef(name=name, args=arguments) if name in APPLICATIONS and len(arguments.args) == 3:
                yield name, "asgi"
            case ast.FunctionDef(name=name, args=arguments) if name in APPLICATIONS and len(arguments.args) == 2:
                yield name, "wsgi"
            case _:
                pass


def _starts_itself(text: str) -> bool:
    return "__main__" in text


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace")
