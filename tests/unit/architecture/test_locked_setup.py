"""Whatever the set-up installs is locked by its hash: Python packages, the build backend, uv itself, npm's and Go's modules."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = (ROOT / "requirements.lock", ROOT / "tools" / "setup.lock")
SCRIPTS = ("*.sh", "*.mk", "Makefile", ".ci/*")
INSTALLS = re.compile(r"\b(pip3?|uv|uvx|pipx|npm|npx|yarn|pnpm|go|gem|cargo|curl|wget|easy_install|conda)\b")
WITHOUT_BUILD = {"--no-deps", "--no-build-isolation"}


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a script or a Makefile, as words; comments are none."""
    for line in text.replace("\\\n", " ").splitlines():
        code = re.sub(r"(^|\s)#.*$", "", line).strip().lstrip("@-")
        for command in re.split(r"&&|\|\||[;|&]|\bthen\b|\bdo\b", code):
            try:
                words = shlex.split(command)
            except ValueError:  # quotes of a program in another language
                words = command.split()
            if words:
                yield words


def unlocked(words: list[str]) -> bool:
    """Whether a command installs something, or runs something it fetches, whose hash nobody checks."""
    if words[0] in ("command", "echo", "printf", "export", "exit"):
        return False
    named = [(place, Path(word).name) for place, word in enumerate(words) if INSTALLS.fullmatch(Path(word).name)]
    return any(_unlocked(name, words[place + 1 :]) for place, name in named)


def _unlocked(program: str, rest: list[str]) -> bool:
    verbs = {word for word in rest if not word.startswith("-")}
    match program:
        case "pip" | "pip3" | "uv":
            if not verbs & {"install", "sync", "add", "tool", "run", "download", "wheel"}:
                return False
            own = set(rest) >= WITHOUT_BUILD and _only_editables(rest)
            return "--require-hashes" not in rest and not own
        case "npm":
            return bool(verbs & {"install", "i", "add", "update", "exec"})
        case "go":
            return bool(verbs & {"install", "get"})
        case _:
            return True


def _only_editables(rest: list[str]) -> bool:
    """Folders of this repository, each after --editable."""
    places = [rest[place + 1] for place, word in enumerate(rest) if word in ("-e", "--editable")]
    return bool(places) and all((ROOT / place / "pyproject.toml").is_file() for place in places) and _plain(rest) == len(places)


def _plain(rest: list[str]) -> int:
    """How many things are named, other than options and what belongs to them."""
    owners = ("--python", "-r")
    return sum(
        not word.startswith("-") and word not in ("pip", "install") and rest[place - 1] not in owners
        for place, word in enumerate(rest)
    )


def scripts() -> Iterator[Path]:
    listed = subprocess.run(("git", "ls-files", *SCRIPTS), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from (ROOT / name for name in listed.splitlines())


def pinned(lock: Path) -> dict[str, list[str]]:
    """The packages of a lock file, each with its hashes."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if begins := re.match(r"([A-Za-z0-9._-]+)==", line):
            name = begins[1].lower()
            found[name] = []
        found.setdefault(name, []).extend(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def test_every_script_installs_by_hash_only():
    found = [
        f"{file.relative_to(ROOT)}: {' '.join(words)}"
        for file in scripts()
        for words in commands(file.read_text())
        if unlocked(words)
    ]
    assert found == []


ADDED = (
    "pip install requests",
    '.venv/bin/python -m pip install "uv==0.13.8"',
    ".venv/bin/uv pip install --no-deps --editable . --editable sdk",
    ".venv/bin/uv pip install --no-deps --no-build-isolation --editable . requests",
    "[ -x x ] || .venv/bin/uv pip sync requirements.lock",
    "uv tool install ruff",
    "uvx ruff",
    "npm --prefix sdk/typescript install",
    "npx tsc",
    "go install example.org/tool@latest",
    "curl -LsSf https://example.org/install.sh | sh",
)
LOCKED = (
    ".venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock",
    ".venv/bin/uv pip install --python .venv/bin/python --no-deps --no-build-isolation --editable . --editable sdk",
    "npm --prefix sdk/typescript ci --silent",
    "command -v npm >/dev/null",
    'echo "pip install is not needed"',
    "# pip install requests",
)


@pytest.mark.parametrize("line", ADDED)
def test_an_install_without_a_hash_is_found(line: str):
    assert any(unlocked(words) for words in commands(line))


@pytest.mark.parametrize("line", LOCKED)
def test_an_install_by_hash_is_accepted(line: str):
    assert not any(unlocked(words) for words in commands(line))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_has_a_hash(lock: Path):
    found = pinned(lock)
    assert found
    assert [name for name, hashes in found.items() if not hashes] == []


@pytest.mark.parametrize("project", ["pyproject.toml", "sdk/pyproject.toml"])
def test_the_build_backend_is_locked_and_so_is_what_it_needs_for_an_editable_install(project: str):
    wanted = tomllib.loads((ROOT / project).read_text())["build-system"]["requires"]
    names = {re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower() for requirement in wanted}  # type: ignore[index]
    assert {*names, "editables"} <= pinned(LOCKS[0]).keys()


def test_the_package_that_installs_all_others_is_locked():
    assert list(pinned(LOCKS[1])) == ["uv"]


def test_npm_packages_have_their_hashes():
    packages = json.loads((ROOT / "sdk" / "typescript" / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if name and not package.get("integrity", "").startswith("sha512-")] == []


def test_go_modules_have_their_sums():
    listed = subprocess.run(("git", "ls-files", "*go.mod"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [name for name in listed.split() if not (ROOT / name).with_name("go.sum").is_file()] == []
