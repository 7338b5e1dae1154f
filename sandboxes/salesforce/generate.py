"""Fills an org with records: the same seed and counts always give the same values, down to the byte.

Columns are cut from cycles of different prime lengths, so that a row costs no work per cell in Python.
About one text value in twenty is nasty: quotes, line ends, other scripts, words that look like null, numbers,
formulas or commands. One record in a hundred is deleted.
"""

import itertools
import random
import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from . import ids
from .schema import NUMBERS, Field, SObject

VERSION = 1  # part of the cache key: raise it when values change
OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
NEWEST = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = 20_000
NASTY = (
    'He said "yes"', 'ends with a quote"', '"', "O'Brien", "first line\r\nsecond line", "one\n\nthree", "a,b;c|d\te",
    "naïve café – Ærøskøbing", "東京 株式会社", "שלום עולם", "👩\u200d👩\u200d👧 family 😀", "e\u0301 combining",
    "NA", "N/A", "null", "NULL", "None", "NaN", "007", "0012345", "1e5", "true", "=1+1", "@SUM(A1:A9)", "+49 30 1",
    "-2+3", "\\N", "\\.", "back\\slash", "$HOME ${PATH} `id`", "{{ 7*7 }}", "'; DROP TABLE x; --",
    "<b>bold</b> &amp;", "\u00a0nbsp\u00a0", "%s %d",
)  # fmt: skip
WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "iris", "jade", "karst", "lumen", "maple",
    "north", "ocean", "prism", "quartz", "river", "summit", "tundra", "ultra", "vertex", "willow", "xenon", "yarrow",
    "zenith",
)  # fmt: skip
FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Elif", "Fatima", "George", "Hana", "Igor", "José", "Kofi", "Lena", "Mei")
LAST = (
    "Abel",
    "Brandt",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Hughes",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lévy",
)
_PRIMES = (997, 1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049, 1051, 1061, 1063, 1069, 1087, 1091, 1093, 1097, 1103)
_CLOCK = [f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}.000+0000" for s in range(86_400)]

Column = Callable[[int, int], list[Any]]


def decimal_text(digits: str) -> str:
    """A decimal as the API writes it: `15000.0`, `3.5E8` from ten million up, all digits if there are more than 15."""
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    whole, _, fraction = digits.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    if len(whole) >= 8 and len(whole + fraction) <= 15:  # noqa: PLR2004 - Java's Double.toString, exact to 15 digits
        mantissa = (whole[1:] + fraction).rstrip("0") or "0"
        return f"{sign}{whole[0]}.{mantissa}E{len(whole) - 1}"
    return f"{sign}{whole}.{fraction or '0'}"


def fill(db: sqlite3.Connection, sobjects: Mapping[str, SObject], counts: Mapping[str, int], seed: int) -> None:
    """Create every table and its records."""
    for sobject in sobjects.values():
        names = ", ".join(f'"{f.name}"' for f in sobject.columns)
        db.execute(f'CREATE TABLE "{sobject.name}" (_row INTEGER PRIMARY KEY, {names})')
        if sobject.queryable and counts.get(sobject.name):
            _fill_one(db, _Maker(sobject, sobjects, counts, seed))
        db.execute(f'CREATE UNIQUE INDEX "{sobject.name}_id" ON "{sobject.name}" ("Id")')
        if sobject.has("SystemModstamp"):
            db.execute(f'CREATE INDEX "{sobject.name}_stamp" ON "{sobject.name}" ("SystemModstamp")')


def _fill_one(db: sqlite3.Connection, maker: "_Maker") -> None:
    sobject = maker.sobject
    columns = [maker.column(f, n) for n, f in enumerate(sobject.columns)]
    marks = ", ".join("?" * len(columns))
    names = ", ".join(f'"{f.name}"' for f in sobject.columns)
    statement = f'INSERT INTO "{sobject.name}" ({names}) VALUES ({marks})'  # noqa: S608 - names from our own schema
    total = maker.counts[sobject.name]
    for start in range(0, total, CHUNK):
        stop = min(start + CHUNK, total)
        db.executemany(statement, zip(*(column(start, stop) for column in columns), strict=True))


