"""What is printed, and how the program begins and ends, whatever the terminal."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cyclopts import App, Token
from pincompute_sdk.cli import argument_errors, command_dispatch, command_table, error_report, options, plan_view
from pincompute_sdk.cli import init as writing
from pincompute_sdk.cli.__main__ import main
from pincompute_sdk.cli.command_table import GROUPS, CommandEntry
from pincompute_sdk.cli.error_report import CODES, CommandError
from pincompute_sdk.cli.exit_codes import MEANING
from pincompute_sdk.cli.manifest import manifest_file, manifest_validation
from pincompute_sdk.cli.output import formats, human_values, jsonpath, table, terminal
from pincompute_sdk.cli.output.human_values import age, joined
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.core import errors
from pincompute_sdk.generated.models import Change

from pincompute.api import image_ownership

pytestmark = pytest.mark.programs

PIN = Path(sys.executable).with_name("pin")
DATA = {"items": [{"name": "a", "n": 1}, {"name": "b", "labels": {"x.y": "z"}}]}
PATHS = {
    "{.items[*].name}": ["a", "b"],
    "$.items[0].n": [1],
    "items[-1].name": ["b"],
    ".items[1].labels['x.y']": ["z"],
    ".items[7].name": [],
    ".absent": [],
    "": [DATA],
}


@pytest.mark.parametrize("path", PATHS)
def test_jsonpath(path: str) -> None:
    assert jsonpath.find(path, DATA) == PATHS[path]


@pytest.mark.parametrize("path", [".items[?(@.n==1)]", ".items[", "..name"])
def test_a_jsonpath_that_is_not_understood(path: str) -> None:
    with pytest.raises(CommandError, match="is not understood"):
        jsonpath.find(path, DATA)


BOTH = """
from pincompute_sdk.cli.output import terminal
terminal.out("first")
terminal.err("second")
terminal.out("third")
terminal.err("fourth")
"""


def _both(**streams: int) -> subprocess.CompletedProcess[str]:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", BOTH], env=buffered, text=True, check=False, **streams)


def test_both_streams_keep_their_order_in_a_pipe() -> None:
    """As on a terminal. Standard output is written in large pieces there, and standard error at once."""
    done = _both(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.stdout.split() == ["first", "second", "third", "fourth"]


def test_an_error_is_read_where_nobody_reads_the_output() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _both(stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.stderr.split()[:2] == ["second", "fourth"]


FIRST: TableColumn[tuple[str, str]] = TableColumn("a", lambda row: row[0], state=True)
SECOND: TableColumn[tuple[str, str]] = TableColumn("b", lambda row: row[1])
COLUMNS = (FIRST, SECOND)


def test_tables_in_a_pipe_are_aligned_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    table.show([("1", long), ("22", "")], COLUMNS, wide=False, nothing="none")
    assert capsys.readouterr().out == f"A   B\n1   {long}\n22  -\n"


def test_a_table_that_is_too_wide_for_the_terminal_keeps_its_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "interactive", lambda _stream=None: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    table.show([("Running", "x" * 300)], COLUMNS, wide=False, nothing="none")
    assert capsys.readouterr().out.splitlines()[1] == f"\033[32mRunning\033[0m  {'x' * 300}"


def test_variables_that_come_together_are_shown_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    came = Change(field="containers.web.env", before=None, after={"A": "1", "B": {"secret": "key"}})
    gone = Change(field="containers.web.env", before={"C": "2"}, after=None)
    plan_view.change("App demo/web", [came, gone], "")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "    + containers.web.env.A: 1",
        '    + containers.web.env.B: {"secret": "key"}',
        "    - containers.web.env.C: 2",
    ]


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("describe", "that is `pin explain NAME` here"),
        ("stauts", "did you mean `pin status`?"),
        ("qqqqq", "`pin --help` lists all commands"),
    ],
)
def test_a_command_of_another_tool_is_named_as_it_is_here(typed: str, remedy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([typed]) == 2
    assert capsys.readouterr().err == f"error: there is no command {typed}\n  remedy: {remedy}\n"


def test_every_command_of_another_tool_leads_to_one_of_ours() -> None:
    for name, ours in argument_errors.ELSEWHERE_CALLED.items():
        assert command_table.find(name) is None
        assert command_table.find(ours.split()[0]) is not None


def test_words() -> None:
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert age(None) == ""


def test_the_help_is_printed_from_the_table_alone() -> None:
    """Start-up is fast because nothing else is imported: not cyclopts, not rich, not the HTTP client."""
    script = "import sys; from pincompute_sdk.cli.__main__ import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(command.name in done.stdout for group in GROUPS.values() for command in group)
    heavy = {"cyclopts", "rich", "httpx2", "msgspec", "yaml", "asyncio"}
    assert not heavy & set(done.stderr.split())


def test_a_command_loads_nothing_for_a_terminal_that_it_does_not_have(tmp_path: Path) -> None:
    script = "import sys; from pincompute_sdk.cli.__main__ import main; main(['status', 'x']); print(*sys.modules)"
    environment = {"HOME": str(tmp_path), "PINCOMPUTE_SERVER": "http://127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert "you are not logged in" in done.stderr
    loaded = set(done.stdout.split())
    assert {"cyclopts", "httpx2"} <= loaded
    assert "rich" not in loaded


@pytest.mark.parametrize("command", [command.name for group in GROUPS.values() for command in group])
def test_every_command_exists_and_has_help(command: str) -> None:
    done = _pin(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: pin {command}" in done.stdout
    assert "\033[" not in done.stdout


def _pages() -> list[list[str]]:
    """Every page of help: of commands, and of the commands of commands."""

    def below(at: App, words: list[str]) -> Iterator[list[str]]:
        yield words
        for name in at:
            if not name.startswith("-"):
                yield from below(at[name], [*words, name])

    return list(below(command_dispatch.app("pin"), []))[1:]


@pytest.mark.parametrize("words", _pages(), ids=" ".join)
def test_every_page_explains_every_argument_and_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A name that stands alone on its line has no explanation."""
    assert main([*words, "--help"]) == 0
    page = capsys.readouterr().out
    parts = page.partition("\n\nExamples\n")[0].splitlines()
    assert [line for line in parts if re.fullmatch(r"  \S+( [A-Z]+)?", line)] == []
    assert "\nExamples\n  pin " in page


