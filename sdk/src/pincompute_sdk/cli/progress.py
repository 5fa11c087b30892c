"""Shows the progress of a change zone by zone until it is done, and says then what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pincompute_sdk.cli import status_tree, target, wait
from pincompute_sdk.cli.list_command import view_of
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.output import formats, terminal

if TYPE_CHECKING:
    from pincompute_sdk.cli.wait import FollowedChange
    from pincompute_sdk.cli.wait_conditions import Settled
    from pincompute_sdk.generated.kinds import Workload


def follow(written: Workload, seconds: float, change: FollowedChange, condition: Settled, output: str = "table") -> None:
    """Ends when the condition is met. Raises CommandError as `wait.follow` does, and after Ctrl-C."""

    def draw(app: Workload) -> None:
        if output == "table":
            picture.draw(status_tree.lines(app, condition.shown))

    if (before := wait.standing(written, change)) and not condition.undoes:
        terminal.err(f"note: {before}")
    with wait.interruptible(change.name, target.typed(written)), Picture() as picture:
        app = wait.follow(written, seconds, change, condition, draw)
    say(app, output, f"{app.name} has succeeded" if wait.ended(app) else condition.sentence(app))


def say(app: Workload, output: str, sentence: str) -> None:
    """Says the sentence, or prints the workload in the format that was asked for."""
    if output == "table":
        terminal.out(sentence)
    else:
        formats.one(view_of(target.kind_of(app)), app, output)


def watched(message: str, app: str) -> str:
    """The message, and how to see what comes of it; `app` is as a user types it."""
    return f"{message}; `pin status {app} --watch` shows the progress"
