"""`pin image`: the commands of the group, each in a module of its own."""

from __future__ import annotations

from pincompute_sdk.cli import help_pages
from pincompute_sdk.cli.image import image_base, image_build, image_import, image_list, image_remove

app = help_pages.group("image")
app.command(image_list.list_, name="list", alias="ls")
app.command(image_import.import_, name="import")
app.command(image_build.build, name="build")
app.command(image_base.base, name="base")
app.command(image_remove.remove, name="delete", alias="rm")
