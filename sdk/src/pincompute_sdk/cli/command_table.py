"""Lists every command: its name, its function, its line of help, and examples that a test parses.

The root's help is printed from here alone, so nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pincompute_sdk.cli.exit_codes import MEANING

HERE = "pincompute_sdk.cli"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """`target` is module:function or module:app below this package; examples are without the program's name."""

    name: str
    target: str
    summary: str
    examples: tuple[str, ...]

    @property
    def group(self) -> bool:
        """It has commands of its own."""
        return self.target.endswith(":app")


GROUPS: dict[str, tuple[CommandEntry, ...]] = {
    "Run": (
        CommandEntry(
            "init",
            "init:init",
            "Write an app.yaml from this folder, or from three questions",
            ("init", "init shop --name shop --image registry.internal/shop:1 --port 8080"),
        ),
        CommandEntry(
            "deploy",
            "deploy:deploy",
            "Show the plan, carry it out, and follow it zone by zone",
            ("deploy", "deploy other.yaml --diff", "deploy -f other.yaml --detach --reason 'release 12'"),
        ),
        CommandEntry(
            "delete",
            "delete:delete",
            "Delete an app; --wait shows what still blocks it",
            ("delete hello", "delete unit/notebook --yes --wait --reason 'not used any more'"),
        ),
    ),
    "See": (
        CommandEntry(
            "list",
            "list_command:list_",
            "Apps of a project, or of all of yours (also: apps)",
            ("list", "list -A --state Pending", "list -l team=web -o jsonpath={.items[*].name}"),
        ),
        CommandEntry(
            "status",
            "status:status",
            "Is it running, where, which revision, and if not, why not",
            ("status hello", "status hello --watch", "status hello -o yaml"),
        ),
        CommandEntry(
            "logs",
            "logs_command:logs",
            "Logs of all replicas, merged by time",
            ("logs hello -f", "logs hello/3 --since 10m --grep 'error|panic'", "logs hello --previous"),
        ),
        CommandEntry(
            "history",
            "history_commands:history",
            "Every change and who made it, also of deleted apps",
            ("history hello", "history --since 2h"),
        ),
        CommandEntry(
            "events", "history_commands:events", "What happened to it lately", ("events hello", "events hello --since 15m")
        ),
        CommandEntry(
            "timeline",
            "history_commands:timeline",
            "What happened to it, in order, in sentences",
            ("timeline hello", "timeline -n 20"),
        ),
        CommandEntry(
            "explain",
            "history_commands:explain",
            "Why it runs where it runs, or why it does not run yet",
            ("explain hello", "explain"),
        ),
    ),
    "Operate": (
        CommandEntry("shell", "shell:shell", "A shell in a replica", ("shell hello", "shell hello/3 -c web")),
        CommandEntry(
            "exec",
            "shell:exec_",
            "Run one command in a replica; its exit code is passed on",
            ("exec hello -- ls -l /etc", "exec hello/3 -i -- sh -c 'cat > /tmp/input'"),
        ),
        CommandEntry(
            "cp",
            "copy:cp",
            "Copy files into or out of a replica",
            ("cp ./conf hello/3:/etc/", "cp hello:/var/log ./log"),
        ),
        CommandEntry(
            "open",
            "port_forward:open_",
            "Forward a local port to a replica",
            ("open hello", "open hello/3 8080:80", "open hello --browser"),
        ),
        CommandEntry(
            "restart",
            "lifecycle_commands:restart",
            "Restart all replicas, one replica, or one container",
            ("restart hello", "restart hello/3 --reason 'it leaks'", "restart hello --container web"),
        ),
        CommandEntry(
            "pause",
            "lifecycle_commands:pause",
            "Freeze changes; what runs keeps running",
            ("pause hello --reason 'sale today'",),
        ),
        CommandEntry("resume", "lifecycle_commands:resume", "Let changes continue after a pause", ("resume hello",)),
        CommandEntry(
            "stop",
            "lifecycle_commands:stop",
            "Scale to zero and remember the count",
            ("stop hello --reason 'over the weekend'",),
        ),
        CommandEntry("start", "lifecycle_commands:start", "Run as many replicas as before the stop", ("start hello",)),
        CommandEntry("scale", "lifecycle_commands:scale", "Change the number of replicas", ("scale hello 6 --reason launch",)),
        CommandEntry(
            "rollback",
            "rollback:rollback",
            "Go back to an earlier revision; shows the difference and asks",
            ("rollback hello", "rollback hello --dry-run", "rollback hello --to v2cfa938f8 --yes"),
        ),
    ),
    "Access": (
        CommandEntry(
            "login",
            "login:login",
            "Log in: device flow, --browser, or --token",
            ("login --server https://gateway.example:8443", "login --browser", "login --token - --context robot"),
        ),
        CommandEntry(
            "logout", "login:logout", "Forget the tokens of a context, and revoke them", ("logout", "logout --context robot")
        ),
        CommandEntry("whoami", "login:whoami", "Who you are to the server, and until when", ("whoami",)),
        CommandEntry(
            "project",
            "project_commands:app",
            "Projects and their members",
            (
                "project list",
                "project create demo",
                "project use demo",
                "project grant ann developer",
                "project delete demo --wait",
            ),
        ),
        CommandEntry(
            "token",
            "token:app",
            "Service tokens for programs",
            ("token create robot --role viewer --days 7", "token list", "token revoke t-1"),
        ),
        CommandEntry(
            "admin",
            "admin:app",
            "For administrators: audit, clusters, Pod Security",
            (
                "admin clusters",
                "admin audit --who ann --since 2h",
                "admin audit verify",
                "admin pod-security demo privileged --until 2027-01-31 --reason 'flashes boards'",
            ),
        ),
    ),
    "Other": (
        CommandEntry(
            "completion", "shell_completion:completion", "Shell completion for bash, zsh or fish", ("completion bash",)
        ),
        CommandEntry("version", "version:version", "Versions of pin and of the server", ("version",)),
    ),
}
VARIABLES = {
    "PINCOMPUTE_SERVER": "the gateway's address; a stored token is never sent to another server",
    "PINCOMPUTE_TOKEN": "the token, for programs; it is never renewed",
    "PINCOMPUTE_PROJECT": "the project",
    "PINCOMPUTE_CA": "a PEM file with the authority of the server's certificate",
    "PINCOMPUTE_CONTEXT": "the stored context; --context takes precedence",
    "PINCOMPUTE_CONFIG": "the file with the contexts",
}
ALIASES = {"apps": "list", "ls": "list", "rm": "delete", "ssh": "shell"}


