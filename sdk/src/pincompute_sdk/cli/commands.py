"""Every command in one table: its name, where it is, and its line of help. The root's help is printed from here alone."""

from __future__ import annotations

from dataclasses import dataclass

HERE = "pincompute_sdk.cli"


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    target: str  # module:function or module:app below this package
    summary: str


GROUPS: dict[str, tuple[Command, ...]] = {
    "Run": (
        Command("init", "init:init", "Write an app.yaml from this folder, or from three questions"),
        Command("deploy", "deploy:deploy", "Show the plan, carry it out, and follow it zone by zone"),
        Command("delete", "delete:delete", "Delete an app; --wait shows what still blocks it"),
    ),
    "See": (
        Command("list", "listing:list_", "Apps of a project, or of all of yours (also: apps)"),
        Command("status", "status:status", "Is it running, where, which revision, and if not, why not"),
        Command("logs", "logs:logs", "Logs of all replicas, merged by time"),
        Command("history", "insight:history", "Every change and who made it, also of deleted apps"),
        Command("events", "insight:events", "What happened to it lately"),
        Command("timeline", "insight:timeline", "Its life in order, in sentences"),
        Command("explain", "insight:explain", "Why it runs where it runs, or why it does not run yet"),
    ),
    "Operate": (
        Command("shell", "shell:shell", "A shell in a replica"),
        Command("exec", "shell:exec_", "Run one command in a replica; its exit code is passed on"),
        Command("cp", "copy:cp", "Copy files into or out of a replica"),
        Command("open", "forward:open_", "Forward a local port to a replica"),
        Command("restart", "verbs:restart", "Restart all replicas, one replica, or one container"),
        Command("pause", "verbs:pause", "Freeze changes; what runs keeps running"),
        Command("resume", "verbs:resume", "Let changes go on after a pause"),
        Command("stop", "verbs:stop", "Scale to zero and remember the count"),
        Command("start", "verbs:start", "Run as many replicas as before the stop"),
        Command("scale", "verbs:scale", "Change the number of replicas"),
        Command("rollback", "rollback:rollback", "Go back to an earlier revision; shows the difference and asks"),
    ),
    "Access": (
        Command("login", "login:login", "Log in: device flow, --browser, or --token"),
        Command("logout", "login:logout", "Forget the tokens of a context, and revoke them"),
        Command("whoami", "login:whoami", "Who you are to the server, and until when"),
        Command("project", "project:app", "Projects and their members"),
        Command("token", "token:app", "Service tokens"),
        Command("admin", "admin:app", "For administrators: audit, clusters"),
    ),
    "Other": (
        Command("completion", "completion:completion", "Shell completion for bash, zsh or fish"),
        Command("version", "version:version", "Versions of pin and of the server"),
    ),
}
ALIASES = {"apps": "list", "ls": "list", "rm": "delete", "ssh": "shell"}


def find(name: str) -> Command | None:
    wanted = ALIASES.get(name, name)
    return next((command for group in GROUPS.values() for command in group if command.name == wanted), None)


def overview(program: str, bold: str = "", plain: str = "") -> str:
    """The root's help."""
    lines = [f"Usage: {program} COMMAND [ARGS]", "", "Run software on the platform.", ""]
    for title, group in GROUPS.items():
        lines.append(f"{bold}{title}{plain}")
        lines += [f"  {command.name:<11} {command.summary}" for command in group]
        lines.append("")
    lines += [f"`{program} COMMAND --help` tells more. Begin with `{program} login` and `{program} init`.", ""]
    return "\n".join(lines)
