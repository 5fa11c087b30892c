"""Defines how users write containers and volumes in the simple form.

A field that is not set is None and not an empty list or false. So a resource comes back as it was written, and a caller who
sends back what they read changes nothing. `one_of` names fields of which an object sets one at most: Kubernetes would refuse
the others only when replicas are made, long after the request was answered.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec

from pincompute.api.meta import Struct, doc
from pincompute.gateway.model.codecs import DURATION

_DURATION = {"x-words": "a duration", "x-unit": "s", "x-example": "30s, 2m or 1h30m"}
Quantity: TypeAlias = int | float | str
Duration: TypeAlias = Annotated[str, msgspec.Meta(pattern=DURATION, examples=["30s", "1m30s"], extra=_DURATION)]
PortName: TypeAlias = int | str


class EnvSource(Struct):
    """Where a variable's value comes from: exactly one of secret, config, field and resource."""

    one_of: ClassVar = ("secret", "config", "field", "resource")
    secret: Annotated[str | None, doc("A secret of the project, as in `pin secret list`.")] = None
    config: Annotated[str | None, doc("A config of the project; `key` says which entry.")] = None
    key: Annotated[str | None, doc("The file of the config. A secret has one entry, `value`.")] = None
    optional: Annotated[bool | None, doc("Start even if the secret or config is not there.")] = None
    field: Annotated[str | None, doc("A field of the replica, for example metadata.name or status.podIP.")] = None
    resource: Annotated[str | None, doc("An amount of a container, for example limits.memory.")] = None
    container: Annotated[str | None, doc("The container whose amount it is. Default: this one.")] = None
    divisor: Annotated[str | int | None, doc("The unit of the amount, for example 1Mi.")] = None


class EnvFrom(Struct):
    """All entries of a secret or config as variables."""

    one_of: ClassVar = ("secret", "config")
    secret: Annotated[str | None, doc("A secret of the project.")] = None
    config: Annotated[str | None, doc("A config of the project.")] = None
    prefix: Annotated[str | None, doc("Put before every name.")] = None


class Port(Struct):
    port: Annotated[int, doc("Number from 1 to 65535 the container listens on.")]
    name: Annotated[str | None, doc("Name that checks and services may use, for example http.")] = None
    protocol: Annotated[Literal["TCP", "UDP", "SCTP"] | None, doc("Protocol that it speaks. Default: TCP.")] = None


class HttpCheck(Struct):
    port: Annotated[PortName, doc("Number or name of a port.")]
    path: Annotated[str | None, doc("Path to ask for. Default: /.")] = None
    scheme: Annotated[
        Literal["HTTP", "HTTPS"] | None, doc("HTTPS without a check of the certificate, or HTTP. Default: HTTP.")
    ] = None


class TcpCheck(Struct):
    port: Annotated[PortName, doc("Number or name of a port.")]


class GrpcCheck(Struct):
    port: Annotated[int, doc("Number of a port.")]
    service: Annotated[str | None, doc("Service to ask about.")] = None


class Health(Struct):
    """A check of a container: one of http, tcp, grpc and command."""

    one_of: ClassVar = ("http", "tcp", "grpc", "command")
    http: Annotated[HttpCheck | None, doc("Healthy if it answers with a status from 200 to 399.")] = None
    tcp: Annotated[TcpCheck | None, doc("Healthy if it accepts a connection.")] = None
    grpc: Annotated[GrpcCheck | None, doc("Healthy if it says so by the gRPC health protocol.")] = None
    command: Annotated[tuple[str, ...] | None, doc("Healthy if this command in the container exits with 0.")] = None
    initial_delay: Annotated[Duration | None, doc("How long after its start the first check comes.")] = None
    period: Annotated[Duration | None, doc("Time between checks. Default: 10s.")] = None
    timeout: Annotated[Duration | None, doc("How long an answer may take. Default: 1s.")] = None
    failure_threshold: Annotated[int | None, doc("Failures in a row until it counts as unhealthy. Default: 3.")] = None
    success_threshold: Annotated[int | None, doc("Successes in a row until it counts as healthy. Default: 1.")] = None