@pytest.mark.parametrize(
    "words", [("admin", "sidecar"), ("admin", "sidecar", "pause"), ("admin", "daemon"), ("admin", "audit"), ("admin", "limits")]
)
def test_a_page_shows_the_examples_of_its_own_command(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out.partition("\nExamples\n")[2].splitlines()
    assert shown
    assert all(line.startswith(f"  pin {' '.join(words)} ") for line in shown)


def test_a_duration_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["delete", "--help"]) == 0
    assert "--timeout DURATION " in capsys.readouterr().out


@pytest.mark.parametrize("command", tuple(command_table.every()), ids=lambda command: command.name)
def test_examples_are_what_the_command_takes(command: CommandEntry) -> None:
    for example in command.examples:
        words = shlex.split(example)
        assert words[0] == command.name
        command_dispatch.app("pin").parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("-p demo list", "list -p demo"),
        ("--project=demo -o json secret list --x", "secret list --project=demo -o json --x"),
        ("-p demo exec hello ls -la", "exec -p demo hello ls -la"),
        ("--context c secret", "secret --context c"),
        ("secret -p demo list", "secret -p demo list"),
        ("-x list", "-x list"),
        ("-p demo nothing", "-p demo nothing"),
        ("-p", "-p"),
        ("", ""),
    ],
)
def test_options_before_a_command_are_its_own(typed: str, read: str) -> None:
    assert command_table.command_first(typed.split()) == read.split()