def every() -> Iterator[CommandEntry]:
    return (command for group in GROUPS.values() for command in group)


def find(name: str) -> CommandEntry | None:
    wanted = ALIASES.get(name, name)
    return next((command for command in every() if command.name == wanted), None)


def aliases(command: CommandEntry) -> list[str]:
    return [short for short, name in ALIASES.items() if name == command.name]


def examples(program: str, command: CommandEntry) -> str:
    return "\n".join(["Examples", *(f"  {program} {example}" for example in command.examples)])


def overview(program: str, bold: str = "", plain: str = "") -> str:
    """The root's help."""
    lines = [f"Usage: {program} COMMAND [ARGS]", "", "Run software on the platform.", ""]
    for title, group in GROUPS.items():
        lines.append(f"{bold}{title}{plain}")
        lines += [f"  {command.name:<11} {command.summary}" for command in group]
        lines.append("")
    lines += [f"{bold}Exit codes{plain}", *(f"  {code:<11} {meaning}" for code, meaning in MEANING.items()), ""]
    lines += [f"{bold}Environment{plain}", *(f"  {name:<20} {meaning}" for name, meaning in VARIABLES.items()), ""]
    lines += [f"`{program} COMMAND --help` says more. Begin with `{program} login` and `{program} init`.", ""]
    return "\n".join(lines)
