"""Changes images and environment variables of containers, in the data of an app.yaml or of an app that runs. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND, USAGE
from pincompute_sdk.cli.output.human_values import joined

Data = dict[str, Any]


NOTE = "kubernetes.io/change-cause"  # the annotation that each revision keeps


def noted(data: Data, note: str) -> Data:
    """The data with this note for the next revision; an empty one removes the note of the revision before."""
    given: Data = data.get("annotations") or {}
    others = {name: text for name, text in given.items() if name != NOTE}
    if not note and not others:
        return {name: part for name, part in data.items() if name != "annotations"}
    return {**data, "annotations": {**others, NOTE: note} if note else others}


@dataclass(frozen=True, slots=True)
class TemplateChanges:
    """`images` are [CONTAINER=]IMAGE, `env` NAME=VALUE, `unset` names of variables. Variables are those of `container`, or of
    the only container.
    """

    images: Sequence[str] = ()
    env: Sequence[str] = ()
    unset: Sequence[str] = ()
    container: str = ""

    def __bool__(self) -> bool:
        return bool(self.images or self.env or self.unset)

    def apply(self, data: Data) -> Data:
        """The data with the changes; what was given stays as it is. Raises CommandError."""
        changed = {**data, "containers": [dict(each) for each in _containers(data)]}
        for image in self.images:
            name, _, value = image.rpartition("=")
            if not value:
                raise CommandError(f"--image {image}: the image is missing", remedy="write [CONTAINER=]IMAGE", code=USAGE)
            container_of(changed, name, f"--image CONTAINER={value}")["image"] = value
        if self.env or self.unset:
            self._apply_env(container_of(changed, self.container, "--container NAME"))
        return changed

    def options(self, before: Data, after: Data) -> dict[str, str]:
        """The option that gave its value to each field of `after`, which `apply` made of `before`, by the field's path."""
        found: dict[str, str] = {}
        for index, (old, new) in enumerate(zip(_containers(before), _containers(after), strict=True)):
            if new.get("image") != old.get("image"):
                found[f"containers[{index}].image"] = "--image"
            former: Data = old.get("env") or {}
            present: Data = new.get("env") or {}
            changed = (name for name, value in present.items() if former.get(name) != value)
            found |= {f"containers[{index}].env.{name}": f"--env {name}" for name in changed}
        return found

    def _apply_env(self, container: Data) -> None:
        env = dict(container.get("env") or {})
        for variable in self.env:
            name, equals, value = variable.partition("=")
            if not equals or not name:
                raise CommandError(f"{variable!r} sets no variable", remedy="write NAME=VALUE", code=USAGE)
            env[name] = value
        missing = [name for name in self.unset if name not in env]
        if missing:
            known = f"there is {joined(sorted(env))}" if env else "there is none"
            raise CommandError(f"container {container['name']} has no variable {joined(missing)}", remedy=known, code=NOT_FOUND)
        container["env"] = {name: value for name, value in env.items() if name not in self.unset}
        if not container["env"]:
            del container["env"]


def container_of(data: Data, name: str, option: str) -> Data:
    """The container of that name, or the only one. Raises CommandError; `option` says how to name one."""
    containers = _containers(data)
    names = [str(each.get("name")) for each in containers]
    if not name and len(containers) == 1:
        return containers[0]
    if not name:
        raise CommandError(
            f"{data.get('name')} has several containers: {joined(names)}", remedy=f"name one: {option}", code=USAGE
        )
    found = next((each for each in containers if each.get("name") == name), None)
    if found is None:
        raise CommandError(f"{data.get('name')} has no container {name}", remedy=f"there is {joined(names)}", code=NOT_FOUND)
    return found


def _containers(data: Data) -> list[Data]:
    """Raises CommandError for what is no list of containers."""
    found = data.get("containers")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in cast("list[Any]", found)):
        raise CommandError(
            f"{data.get('name')} has no containers", remedy="write `containers: [{name: web, image: …}]`", code=USAGE
        )
    return cast("list[Data]", found)