class Limits(Struct):
    cpu: Annotated[Quantity | None, doc("Cores that it gets at most, for example 2 or 500m.")] = None
    memory: Annotated[Quantity | None, doc("A container that takes more is restarted, for example 1Gi.")] = None
    storage: Annotated[Quantity | None, doc("Temporary storage; a replica that takes more is replaced.")] = None


class Resources(Struct):
    cpu: Annotated[Quantity | None, doc("Cores that are set aside, for example 2, 0.5 or 250m. Default: 100m.")] = None
    memory: Annotated[Quantity | None, doc("Memory that is set aside, for example 512Mi. Default: 128Mi.")] = None
    gpu: Annotated[int | str | None, doc("GPUs of its own.")] = None
    storage: Annotated[
        Quantity | None,
        doc("Temporary storage that is set aside, and the most that may be written unless a limit says another amount."),
    ] = None
    limits: Annotated[Limits | None, doc("What it may take at most. Default for memory: what is set aside.")] = None


class Mount(Struct):
    volume: Annotated[str, doc("Name of one of `volumes`.")]
    path: Annotated[str, doc("Where the container sees it.")]
    read_only: Annotated[bool | None, doc("The container cannot change it.")] = None
    sub_path: Annotated[str | None, doc("Only this path of the volume.")] = None


class FileSource(Struct):
    """What stands at a path of a container, read-only: one of secret and config."""

    one_of: ClassVar = ("secret", "config")
    secret: Annotated[str | None, doc("The path is a file with the value of this secret of the project.")] = None
    config: Annotated[str | None, doc("The path is a folder with the files of this config of the project.")] = None
    key: Annotated[str | None, doc("The path is this one file of the config.")] = None


class EmptyDir(Struct):
    medium: Annotated[str | None, doc("Memory keeps it in memory. Default: on the node's disk.")] = None
    size_limit: Annotated[str | int | None, doc("A replica that puts more into it is replaced.")] = None


class Volume(Struct):
    """Files for containers to mount: one of emptyDir, config, secret and claim."""

    one_of: ClassVar = ("emptyDir", "config", "secret", "claim")
    name: Annotated[str, doc("Name that mounts use.")]
    empty_dir: Annotated[EmptyDir | None, doc("Empty at first, gone with the replica.")] = None
    config: Annotated[str | None, doc("The entries of this config of the project as files.")] = None
    secret: Annotated[str | None, doc("The entries of this secret of the project as files.")] = None
    claim: Annotated[str | None, doc("This persistent volume claim of the project.")] = None


class Container(Struct):
    name: Annotated[str, doc("Lower-case letters, digits and '-', unique in the workload.")]
    image: Annotated[str | None, doc("Image to run, for example registry.internal/hello:1.")] = None
    command: Annotated[tuple[str, ...] | None, doc("Program to run instead of the image's.")] = None
    args: Annotated[tuple[str, ...] | None, doc("Its arguments instead of the image's.")] = None
    working_dir: Annotated[str | None, doc("Folder it is started in.")] = None
    env: Annotated[dict[str, str | EnvSource] | None, doc("Variables by name: a text, or where the value comes from.")] = None
    env_from: Annotated[tuple[EnvFrom, ...] | None, doc("Secrets and configs whose entries become variables.")] = None
    secrets: Annotated[
        tuple[str, ...] | None,
        doc("Secrets of the project that become variables: db-password is DB_PASSWORD. Shown as `env`, which can name others."),
    ] = None
    files: Annotated[
        dict[str, str | FileSource] | None,
        doc("Files by path, read-only: a config of the project, whose files stand in that folder, or another source."),
    ] = None
    ports: Annotated[tuple[Port, ...] | None, doc("Ports it listens on.")] = None
    resources: Annotated[Resources | None, doc("What it needs and what it may take.")] = None
    health: Annotated[Health | None, doc("Gets traffic and counts as ready while this check succeeds.")] = None
    liveness: Annotated[Health | None, doc("Is restarted when this check fails.")] = None
    startup: Annotated[Health | None, doc("The other checks begin when this one has succeeded.")] = None
    mounts: Annotated[tuple[Mount, ...] | None, doc("Volumes it sees, and where.")] = None


class InitContainer(Container):
    """Runs to its end before the containers start; a sidecar starts before them and runs beside them."""

    sidecar: Annotated[bool | None, doc("Runs for as long as the replica.")] = None
