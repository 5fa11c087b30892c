"""Lists every command: its name, its function, its line of help, and examples that a test parses.

The root's help is printed from here alone, so nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
            ("init", "init web --name web --image registry.internal/hello:1 --port 8080"),
        ),
        CommandEntry(
            "deploy",
            "deploy:deploy",
            "Show the plan, carry it out, and follow it zone by zone",
            (
                "deploy",
                "deploy other.yaml --diff",
                "deploy hello --image registry.internal/hello:2 --env LEVEL=debug",
                "deploy -f other.yaml --detach --reason 'release 12'",
            ),
        ),
        CommandEntry(
            "image",
            "image.image_commands:app",
            "Build images, and keep them in the region's registry",
            (
                "image build",
                "image build shop --tag shop:2 --build-arg EDITION=small",
                "image base python",
                "image list",
                "image delete web:1",
                "image import web.tar",
                "image import web.tar --tag web:2",
            ),
        ),
        CommandEntry(
            "env",
            "env:app",
            "Environment variables of an app",
            ("env list hello", "env set hello LEVEL=debug GREETING='good day'", "env unset hello LEVEL --container web"),
        ),
        CommandEntry(
            "delete",
            "delete:delete",
            "Delete apps; --wait shows what still blocks them",
            ("delete hello", "delete hello web --dry-run", "delete unit/notebook --yes --wait --reason 'not used any more'"),
        ),
    ),
    "See": (
        CommandEntry(
            "list",
            "list_command:list_",
            "Apps of a project, or of all of yours (also: apps)",
            ("list", "list -A --watch", "list -A --state Pending", "list -l team=web -o jsonpath={.items[*].name}"),
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
            "top",
            "top:top",
            "CPU and memory in use, by app, replica and zone",
            ("top", "top hello", "top hello/3", "top hello --zones --watch", "top -o json"),
        ),
        CommandEntry(
            "history",
            "history_commands:history",
            "Every change and who made it, also of deleted apps",
            ("history hello", "history --since 2h"),
        ),
        CommandEntry(
            "events",
            "history_commands:events",
            "What came of it: states, ends of containers, events",
            ("events hello", "events --since 15m"),
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
            ("open hello", "open hello:8080", "open hello/3 9000:80", "open hello --browser"),
        ),
        CommandEntry(
            "restart",
            "lifecycle_commands:restart",
            "Restart all replicas, one replica, or one container; follow it",
            ("restart hello", "restart hello/3 --reason 'it leaks'", "restart hello --container web"),
        ),
        CommandEntry(
            "pause",
            "lifecycle_commands:pause",
            "Freeze changes; what runs keeps running",
            ("pause hello --reason 'sale today'",),
        ),
        CommandEntry(
            "resume", "lifecycle_commands:resume", "Let changes continue after a pause, and follow them", ("resume hello",)
        ),
        CommandEntry(
            "stop",
            "lifecycle_commands:stop",
            "Scale to zero and remember the count; follow it",
            ("stop hello --reason 'over the weekend'",),
        ),
        CommandEntry(
            "start", "lifecycle_commands:start", "Run as many replicas as before the stop; follow it", ("start hello",)
        ),
        CommandEntry(
            "scale",
            "lifecycle_commands:scale",
            "Change the number of replicas; follow it",
            ("scale hello 6 --reason launch", "scale hello 6 --detach"),
        ),
        CommandEntry(
            "rollback",
            "rollback:rollback",
            "Go back to an earlier revision: show it, ask, follow it",
            ("rollback hello", "rollback hello --dry-run", "rollback hello --to 3 --yes"),
        ),
        CommandEntry(
            "rollout",
            "rollout_commands:app",
            "Revisions and what differs between them; approve, undo or retry an update",
            (
                "rollout history hello",
                "rollout diff hello --from 3 --to 5",
                "rollout approve hello",
                "rollout abort hello --reason 'slow answers'",
                "rollout retry hello",
            ),
        ),
    ),
    "Settings": (
        CommandEntry(
            "secret",
            "secret:app",
            "Secrets of the project; values are never shown again",
            ("secret set db-password", "secret list", "secret rollback db-password --to 2", "secret delete db-password --yes"),
        ),
        CommandEntry(
            "config",
            "config_command:app",
            "Configs of the project: files that everybody in it may read",
            (
                "config set web-conf --file nginx.conf --file mime.types",
                "config show web-conf",
                "config list",
                "config rollback web-conf",
                "config delete web-conf --yes",
            ),
        ),
        CommandEntry(
            "registry",
            "registry_command:app",
            "Logins at image registries",
            ("registry login ghcr.io --user ann", "registry list", "registry logout ghcr.io"),
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
            "Projects, their members and limits",
            (
                "project list",
                "project get demo",
                "project limits demo",
                "project create demo",
                "project use demo",
                "project grant ann developer --project demo",
                "project revoke ann --project demo",
                "project members demo",
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
            "For administrators: audit, clusters, sidecars, daemons, Pod Security, limits",
            (
                "admin clusters",
                "admin audit --who ann --since 2h",
                "admin audit verify",
                "admin sidecar apply -f metrics.yaml",
                "admin sidecar status metrics",
                "admin sidecar list",
                "admin sidecar pause metrics",
                "admin sidecar resume metrics",
                "admin sidecar rollback metrics --reason 'it loses spans'",
                "admin sidecar delete metrics --yes",
                "admin daemon apply -f disk-health.yaml",
                "admin daemon status log-shipper",
                "admin daemon list",
                "admin daemon pause log-shipper",
                "admin daemon resume log-shipper",
                "admin daemon rollback log-shipper --reason 'it loses lines'",
                "admin daemon delete log-shipper --yes",
                "admin limits demo --pods 200 --memory 400Gi",
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
EVERYWHERE = frozenset({"-p", "--project", "--context", "--server", "--ca", "-o", "--output"})
"""Options with a value that may stand before the command as well."""
ALIASES = {"apps": "list", "ls": "list", "rm": "delete", "ssh": "shell"}


def every() -> Iterator[CommandEntry]:
    return (command for group in GROUPS.values() for command in group)


def find(name: str) -> CommandEntry | None:
    wanted = ALIASES.get(name, name)
    return next((command for command in every() if command.name == wanted), None)


def command_first(arguments: list[str]) -> list[str]:
    """Moves options that stand before the command behind it: `-p demo secret list` is `secret list -p demo`."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        if arguments[at].partition("=")[0] not in EVERYWHERE:
            return arguments
        at += 1 if "=" in arguments[at] else 2
    command = find(arguments[at]) if 0 < at < len(arguments) else None
    if command is None:
        return arguments
    inner = arguments[at + 1 : at + 2]
    words = at + (2 if command.group and inner and not inner[0].startswith("-") else 1)
    return [*arguments[at:words], *arguments[:at], *arguments[words:]]


def aliases(command: CommandEntry) -> list[str]:
    return [short for short, name in ALIASES.items() if name == command.name]


def examples(program: str, command: CommandEntry) -> str:
    return listed(program, command.examples)


def examples_of(words: Sequence[str]) -> tuple[str, ...]:
    """The examples of one command, also of one in a group: those that begin with its words."""
    command = find(words[0]) if words else None
    wanted = [command.name, *words[1:]] if command is not None else []
    return tuple(each for each in (command.examples if command else ()) if each.split()[: len(wanted)] == wanted)


def listed(program: str, examples: Sequence[str]) -> str:
    return "\n".join(["Examples", *(f"  {program} {example}" for example in examples)]) if examples else ""


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
