"""A wrong value of a field that has one of a few is told what these are, wherever the field stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from pincompute.api import allowed_values
from pincompute.api.kinds import KINDS
from pincompute.api.meta import Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.settings import PINCONFIGS, PINSECRETS
from pincompute.api.sidecars import PINSIDECARS
from pincompute.federation import federation_settings
from pincompute.gateway import gateway_settings
from pincompute.gateway.gateway_settings import GatewaySettings


class Inner(msgspec.Struct, rename="camel"):
    how_much: Literal["little", "much"] = "much"


class Outer(msgspec.Struct):
    one: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, list[Literal["b", "a"]]] = {}
    other: Literal["x", ""] | int = ""
    text: str = ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"one": {"howMuch": "some"}}, "must be one of little, much, not 'some' - at `$.one.howMuch`"),
        ({"many": [{}, {"howMuch": "some"}]}, "must be one of little, much, not 'some' - at `$.many[1].howMuch`"),
        ({"named": {"n": ["a", "c"]}}, "must be one of a, b, not 'c' - at `$.named[...][1]`"),
        ({"other": "y"}, "must be one of x, not 'y' - at `$.other`"),
        ({"text": 5}, "Expected `str`, got `int` - at `$.text`"),
        ({"one": {"howMuch": 5}}, "Expected `str`, got `int` - at `$.one.howMuch`"),
    ],
)
def test_a_wrong_value_is_told_which_are_right(given: Any, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(given, Outer)
    assert allowed_values.told(str(refused.value), Outer) == said


def test_a_message_may_lack_its_path() -> None:
    assert allowed_values.told("Invalid enum value 'some'", Outer, "one.howMuch") == "must be one of little, much, not 'some'"
    assert allowed_values.told("Invalid enum value 'some'", Outer, "text") == "Invalid enum value 'some'"


def choices(
    schema: Any, known: dict[str, Any], path: str = "", within: tuple[str, ...] = ()
) -> Iterator[tuple[str, list[Any]]]:
    """All fields of a JSON schema to which the decoder takes one of a few values; others are text that a rule judges."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in within:
            yield from choices(known[name], known, path, (*within, name))
        return
    if "enum" in schema and "type" not in schema:
        yield path, schema["enum"]
    for option in schema.get("anyOf", ()):
        yield from choices(option, known, path, within)
    for name, inner in schema.get("properties", {}).items():
        yield from choices(inner, known, f"{path}.{name}" if path else name, within)
    for place, inner in (("[0]", schema.get("items")), ("[...]", schema.get("additionalProperties"))):
        if isinstance(inner, dict):
            yield from choices(inner, known, path + place, within)


RESOURCES: tuple[Resource[Any], ...] = (*(kind.workload for kind in KINDS), PROJECTS, PINSIDECARS, PINSECRETS, PINCONFIGS)


@pytest.mark.parametrize("of", [*(each.type for each in RESOURCES), GatewaySettings], ids=lambda of: of.__name__)
def test_every_choice_of_every_kind_is_found(of: Any) -> None:
    (schema,), known = msgspec.json.schema_components([of], ref_template="#/{name}")
    found = list(choices(schema, known))
    assert found or of in (PINSECRETS.type, PINCONFIGS.type)
    for path, values in found:
        assert allowed_values.allowed_at(of, path) == sorted(value for value in values if value), path


def test_settings_say_what_a_wrong_one_may_be(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("audit: {sync: often}\n")
    with pytest.raises(gateway_settings.SettingsError, match="must be one of always, never, soon, not 'often'"):
        gateway_settings.load(file)
    file.write_text("hooks: {board: {url: 5}}\n")
    with pytest.raises(federation_settings.FederationSettingsError, match="Expected `str`"):
        federation_settings.load(file)
