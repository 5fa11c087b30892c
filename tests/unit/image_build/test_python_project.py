"""A Python project: how it starts and what it needs, from its files alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pincompute_sdk.images.build import python_image, python_project
from pincompute_sdk.images.build.python_image import PythonImage
from pincompute_sdk.images.image_errors import ImageError

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "import fastapi\napp = fastapi.FastAPI()\n"
PROJECT = '[project]\nname = "shop"\ndependencies = ["flask>=3"]\n'
COMMANDS = {
    "a Procfile decides": ({"Procfile": "web: python3 run.py --port $PORT\n", "main.py": ""}, "python3 run.py --port $PORT"),
    "the only script": ({"pyproject.toml": PROJECT + '[project.scripts]\nserve = "shop:run"\n'}, "serve"),
    "the script of the project's name": (
        {"pyproject.toml": PROJECT + '[project.scripts]\na = "shop:a"\nshop = "shop:run"\n'},
        "shop",
    ),
    "a Flask application and gunicorn": (
        {"requirements.txt": "flask\nGunicorn>=20\n", "app.py": FLASK},
        "gunicorn app:app --bind 0.0.0.0:$PORT",
    ),
    "a FastAPI application and uvicorn with an extra": (
        {"requirements.txt": "fastapi\nuvicorn[standard]==0.30 ; python_version > '3'\n", "main.py": FASTAPI},
        "uvicorn main:app --host 0.0.0.0 --port $PORT",
    ),
    "FastAPI brings uvicorn": (
        {"requirements.txt": "fastapi[standard]\n", "main.py": FASTAPI},
        "uvicorn main:app --host 0.0.0.0 --port $PORT",
    ),
    "an application in a package below src": (
        {"pyproject.toml": PROJECT.replace("flask>=3", "gunicorn"), "src/shop/wsgi.py": "application = make()\n"},
        "gunicorn shop.wsgi:application --bind 0.0.0.0:$PORT",
    ),
    "a plain WSGI function": (
        {"requirements.txt": "waitress\n", "app.py": "def app(environ, start_response):\n    return []\n"},
        "waitress-serve --listen=0.0.0.0:$PORT app:app",
    ),
    "main.py": ({"requirements.txt": "", "main.py": "print(1)\n"}, "python3 main.py"),
    "an application that starts itself": (
        {"requirements.txt": "flask\n", "app.py": FLASK + "if __name__ == '__main__':\n    app.run()\n"},
        "python3 app.py",
    ),
    "a package with __main__.py": ({"pyproject.toml": PROJECT, "src/shop/__main__.py": ""}, "python3 -m shop"),
    "a file that is no Python": ({"requirements.txt": "gunicorn\n", "app.py": "def (:\n"}, "python3 app.py"),
}
REFUSED = {
    "nothing to start": ({"requirements.txt": "flask\n"}, "it is not clear how", "`web: COMMAND` into a file Procfile"),
    "several scripts": (
        {"pyproject.toml": PROJECT + '[project.scripts]\na = "x:a"\nb = "x:b"\n'},
        "several programs in .*: a, b",
        "`web: a`",
    ),
    "no server for the application": (
        {"requirements.txt": "flask\n", "app.py": FLASK},
        "app.py has an application app, but no server",
        "add gunicorn to requirements.txt",
    ),
    "the wrong server": (
        {"requirements.txt": "fastapi\ngunicorn\n", "main.py": FASTAPI},
        "main.py has an application app, but no server",
        "add uvicorn to requirements.txt",
    ),
    "no TOML": ({"pyproject.toml": "[project"}, "pyproject.toml cannot be read", "correct it"),
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("case", COMMANDS)
def test_the_command_is_found(tmp_path: Path, case: str) -> None:
    files, command = COMMANDS[case]
    found = python_project.detect(written(tmp_path, files))
    assert found.command == command
    assert found.web == ("$PORT" in command)


@pytest.mark.parametrize("case", REFUSED)
def test_a_project_that_cannot_start_is_told_what_to_write(tmp_path: Path, case: str) -> None:
    files, message, remedy = REFUSED[case]
    with pytest.raises(ImageError, match=message) as refused:
        python_project.detect(written(tmp_path, files))
    assert remedy in refused.value.remedy


def test_requirements_with_the_files_they_include(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r base.txt\n-c limits.txt\nflask\n",
        "base.txt": "gunicorn\n",
        "limits.txt": "",
        "main.py": "",
    }
    found = python_project.detect(written(tmp_path, files))
    assert found.requirement_files == ("requirements.txt", "base.txt", "limits.txt")
    assert (found.dependencies, found.installs_itself, found.local_places) == ((), False, ())


OUTSIDE = (
    "-r ../outside.txt",
    "-r../outside.txt",
    "--requirement=../outside.txt",
    "-c sub/../../outside.txt",
    "-r /etc/requirements.txt",
    "-r https://example.com/requirements.txt",
    "-e ../library",
    "-e /srv/library",
    "--editable ../library[extra]",
    "../library",
    "sub/../../library",
    "~/library",
    "/srv/library-1.whl",
    "library @ file:///srv/library-1.whl",
    "file:///srv/library-1.whl ; python_version > '3'",
    "--find-links ../wheels",
    "-e link",
    "-r link/outside.txt",
)
INSIDE = (
    "-e .",
    "./library[extra]",
    "-e sub/library",
    "-c sub/limits.txt",
    "library @ https://example.com/library-1.whl",
    "-e git+https://example.com/library.git#egg=library",
    "--find-links https://example.com/wheels",
    "--find-links wheels",
    "--index-url https://example.com/simple",
    "flask>=3  # see ../notes",
    "flask ; sys_platform == 'linux'",
)


def project(folder: Path, line: str) -> Path:
    """A project of which the second list of requirements has this line, and a link out of its folder."""
    written(folder.parent, {"outside.txt": "flask\n"})
    written(folder, {"requirements.txt": "-r more.txt\n", "more.txt": f"gunicorn==1 \\\n  --hash=x\n\n{line}\n", "main.py": ""})
    written(folder, {"sub/limits.txt": ""})
    (folder / "link").symlink_to("..")
    return folder


@pytest.mark.parametrize("line", OUTSIDE)
def test_a_requirement_outside_the_folder_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ImageError, match=r"^more.txt, line 4: ") as refused:
        python_project.detect(project(tmp_path / "project", line))
    assert f"`{line}` is not in the project's folder" in refused.value.message
    assert "copy it into the project's folder" in refused.value.remedy


@pytest.mark.parametrize("line", INSIDE)
def test_a_requirement_in_the_folder_or_in_the_network_is_allowed(tmp_path: Path, line: str) -> None:
    files = python_project.detect(project(tmp_path / "project", line)).requirement_files
    assert files[:2] == ("requirements.txt", "more.txt")


def test_a_dependency_of_a_project_outside_its_folder_is_refused(tmp_path: Path) -> None:
    outside = PROJECT.replace("flask>=3", "library @ file:///srv/library-1.whl")
    with pytest.raises(ImageError, match=r"dependencies of pyproject\.toml: `library @ file:///srv"):
        python_project.detect(written(tmp_path, {"pyproject.toml": outside, "main.py": ""}))


def test_a_project_with_a_build_backend_installs_itself(tmp_path: Path) -> None:
    backend = '[build-system]\nrequires = ["hatchling"]\n'
    found = python_project.detect(written(tmp_path, {"pyproject.toml": PROJECT + backend, "main.py": ""}))
    assert (found.name, found.dependencies, found.installs_itself) == ("shop", ("flask>=3",), True)
    assert not found.comes_with_dependencies


def test_a_project_whose_backend_alone_knows_the_dependencies_is_installed_as_a_whole(tmp_path: Path) -> None:
    dynamic = '[project]\nname = "shop"\ndynamic = ["dependencies"]\n'
    found = python_project.detect(written(tmp_path, {"pyproject.toml": dynamic, "main.py": ""}))
    assert (found.installs_itself, found.comes_with_dependencies) == (True, True)


SCRIPT = PROJECT + '[project.scripts]\nweb = "shop:run"\n[build-system]\nrequires = ["hatchling"]\n'


@pytest.mark.parametrize(("line", "alone"), {"./libs/foo": True, "-e .": False, ".[web]": False, "flask": True}.items())
def test_a_project_is_installed_unless_its_requirements_install_it(tmp_path: Path, line: str, alone: bool) -> None:
    """A library of its own among the requirements left the project out, and its program was not there."""
    found = python_project.detect(written(tmp_path, {"pyproject.toml": SCRIPT, "requirements.txt": line, "libs/foo/x": ""}))
    assert found.installs_itself
    assert found.comes_with_dependencies is not alone


DIRECT = PROJECT.replace("flask>=3", "foo @ file:libs/foo.whl")
LOCAL = {
    "a wheel": ({"requirements.txt": "libs/foo-1.whl\n"}, "libs/foo-1.whl"),
    "a wheel beside it": ({"requirements.txt": "foo-1.whl\n"}, "foo-1.whl"),
    "a wheel by its address": ({"requirements.txt": "foo @ file:libs/foo.whl\n"}, "libs/foo.whl"),
    "a wheel of a project": ({"pyproject.toml": DIRECT}, "libs/foo.whl"),
    "a folder of wheels": ({"requirements.txt": "--find-links wheels\nfoo\n"}, "wheels/foo.whl"),
    "a library with an extra": ({"requirements.txt": "./libs/foo[extra]\n"}, "libs/foo/foo.py"),
    "a list behind a link": ({"requirements.txt": "-> reqs/prod.txt"}, "reqs/prod.txt"),
    "a library behind a link": ({"requirements.txt": "./libs\n", "libs": "-> vendor"}, "vendor/foo/foo.py"),
    "a file behind a link in a library": ({"requirements.txt": "./libs\n", "libs/foo.py": "-> ../all/foo.py"}, "all/foo.py"),
    "the project itself": ({"pyproject.toml": '[project]\nname = "shop"\ndynamic = ["dependencies"]\n'}, "shop/a.py"),
}


@pytest.mark.parametrize(("files", "changed"), LOCAL.values(), ids=LOCAL)
def test_dependencies_are_installed_anew_when_their_files_in_the_project_change(
    tmp_path: Path, files: dict[str, str], changed: str
) -> None:
    """The layer of an earlier build was taken, with the library as it was then."""
    written(tmp_path, {"main.py": "", changed: "former\n", **{name: text for name, text in files.items() if "->" not in text}})
    for name, text in files.items():
        if text.startswith("-> "):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).symlink_to(text.removeprefix("-> "))
    former = key(tmp_path)
    (tmp_path / "main.py").write_text("print()" if "pyproject.toml" not in files else "")
    assert key(tmp_path) == former
    (tmp_path / changed).write_text("another\n")
    assert key(tmp_path) != former


def key(folder: Path) -> str:
    base: Any = SimpleNamespace(layer=SimpleNamespace(descriptor=SimpleNamespace(digest="sha256:base")))
    found = python_project.detect(folder)
    image = PythonImage(found, python_image.read(folder), base, print, print)
    return image._key(python_image._requirements(found))


IN_SHELL = {
    "gunicorn app:app --bind 0.0.0.0:$PORT": "exec gunicorn app:app --bind 0.0.0.0:$PORT",
    "gunicorn app:app --bind :${PORT:-80} 2>&1": "exec gunicorn app:app --bind :${PORT:-80} 2>&1",
    "python3 migrate.py && gunicorn app:app --bind :$PORT": "python3 migrate.py && exec gunicorn app:app --bind :$PORT",
    "A=1 B=$PORT gunicorn app:app": "A=1 B=$PORT exec gunicorn app:app",
    "exec gunicorn $PORT": "exec gunicorn $PORT",
    "A=1 exec gunicorn $PORT": "A=1 exec gunicorn $PORT",
    "gunicorn $PORT | tee /tmp/log": "gunicorn $PORT | tee /tmp/log",
    "helper & gunicorn $PORT": "helper & gunicorn $PORT",
    "run 'a && b' $PORT": "run 'a && b' $PORT",
    "A='1 2' gunicorn $PORT": "A='1 2' gunicorn $PORT",
    "if true; then gunicorn; fi": "if true; then gunicorn; fi",
    "{ gunicorn; }": "{ gunicorn; }",
    "(gunicorn $PORT)": "(gunicorn $PORT)",
    "gunicorn $PORT;": "exec gunicorn $PORT;",
}


@pytest.mark.parametrize("command", IN_SHELL)
def test_the_program_takes_the_place_of_the_shell_that_starts_it(command: str) -> None:
    """A shell that stays keeps SIGTERM to itself, and every replica is killed after its grace period."""
    assert python_image.in_shell(command) == IN_SHELL[command]
    assert subprocess.run(("sh", "-n", "-c", python_image.in_shell(command)), check=False).returncode == 0
