"""Brings a region up and down. Every step finds out what is there and adds what is missing, so any of them may be repeated.

`up` after a crash or Ctrl-C at any moment is simply `up` again; `down` works without a supervisor too.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.registry_connection import NoAnswerError
from rich.markup import escape

from pincompute.kube.api_errors import KubeError
from pincompute.region import atomic_files, example_app, home, provisioning, region_programs, slot_claims
from pincompute.region.build import binary_cache, go_toolchain
from pincompute.region.build.binary_cache import BinaryCache
from pincompute.region.build.component_build import Component
from pincompute.region.cluster import certificates, secret_encryption
from pincompute.region.images import daemon_images
from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.machine import doctor, kernel_limits, leftovers, port_conflicts
from pincompute.region.nodes import node_network
from pincompute.region.process import region_processes, supervisor_socket
from pincompute.region.process.program_states import ProgramStates
from pincompute.region.progress import Progress
from pincompute.region.provisioning import RunningRegion
from pincompute.region.region_error import RegionError

FIRST_MEMBERS = (("a1", "a"), ("b1", "b"), ("c1", "c"))
FEWEST_SIMULATED = 3  # nodes of a member that has no real one
STOP = 120.0  # seconds everything has to end
GRACE = 5.0
ANSWER = 10.0  # seconds the supervisor has for a question


@dataclass(frozen=True, slots=True)
class RegionOptions:
    """What the user asked of `up`; None leaves a region that exists as it is."""

    simulated_nodes: int | None = None
    keep_build_cache: bool = False
    example: bool = True
    new_encryption_key: bool = False
    daemons: bool | None = None


def up(place: Path, options: RegionOptions, progress: Progress) -> list[example_app.ZoneAnswer]:
    """Everything runs, and hello answers in every zone, when this returns."""
    doctor.check_up()
    with home.changing(place):
        layout = _specify(place, options)
        if options.new_encryption_key:
            spec = layout.spec
            layout = Layout(place, msgspec.structs.replace(spec, encryption_key=spec.encryption_key + 1))
        programs = find_binaries(progress, extra_components(layout), keep_build_cache=options.keep_build_cache)
        apply(layout, programs)
        progress.say(f"region in [bold]{place}[/bold], {_described(layout)}")
        return asyncio.run(_provision(layout, programs, progress, options))


def down(place: Path) -> None:
    """End everything and remove what it left in the kernel; data stays."""
    if not place.is_dir():
        return
    with home.changing(place):
        end_programs(place)
        layout = _known(place)
        if layout is not None:
            leftovers.remove_all(layout)
            left = leftovers.leftovers(layout)
            if left:
                raise RegionError(f"these are left and could not be removed: {', '.join(left)}; run `down` again as root")


def purge(place: Path, progress: Progress) -> None:
    """Remove the data of a region that is down. Only a folder that `up` made is ever removed."""
    if not place.is_dir():
        return
    layout = _known(place)
    if layout is None:
        raise RegionError(f"{place} holds no region ({slot_claims.SPEC} is missing): nothing was removed")
    shutil.rmtree(place)
    slot_claims.release(place, layout.spec.slot, slot_claims.directory())
    progress.say(f"everything has ended; {place} and everything in it are removed")


def apply(layout: Layout, programs: Path) -> None:
    """Write what the programs read and have the supervisor run exactly what the layout wants."""
    certificates.issue(layout, datetime.now(UTC))
    secret_encryption.issue(layout)
    node_network.prepare_region(layout)
    if layout.spec.real_nodes:
        kernel_limits.raise_limits()
    port_conflicts.check(port_conflicts.wanted(layout), layout.home)
    for path, data in region_programs.configuration(layout, programs).items():
        atomic_files.write(path, data)
    wanted = region_programs.programs(layout, programs)
    atomic_files.write(layout.home / supervisor_socket.PROGRAMS, msgspec.json.format(msgspec.json.encode(wanted)))
    home.save(layout)
    supervise(layout.home)


def supervise(place: Path) -> None:
    """Have the supervisor read its programs, or start one; it takes over what a dead predecessor left."""
    try:
        answer = supervisor_socket.ask(place, "reload", STOP)
    except supervisor_socket.NotRunning:
        _start_supervisor(place)
        return
    if answer.error:
        raise RegionError(f"the supervisor refused its programs: {answer.error}; see {place}/logs/supervisor.log")


def end_programs(place: Path) -> None:
    """Ends programs in order by the supervisor, if there is one, and then whatever still carries the marks of this region."""
    with suppress(supervisor_socket.NotRunning, TimeoutError):  # dead or hanging: what it left is ended below
        supervisor_socket.ask(place, "stop", STOP)
    left = asyncio.run(region_processes.end_all(place, GRACE))
    if left:
        raise RegionError(f"these processes do not end: {', '.join(f'{p.program} ({p.pid})' for p in left)}")
    for name in (supervisor_socket.SOCKET, supervisor_socket.STATE):
        (place / name).unlink(missing_ok=True)


def extra_components(layout: Layout) -> tuple[Component, ...]:
    """What this region needs beside the programs that every region runs."""
    simulated = any(layout.simulated_nodes(member) for member in layout.spec.members)
    return (binary_cache.KWOK,) if simulated else ()


def find_binaries(progress: Progress, extra: tuple[Component, ...] = (), *, keep_build_cache: bool = False) -> Path:
    """The folder of programs: given by the user, built earlier, or built now."""
    given = binary_cache.given(os.environ, extra)
    if given is not None:
        return given
    cache = BinaryCache(binary_cache.cache_root(os.environ), extra=extra)
    try:
        toolchain = go_toolchain.find()
    except RegionError:
        complete = cache.complete(None)
        if complete is None:
            raise
        return complete
    complete = cache.complete(toolchain)
    if complete is not None:
        return complete
    doctor.check_build()
    built = cache.build(toolchain, progress)
    if not keep_build_cache:
        cache.drop_build_cache()
    return built


def existing(place: Path) -> Layout:
    """The region that runs here, or a message that none does."""
    layout = home.load(place)
    if layout is None:
        raise RegionError(f"there is no region in {place}: create one with `pincompute region up`")
    return layout


def running(place: Path) -> Layout:
    """The region that is up here, or a message that it is not."""
    layout = existing(place)
    supervised(place, "status")
    return layout


def supervised(place: Path, command: supervisor_socket.Command) -> supervisor_socket.SupervisorState:
    """The supervisor's answer, or a message that the region is not up."""
    try:
        return supervisor_socket.ask(place, command, ANSWER)
    except supervisor_socket.NotRunning:
        if who := home.changed_by(place):
            raise RegionError(f"{who} is changing the region in {place}: wait until it has ended") from None
        raise RegionError(f"the region in {place} is not up: `pincompute region up`") from None
    except TimeoutError:
        raise RegionError(
            f"the supervisor of the region in {place} does not answer within {ANSWER:g} s: "
            f"see {place}/logs/supervisor.log, or start again with `pincompute region down` and `pincompute region up`"
        ) from None