class _Dice(random.Random):  # repeatable values, no secret
    """A column's own source of chance; nasty values come in turn, so that a long column has all of them."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.nasty = itertools.cycle(self.sample(NASTY, len(NASTY)))


class _Maker:
    """Makes the columns of one object."""

    def __init__(self, sobject: SObject, sobjects: Mapping[str, SObject], counts: Mapping[str, int], seed: int) -> None:
        self.sobject, self.counts, self.seed = sobject, counts, seed
        self.total = max(counts[sobject.name], 1)
        self.prefixes = {s.name: s.prefix for s in sobjects.values()}

    def column(self, f: Field, position: int) -> Column:
        special: dict[str, Column] = {
            "Id": self.ids, "IsDeleted": self.deleted, "Username": self.username, "Alias": self.alias,
            "CreatedDate": self.stamps(400), "LastModifiedDate": self.stamps(0), "SystemModstamp": self.stamps(0),
            "Legacy_Number__c": self.zeros, "Number__c": self.zeros,
        }  # fmt: skip
        if f.name in special:
            return special[f.name]
        if f.type == "email" and self.sobject.name != "User":
            return self.email
        rng = _Dice(f"{self.seed}:{self.sobject.name}:{f.name}")
        size = min(_PRIMES[position % len(_PRIMES)] * (2 if f.type == "reference" else 1), self.total)
        return _cycle([self.value(f, rng) for _ in range(size)])

    def value(self, f: Field, rng: _Dice) -> Any:
        """One value of the field; null for about one in seven where it may be."""
        if f.system and f.type == "datetime":
            return None
        if f.nillable and rng.random() < 0.14:  # noqa: PLR2004
            return None
        if f.type == "reference":
            return self.reference(f, rng)
        return _VALUES.get(f.type, _text)(f, rng)

    def reference(self, f: Field, rng: _Dice) -> str | None:
        # owners and creators are users; every other reference is to an object of this org that has records
        targets = [t for t in f.refers_to if self.counts.get(t)]
        if not targets:
            return None
        target = rng.choice(targets)
        return ids.make(self.prefixes[target], rng.randrange(self.counts[target]))

    def ids(self, start: int, stop: int) -> list[str]:
        return ids.span(self.sobject.prefix, start, stop)

    def deleted(self, start: int, stop: int) -> list[int]:
        return [int((i * 7919 + self.seed) % 100 == 50) for i in range(start, stop)]  # noqa: PLR2004 - one in a hundred

    def zeros(self, start: int, stop: int) -> list[str]:
        return [f"{i:08d}" for i in range(start, stop)]

    def username(self, start: int, stop: int) -> list[str]:
        return [f"user{i:04d}@local-org.example" for i in range(start, stop)]

    def alias(self, start: int, stop: int) -> list[str]:
        return [f"u{i:06d}" for i in range(start, stop)]

    def email(self, start: int, stop: int) -> list[str | None]:
        kind = self.sobject.name.lower()
        return [None if i % 17 == 3 else f"{kind}{i}@example.com" for i in range(start, stop)]  # noqa: PLR2004

    def stamps(self, before: int) -> Column:
        """Moments over six years, in no order of ids; one in a hundred shares one moment (a mass update)."""
        span = int((NEWEST - OLDEST).total_seconds())
        total, step = self.total, 7_919 if self.total % 7_919 else 7_907
        days = _days()
        shared = span // 2

        def make(start: int, stop: int) -> list[str]:
            out = []
            for i in range(start, stop):
                second = shared if i % 100 == 99 else (i * step + self.seed) % total * span // total  # noqa: PLR2004
                second = max(second - before * (i % 1000), 0)
                out.append(days[second // 86_400] + _CLOCK[second % 86_400])
            return out

        return make


@lru_cache(maxsize=1)
def _days() -> list[str]:
    return [(OLDEST + timedelta(days=n)).strftime("%Y-%m-%d") for n in range((NEWEST - OLDEST).days + 1)]


def _cycle(pool: list[Any]) -> Column:
    size = len(pool)
    long = pool * (CHUNK // size + 2)

    def cut(start: int, stop: int) -> list[Any]:
        at = start % size
        return long[at : at + stop - start]

    return cut


def _text(f: Field, rng: _Dice) -> str:
    length = f.length or 255
    if rng.random() < 0.05:  # noqa: PLR2004 - the nasty share
        nasty = next(rng.nasty)
        if f.type == "textarea" and length > 255 and rng.random() < 0.2:  # noqa: PLR2004
            nasty = (nasty + " ") * rng.randrange(50, max(51, min(length, 20_000) // (len(nasty) + 1)))
        return nasty[:length].strip() or "x"
    if f.name in {"FirstName", "LastName"}:
        return rng.choice(FIRST if f.name == "FirstName" else LAST)
    count = rng.randrange(6, 18) if f.type == "textarea" and length > 255 else rng.randrange(1, 4)  # noqa: PLR2004
    return " ".join(rng.choice(WORDS) for _ in range(count)).capitalize()[:length].strip()


def _picklist(f: Field, rng: _Dice) -> str:
    return rng.choice(f.picklist)


def _several(f: Field, rng: _Dice) -> str:
    return ";".join(sorted(rng.sample(f.picklist, rng.randrange(1, 4))))


def _number(f: Field, rng: _Dice) -> str:
    whole = f.precision - f.scale if f.type == "percent" or "titude" in f.name else 8
    if f.type in {"currency", "double"} and rng.random() < 0.02 and f.precision == 18:  # noqa: PLR2004
        whole = f.precision - f.scale  # all the digits there is room for: more than a double holds
    limit = 100 if f.type == "percent" else 90 if "titude" in f.name else 10 ** rng.randrange(1, max(whole, 2) + 1)
    sign = "-" if rng.random() < 0.05 else ""  # noqa: PLR2004
    fraction = f".{rng.randrange(10**f.scale):0{f.scale}d}" if f.scale else ""
    return decimal_text(f"{sign}{rng.randrange(limit)}{fraction}")


def _day(_: Field, rng: _Dice) -> str:
    return (date(1940, 1, 1) + timedelta(days=rng.randrange(32_000))).isoformat()


def _moment(_: Field, rng: _Dice) -> str:
    return (OLDEST + timedelta(seconds=rng.randrange(180_000_000))).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _time(_: Field, rng: _Dice) -> str:
    return _CLOCK[rng.randrange(86_400)][1:9] + ".000Z"


_VALUES: dict[str, Callable[[Field, _Dice], Any]] = {
    "boolean": lambda _, rng: int(rng.random() < 0.3),  # noqa: PLR2004
    "int": lambda _, rng: rng.randrange(1, 200_000),
    "picklist": _picklist,
    "multipicklist": _several,
    "date": _day,
    "datetime": _moment,
    "time": _time,
    "phone": lambda _, rng: f"+{rng.randrange(1, 99)} (0){rng.randrange(10**9):09d}",
    "url": lambda _, rng: f"https://{rng.choice(WORDS)}.example/?q={rng.randrange(1000)}&x=%20",
    "email": lambda _, rng: f"{rng.choice(WORDS)}{rng.randrange(10**6)}@local-org.example",
    "base64": lambda _, rng: rng.randbytes(rng.randrange(1, 600)),
    **dict.fromkeys(NUMBERS, _number),
}
