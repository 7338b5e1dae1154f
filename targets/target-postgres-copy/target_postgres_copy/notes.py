"""What a load notes for the next one, since Singer gives targets no state: the columns that streams were loaded with.

A column that somebody dropped or renamed looks like one that never was. Where only changed records come, adding it
again would leave it empty in all the others.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

log: Final = logging.getLogger("target-postgres-copy")


class Notes:
    """The notes of earlier loads, and of this one. path: where they are kept; None: nowhere, and nothing is noted."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._before = _read(path) if path else {}
        self._now: dict[str, dict[str, None]] = {}

    def loaded_with(self, stream: str) -> frozenset[str]:
        """The columns that the newest load of a stream had; none where that isn't known."""
        return frozenset(self._before.get(stream, ()))

    def add(self, stream: str, columns: Iterable[str]) -> None:
        """Note what this load has; a stream may come with other columns half-way."""
        self._now.setdefault(stream, {}).update(dict.fromkeys(columns))

    def write(self) -> None:
        """Keep them for the next load: all at once, or those of before."""
        if self._path is None:
            return
        columns = {**self._before, **{stream: list(names) for stream, names in self._now.items()}}
        if columns == self._before:
            return
        aside = self._path.with_name(f"{self._path.name}.new")
        try:
            aside.write_text(json.dumps({"columns": columns}, separators=(",", ":")), encoding="utf-8")
            aside.replace(self._path)
        except OSError as error:
            log.warning("The notes for the next load could not be written: %s.", error.strerror)


def _read(path: Path) -> dict[str, list[str]]:
    try:
        columns = json.loads(path.read_bytes())["columns"]
        return {stream: list(dict.fromkeys(names)) for stream, names in columns.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        log.warning("The notes of earlier loads cannot be read and are begun anew: %r.", error)
        return {}
