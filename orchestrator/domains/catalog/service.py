"""Reading the connector files, and what is on offer here."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from orchestrator.domains.catalog import queries, rules
from orchestrator.domains.catalog.errors import (
    BrokenConnectorError,
    ConnectorNotAvailableError,
    UnknownConnectorError,
)
from orchestrator.domains.catalog.types import BrokenFile, Connector, Kind, Provider, Status
from orchestrator.kernel.environment import project_root

_META_SCHEMA = "connector.schema.json"
_RECORD = "connectors.sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The connector files of one folder: those that can be used, and those that can't."""

    connectors: Mapping[str, Connector]
    broken: tuple[BrokenFile, ...]

    def get(self, name: str) -> Connector:
        """The connector of that name. Raises UnknownConnectorError, or BrokenConnectorError where its file is."""
        connector = self.connectors.get(name)
        if connector is not None:
            return connector
        for file in self.broken:
            if file.name == name:
                raise BrokenConnectorError(file.file, file.reasons)
        raise UnknownConnectorError(name, tuple(self.connectors))

    def of(self, kind: Kind) -> tuple[Connector, ...]:
        """The sources, or the destinations, by title."""
        return tuple(sorted((c for c in self.connectors.values() if c.kind is kind), key=lambda c: c.title.lower()))


def load(folder: Path) -> Catalog:
    """Read every *.json of the folder; one that can't be used is named with its reasons, the others still work.

    Beside the folder stand connector.schema.json (the meta-schema) and connectors.sha256, in the form of sha256sum:
    a file whose hash is recorded there was valid when it was recorded and is not validated again, which keeps
    commands that only read fast. Any other is.
    """
    meta_schema, recorded = _meta(folder.parent)
    connectors: dict[str, Connector] = {}
    broken: list[BrokenFile] = []
    for path in sorted(folder.glob("*.json")):
        read = _read(path, meta_schema, recorded)
        if isinstance(read, BrokenFile):
            broken.append(read)
        else:
            connectors[read.name] = read
    return Catalog(connectors=connectors, broken=tuple(broken))


@lru_cache(maxsize=1)
def installed() -> Catalog:
    """The connector files of this installation, read once a process."""
    return load(project_root() / "schemas" / "connectors")


def reasons(document: Any, meta_schema: Mapping[str, Any], *, file_stem: str) -> tuple[str, ...]:
    """Why a connector file can't be used, each as `/json/pointer: sentence`; empty where it can."""
    from jsonschema.exceptions import best_match  # slow to import, and rarely needed

    errors = sorted(
        rules.strict.validator()(meta_schema).iter_errors(document), key=lambda error: list(map(str, error.path))
    )
    if not errors:
        return rules.misfits(document, file_stem=file_stem)
    deepest = [best_match([error]) or error for error in errors]
    return tuple(dict.fromkeys(f"{_pointer(error.absolute_path)}: {_short(error.message)}" for error in deepest))


def sync_providers(tx: Session, catalog: Catalog) -> None:
    """Bring `integration_providers` in line with the files; the operator's `available` and `plan` stay."""
    queries.upsert(tx, catalog.connectors.values())


def providers(tx: Session, catalog: Catalog) -> tuple[Provider, ...]:
    """Everything on offer, sources first, by title, with the operator's switches."""
    switches = queries.switches(tx)
    offered = [_provider(connector, switches.get(connector.name)) for connector in catalog.connectors.values()]
    return tuple(sorted(offered, key=lambda one: (one.kind is Kind.DESTINATION, one.title.lower())))


def addable(tx: Session, catalog: Catalog, name: str) -> Connector:
    """The connector, where it may be added here.

    Raises UnknownConnectorError, BrokenConnectorError, ConnectorNotAvailableError.
    """
    connector = catalog.get(name)
    provider = _provider(connector, queries.switches(tx).get(name))
    if not provider.can_be_added:
        raise ConnectorNotAvailableError(name, connector.title, coming_soon=connector.status is Status.COMING_SOON)
    return connector


def _provider(connector: Connector, switch: queries.Switch | None) -> Provider:
    return Provider(
        name=connector.name,
        kind=connector.kind,
        title=connector.title,
        publisher=connector.publisher,
        category=connector.category,
        description=connector.description,
        status=connector.status,
        plan=connector.plan if switch is None else switch.plan,
        available=switch is None or switch.available,
        capabilities=connector.capabilities,
        variants=tuple(connector.variants),
        docs_url=connector.docs_url,
        icon=connector.icon,
    )


def _meta(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The meta-schema, and the hash of each file recorded as valid under this very meta-schema, by its path here."""
    raw = (folder / _META_SCHEMA).read_bytes()
    record = folder / _RECORD
    lines = [line.split() for line in record.read_text("utf-8").splitlines()] if record.is_file() else []
    recorded = {line[-1]: line[0] for line in lines if line}
    meta_schema: Mapping[str, Any] = json.loads(raw)
    return meta_schema, recorded if recorded.get(_META_SCHEMA) == hashlib.sha256(raw).hexdigest() else {}


def _read(path: Path, meta_schema: Mapping[str, Any], recorded: Mapping[str, str]) -> Connector | BrokenFile:
    try:
        raw = path.read_bytes()
        document = json.loads(raw.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return BrokenFile(file=path.name, reasons=(f"/: {_unreadable(error)}",))
    sha256 = hashlib.sha256(raw).hexdigest()
    if recorded.get(f"{path.parent.name}/{path.name}") != sha256:
        found = reasons(document, meta_schema, file_stem=path.stem)
        if found:
            return BrokenFile(file=path.name, reasons=found)
    return rules.connector(document, sha256=sha256)


def _unreadable(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
    if isinstance(error, OSError):
        return f"can't be read: {error.strerror}."
    return "is nested too deeply." if isinstance(error, RecursionError) else "is not a text in UTF-8."


def _pointer(path: Any) -> str:
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _short(message: str) -> str:
    limit = 200
    return message if len(message) <= limit else f"{message[:limit]}…"
