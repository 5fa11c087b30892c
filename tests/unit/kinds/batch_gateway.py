"""Runs a whole gateway with the kind of package batches, sends requests by HTTP and by `pin`, and prints the answers as JSON.

python batch_gateway.py FOLDER
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway.served_gateway import WITHIN, Running, running

PLACE = "/v1/projects/shop/batches"
WORDS = (("list", "--kind", "batch"), ("scale", "batch/nightly", "5", "--detach"))
NIGHTLY = {"kind": "Batch", "name": "nightly", "team": "red", "replicas": 2, "containers": [{"name": "main", "image": "r/n:1"}]}


async def main(folder: Path) -> None:
    async with running(folder) as there:
        status, created, _ = await there.ask("dan", "POST", PLACE, NIGHTLY)
        assert status == 201, created
        await there.ask("olga", "POST", f"{PLACE}/nightly/scale", {"replicas": 3})
        history = await _eventually(there, f"{PLACE}/nightly/history")
        print(
            json.dumps(
                {
                    "created": created["item"],
                    "listed": await _got(there, PLACE),
                    "in full": await _got(there, "/v1/resources/projects/shop/batches/nightly"),
                    "history": history["items"],
                    "explained": await _got(there, f"{PLACE}/nightly/explain"),
                    "missing": (await there.ask("vera", "GET", f"{PLACE}/none"))[1],
                    "roles": await _got(there, "/v1/roles"),
                    "pin": [await _pin(there, folder, *words) for words in WORDS],
                }
            )
        )


async def _got(there: Running, path: str) -> Any:
    status, body, _ = await there.ask("vera", "GET", path)
    assert status == 200, body
    return body


async def _eventually(there: Running, path: str) -> Any:
    """Until the recorder has both revisions and the store has taken them."""
    async with asyncio.timeout(WITHIN):
        while True:
            found = await _got(there, path)
            if sum(record["type"] == "revision" for record in found["items"]) == 2:
                return found
            await asyncio.sleep(0.05)


async def _pin(there: Running, folder: Path, *words: str) -> str:
    told = {"PINCOMPUTE_SERVER": there.url, "PINCOMPUTE_PROJECT": "shop", "PINCOMPUTE_CONFIG": str(folder / "config.yaml")}
    env = {**os.environ, **told, "PINCOMPUTE_TOKEN": there.issuer.token("olga")}
    command = [sys.executable, "-m", "pincompute_sdk.cli", *words]
    done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
