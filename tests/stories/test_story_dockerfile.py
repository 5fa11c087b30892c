"""A Dockerfile with RUN on a base of this machine: built with buildah, pushed, and run."""

from __future__ import annotations

import shutil

import pytest
from live_region import Region
from terminal_user import TerminalUser
from test_story_image_build import BUILDING, builder

DOCKERFILE = """\
FROM pincompute/python
ARG GREETING=hello
RUN python3 -c "open('/greeting', 'w').write('$GREETING, built by ' + str(__import__('os').getuid()))"
COPY main.py /app/
USER 65532
CMD ["python3", "/app/main.py"]
"""
PROGRAM = "import signal\nsignal.sigwait({signal.SIGTERM})\n"
STORAGE = '[storage]\ndriver = "overlay"\nrunroot = "{home}/run"\ngraphroot = "{home}/storage"\n'
APP = """\
kind: App
name: baked
replicas: 1
terminationGracePeriod: 2s
containers:
- {{name: baked, image: 'registry.internal/{project}/baked:1'}}
"""


@pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed")
def test_a_dockerfile_runs_what_it_says_on_a_base_of_this_machine(region: Region, shop: str, dev: TerminalUser):
    """buildah keeps what it makes in the user's home here, and not on the machine."""
    dev.write("storage.conf", STORAGE.format(home=dev.home))
    ann, folder = builder(dev).using(CONTAINERS_STORAGE_CONF=str(dev.home / "storage.conf")), dev.home / "baked"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "main.py").write_text(PROGRAM)
    built = ann.pin("image", "build", "baked", "--builder", "buildah", "--build-arg", "GREETING=good day", within=BUILDING)
    assert built.out == f"registry.internal/{shop}/baked:1\n"
    assert "good day" not in built.err
    dev.write("baked.yaml", APP.format(project=shop))
    dev.pin("deploy", "-f", "baked.yaml")
    assert dev.pin("exec", "baked", "--", "cat", "/greeting").out == "good day, built by 0"
    assert dev.pin("exec", "baked", "--", "id", "-u").out.strip() == "65532"