async def _provision(
    layout: Layout, programs: Path, progress: Progress, options: RegionOptions
) -> list[example_app.ZoneAnswer]:
    states = ProgramStates(layout.home, progress)
    try:
        async with asyncio.TaskGroup() as tasks:
            polling = tasks.create_task(states.poll())
            region = RunningRegion(layout, programs, states, progress)
            answers = await provisioning.provision(region, example=options.example)
            if layout.spec.daemons:
                await _bring_daemons(region, asked=options.daemons is True)
            polling.cancel()
    except BaseExceptionGroup as group:
        raise _first(group) from group
    return answers


async def _bring_daemons(region: RunningRegion, *, asked: bool) -> None:
    """The region runs without them, so what prevents them is an error only where the user asked. Without package sources an
    attempt takes its time, so later starts do not repeat one for an image that this machine cannot make.
    """
    try:
        await provisioning.write_daemons(region)
    except (ImageError, KubeError, OSError, TimeoutError) as error:
        if asked:
            raise
        message = (error.message, error.remedy) if isinstance(error, ImageError) else (str(error) or "no answer in time", "")
        why = escape(". ".join(filter(None, message)))  # without the output of a program that failed
        layout, passes = region.layout, isinstance(error, NoAnswerError) or not isinstance(error, ImageError)
        if passes or (layout.home / daemon_images.RECORD).exists():
            region.progress.say(
                f"[yellow]metrics agent and log shipper stay as they are: {why}; the next `up` tries again[/yellow]"
            )
            return
        home.save(Layout(layout.home, msgspec.structs.replace(layout.spec, daemons=False)))
        region.progress.say(
            f"[yellow]the nodes get no metrics agent and no log shipper: {why}; then `pincompute region up --daemons`[/yellow]"
        )


