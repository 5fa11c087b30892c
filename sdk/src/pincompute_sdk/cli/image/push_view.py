"""Pushes an image and shows how far it is: a bar on a terminal, one line at the end in a pipe."""

from __future__ import annotations

from contextlib import nullcontext

from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.human_values import size
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.oci_layout import LayoutImage
from pincompute_sdk.images.registry_client import PushProgress, RegistryClient


def pushed(registry: RegistryClient, image: LayoutImage, name: ImageName) -> None:
    """Pushes the image under the name's tag, and says so."""
    tell(name, uploaded(registry, image, name))


def tell(name: ImageName, progress: PushProgress) -> None:
    terminal.err(f"pushed {name}: {_sizes(progress)}")


def uploaded(registry: RegistryClient, image: LayoutImage, name: ImageName) -> PushProgress:
    """Pushes the image under the name's tag, or without a tag where it has none."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    last = PushProgress(0, image.size, 0)
    columns = (TextColumn("push {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=terminal.console(), transient=True) if terminal.interactive() else None
    with bar or nullcontext():
        task = bar.add_task(terminal.visible(str(name)), total=max(image.size, 1)) if bar else None

        def show(progress: PushProgress) -> None:
            nonlocal last
            last = progress
            if bar is not None and task is not None:
                bar.update(task, completed=progress.done)

        registry.push(image, name, show)
    return last


def _sizes(progress: PushProgress) -> str:
    sent = progress.done - progress.skipped
    if not progress.skipped:
        return f"{size(sent)} uploaded"
    if not sent:
        return f"the registry had all {size(progress.skipped)}"
    return f"{size(sent)} uploaded, the registry had {size(progress.skipped)}"
