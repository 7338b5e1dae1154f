"""What every peer needs: an environment with its packages, a way to the org, an address of the warehouse."""

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import make_url
from uv import find_uv_bin

from bench.salesforce.pipelines import Lab, UnavailableError
from orchestrator.kernel.environment import project_root

_OURS = Path(__file__).with_name("requirements")
READY = ".ready"
_LINES = 8
_BUILD_SECONDS = 600


def requirements(name: str) -> Path:
    """Hashed requirements: ours, or those of a plugin that the product offers.

    Ours are renewed as plugins/lock.py renews those, from `ingestr<0.15`, `dlt[postgres]` with `simple-salesforce`, and
    `airbyte-source-salesforce`.
    """
    here = _OURS / f"{name}.txt"
    return here if here.exists() else next((project_root() / "plugins").glob(f"*/{name}.requirements.txt"))


def version(name: str, package: str) -> str:
    """Of a package that is required."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", requirements(name).read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "?"


def place(keep: Path, name: str) -> Path:
    """Where an environment is kept: another one for other requirements or another Python."""
    key = sha256(requirements(name).read_bytes() + sys.version.encode() + sys.base_prefix.encode()).hexdigest()[:16]
    return keep / "peers" / f"{name}-{key}"


def program(keep: Path, name: str, script: str) -> Path:
    """A script of an environment, which is built first where it is missing. Raises UnavailableError."""
    folder = place(keep, name)
    if not (folder / READY).exists():
        shutil.rmtree(folder, ignore_errors=True)
        python = str(folder / "bin" / "python")
        _build(name, find_uv_bin(), "--quiet", "venv", "--python", sys.executable, str(folder))
        needed = ("--require-hashes", "--requirements", str(requirements(name)))
        _build(name, find_uv_bin(), "--quiet", "pip", "install", "--compile-bytecode", "--python", python, *needed)
        (folder / READY).touch()
    return folder / "bin" / script


def _build(name: str, *command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{name} was not installed within {_BUILD_SECONDS} s.") from error
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-_LINES:])
        raise UnavailableError(f"{name} cannot be installed here: {said}")


def folder(lab: Lab, schema: str) -> Path:
    """A run's own, where it is started and keeps what it likes."""
    made = lab.folder / schema
    made.mkdir(mode=0o700)
    return made


def private(path: Path, text: str) -> Path:
    """A file with secrets in it."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def environ(lab: Lab, own: Path) -> dict[str, str]:
    """The variables a peer is started with: nothing of this shell, the way to the org, and nobody told about it."""
    authority = own / "authority.pem"
    authority.write_text(lab.source.org.authority(), encoding="utf-8")
    return {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "HOME": str(own),
        "TMPDIR": str(own),
        "DLT_DATA_DIR": str(own),  # which root's dlt has in one place for all runs
        "HTTPS_PROXY": lab.source.org.url,
        "NO_PROXY": "127.0.0.1,localhost",
        "REQUESTS_CA_BUNDLE": str(authority),
        "SSL_CERT_FILE": str(authority),
        "DO_NOT_TRACK": "1",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "INGESTR_DISABLE_TELEMETRY": "true",
    }


def libpq_url(address: str) -> str:
    """The warehouse's address for those who look for its host where a URL has it, even if it is a socket's folder."""
    url = make_url(address)
    host, port = (url.host or url.query["host"]), (url.port or url.query.get("port", "5432"))
    login = f"{quote(url.username or '', safe='')}:{quote(str(url.password or ''), safe='')}"
    return f"postgresql://{login}@{quote(str(host), safe='')}:{port}/{quote(url.database or '', safe='')}"
