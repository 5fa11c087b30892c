"""`pincompute region …`: the commands of the embedded region. Everything else is imported when a command runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import Console

if TYPE_CHECKING:
    from pincompute.region.progress import Progress

app = App(
    name="region", help="An embedded region, all of it on this machine. Its state is in $PINCOMPUTE_HOME (~/.pincompute)."
)

Count = Annotated[int, Parameter(help="how many; at least 0")]
KeepBuildCache = Annotated[bool, Parameter(help="keep the Go caches (4 GB) after building", negative="")]


@app.command
def up(
    *,
    simulated_nodes: Annotated[int | None, Parameter(help="simulated nodes of each member; default: unchanged")] = None,
    keep_build_cache: KeepBuildCache = False,
    example: Annotated[bool, Parameter(help="run examples/hello and wait until it answers")] = True,
    new_encryption_key: Annotated[bool, Parameter(help="encrypt all Secrets with new keys", negative="")] = False,
    daemons: Annotated[
        bool | None,
        Parameter(help="a metrics agent and a log shipper on every node; default: unchanged, a new region has them"),
    ] = None,
) -> None:
    """Bring the region up, or back up, or repair it; doing it twice is harmless."""
    from pincompute.api.kinds import KINDS
    from pincompute.region import gateway_programs, home, lifecycle

    _natural("--simulated-nodes", simulated_nodes or 0)
    place = home.path()
    with _reporting("the region is half up: `pincompute region up` continues, `pincompute region down` ends it") as progress:
        options = lifecycle.RegionOptions(simulated_nodes, keep_build_cache, example, new_encryption_key, daemons)
        answers = lifecycle.up(place, options, progress)
        for answer in answers:
            progress.say(f"zone {answer.zone}: [bold]{answer.url}[/bold] answers: {answer.text.splitlines()[0]}")
        layout = lifecycle.existing(place)
        progress.say(
            f"users: {gateway_programs.url(layout)}; user dev, password in {layout.issuer_dir}/{gateway_programs.PASSWORDS}"
        )
        progress.say(
            f"administrators: kubectl --kubeconfig {layout.kubeconfig} --context host get {KINDS[0].workload.plural} -A"
        )
        pin = "pin" if shutil.which("pin") else Path(sys.executable).with_name("pin")
        progress.say(f"up. Try: [bold]{pin} login[/bold], then [bold]{pin} status hello[/bold]")


@app.command(name="build")
def build_programs(
    *,
    simulated_nodes: Annotated[bool, Parameter(help="also KWOK, which simulates nodes", negative="")] = False,
    keep_build_cache: KeepBuildCache = False,
) -> None:
    """Compile the region's programs from pinned sources, unless they are there. `up` does it by itself."""
    from pincompute.region import lifecycle
    from pincompute.region.build import binary_cache

    extra = (binary_cache.KWOK,) if simulated_nodes else ()
    with _reporting("what is compiled stays: the same command continues") as progress:
        found = lifecycle.find_binaries(progress, extra, keep_build_cache=keep_build_cache)
        progress.say(f"the region's programs are in {found}")


@app.command
def down(*, purge: Annotated[bool, Parameter(help="remove all data of the region as well", negative="")] = False) -> None:
    """Stop everything. Data stays for the next `up`, unless you add --purge."""
    from pincompute.region import home, lifecycle

    place = home.path()
    with _reporting("the region is half down: `pincompute region down` continues") as progress:
        lifecycle.down(place)
        if purge:
            lifecycle.purge(place, progress)
        else:
            progress.say("everything has ended; data and images stay, `pincompute region up` continues with them")


@app.command
def status() -> None:
    """Show every program: its state now, since when, and why it is not ready."""
    import time

    from pincompute.region import home, lifecycle, progress

    with _reporting(""):
        state = lifecycle.supervised(home.path(), "probe")
    console, now = Console(), time.time()
    if console.is_terminal:
        console.print(progress.table(state.programs, now))
    else:
        sys.stdout.writelines(progress.lines(state.programs, now))
    sys.exit(0 if all(program.phase == "ready" for program in state.programs) else 1)


@app.command
def logs(
    name: Annotated[str, Parameter(help="a program of `status`; without it, the command lists the logs")] = "",
    /,
    *,
    follow: Annotated[bool, Parameter(alias="-f", help="follow the log", negative="")] = False,
    lines: Annotated[int, Parameter(alias="-n", help="number of lines at the end")] = 100,
) -> None:
    """Print the log of a program."""
    from pincompute.region import home
    from pincompute.region.region_error import RegionError

    folder = home.path() / "logs"
    known = sorted(path.stem for path in folder.glob("*.log"))
    with _reporting(""):
        if not name:
            print("\n".join(known))
            return
        if name not in known:
            raise RegionError(f"no log of {name!r}: expected one of {', '.join(known) or 'none, since no region ran here yet'}")
    command = ("tail", f"-n{lines}", *(("-F",) if follow else ()), str(folder / f"{name}.log"))
    sys.exit(subprocess.run(command, check=False).returncode)


