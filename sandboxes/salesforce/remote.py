"""An org in a process of its own, started and driven from here: for demos and benchmarks.

with RemoteOrg(counts={"Contact": 10_000}) as org:
org.url, org.app["client_id"], org.churn("Contact", update=20, delete=5)
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from .errors import SandboxError

STOP_SECONDS = 10
_REQUEST_SECONDS = 120


class OrgControl:
    """The control endpoints of an org somewhere on this computer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opener = build_opener(ProxyHandler({}))

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Make any control request, e.g. GET /sandbox/stats; SandboxError with the org's sentence."""
        sent = json.dumps(body or {}).encode() if method == "POST" else None
        request = Request(self.url + path, sent, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - loopback
        try:
            with self._opener.open(request, timeout=_REQUEST_SECONDS) as answer:
                return dict(json.load(answer))
        except HTTPError as error:
            with error:
                raise SandboxError(json.load(error).get("error", f"HTTP {error.code}")) from None
        except OSError as error:
            raise SandboxError(f"No local org answers at {self.url}: {error}.") from error

    def stats(self) -> dict[str, Any]:
        """Requests by path, records by API and object, faults with their hits."""
        return self.call("GET", "/sandbox/stats")

    def reset(self) -> None:
        """Forget faults, statistics and used requests."""
        self.call("POST", "/sandbox/reset")

    def add_fault(self, kind: str, **settings: Any) -> int:
        """Put a fault in force; answers its id."""
        return int(self.call("POST", "/sandbox/faults", {"kind": kind, **settings})["id"])

    def clear_faults(self) -> None:
        """Everything works again."""
        self.call("DELETE", "/sandbox/faults")

    def churn(self, name: str, *, update: int = 0, delete: int = 0, insert: int = 0) -> dict[str, list[str]]:
        """Change, delete and add that many records; answers their ids."""
        body = {"object": name, "update": update, "delete": delete, "insert": insert}
        return self.call("POST", "/sandbox/churn", body)

    def insert(self, name: str, records: int | Sequence[Mapping[str, Any]]) -> list[str]:
        """Add records."""
        return list(self.call("POST", f"/sandbox/records/{name}/insert", {"records": records})["ids"])

    def update(self, name: str, which: int | Sequence[str], changes: Mapping[str, Any]) -> list[str]:
        """Change records."""
        return list(self.call("POST", f"/sandbox/records/{name}/update", {"ids": which, "changes": changes})["ids"])

    def delete(self, name: str, which: int | Sequence[str]) -> list[str]:
        """Move records to the recycle bin."""
        return list(self.call("POST", f"/sandbox/records/{name}/delete", {"ids": which})["ids"])

    def hard_delete(self, name: str, which: int | Sequence[str]) -> list[str]:
        """Remove records for good."""
        return list(self.call("POST", f"/sandbox/records/{name}/hard_delete", {"ids": which})["ids"])

    def count(self, name: str) -> dict[str, int]:
        """{"live": …, "deleted": …}."""
        return self.call("GET", f"/sandbox/records/{name}/count")

    def hold_time(self) -> None:
        """Time stands still from now on, so that the same questions about unchanged data stay the same."""
        self.call("POST", "/sandbox/clock", {"held": True})

    def authority(self) -> str:
        """The certificate (PEM) that a client must trust that comes through CONNECT."""
        return str(self.call("GET", "/sandbox/authority")["pem"])

    def settings(self, **values: Any) -> None:
        """Change settings of the running org."""
        self.call("POST", "/sandbox/settings", values)


class RemoteOrg(OrgControl):
    """`python -m sandboxes.salesforce` as a child; ends with the `with` block, and with this process however that ends.

    app:      the credentials it printed
    options:  further options of the command, e.g. ["--rotate-refresh-tokens"]
    log:      a file for its stderr (default: nowhere)
    """

    def __init__(
        self,
        *,
        port: int = 0,
        seed: int = 1,
        counts: Mapping[str, int] | None = None,
        options: Sequence[str] = (),
        log: IO[bytes] | None = None,
    ) -> None:
        super().__init__("")
        self.app: dict[str, str] = {}
        counted = [f"--count={name}={number}" for name, number in (counts or {}).items()]
        known = (f"--port={port}", f"--seed={seed}", "--until-stdin-closes")
        self._command = [sys.executable, "-m", "sandboxes.salesforce", *known, *counted, *options]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running child."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start it and wait until it answers; SandboxError with its own words if it does not."""
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log or subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline()
        if not line:
            code = self.stop()
            raise SandboxError(f"The local org did not start (exit {code}): {' '.join(self._command)}")
        ready = json.loads(line)
        self.url = ready.pop("url")
        self.app = ready
        return self

    def stop(self) -> int | None:
        """End it; answers its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        return process.returncode

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