def test_kubectl_finds_it_as_a_plugin() -> None:
    """`kubectl pin` runs `kubectl-pin` of the PATH; its help says how it was called."""
    plugin = PIN.with_name("kubectl-pin")
    done = subprocess.run([plugin, "status", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "Usage: kubectl pin status [OPTIONS] NAME"
    assert "  kubectl pin status hello" in done.stdout
    done = subprocess.run([plugin, "stauts"], capture_output=True, text=True, check=False)
    assert "did you mean `kubectl pin status`?" in done.stderr


def test_a_command_that_does_not_exist_names_the_nearest() -> None:
    done = _pin("delpoy")
    assert done.returncode == 2
    assert "did you mean `pin deploy`?" in done.stderr


def test_output_that_is_closed_early_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{PIN} completion bash | head -1; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_without_a_server_the_remedy_is_a_login() -> None:
    done = _pin("list", "-p", "demo")
    assert done.returncode == 2
    assert "pin login --server" in done.stderr


def test_exit_codes_and_variables_are_documented() -> None:
    pages = (Path(__file__).parents[3] / "docs" / "cli.md").read_text("utf-8")
    assert all(f"`{name}`" in pages for name in command_table.VARIABLES)
    assert all(name in command_table.overview("pin") for name in command_table.VARIABLES)
    assert all(f"| {code} | {meaning} |" in pages for code, meaning in MEANING.items())
    assert all(issubclass(kind, errors.PinError) for kind in CODES)


DOCKERFILES = {"FROM a\nEXPOSE 9000/tcp 9001\n": 9000, "FROM a\n": 0}


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_init_reads_the_folder(tmp_path: Path, dockerfile: str) -> None:
    folder = tmp_path / "My Shop_2"
    folder.mkdir()
    (folder / "Dockerfile").write_text(dockerfile)
    found = writing.detect(folder)
    assert (found.name, found.built, found.port) == ("my-shop-2", True, DOCKERFILES[dockerfile])


FLASK = "from flask import Flask\napp = Flask(__name__)\n@app.get('/healthz')\ndef healthz():\n    return 'ok'\n"
FOLDERS: dict[str, tuple[dict[str, str], tuple[int, str, bool]]] = {
    "a Dockerfile without USER": ({"Dockerfile": "FROM a\nEXPOSE 80\n"}, (80, "", True)),
    "a Dockerfile with the name of a user": ({"Dockerfile": "FROM a\nUSER app\n"}, (0, "", True)),
    "a Dockerfile whose last USER is a number": ({"Dockerfile": "FROM a\nUSER root\nUSER 1000:1000\n"}, (0, "", False)),
    "a Python web app": ({"requirements.txt": "flask\ngunicorn\n", "app.py": FLASK}, (8080, "/healthz", False)),
    "a Python program that reads PORT": ({"main.py": "os.environ['PORT']\n"}, (8080, "", False)),
    "a Python program that listens to nobody": ({"main.py": "print(1)\n"}, (0, "", False)),
    "stages of which the last makes the image": (
        {"Dockerfile": "FROM go AS build\nUSER 1000\nEXPOSE 9999\nFROM debian\nCOPY --from=build /a /a\nEXPOSE 80\n"},
        (80, "", True),
    ),
    "a stage that is built from another": (
        {"Dockerfile": "FROM --platform=x debian AS Base\nUSER 1000\nEXPOSE 80\nfrom go\nUSER 0\nFROM base as run\nCMD x\n"},
        (80, "", False),
    ),
    "an image.yaml without a user": ({"image.yaml": "entrypoint: [/x]\n"}, (0, "", True)),
    "an image.yaml with a user": ({"image.yaml": "entrypoint: [/x]\nuser: 65532:65532\n"}, (0, "", False)),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_init_names_the_image_that_a_build_makes_in_the_project(tmp_path: Path, case: str) -> None:
    files, (port, health, root) = FOLDERS[case]
    folder = tmp_path / "web"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    found = writing.detect(folder)
    assert (found.port, found.health, found.root, found.built) == (port, health, root, True)
    done = _pin("init", str(folder), "--project", "demo")
    assert done.returncode == 0, done.stderr
    manifest = manifest_file.read((folder / "app.yaml").read_text("utf-8"), "app.yaml")
    manifest_validation.check(manifest)
    assert manifest.data["containers"][0]["image"] == f"{image_ownership.REGISTRY}/demo/web:1"
    assert ("advanced" in manifest.data) == root


@pytest.mark.parametrize(("file", "remedy"), {"Dockerfile": "--project NAME", "": "--image IMAGE --port PORT"}.items())
def test_init_without_a_login_and_a_terminal_says_what_to_name(tmp_path: Path, file: str, remedy: str) -> None:
    if file:
        (tmp_path / file).write_text("FROM a\n")
    done = _pin("init", str(tmp_path))
    assert done.returncode == 2
    assert f"remedy: {'log in' if file else 'name'}" in done.stderr
    assert remedy in done.stderr
    assert not (tmp_path / "app.yaml").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = _pin("init", str(tmp_path / "none"), "--image", "x:1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"error: {tmp_path}/none/app.yaml cannot be used"
    assert "  reason: No such file or directory" in done.stderr
    assert "  remedy: " in done.stderr


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text("mine")
    done = _pin("init", str(tmp_path), "--image", "x:1")
    assert (done.returncode, (tmp_path / "app.yaml").read_text()) == (5, "mine")


def _pin(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a program of its own, with nobody at the terminal and nothing configured."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COLUMNS": "80"}
    return subprocess.run(
        [PIN, *arguments], capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL
    )


CORE_SCHEMA = re.compile(
    r"~|null|Null|NULL|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.nan|\.NaN|\.NAN|"
)
"""What YAML 1.2 (10.3.2) does not read as a string."""

TEXTS = (
    "1e3",
    "12e6",
    "0o17",
    "017",
    "0x1F",
    "1_000",
    "12:30:45",
    "on",
    "No",
    "y",
    "N",
    "~",
    "",
    "null",
    ".5",
    "5.",
    "+1",
    ".inf",
)


@pytest.mark.parametrize("text", TEXTS)
def test_readers_of_yaml_1_1_and_1_2_read_a_string_as_a_string(text: str) -> None:
    printed = formats.to_yaml({"value": text})
    assert yaml.safe_load(printed) == {"value": text}
    scalar = printed.removeprefix("value:").strip()
    assert scalar[:1] in ("'", '"') or not CORE_SCHEMA.fullmatch(scalar)
    assert scalar[:1] in ("'", '"') or scalar not in ("y", "Y", "n", "N")


@pytest.mark.parametrize("text", ["web", "1.2.3", "10Mi", "100m", "yesterday", "e3", "2026-11-29x"])
def test_what_nobody_misreads_stays_plain(text: str) -> None:
    assert formats.to_yaml({"value": text}) == f"value: {text}\n"


DURATIONS = {"60": 60, "60s": 60, "1.5": 1.5, "10m": 600, "1h30m": 5400, "0": 0}


@pytest.mark.parametrize("text", DURATIONS)
def test_durations(text: str) -> None:
    assert options._seconds(float, [Token(value=text)]) == DURATIONS[text]


@pytest.mark.parametrize("text", ["", "x", "-5", "5 m", "1m1h", "nan", "inf", "1e3"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write seconds, or 90s, 10m, 1h30m"):
        options._seconds(float, [Token(value=text)])


@pytest.mark.parametrize(
    ("milli", "text"), [(0, "0"), (7, "7m"), (999, "999m"), (1000, "1"), (1250, "1.25"), (9_990, "9.99"), (64_000, "64")]
)
def test_cores_are_written_as_in_a_file(milli: int, text: str) -> None:
    assert human_values.cores(milli) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0"), (999, "999"), (1024, "1Ki"), (64 << 20, "64Mi"), (3 << 29, "1.5Gi"), (1000 << 30, "1Ti"), (1 << 50, "1Pi")],
)
def test_memory_is_written_as_in_a_file(amount: int, text: str) -> None:
    assert human_values.memory(amount) == text


@pytest.mark.parametrize(
    ("part", "whole", "drawn"),
    [(0, 10, "░░░░"), (1, 1000, "█░░░"), (5, 10, "██░░"), (10, 10, "████"), (30, 10, "████"), (0, 0, "░░░░"), (3, 0, "█░░░")],
)
def test_a_bar_is_never_empty_while_there_is_some(part: int, whole: int, drawn: str) -> None:
    assert human_values.bar(part, whole, 4) == drawn


def test_a_remedy_that_a_field_says_already_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Clients of image registries show nothing but the fields, so these say all."""
    field = errors.FieldError(field="scope", message="project shop stores 21Gi: delete some")
    document = errors.ProblemDocument(code="limit-exceeded", title="a limit", remedy="delete some", errors=(field,))
    error_report.report(errors.LimitExceededError(document))
    said = capsys.readouterr().err
    assert said.count("delete some") == 1
    assert "scope" in said


EMPTY = (
    "deploy ''",
    "deploy -f ''",
    "image build ''",
    "image build --save ''",
    "image import ''",
    "init ''",
    "secret set x -f ''",
)


@pytest.mark.parametrize("words", EMPTY)
def test_an_empty_path_is_refused_and_not_the_current_folder(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a variable of a script that is not set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.yaml").write_text("kind: App\nname: hello\n")
    assert main(shlex.split(words)) == 2
    assert "a path is empty: name a file or folder\n" in capsys.readouterr().err
