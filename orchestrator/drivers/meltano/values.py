"""What is given to Meltano and what comes back: plain values, no business words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from orchestrator.drivers.meltano.errors import SettingError


class Side(StrEnum):
    """Which of the two plugins of a pipeline; the value is the section of meltano.yml, in the singular."""

    EXTRACTOR = "extractor"
    LOADER = "loader"


class Marker(Enum):
    """Stands in a plugin's config for something only the driver knows once the run's directory exists."""

    TOKEN_SOCKET = "token_socket"  # noqa: S105 - a name, not a secret
    BATCH_FOLDER = "batch_folder"  # as a file:// URL: where the plugins hand batch files over
    NOTES_FILE = "notes_file"  # where a loader leaves what it wants to know in its next run


TOKEN_SOCKET: Final = Marker.TOKEN_SOCKET
BATCH_FOLDER: Final = Marker.BATCH_FOLDER
NOTES_FILE: Final = Marker.NOTES_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may take at most.

    memory:     bytes, of all its processes together
    processes:  with their threads, together
    files:      open at once, of each process
    """

    memory: int = 4 * 1024**3  # the settings' defaults
    processes: int = 1_000
    files: int = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One Singer plugin with the settings of one run.

    name:          tap-… or target-…; also the prefix of its environment variables
    executable:    absolute path of the plugin's own program
    config:        top-level settings; leaves may be SecretStr (these are redacted from all output) or a Marker
    capabilities:  Meltano's words: catalog, discover, state …
    environment:   further variables for this plugin's process alone; never secrets
    writable:      folders it may write to besides its own; made where they are missing
    sockets:       whether it may connect to unix sockets; one that has the token's socket always may
    """

    side: Side
    name: str
    executable: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[Path, ...] = ()
    sockets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """All one run needs: rendered into a directory of its own and gone with it.

    catalog:   Singer catalog with its selection; None lets the extractor discover and sync everything
    state_id:  what the state store calls this pipeline; Meltano puts it behind "run:<tap>-to-<target>:"
    notes:     what the loader noted in an earlier run; None where there is nothing
    """

    extractor: Plugin
    loader: Plugin | None = None
    catalog: Mapping[str, Any] | None = None
    state_id: str = "state"
    notes: str | None = None

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The extractor, then the loader where there is one."""
        return (self.extractor,) if self.loader is None else (self.extractor, self.loader)


def reveal(value: Any, markers: Mapping[Marker, str]) -> Any:
    """The value with its secrets in clear and its markers filled in; only for what goes to the plugin."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Marker):
        if value not in markers:
            raise SettingError(f"A setting needs the {value.value}, and this run has none.", hint="Give the callback.")
        return markers[value]
    if isinstance(value, Mapping):
        return {str(key): reveal(item, markers) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [reveal(item, markers) for item in value]
    return value


def secrets_in(value: Any) -> frozenset[str]:
    """Every SecretStr leaf, in clear: what the redactor must know."""
    if isinstance(value, SecretStr):
        return frozenset({value.get_secret_value()})
    if isinstance(value, Mapping):
        return frozenset().union(*(secrets_in(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return frozenset().union(*(secrets_in(item) for item in value))
    return frozenset()


def has(value: Any, marker: Marker) -> bool:
    """Whether the marker is a leaf of the value."""
    if isinstance(value, Mapping):
        return any(has(item, marker) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has(item, marker) for item in value)
    return value is marker
