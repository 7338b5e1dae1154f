"""How names of the source become DuckDB's, which tell no upper from lower case; see "Names" in the README."""

import hashlib
from collections.abc import Iterable
from typing import Final

_LIMIT: Final = 200  # letters; DuckDB has no limit, people and file systems do


def identifier(name: str) -> str:
    """The name itself where DuckDB can hold it; otherwise its beginning and a hash of all of it."""
    clean = "".join(letter for letter in name if letter != "\0" and not "\ud800" <= letter <= "\udfff")
    return name if clean == name and 0 < len(name) <= _LIMIT else _hashed(clean, name)


def distinct(names: Iterable[str]) -> dict[str, str]:
    """Name → identifier, no two of them the same but for their case: the first keeps its name."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        own, salted = identifier(name), name
        while own.casefold() in taken:
            own, salted = _hashed(name, salted), salted + "\0"
        taken.add(own.casefold())
        found[name] = own
    return found


def quoted(name: str) -> str:
    """As an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """As a text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _hashed(head: str, name: str) -> str:
    return f"{head[: _LIMIT - 9]}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
