"""Keeps the images of a deleted project from a new project of its name: repositories belong to a project's uid.

For each project's name the registry's folder has a file with the uid of the project to which the repositories below the name
belong. Where it names another uid or is missing, whatever is below the name is a former project's, and is removed before the
file names the present project. Until then nobody gets a token for these repositories or deploys their images. It makes no
difference whether the gateway or kubectl made the project.

The gateway also follows projects as they come and go: images end with their project, and a node finds no former image.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from pincompute.api.image_ownership import project_of
from pincompute.api.labels import FORMER_IMAGES, HOST
from pincompute.api.meta import Key, Object
from pincompute.api.projects import PROJECTS, Project
from pincompute.gateway.images.owner_files import OwnerFiles
from pincompute.kube import api_errors
from pincompute.kube.cache_views import Unknown
from pincompute.kube.cluster_set import Clusters

log = logging.getLogger(__name__)

PAUSE = 5.0  # seconds after a failure
ATTEMPTS = 8  # while other gateways settle the same project
FAILURES = (OSError, api_errors.KubeError, Unknown, TimeoutError)


class RepositoryOwnership:
    """`run` follows the projects. `settled` are those whose file is known to name the uid; it never changes while they live."""

    def __init__(self, clusters: Clusters, files: OwnerFiles) -> None:
        self._clusters, self._files = clusters, files
        self._settled = dict[str, str]()
        self._changed: asyncio.Queue[str] = asyncio.Queue()
        self._waiting = set[str]()
        if files.configured:
            clusters.listen(HOST, PROJECTS, self._project_changed)

    async def unusable(self, repositories: Iterable[str]) -> dict[str, str]:
        """Returns by project why its images may not be used now. Only the first request after a project is made has to wait."""
        names = {project_of(repository) for repository in repositories} - {""}
        return {name: why for name in sorted(names) if (why := await self._why(name))}

    async def note_pushes(self, repositories: Iterable[str]) -> None:
        """Notes that somebody may push to them. Call it before a token to push is issued."""
        for name in {project_of(repository) for repository in repositories} if self._files.configured else ():
            await asyncio.to_thread(self._files.note_push, name)

    async def _why(self, name: str) -> str:
        if not self._files.configured:
            return ""
        try:
            present = self._clusters.view(HOST, PROJECTS).get(Key("", name))
            if present is None or self._settled.get(name) == present.metadata.uid:
                return ""
            await self._settle(name)
        except FAILURES as failure:
            log.warning("the owner of the images of project %s is unknown: %s", name, failure or type(failure).__name__)
            return f"it is not known whether images of a former project {name} are left; try again in a moment"
        return ""

    async def run(self) -> None:
        if not self._files.configured:
            return
        await self._clusters.until_synced(HOST)
        while True:
            if await self._tried("all projects", self._begin):
                break
            await asyncio.sleep(PAUSE)
        while True:
            name = await self._changed.get()
            self._waiting.discard(name)
            if not await self._tried(f"project {name}", lambda name=name: self._settle(name)):
                await asyncio.sleep(PAUSE)
                self._note(name)

    async def _tried(self, whose: str, attempt: Callable[[], Awaitable[None]]) -> bool:
        try:
            await attempt()
        except FAILURES as failure:
            log.warning("the owner of the images of %s is unknown: %s", whose, failure or type(failure).__name__)
            return False
        except Exception:  # one name must not keep the gateway from its work
            log.exception("the owner of the images of %s is unknown", whose)
            return False
        return True

    async def _begin(self) -> None:
        await self._adopt()
        for name in await asyncio.to_thread(self._files.names):
            self._note(name)

    def _project_changed(self, cluster: str, obj: Object, *, initial: bool) -> None:  # noqa: ARG002 - the listener's shape
        if self._settled.get(obj.metadata.name) != obj.metadata.uid or self._present(obj.metadata.name) is None:
            self._note(obj.metadata.name)

    def _note(self, name: str) -> None:
        if name not in self._waiting:
            self._waiting.add(name)
            self._changed.put_nowait(name)

    def _present(self, name: str) -> Project | None:
        return self._clusters.cache(HOST, PROJECTS).get(Key("", name))

    async def _settle(self, name: str) -> None:
        """Remove what is another project's. The API server is asked itself, since a cache may show a project that is gone."""
        await self._adopt()
        for _ in range(ATTEMPTS):
            before = await asyncio.to_thread(self._files.owner, name)
            cached = self._present(name)
            if cached is not None and cached.metadata.uid == before:
                self._settled[name] = before
                return
            uid = await self._uid(name)
            if (uid and uid == before) or await asyncio.to_thread(self._files.hand_over, name, before, uid):
                self._settled[name] = uid
                return
        raise TimeoutError

    async def _uid(self, name: str) -> str:
        """Returns the uid of the project; empty where there is none."""
        try:
            return (await self._clusters.client(HOST).get(PROJECTS, Key("", name))).metadata.uid
        except api_errors.NotFound:
            return ""

    async def _adopt(self) -> None:
        """The first time, projects that exist keep their images: an earlier version of the platform kept no such files."""
        if await asyncio.to_thread(self._files.adopted):
            return
        present = self._clusters.view(HOST, PROJECTS).list()
        own = (each.metadata for each in present if FORMER_IMAGES not in each.metadata.annotations)
        await asyncio.to_thread(self._files.adopt, {each.name: each.uid for each in own})