def _specify(place: Path, options: RegionOptions) -> Layout:
    """The layout of the region that is here, or of a new one; in both cases with the slot claimed."""
    known, claims = home.load(place), slot_claims.directory()
    if options.daemons and not (known.spec.real_nodes if known else not doctor.real_nodes_obstacle()):
        raise RegionError("--daemons: simulated nodes run nothing, and this region has no others; leave it out")
    home.create(place)
    if known is None:
        return _new(place, options, claims)
    slot_claims.check(place, known.spec.slot, claims)
    obstacle = doctor.real_nodes_obstacle() if known.spec.real_nodes else ""
    if obstacle:
        raise RegionError(f"the region in {place} has real nodes, and they cannot run now: {obstacle}")
    spec = known.spec
    if options.daemons is not None:
        spec = msgspec.structs.replace(spec, daemons=options.daemons)
    if options.simulated_nodes is not None:
        spec = msgspec.structs.replace(spec, simulated_nodes=_simulated(options.simulated_nodes, spec.real_nodes))
    return Layout(place, spec)


def _new(place: Path, options: RegionOptions, claims: Path) -> Layout:
    real = not doctor.real_nodes_obstacle()
    members = tuple(MemberSpec(name=name, zone=zone, index=index) for index, (name, zone) in enumerate(FIRST_MEMBERS))
    spec = RegionSpec(
        slot=slot_claims.claim(place, claims),
        members=members,
        real_nodes=real,
        simulated_nodes=_simulated(options.simulated_nodes or 0, real),
        daemons=real and options.daemons is not False,
    )
    layout = Layout(place, spec)
    home.save(layout)
    return layout


def _simulated(asked: int, real_nodes: bool) -> int:
    return asked if real_nodes else max(asked, FEWEST_SIMULATED)


def _known(place: Path) -> Layout | None:
    """As far as can be known: with a damaged specification, the slot that is claimed for this home."""
    try:
        return home.load(place)
    except RegionError:
        slot = slot_claims.of(place, slot_claims.directory())
        return None if slot is None else Layout(place, RegionSpec(slot=slot, members=()))


def _start_supervisor(place: Path) -> None:
    environment = os.environ | {region_processes.HOME: str(place), region_processes.PROGRAM: region_processes.SUPERVISOR}
    command = (sys.executable, "-m", "pincompute.region.process.supervisor", str(place))
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=STOP, check=False)
    if done.returncode != 0:
        raise RegionError(done.stderr.strip() or f"the supervisor did not start; see {place}/logs/supervisor.log")


def _described(layout: Layout) -> str:
    members = ", ".join(f"{member.name} in zone {member.zone}" for member in layout.spec.members)
    obstacle = doctor.real_nodes_obstacle() if not layout.spec.real_nodes else ""
    simulated = f"; {layout.spec.simulated_nodes} simulated nodes each" if layout.spec.simulated_nodes else ""
    why = f"simulated nodes only, because {obstacle or 'it was made that way'}; they run no program and no daemon"
    only = f"; [yellow]{why}[/yellow]" if not layout.spec.real_nodes else ""
    return f"members {members}{simulated}{only}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that ended the group: the others were cancelled because of it."""
    inner = group.exceptions[0]
    return _first(cast("BaseExceptionGroup[BaseException]", inner)) if isinstance(inner, BaseExceptionGroup) else inner
