"""Handles secrets, configs and logins at image registries. No answer, record or error has a secret's value."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter

from pincompute.api import image_reference
from pincompute.api.image_ownership import REGISTRY
from pincompute.api.meta import NAME, Manifest, Struct, doc
from pincompute.api.settings import CONFIG, DOCKER_CONFIG, ENTRY, SECRET, PinSecret, Setting, SettingKind, stored_name
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import FILES, Call, RecordedChange, Verb, may
from pincompute.gateway.middleware import CALL
from pincompute.gateway.problems import FieldError
from pincompute.gateway.workloads.responses import DryRun, IdempotencyKey
from pincompute.gateway.workloads.setting_service import NewValue, SettingService, fixed_version, rolls

LONGEST_NAME = 63
MOST_FILES = 200
_FILE = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_HOST = re.compile(image_reference.DNS_DOMAIN)
_DOCKER_HUB = "https://index.docker.io/v1/"  # the name under which container runtimes look for a login at docker.io


class NewSecret(Struct, forbid_unknown_fields=True):
    """The value of a secret."""

    data: Annotated[str, doc("The value in base64, at most 512 KiB of it.")]

    def __repr__(self) -> str:
        return "NewSecret()"


class NewConfig(Struct, forbid_unknown_fields=True):
    """The files of a config; they replace those of the version before."""

    files: Annotated[dict[str, str], doc("Content in base64 by file name, at most 512 KiB together.")]


class NewLogin(Struct, forbid_unknown_fields=True):
    """A login at an image registry."""

    user: Annotated[str, doc("User name at the registry.")]
    password: Annotated[str, doc("Password, or an access token of the registry.")]

    def __repr__(self) -> str:
        return f"NewLogin(user={self.user!r})"


class Rollback(Struct, forbid_unknown_fields=True):
    to: Annotated[int, doc("The version to use again. Default: the one before the present one.")] = 0


class ValueVersion(Struct):
    number: Annotated[int, doc("Counts the versions from 1.")]
    set: Annotated[datetime, doc("When it was set.")]
    author: Annotated[str, doc("Who set it.")] = ""


class Value(Struct):
    """What is known of a secret or config."""

    name: Annotated[str, doc("Its name, unique among its kind in its project.")]
    version: Annotated[int, doc("The version in use.")]
    set: Annotated[datetime | None, doc("When the version in use was set.")] = None
    author: Annotated[str, doc("Who set the version in use.")] = ""
    versions: Annotated[tuple[ValueVersion, ...], doc("The versions that are kept, oldest first.")] = ()
    used_by: Annotated[tuple[str, ...], doc("What uses it, such as `app hello`.")] = ()
    rolls: Annotated[
        tuple[str, ...], doc("Of these, what a new value rolls out to at once, because it has `update.settings: Roll`.")
    ] = ()
    fixed: Annotated[
        tuple[str, ...],
        doc("Of these, what stays at a version of its own until its next deploy, since a rollback: `app hello at version 2`."),
    ] = ()
    deleting: Annotated[datetime | None, doc("Since when it is being deleted.")] = None


class Secret(Value):
    """A secret without its value, which nobody reads again."""

    registry: Annotated[str, doc("The image registry that it is a login for; empty for other secrets.")] = ""


class Config(Value):
    """A config."""

    files: Annotated[dict[str, str] | None, doc("Content in base64 by file name, in the answer about one.")] = None


class SecretList(Struct):
    items: Annotated[tuple[Secret, ...], doc("The secrets of the project, by name.")]


class ConfigList(Struct):
    items: Annotated[tuple[Config, ...], doc("The configs of the project, by name.")]


def _service(reads: NamedDependency[CacheReads]) -> SettingService:
    return SettingService(reads)


def _does(kind: SettingKind, verb: Verb, operation: str) -> dict[str, Any]:
    plural = f"{kind.word}s"
    return {
        "opt": may(plural, verb, noun=kind.word),
        "operation_id": operation,
        "tags": [plural],
        "dependencies": {"service": Provide(_service, sync_to_thread=False)},
    }


Service = NamedDependency[SettingService]
InjectedCall = NamedDependency[Call]
AnyRequest = Request[Any, Any, Any]
SECRETS, CONFIGS = "/v1/projects/{project:str}/secrets", "/v1/projects/{project:str}/configs"


@get(SECRETS, **_does(SECRET, "list", "listSecrets"))
async def list_secrets(call: InjectedCall, service: Service) -> SecretList:
    """The secrets of a project, without their values."""
    return SecretList(items=tuple(_secret(service, each) for each in service.all(SECRET, call.project)))


@get(f"{SECRETS}/{{name:str}}", **_does(SECRET, "get", "getSecret"))
async def get_secret(name: FromPath[str], call: InjectedCall, service: Service) -> Secret:
    """One secret, without its value."""
    return _secret(service, service.one(SECRET, call.project, name))


@put(f"{SECRETS}/{{name:str}}", **_does(SECRET, "update", "setSecret"))
async def set_secret(
    data: JSONBody[NewSecret], call: InjectedCall, service: Service, request: AnyRequest, idempotency_key: IdempotencyKey = ""
) -> Secret:
    """Set a secret: its value becomes a new version, which nobody reads again."""
    _check_name(SECRET, call.name)
    size = len(_decoded("data", data.data))
    new = NewValue({"type": "Opaque", "data": {ENTRY: data.data}}, size, "data")
    return _secret(service, _noted(request, call, await service.set(SECRET, new, call, idempotency_key)))


@post(f"{SECRETS}/{{name:str}}/rollback", status_code=200, **_does(SECRET, "rollback", "rollbackSecret"))
async def roll_back_secret(data: JSONBody[Rollback], call: InjectedCall, service: Service, request: AnyRequest) -> Secret:
    """Use an earlier version of a secret again."""
    return _secret(service, _noted(request, call, await service.roll_back(SECRET, call, data.to)))


@delete(f"{SECRETS}/{{name:str}}", **_does(SECRET, "delete", "deleteSecret"))
async def delete_secret(call: InjectedCall, service: Service, dry_run: DryRun = False) -> None:
    """Remove a secret with all its versions. One that is used is refused."""
    await service.remove(SECRET, call, dry_run=call.judged_only(dry_run))


@put("/v1/projects/{project:str}/registries/{name:str}", **_does(SECRET, "update", "loginRegistry"))
async def log_in_at_registry(
    data: JSONBody[NewLogin], call: InjectedCall, service: Service, request: AnyRequest, idempotency_key: IdempotencyKey = ""
) -> Secret:
    """Keep a login at an image registry: apps with images of it pull with this login."""
    host = image_reference.normalized(call.name)
    if host.partition(":")[0] == REGISTRY:
        message = "is the region's own registry, from which nodes pull without a login: name another registry"
        raise problems.invalid(FieldError("name", "another registry than the region's", f"{host} {message}"))
    if not _HOST.fullmatch(host):
        raise problems.invalid(FieldError("name", "the name of a registry", "must be a DNS name, such as ghcr.io"))
    token = base64.b64encode(f"{data.user}:{data.password}".encode()).decode()
    login = {"username": data.user, "password": data.password, "auth": token}
    config = msgspec.json.encode({"auths": dict.fromkeys(_auth_names(host), login)})
    content = {"type": "kubernetes.io/dockerconfigjson", "data": {DOCKER_CONFIG: base64.b64encode(config).decode()}}
    new = NewValue(content, len(config), "password", {"type": "dockerconfigjson", "registry": host})
    named = replace(call, name=login_name(host))
    return _secret(service, _noted(request, named, await service.set(SECRET, new, named, idempotency_key)))


@get(CONFIGS, **_does(CONFIG, "list", "listConfigs"))
async def list_configs(call: InjectedCall, service: Service) -> ConfigList:
    """The configs of a project."""
    return ConfigList(items=tuple(_config(service, each) for each in service.all(CONFIG, call.project)))


@get(f"{CONFIGS}/{{name:str}}", **_does(CONFIG, "get", "getConfig"))
async def get_config(
    name: FromPath[str],
    call: InjectedCall,
    service: Service,
    version: Annotated[int, QueryParameter(description="A version that is kept. Default: the one in use.", ge=0)] = 0,
) -> Config:
    """One config, with its files."""
    found = service.one(CONFIG, call.project, name)
    files = _files(await service.content(found, CONFIG, version))
    encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return msgspec.structs.replace(_config(service, found), files=encoded)


def _files(held: Manifest) -> dict[str, bytes]:
    """Returns the files of one version, from the object that holds it."""
    texts: Mapping[str, str] = held.get("data") or {}
    binary: Mapping[str, str] = held.get("binaryData") or {}
    return {name: text.encode() for name, text in texts.items()} | {n: base64.b64decode(b) for n, b in binary.items()}


async def _present_files(service: SettingService, call: Call) -> dict[str, bytes] | None:
    """Returns the files of the version in use: none before the first one, and None where they cannot be read now."""
    try:
        return _files(await service.content(service.one(CONFIG, call.project, call.name), CONFIG, 0))
    except problems.Problem as problem:
        return {} if problem.code == "not-found" else None


def _changed_files(before: Mapping[str, bytes] | None, after: Mapping[str, bytes]) -> Iterator[RecordedChange]:
    """Yields the files that differ, with digests and never with their contents."""
    known = after if before is None else before
    for name in sorted(known.keys() | after.keys()):
        if known.get(name) != after.get(name):
            yield RecordedChange(f"{FILES}[{name}]", _digest(known.get(name)), _digest(after.get(name)))


def _digest(content: bytes | None) -> str | None:
    return f"sha256:{hashlib.sha256(content).hexdigest()}" if content is not None else None


@put(f"{CONFIGS}/{{name:str}}", **_does(CONFIG, "update", "setConfig"))
async def set_config(
    data: JSONBody[NewConfig], call: InjectedCall, service: Service, request: AnyRequest, idempotency_key: IdempotencyKey = ""
) -> Config:
    """Set the files of a config: together they become a new version."""
    _check_name(CONFIG, call.name)
    _check_files(data.files)
    decoded = {name: _decoded(f"files[{name}]", content) for name, content in data.files.items()}
    size = sum(map(len, decoded.values()))
    texts = {name: text for name, content in decoded.items() if (text := _text(content)) is not None}
    binary = {name: content for name, content in data.files.items() if name not in texts}
    new = NewValue({**({"data": texts} if texts else {}), **({"binaryData": binary} if binary else {})}, size, "files")
    before = await _present_files(service, call)
    made = await service.set(CONFIG, new, call, idempotency_key)
    call.changes.extend(_changed_files(before, decoded))
    return _config(service, _noted(request, call, made))


@post(f"{CONFIGS}/{{name:str}}/rollback", status_code=200, **_does(CONFIG, "rollback", "rollbackConfig"))
async def roll_back_config(data: JSONBody[Rollback], call: InjectedCall, service: Service, request: AnyRequest) -> Config:
    """Use an earlier version of a config again."""
    return _config(service, _noted(request, call, await service.roll_back(CONFIG, call, data.to)))


@delete(f"{CONFIGS}/{{name:str}}", **_does(CONFIG, "delete", "deleteConfig"))
async def delete_config(call: InjectedCall, service: Service, dry_run: DryRun = False) -> None:
    """Remove a config with all its versions. One that is used is refused."""
    await service.remove(CONFIG, call, dry_run=call.judged_only(dry_run))


def _auth_names(host: str) -> tuple[str, ...]:
    """Returns the names under which kubelets look for the login: the host as an image may name it."""
    if host == image_reference.DOCKER_HUB:
        return (_DOCKER_HUB,)
    return (host,) if ":" in host else (host, f"{host}:443")


def login_name(host: str) -> str:
    """Returns the name of the secret that keeps the login at a registry."""
    return "registry-" + re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[: LONGEST_NAME - len("registry-")].rstrip("-")


def _noted(request: AnyRequest, call: Call, setting: Setting) -> Setting:
    """Notes the version for the audit record, and never the value."""
    noted = replace(call, name=stored_name(setting.metadata.name, setting.spec.version))
    request.scope[CALL] = noted  # type: ignore[literal-required]
    return setting


def _check_name(kind: SettingKind, name: str) -> None:
    if len(name) <= LONGEST_NAME and re.fullmatch(NAME, name):
        return
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("0123456789-")[:LONGEST_NAME].rstrip("-")
    meant = f": write {near}" if near else ""
    expected = f"at most {LONGEST_NAME} lower-case letters, digits and '-', beginning with a letter"
    raise problems.invalid(FieldError("name", expected, f"the name of a {kind.word} has {expected}{meant}"))


def _check_files(files: Mapping[str, str]) -> None:
    if not 0 < len(files) <= MOST_FILES:
        raise problems.invalid(FieldError("files", f"1 to {MOST_FILES} files", f"has {len(files)} files"))
    wrong = next((name for name in files if not _FILE.fullmatch(name) or name in (".", "..") or name.startswith("..")), None)
    if wrong is not None:
        expected = "letters, digits, '-', '_' and '.'"
        raise problems.invalid(FieldError("files", f"names of {expected}", f"a file name consists of {expected}"))


def _decoded(field: str, content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise problems.invalid(FieldError(field, "base64", "is not base64: encode the bytes first")) from None


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _facts(service: SettingService, kind: SettingKind, setting: Setting) -> dict[str, Any]:
    versions = tuple(ValueVersion(number=v.number, set=v.time, author=v.author) for v in setting.spec.versions)
    used = next((each for each in versions if each.number == setting.spec.version), None)
    using = service.workloads_using(kind, setting)
    return {
        "name": setting.metadata.name,
        "version": setting.spec.version,
        "set": used.set if used else None,
        "author": used.author if used else "",
        "versions": versions,
        "used_by": tuple(f"{word} {obj.metadata.name}" for word, obj in using),
        "fixed": tuple(
            f"{word} {obj.metadata.name} at version {version}"
            for word, obj in using
            if (version := fixed_version(obj, kind.word, setting.metadata.name))
        ),
        "rolls": tuple(f"{word} {obj.metadata.name}" for word, obj in using if rolls(obj, kind.word, setting.metadata.name)),
        "deleting": setting.metadata.deletion_timestamp,
    }


def _secret(service: SettingService, setting: Setting) -> Secret:
    registry = setting.registry if isinstance(setting, PinSecret) else ""
    return Secret(**_facts(service, SECRET, setting), registry=registry)


def _config(service: SettingService, setting: Setting) -> Config:
    return Config(**_facts(service, CONFIG, setting))


ROUTES = (
    *(list_secrets, get_secret, set_secret, roll_back_secret, delete_secret, log_in_at_registry),
    *(list_configs, get_config, set_config, roll_back_config, delete_config),
)