@app.command(end_of_options_delimiter="", help_flags=(), version_flags=())  # these words are kubectl's, `--` too
def kubectl(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Run the region's own kubectl, on the host cluster unless --context names another."""
    import os

    from pincompute.region import home, lifecycle

    with _reporting("") as progress:
        layout = lifecycle.running(home.path())
        program = lifecycle.find_binaries(progress) / "kubectl"
    os.execv(program, ("kubectl", f"--kubeconfig={layout.kubeconfig}", *arguments))


@app.command
def break_glass(
    *,
    user: Annotated[str, Parameter(help="your name, for the record")],
    reason: Annotated[str, Parameter(help="why you need this access")],
    cluster: Annotated[str, Parameter(help="host, or the name of a member")] = "host",
    minutes: Annotated[int, Parameter(help="how long the access lasts; at most 480")] = 60,
) -> None:
    """Become administrator of a cluster for --minutes (default 60), when the gateway cannot help.

    It is recorded with your name and reason.
    """
    import asyncio
    from datetime import UTC, datetime

    from pincompute.region import home, lifecycle
    from pincompute.region.cluster import break_glass as emergency

    with _reporting("") as progress:
        layout = lifecycle.existing(home.path())
        access = emergency.EmergencyAccess(user, reason, cluster, minutes)
        file, record = emergency.issue(layout, access, datetime.now(UTC))
        missing = asyncio.run(emergency.publish(layout, record))
        if missing:
            progress.say(
                f"[yellow]the host has no record, only {layout.home}/{emergency.LOG} has it: {_escaped(missing)}[/yellow]"
            )
        progress.say(f"administrator of {cluster} until {record.until:%H:%M} UTC: kubectl --kubeconfig {file} auth whoami")
        progress.say(
            f"to end all emergency access now: pincompute region kubectl --context {cluster} "
            "delete clusterrolebinding pincompute-break-glass; `pincompute region up` puts it back"
        )


@app.command
def doctor() -> None:
    """Say what this machine lacks for a region, and how to get it."""
    from rich.table import Table

    from pincompute.region.machine import doctor as machine

    found = machine.examine()
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("THING", "", "FOUND", "REMEDY"):
        shown.add_column(column, overflow="fold")
    marks = {"ok": "[green]ok[/green]", "degraded": "[yellow]degraded[/yellow]", "missing": "[bold red]missing[/bold red]"}
    for finding in found:
        shown.add_row(finding.thing, marks[finding.level], finding.detail, finding.remedy)
    Console().print(shown)
    sys.exit(1 if any(finding.level == "missing" for finding in found) else 0)


@app.command
def add_member(
    *,
    name: Annotated[str, Parameter(help="of the new cluster: a DNS label of at most 15 characters")],
    zone: Annotated[str, Parameter(help="the failure domain it is in, such as d")],
) -> None:
    """Add a member cluster to the running region."""
    from pincompute.region import home, member_lifecycle

    with _reporting(f"the member is half there: repeat the command, or `pincompute region remove-member {name}`") as progress:
        member_lifecycle.add(home.path(), name, zone, progress)


@app.command
def remove_member(
    name: str,
    /,
) -> None:
    """Move the work of a member elsewhere, then take the member out."""
    from pincompute.region import home, member_lifecycle

    with _reporting("the member is half removed: repeat the command") as progress:
        member_lifecycle.remove(home.path(), name, progress)


@app.command
def add_nodes(name: str, /, *, count: Count) -> None:
    """Add simulated nodes to a member."""
    from pincompute.region import home, member_lifecycle

    _natural("--count", count)
    with _reporting("some nodes may be missing: repeat the command") as progress:
        member_lifecycle.add_nodes(home.path(), name, count, progress)


images = App(name="image", help="Images in the region's registry.")
app.command(images)


@images.command
def build(
    directory: Annotated[Path, Parameter(help="the folder; its image.yaml says what goes in")],
    /,
    *,
    tag: Annotated[str, Parameter(help="name and version, such as hello:1")],
) -> None:
    """Make an OCI image of a folder and push it to the region's registry."""
    from pincompute.region import home, lifecycle
    from pincompute.region.images import administrator_registry, platform_images

    with _reporting("nothing was pushed") as progress:
        layout = lifecycle.running(home.path())
        with administrator_registry.connect(layout) as registry:
            built = platform_images.build(directory, tag, registry)
        progress.say(f"{built.reference} {'pushed' if built.built else 'was there already'} ({built.digest})")


@images.command(name="build-daemons")
def build_daemons() -> None:
    """Make the images of the daemons of nodes from this installation and push them to the region's registry."""
    from pincompute.region import home, lifecycle
    from pincompute.region.images import administrator_registry, daemon_images

    with _reporting("images that were pushed stay") as progress:
        layout = lifecycle.running(home.path())
        with administrator_registry.connect(layout) as registry:
            for image in daemon_images.IMAGES:
                built = daemon_images.renew(image, registry, layout.home / daemon_images.RECORD)
                progress.say(f"{built.reference} {'pushed' if built.built else 'was there already'} ({built.digest})")


@contextmanager
def _reporting(interrupted: str) -> Generator[Progress, None, None]:
    """Show progress; turn what a user can do something about into one message and an exit status."""
    from pincompute_sdk.images.image_errors import ImageError

    from pincompute.kube.api_errors import KubeError
    from pincompute.kube.kubeconfig import ConfigError
    from pincompute.region.nodes.node_network import NetworkError
    from pincompute.region.progress import Progress
    from pincompute.region.region_error import RegionError

    try:
        with Progress(Console(stderr=True, highlight=False)) as progress:
            yield progress
    except (RegionError, NetworkError, ImageError, KubeError, ConfigError) as error:
        _fail(str(error), 1)
    except TimeoutError as error:
        why = str(error) or "this machine may be too busy"
        _fail(f"a step took too long ({why}); run the command again, it goes on where it was", 1)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        _fail(f"interrupted; {interrupted}", 130)


def _natural(option: str, value: int) -> None:
    if value < 0:
        _fail(f"{option} {value}: expected a number that is not negative", 1)


def _fail(message: str, status: int) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/bold red] {_escaped(message)}")
    sys.exit(status)


def _escaped(message: str) -> str:
    from rich.markup import escape

    return escape(message)
