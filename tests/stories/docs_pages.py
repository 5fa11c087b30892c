"""Reads the pages of the documentation: their blocks of commands, the files that they show, their marks and their links.

A page is plain Markdown. These conventions make it a test (CONTRIBUTING.md, "How to write a page"):

- a `console` block holds commands behind `$ ` (behind `> ` where one continues) and what they print,
- a block whose first line is a comment with the name of a file (`# app.yaml`) is that file,
- a `python` block without such a line is a program,
- comments of HTML, which no reader sees, are marks: `not run: REASON`, `as admin`, `run: COMMANDS`, `run as admin: COMMANDS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "reference").glob("*.md")))
PROMPT = "$ "
CONTINUED = "> "
PROGRAMS = ("pin", "pincompute", "kubectl", "make", "curl", "docker", "buildah", "pip", "uv", "npm")
MARK = re.compile(r"<!--\s*(not run|as|run(?: as \w+)?)\b:?\s*(.*?)\s*-->", re.DOTALL)
FILE = re.compile(r"^(?:#|//)\s*([\w./-]*(?:\.\w+|Dockerfile|\.dockerignore))(?::.*)?$")
STATUS = re.compile(r"#.*\bexit status (\d+)")


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it is typed, and the lines that the page shows below it."""

    line: int
    text: str
    output: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status that a comment behind the command names; else success."""
        named = STATUS.search(self.text)
        return int(named[1]) if named else 0


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, or commands of a comment, which a page needs and does not show."""

    line: int
    language: str
    text: str
    not_run: str = ""
    user: str = "dev"

    @property
    def file(self) -> str:
        """The name of the file that the block shows, if any."""
        first = self.text.partition("\n")[0]
        named = FILE.match(first) if self.language != "console" else None
        return named[1] if named else ""

    @property
    def program(self) -> bool:
        return self.language == "python" and not self.file

    @property
    def commands(self) -> tuple[Command, ...]:
        return tuple(_commands(self)) if self.language == "console" else ()

    @property
    def runs(self) -> bool:
        return not self.not_run and bool(self.commands or self.program)


@dataclass(frozen=True, slots=True)
class Page:
    """One page, read once."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(_blocks(self.tokens))

    @property
    def tokens(self) -> list[Token]:
        return _parsed(self.path.read_text("utf-8"))

    @property
    def spans(self) -> tuple[tuple[int, str], ...]:
        """The code inside sentences and tables: the line where its paragraph begins, and its text."""
        return tuple((line, token.content) for line, token in self._inline() if token.type == "code_inline")

    @property
    def links(self) -> tuple[tuple[int, str], ...]:
        """The line where the paragraph of a link begins, and where the link leads."""
        return tuple((line, str(token.attrs["href"])) for line, token in self._inline() if token.type == "link_open")

    @property
    def anchors(self) -> frozenset[str]:
        """The anchors of the headings, as GitHub makes them."""
        headings = (after.content for token, after in zip(self.tokens, self.tokens[1:], strict=False) if _opens(token))
        return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)

    def _inline(self) -> Iterator[tuple[int, Token]]:
        for token in self.tokens:
            for child in token.children or ():
                yield (token.map or [0])[0] + 1, child


def pages() -> tuple[Page, ...]:
    return tuple(Page(path) for path in PAGES)


@cache
def _parsed(text: str) -> list[Token]:
    return MarkdownIt("gfm-like", {"linkify": False}).parse(text)


def _opens(token: Token) -> bool:
    return token.type == "heading_open"


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    not_run, user = "", "dev"
    for token in tokens:
        line = (token.map or [0])[0] + 1
        if token.type == "html_block":
            for mark, said in MARK.findall(token.content):
                match mark:
                    case "not run":
                        not_run = said
                    case "as":
                        user = said
                    case _:
                        commands = "\n".join(PROMPT + each.strip() for each in said.splitlines())
                        yield Block(line, "console", commands, user=mark.removeprefix("run as ") if " " in mark else "dev")
        elif token.type in ("fence", "code_block"):
            yield Block(line + 1, token.info.partition(" ")[0], token.content, not_run, user)
            not_run, user = "", "dev"


def _commands(block: Block) -> Iterator[Command]:
    line, text, output = 0, "", list[str]()
    for number, said in enumerate(block.text.splitlines(), block.line):
        if said.startswith(PROMPT):
            if text:
                yield Command(line, text, tuple(output))
            line, text, output = number, said.removeprefix(PROMPT), []
        elif said.startswith(CONTINUED) and not output:
            text += "\n" + said.removeprefix(CONTINUED)
        elif text.endswith("\\") and not output:
            text += "\n" + said
        else:
            output.append(said)
    if text:
        yield Command(line, text, tuple(output))
