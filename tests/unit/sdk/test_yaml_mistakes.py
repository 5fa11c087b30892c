"""Mistakes in YAML files: a plain sentence with the line, the column, a caret and what to write, and no word of the parser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.manifest import manifest_file
from pincompute_sdk.core import configuration, yaml_mistakes
from pincompute_sdk.core.errors import ConfigurationError
from pincompute_sdk.images.build import image_recipe
from pincompute_sdk.images.image_errors import ImageError

TAB, DEEPER = "this line is indented with a tab", "this line is indented deeper than the one above, which has a value already"
QUOTES, AS_NONE = "put the value in quotes", "this line is indented as no line above it"
MISTAKES: Mapping[str, tuple[str, str, str, str]] = {
    "a tab": ("kind: App\nupdate:\n\tpause: 1\n", "3:1", TAB, "indent with spaces"),
    "a tab in a list": ("containers:\n- name: web\n\timage: x\n", "3:1", TAB, "indent with spaces"),
    "a tab in brackets": ("zones: [\n\ta]\n", "2:1", TAB, "indent with spaces"),
    "no colon": ("kind: App\nname hello\nreplicas: 2\n", "2:5", "a colon is missing behind name", "write `name: hello`"),
    "no colon in the first line": ("kind App\nname: hello\n", "1:5", "a colon is missing behind kind", "write `kind: App`"),
    "no colon in the last line": ("kind: App\nname hello\n", "2:5", "a colon is missing behind name", "write `name: hello`"),
    "no colon in a list": (
        "containers:\n- name: web\n  image hello:1\n  ports: []\n",
        "3:8",
        "a colon is missing behind image",
        "write `image: hello:1`",
    ),
    "no colon above a list": ("kind: App\ncontainers\n- name: web\n", "2:11", "a colon is missing behind", "`containers:`"),
    "no colon above fields": ("kind: App\nupdate\n  pause: 1\n", "2:7", "a colon is missing behind update", "write `update:`"),
    "no space behind a colon": ("kind: App\nname:hello\na: 2\n", "2:5", "a space is missing behind the colon", "`name: hello`"),
    "no space in the first line": ("kind:App\nname: x\n", "1:5", "a space is missing behind the colon", "write `kind: App`"),
    "two colons": ("name: a: b\n", "1:8", "a value has a colon and a space in it", 'in quotes: `name: "a: b"`'),
    "no space behind a dash": (
        "containers:\n-name: web\n image: y\n",
        "2:1",
        "a space is missing behind the dash",
        "write `- name: web`",
    ),
    "a quote that is open to the end": ('a: 1\nname: "x\nb: 2\n', "2:7", "the quote that begins here is not closed", 'with "'),
    "a single quote that is open": ("name: 'x\nb: 2\n", "1:7", "the quote that begins here is not closed", "close it with '"),
    "a quote that a later one closes": (
        'a: 1\nname: "x\nimage: "y"\n',
        "2:7",
        "the quote that begins here is not closed in its line",
        'close it with "',
    ),
    "text behind a quote": ("command: 'it's'\n", "1:14", "more text stands behind the quote", "the other kind around it"),
    "a deeper line": ("kind: App\nname: hello\n  replicas: 3\n", "3:3", DEEPER, "as far as the fields above it"),
    "a deeper line in a list": ("containers:\n- name: web\n   image: x\n", "3:4", DEEPER, "as far as the fields above it"),
    "a line that is less deep": ("containers:\n- name: web\n image: x\n", "3:2", AS_NONE, "equally far"),
    "a dash that is less deep": ("containers:\n  - name: a\n - name: b\n", "3:4", AS_NONE, "equally far"),
    "a first line that is deeper": ("  kind: App\nname: x\n", "2:1", "indented less than the first line", "equally far"),
    "an item among fields": ("kind: App\n- a\n", "2:1", "an item of a list stands among fields", "below the field"),
    "a field among items": ("- a\nkind: App\n", "2:1", "a field stands among the items of a list", "`- `"),
    "an open bracket": ("zones: [a, b\nname: x\n", "1:8", "the [ that begins here is not closed", "close it with ]"),
    "an open brace": ("ports: {port: 80\nname: x\n", "1:8", "the { that begins here is not closed", "close it with }"),
    "a bracket too many": ("zones: [a]]\n", "1:11", "nothing opens what this ] closes", "remove it"),
    "a sign at the beginning": ("name: @x\n", "1:7", "a value cannot begin with @", QUOTES),
    "a star": ("hosts: [*.example.com]\n", "1:9", "a value cannot begin with *", QUOTES),
    "an alias of nothing": ("name: *x\n", "1:7", "nothing above is named &x", 'put it in quotes: "*x"'),
    "an ampersand": ("name: & x\n", "1:7", "a value cannot begin with &", QUOTES),
    "a tag": ("name: !Ref x\n", "1:7", "!Ref means nothing here", "without it"),
    "a template": ("image: {{ image }}\n", "1:9", "where the name of a field must be", "fill in {{ }} of a template first"),
    "a list in the line of its field": ("zones: - a\n", "1:8", "a list cannot begin behind a field", "write [a, b]"),
    "an escape": ('name: "\\d+"\n', "1:9", "\\d means nothing in double quotes", "use single quotes"),
    "a control character": ("a: 1\nname: a\x07b\n", "2:8", "the control character 0x07 is in the file", "remove it"),
    "a date that is none": ("name: 2024-13-45\n", "1:7", "this looks like a date or a number, and is none", QUOTES),
    "an equals sign": ("name: =\n", "1:7", "a value cannot be = alone", QUOTES),
    "merged fields that are none": ("<<: 3\n", "1:5", "<< takes fields", "write the fields themselves"),
    "text behind a bar": ("name: |x\n  a\n", "1:7", "nothing may stand behind | or >", "in the next line, indented"),
    "a conflict": ("<<<<<<< HEAD\nname: a\n=======\nname: b\n>>>>>>> x\n", "1:1", "a conflict of a merge", "keep one"),
    "a field twice": ("kind: App\nname: a\nname: b\n", "3:1", "name is written twice, first in line 2", "keep one of them"),
    "what no rule knows": ("a: !!binary zz\n", "1:4", "YAML cannot be read from here on", "and of the one above"),
}
PARSERS_WORDS = re.compile(r"scalar|token|mapping|block|sequence|while|simple key|expected|constructor|unhashable|stream")


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_in_plain_words_with_its_place(case: str) -> None:
    text, place, sentence, remedy = MISTAKES[case]
    with pytest.raises(CommandError) as caught:
        manifest_file.read(text, "app.yaml")
    head, shown, caret = caught.value.message.split("\n")
    assert head.startswith(f"app.yaml:{place}: "), head
    assert sentence in head
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 2
    line, column = map(int, place.split(":"))
    assert shown == f"{line} | {text.splitlines()[line - 1]}".replace("\t", "→")
    assert caret == f"{' ' * len(str(line))} | {' ' * (column - 1)}^"
    assert not PARSERS_WORDS.search(f"{head} {caught.value.remedy} {caught.value.reason}"), caught.value


def test_of_a_long_line_the_part_at_the_place_is_shown() -> None:
    text = "name: " + "x" * 300 + ": y\n"
    shown, caret = yaml_mistakes.excerpt(text, 1, 307).split("\n")
    assert len(shown) == len("1 | ") + yaml_mistakes.WIDEST
    assert shown[caret.index("^")] == ":"


def test_an_image_yaml_and_the_configuration_speak_as_plainly(tmp_path: Path) -> None:
    """The configuration may have a token in the line, so that is not shown."""
    (tmp_path / "image.yaml").write_text("entrypoint [/app]\nuser: 1000\n")
    with pytest.raises(ImageError, match=r"image\.yaml:1:11: a colon is missing behind entrypoint\n1 \| entrypoint") as caught:
        image_recipe.read(tmp_path)
    assert caught.value.remedy == "write `entrypoint: [/app]`"
    stored = tmp_path / "config.yaml"
    stored.write_text("contexts:\n  default:\n    server: https://x\n      token: s3cret: 1\n")
    with pytest.raises(ConfigurationError) as refused:
        configuration.load(stored)
    assert refused.value.reason.startswith("line 4, column ")
    assert "s3cret" not in f"{refused.value.reason} {refused.value.message}"
