"""No page of the documentation has a command that neither runs in a test nor says why not, or a link that leads nowhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import docs_output
import docs_words
import pytest
from docs_pages import PAGES, PROGRAMS, ROOT, Block, Page, pages

AT_MOST = {
    "makes a region; tests share one": 4,
    "changes the region that tests share": 6,
    "a story of its own runs it": 2,
    "needs clusters that exist": 8,
    "needs a terminal": 4,
    "needs a shell in the image": 8,
    "needs another program or registry": 6,
}
"""Why commands on pages do not run, and how many may not. Prefer a command that runs."""
COMMAND = re.compile(rf"\s*(?:\$ |(?:{'|'.join(PROGRAMS)}) +[a-z-])")
REFERENCE = re.compile(r"\.(md|sh|txt)\b")

every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def blocks() -> Iterator[tuple[Page, Block]]:
    yield from ((page, block) for page in pages() for block in page.blocks)


@every_page
def test_every_command_stands_in_a_block_that_runs(page: Page):
    """A command in a block without `console` would never run."""
    astray = [
        f"{page.name}:{number}: {line.strip()}"
        for block in page.blocks
        if block.language != "console" and not block.file
        for number, line in enumerate(block.text.splitlines(), block.line)
        if COMMAND.match(line) and block.language != "python"
    ]
    assert astray == [], "make it a `console` block, with `$ ` before each command"


@every_page
def test_every_console_block_has_commands(page: Page):
    empty = [f"{page.name}:{block.line}" for block in page.blocks if block.language == "console" and not block.commands]
    assert empty == []


def test_commands_that_do_not_run_are_few_and_say_why():
    found = Counter[str]()
    for _, block in blocks():
        if block.not_run:
            found[block.not_run] += len(block.commands) or 1
    assert found.keys() <= AT_MOST.keys(), "use one of these reasons, or add one here"
    assert {reason: count for reason, count in found.items() if count > AT_MOST[reason]} == {}


@every_page
def test_commands_in_sentences_exist(page: Page):
    wrong = [f"{page.name}:{line}: `{span}`: {word}" for line, span in page.spans if (word := docs_words.unknown(span))]
    assert wrong == []


@every_page
def test_commands_in_blocks_exist(page: Page):
    """Those that do not run are read at least."""
    commands = [command for block in page.blocks for command in block.commands]
    wrong = [
        f"{page.name}:{each.line}: {word}" for each in commands if (word := docs_words.unknown(each.text.partition("#")[0]))
    ]
    assert wrong == []


@every_page
def test_every_link_leads_somewhere(page: Page):
    assert [f"{page.name}:{line}: {target}" for line, target in page.links if not leads(page, target)] == []


def leads(page: Page, target: str) -> bool:
    """Whether a relative link names a file, and an anchor that it has."""
    if "://" in target:
        return True
    path, _, anchor = target.partition("#")
    found = (page.path.parent / path).resolve() if path else page.path
    if not found.exists():
        return False
    return not anchor or found.suffix != ".md" or anchor in Page(found).anchors


def test_every_page_is_reached_from_the_readme():
    seen, waiting = set[str](), [PAGES[0]]
    while waiting:
        page = Page(waiting.pop())
        if page.path.suffix != ".md" or page.name in seen:
            continue
        seen.add(page.name)
        waiting += [(page.path.parent / target.partition("#")[0]).resolve() for _, target in page.links if _file(page, target)]
    assert [page.name for page in pages() if page.name not in seen] == []


def _file(page: Page, target: str) -> bool:
    path = target.partition("#")[0]
    found = (page.path.parent / path).resolve()
    return bool(path) and "://" not in target and found.is_file() and found.is_relative_to(ROOT)


@pytest.mark.parametrize(
    ("span", "word"),
    [
        ("pin status hello --watch", ""),
        ("pin COMMAND --help", ""),
        ("pin admin audit verify", ""),
        ("pin project get NAME", ""),
        ("pin token create NAME --role developer", ""),
        ("pincompute region image build", ""),
        ("pincompute region up --new-encryption-key", ""),
        ("kubectl drain", ""),
        ("pin delpoy", "delpoy"),
        ("pin admin cluster", "cluster"),
        ("pin status hello --wacth", "--wacth"),
        ("pincompute region upp", "upp"),
    ],
)
def test_a_wrong_word_of_a_command_is_found(span: str, word: str):
    assert docs_words.unknown(span) == word


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ((), "anything", True),
        (("hello  Running  6/6 ready",), "hello  Running  6/6 ready\n", True),
        (("hello  Running  6/6 ready",), "hello  Running  5/6 ready\n", False),
        (("hello/0  Running  34m",), "hello/0  Running     2h10m\n", True),
        (("hello/0  Running  34m",), "hello/0  Running  1m20s  1 restart\n", True),
        (("hello  cpu 100m",), "hello  cpu 500m\n", False),
        (("took 59m, 1h 20m",), "took 3m, 12h 5m\n", True),
        (("a", "…", "d"), "a\nb\nc\nd\n", True),
        (("a", "…", "d"), "a\nd\n", True),
        (("a", "…", "d"), "a\nb\n", False),
        (("a", "…"), "b\na\n", False),
        (("…", "c"), "a\nc\nb\nc\n", True),
        (("…", "b"), "a\nb\nc\n", False),
        (("a",), "a\nb\n", False),
        (("answers at 10.64.0.1:16191",), "answers at 10.65.0.1:16391\n", True),
        (("revision v2cfa938f814837293",), "revision v21c9c6a90353dad39\n", True),
        (("revision v2cfa938f814837293",), "revision none\n", False),
        (("since 2026-11-29 09:12:03Z",), "since 2027-01-02 12:51:24Z\n", True),
        (("head …", "not proved: the last … records"), "head 85\nnot proved: the last 3 records\n", True),
        (("created 3 apps",), "created 4 apps\n", False),
    ],
)
def test_output_is_compared_but_for_what_differs_between_runs(shown: tuple[str, ...], printed: str, fits: bool):
    assert docs_output.matches(shown, printed) is fits


def test_a_page_is_read_as_its_conventions_say(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text(
        "# A page\n\n<!-- run as admin: pin project create shop\npin project list -->\n\n"
        "```yaml\n# web/app.yaml: the app\nkind: App\n```\n\n"
        "```console\n$ pin deploy   # exit status 1\nerror: no\n$ cat > x <<END\n> text\n> END\n```\n\n"
        "<!-- not run: needs a terminal -->\n```console\n$ pin shell hello\n```\n\n"
        "```python\nprint()\n```\n\n```\nplain\n```\n"
    )
    setup, file, run, marked, program, plain = Page(path).blocks
    assert [command.text for command in setup.commands] == ["pin project create shop", "pin project list"]
    assert setup.user == "admin"
    assert (file.file, file.runs) == ("web/app.yaml", False)
    assert [(each.text, each.output, each.status) for each in run.commands] == [
        ("pin deploy   # exit status 1", ("error: no",), 1),
        ("cat > x <<END\ntext\nEND", (), 0),
    ]
    assert (run.user, run.runs, run.commands[0].line) == ("dev", True, 12)
    assert (marked.not_run, marked.runs) == ("needs a terminal", False)
    assert (program.program, program.runs, plain.runs) == (True, True, False)
    assert Page(path).anchors == {"a-page"}
