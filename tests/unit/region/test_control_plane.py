"""Control planes as data: flags that matter, the order of start and end, nothing exposed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pincompute.region import region_programs
from pincompute.region.cluster import control_plane
from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.process.program import Program

BINARIES = Path("/opt/programs")
MEMBERS = tuple(MemberSpec(name=f"{zone}1", zone=zone, index=index) for index, zone in enumerate("abc"))


@pytest.fixture
def layout() -> Layout:
    return Layout(Path("/var/region"), RegionSpec(slot=1, members=MEMBERS))


def flag(program: Program, name: str) -> str:
    found = [argument.partition("=")[2] for argument in program.argv if argument.partition("=")[0] == f"--{name}"]
    assert len(found) == 1, (program.name, name, found)
    return found[0]


def by_name(programs: tuple[Program, ...]) -> dict[str, Program]:
    return {program.name: program for program in programs}


def test_the_host_schedules_nothing_and_runs_no_pods(layout: Layout) -> None:
    host = by_name(control_plane.programs(layout, None, BINARIES))
    assert set(host) == {"host-etcd", "host-apiserver", "host-controller-manager"}
    controllers = flag(host["host-controller-manager"], "controllers").split(",")
    assert "namespace-controller" in controllers
    assert "garbage-collector-controller" in controllers
    assert not {"*", "deployment-controller", "node-lifecycle-controller"} & set(controllers)


def test_a_member_has_a_whole_control_plane(layout: Layout) -> None:
    member = by_name(control_plane.programs(layout, MEMBERS[1], BINARIES))
    assert set(member) == {"b1-etcd", "b1-apiserver", "b1-controller-manager", "b1-scheduler"}
    assert flag(member["b1-controller-manager"], "controllers") == "*"


def test_etcd_keeps_what_it_promised_and_speaks_to_certificates_only(layout: Layout) -> None:
    for member in (None, *MEMBERS):
        etcd = control_plane.programs(layout, member, BINARIES)[0]
        assert not [argument for argument in etcd.argv if "unsafe" in argument]
        assert "--client-cert-auth" in etcd.argv
        assert "--peer-client-cert-auth" in etcd.argv
        for name in ("listen-client-urls", "listen-peer-urls"):
            assert flag(etcd, name).startswith("https://127.0.0.1:")


def test_api_servers_authorize_nodes_and_roles(layout: Layout) -> None:
    for member in (None, *MEMBERS):
        apiserver = control_plane.programs(layout, member, BINARIES)[1]
        assert flag(apiserver, "authorization-mode") == "Node,RBAC"
        assert flag(apiserver, "enable-admission-plugins") == "NodeRestriction"
        assert flag(apiserver, "kubelet-preferred-address-types") == "InternalIP"
        assert flag(apiserver, "anonymous-auth") == "false"


def test_every_api_server_records_who_did_what_and_encrypts_secrets(layout: Layout) -> None:
    for member in (None, *MEMBERS):
        cluster = "host" if member is None else member.name
        apiserver = control_plane.programs(layout, member, BINARIES)[1]
        assert flag(apiserver, "audit-log-path") == f"/var/region/logs/audit/{cluster}.log"
        assert (flag(apiserver, "audit-log-mode"), flag(apiserver, "audit-log-maxsize")) == ("batch", "64")
        assert Path(flag(apiserver, "audit-policy-file")) in region_programs.configuration(layout, BINARIES)
        assert flag(apiserver, "encryption-provider-config") == f"/var/region/pki/{cluster}/encryption.yaml"


def test_an_api_server_starts_anew_for_a_new_key(layout: Layout) -> None:
    renewed = Layout(layout.home, msgspec.structs.replace(layout.spec, encryption_key=1))
    before, after = (by_name(region_programs.programs(region, BINARIES)) for region in (layout, renewed))
    assert {name for name in before if before[name] != after[name]} == {
        f"{cluster}-apiserver" for cluster in ("host", "a1", "b1", "c1")
    }


def test_an_api_server_starts_after_its_etcd_and_ends_before_it(layout: Layout) -> None:
    for cluster in ("host", "a1", "b1", "c1"):
        member = next((m for m in MEMBERS if m.name == cluster), None)
        programs = by_name(control_plane.programs(layout, member, BINARIES))
        assert programs[f"{cluster}-apiserver"].needs == (f"{cluster}-etcd",)
        assert programs[f"{cluster}-etcd"].stop_after == (f"{cluster}-apiserver",)


def test_without_real_nodes_everything_stays_on_loopback() -> None:
    layout = Layout(Path("/var/region"), RegionSpec(slot=1, members=MEMBERS, real_nodes=False, simulated_nodes=3))
    for member in (None, *MEMBERS):
        apiserver = control_plane.programs(layout, member, BINARIES)[1]
        assert flag(apiserver, "bind-address") == "127.0.0.1"
        assert flag(apiserver, "endpoint-reconciler-type") == "none"


def test_names_are_unique_and_everything_needed_exists(layout: Layout) -> None:
    programs = region_programs.programs(layout, BINARIES)
    names = {program.name for program in programs}
    assert len(names) == len(programs)
    for program in programs:
        assert set(program.needs) <= names, program.name
        assert set(program.stop_after) <= names, program.name


def test_nothing_waits_for_itself_to_start_or_to_end(layout: Layout) -> None:
    programs = by_name(region_programs.programs(layout, BINARIES))

    def reach(name: str, edges: str, path: tuple[str, ...]) -> None:
        assert name not in path, (*path, name)
        for following in getattr(programs[name], edges):
            reach(following, edges, (*path, name))

    for name in programs:
        reach(name, "needs", ())
        reach(name, "stop_after", ())


def test_the_same_layout_gives_the_same_programs(layout: Layout) -> None:
    again = Layout(layout.home, msgspec.json.decode(msgspec.json.encode(layout.spec), type=RegionSpec))
    assert region_programs.programs(again, BINARIES) == region_programs.programs(layout, BINARIES)


def test_a_program_differs_when_a_file_it_reads_does(layout: Layout) -> None:
    node = by_name(region_programs.programs(layout, BINARIES))["a1-node"]
    elsewhere = by_name(region_programs.programs(layout, Path("/opt/newer")))["a1-node"]
    assert node.argv == elsewhere.argv
    assert node != elsewhere


def test_simulated_nodes_of_one_member_start_only_its_kwok(layout: Layout) -> None:
    asked = msgspec.structs.replace(MEMBERS[0], simulated_nodes=2)
    grown = Layout(layout.home, msgspec.structs.replace(layout.spec, members=(asked, *MEMBERS[1:])))
    added = {p.name for p in region_programs.programs(grown, BINARIES)} - {
        p.name for p in region_programs.programs(layout, BINARIES)
    }
    assert added == {"a1-kwok"}
