"""The org's records: a private SQLite file, its schema, and every way a record can change.

Readers each borrow a connection; one writer at a time. `version` grows with every change, so that whoever keeps a
result can tell whether it is still true.
"""

import os
import queue
import random
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import generate, ids
from .clock import Clock
from .deleted import LogOfDeletions
from .errors import SandboxError
from .schema import Field, SObject
from .soql_sql import stamp

IDS_AT_ONCE = 10_000
_PREFIX = "local-salesforce-"
Changes = Mapping[str, Any] | Callable[[str], Mapping[str, Any]]


class Store:
    """The records of one org. cache_dir keeps generated data for the next org with the same seed and counts."""

    def __init__(
        self,
        sobjects: Sequence[SObject],
        counts: Mapping[str, int],
        *,
        seed: int,
        clock: Clock,
        cache_dir: Path | None = None,
    ) -> None:
        self.sobjects = {s.name: s for s in sobjects}
        self.seed, self.clock = seed, clock
        self.version = 0
        self.log_of_deletions = LogOfDeletions()
        _sweep(Path(tempfile.gettempdir()))
        self.directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self._path = self.directory / "org.sqlite"
        self._pool: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._writing = threading.RLock()
        self._churns = 0
        self._serials: dict[str, int] = {}
        try:
            self._open(counts, cache_dir)
            self._writer = self._connect()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def _open(self, counts: Mapping[str, int], cache_dir: Path | None) -> None:
        key = repr((generate.VERSION, self.seed, sorted(counts.items()), list(self.sobjects.values())))
        cached = cache_dir / f"{sha256(key.encode()).hexdigest()[:24]}.sqlite" if cache_dir else None
        if cached and cached.exists():
            shutil.copyfile(cached, self._path)
            return
        db = sqlite3.connect(self._path, isolation_level=None)
        try:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-65536", "page_size=8192"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN")
            generate.fill(db, self.sobjects, counts, self.seed)
            db.execute("CREATE TABLE _deleted (object, id, at)")
            db.execute("COMMIT")
        finally:
            db.close()
        if cached:
            cached.parent.mkdir(parents=True, exist_ok=True)
            aside = cached.with_suffix(f".{self.directory.name}")
            shutil.copyfile(self._path, aside)
            aside.replace(cached)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=60)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-32768", "mmap_size=1073741824"):
            db.execute(f"PRAGMA {pragma}").close()
        return db

    def close(self) -> None:
        """Close every connection that is not in use and remove the file."""
        with self._writing:
            self._writer.close()
        while not self._pool.empty():
            self._pool.get().close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading, for this thread only."""
        try:
            db = self._pool.get_nowait()
        except queue.Empty:
            db = self._connect()
        try:
            yield db
        finally:
            self._pool.put(db)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self.reader() as db:
            return db.execute(sql, params).fetchall()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
            self.version += 1

    def sobject(self, name: str) -> SObject:
        """The object of that name, for callers inside; SandboxError if there is none."""
        try:
            return self.sobjects[name]
        except KeyError:
            raise SandboxError(f"The org has no object {name}; it has {', '.join(sorted(self.sobjects))}.") from None

    # -- records --------------------------------------------------------------------------------------------------

    def insert(self, name: str, records: Sequence[Mapping[str, Any]], *, at: datetime | None = None) -> list[str]:
        """Add records; answers their ids. at: the moment they say they were made (default: now)."""
        sobject = self.sobject(name)
        self._check(sobject, {key for record in records for key in record})
        moment, owner = stamp(at or self.clock.now()), ids.make(self.sobjects["User"].prefix, 0)
        audit = {
            "IsDeleted": 0, "CreatedDate": moment, "LastModifiedDate": moment, "SystemModstamp": moment,
            "CreatedById": owner, "LastModifiedById": owner, "OwnerId": owner,
        }  # fmt: skip
        names = [f.name for f in sobject.columns]
        sql = f'INSERT INTO "{name}" ({", ".join(map(_quote, names))}) VALUES ({", ".join("?" * len(names))})'  # noqa: S608
        with self._change() as db:
            (last,) = db.execute(f'SELECT COALESCE(MAX(_row), 0) FROM "{name}"').fetchone()  # noqa: S608
            last = max(last, self._serials.get(name, 0))  # the id of a record removed for good is never used again
            given = ids.span(sobject.prefix, last, last + len(records))
            self._serials[name] = last + len(records)
            for new_id, record in zip(given, records, strict=True):
                values = {**audit, **record, "Id": new_id}
                db.execute(sql, [_stored(f, values.get(f.name)) for f in sobject.columns])
        return given

    def update(
        self, name: str, which: int | Sequence[str], changes: Changes, *, at: datetime | None = None
    ) -> list[str]:
        """Change records. which: ids, or how many (picked by seed); changes: values, or a function of the id."""
        sobject, chosen = self.sobject(name), self._choose(name, which)
        moment = stamp(at or self.clock.now())
        audit = {n: moment for n in ("LastModifiedDate", "SystemModstamp") if sobject.has(n)}
        with self._change() as db:
            for record_id in chosen:
                values = {**audit, **(changes(record_id) if callable(changes) else changes)}
                fields = self._check(sobject, values)
                sets = ", ".join(f"{_quote(f.name)} = ?" for f in fields)
                params = [_stored(f, values[f.name]) for f in fields]
                db.execute(f'UPDATE "{name}" SET {sets} WHERE "Id" = ?', [*params, record_id])  # noqa: S608
        return chosen

    def delete(self, name: str, which: int | Sequence[str], *, at: datetime | None = None) -> list[str]:
        """Move records to the recycle bin: IsDeleted is set and SystemModstamp moves."""
        return self._mark(name, which, deleted=True, at=at)

    def undelete(self, name: str, which: int | Sequence[str], *, at: datetime | None = None) -> list[str]:
        """Take records out of the recycle bin."""
        chosen = self._choose(name, which, deleted=True)
        return self._mark(name, chosen, deleted=False, at=at)

    def hard_delete(self, name: str, which: int | Sequence[str], *, at: datetime | None = None) -> list[str]:
        """Remove records for good: only the log of getDeleted still knows them."""
        chosen, moment = self._choose(name, which), stamp(at or self.clock.now())
        with self._change() as db:
            db.executemany(f'DELETE FROM "{name}" WHERE "Id" = ?', [(i,) for i in chosen])  # noqa: S608
            self._log(db, name, chosen, moment)
        return chosen

    def _mark(self, name: str, which: int | Sequence[str], *, deleted: bool, at: datetime | None) -> list[str]:
        sobject, moment = self.sobject(name), stamp(at or self.clock.now())
        if not sobject.has("IsDeleted"):
            return self.hard_delete(name, which, at=at)
        chosen = self._choose(name, which, deleted=not deleted)
        stamps = [n for n in ("LastModifiedDate", "SystemModstamp") if sobject.has(n)]
        sets = ", ".join([f'"IsDeleted" = {int(deleted)}', *(f"{_quote(n)} = ?" for n in stamps)])
        with self._change() as db:
            params = [(*[moment] * len(stamps), i) for i in chosen]
            db.executemany(f'UPDATE "{name}" SET {sets} WHERE "Id" = ?', params)  # noqa: S608
            if deleted:
                self._log(db, name, chosen, moment)
            else:
                db.executemany("DELETE FROM _deleted WHERE object = ? AND id = ?", [(name, i) for i in chosen])
        return chosen

    @staticmethod
    def _log(db: sqlite3.Connection, name: str, chosen: Sequence[str], moment: str) -> None:
        db.executemany("DELETE FROM _deleted WHERE object = ? AND id = ?", [(name, i) for i in chosen])
        db.executemany("INSERT INTO _deleted VALUES (?, ?, ?)", [(name, i, moment) for i in chosen])

    def deleted_log(self, name: str, start: str, end: str) -> list[tuple[str, str]]:
        """(id, moment) of what was deleted from start up to, not including, end."""
        sql = "SELECT id, at FROM _deleted WHERE object = ? AND at >= ? AND at < ? ORDER BY at, id"
        return [(i, at) for i, at in self.rows(sql, (name, start, end))]

    def churn(self, name: str, *, update: int = 0, delete: int = 0, insert: int = 0) -> dict[str, list[str]]:
        """Change, delete and add that many records; the n-th call with one seed always picks the same."""
        sobject, round_ = self.sobject(name), self._churns + 1
        text = next((f for f in sobject.columns if f.type in {"string", "textarea"} and not f.system), None)
        chosen = self._choose(name, update + delete)
        required = _made_up(sobject, f"New {round_}", self.clock.now())
        changes: Mapping[str, Any] = {text.name: f"Changed {round_}"} if text else {}
        return {
            "updated": self.update(name, chosen[:update], changes),
            "deleted": self.delete(name, chosen[update:]),
            "inserted": self.insert(name, [{**required, **changes} for _ in range(insert)]) if insert else [],
        }

    def count(self, name: str) -> dict[str, int]:
        """How many records are live and how many are in the recycle bin."""
        flag = '"IsDeleted"' if self.sobject(name).has("IsDeleted") else "0"
        ((total, gone),) = self.rows(f'SELECT COUNT(*), COALESCE(SUM({flag}), 0) FROM "{name}"')  # noqa: S608
        return {"live": total - gone, "deleted": gone}

    def _choose(self, name: str, which: int | Sequence[str], *, deleted: bool = False) -> list[str]:
        sobject = self.sobject(name)
        if not isinstance(which, int):
            return self._existing(name, [ids.widen(i) for i in which])
        self._churns += 1
        rng = random.Random(f"{self.seed}:{name}:{self._churns}")  # noqa: S311 - repeatable picks, no secret
        state = f'"IsDeleted" = {int(deleted)}' if sobject.has("IsDeleted") else "1"
        ((last,),) = self.rows(f'SELECT COALESCE(MAX(_row), 0) FROM "{name}"')  # noqa: S608
        found: dict[str, None] = {}
        tries = range(1, last + 1)
        picks = rng.sample(tries, min(last, 2 * which + 10)) if not deleted else tries
        for source in (picks, tries):
            for start in range(0, len(source), IDS_AT_ONCE):
                part = source[start : start + IDS_AT_ONCE]
                sql = f'SELECT "Id" FROM "{name}" WHERE {state} AND _row IN ({",".join(map(str, part))})'  # noqa: S608
                if len(found) < which:
                    found |= dict.fromkeys(i for (i,) in self.rows(sql))
        if len(found) < which:
            raise SandboxError(f"{name} has only {len(found)} such records, not {which}.")
        return list(found)[:which]

    def _existing(self, name: str, wanted: list[str]) -> list[str]:
        found: set[str] = set()
        for start in range(0, len(wanted), IDS_AT_ONCE):
            part = wanted[start : start + IDS_AT_ONCE]
            marks = ",".join("?" * len(part))
            found |= {i for (i,) in self.rows(f'SELECT "Id" FROM "{name}" WHERE "Id" IN ({marks})', part)}  # noqa: S608
        missing = [i for i in wanted if i not in found]
        if missing:
            raise SandboxError(f"{name} has no record {missing[0]}.")
        return wanted

    @staticmethod
    def _check(sobject: SObject, names: Any) -> list[Field]:
        fields = [f for f in sobject.columns if f.name in set(names)]
        unknown = set(names) - {f.name for f in fields}
        if unknown:
            raise SandboxError(f"{sobject.name} has no field {', '.join(sorted(unknown))} that can be set.")
        return fields

    # -- schema ---------------------------------------------------------------------------------------------------

    def add_field(self, name: str, new: Field) -> None:
        """Give an object another field, null in every record."""
        sobject = self.sobject(name)
        changed = sobject.with_fields([*sobject.fields, new])
        with self._change() as db:
            if new.stored:
                db.execute(f'ALTER TABLE "{name}" ADD COLUMN {_quote(new.name)}')
            self.sobjects[name] = changed

    def remove_field(self, name: str, field_name: str) -> None:
        """Take a field from an object, and its values with it."""
        sobject = self.sobject(name)
        with self._change() as db:
            if any(f.name == field_name for f in sobject.columns):
                db.execute(f'ALTER TABLE "{name}" DROP COLUMN {_quote(field_name)}')
            self.sobjects[name] = sobject.with_fields([f for f in sobject.fields if f.name != field_name])

    def replace_field(self, name: str, field_name: str, new: Field) -> None:
        """Rename or retype a field; the values stay as they are."""
        sobject = self.sobject(name)
        with self._change() as db:
            if field_name != new.name:
                db.execute(f'ALTER TABLE "{name}" RENAME COLUMN {_quote(field_name)} TO {_quote(new.name)}')
            self.sobjects[name] = sobject.with_fields([new if f.name == field_name else f for f in sobject.fields])


def _sweep(place: Path) -> None:
    """Remove what orgs of ours left that were killed."""
    for left in place.glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        try:
            mine = pid.isdigit() and left.is_dir() and not left.is_symlink() and left.stat().st_uid == os.getuid()
            if mine:
                os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # gone meanwhile, or the number is another user's process now


def _made_up(sobject: SObject, text: str, now: datetime) -> dict[str, Any]:
    """Values for the fields a new record must have."""
    values: dict[str, Any] = {}
    for f in sobject.columns:
        if f.nillable or f.system or f.type in {"id", "reference", "boolean"}:
            continue
        made: dict[str, Any] = {
            "picklist": f.picklist[0] if f.picklist else text,
            "date": now.date().isoformat(),
            "email": "new@local-org.example",
            "base64": text.encode(),
        }
        values[f.name] = made.get(f.type, text)
    return values


def _quote(name: str) -> str:
    return f'"{name}"'


def _stored(f: Field, value: Any) -> Any:
    """A value as a person or the API gives it, in the form we store."""
    if f.type == "boolean":
        return int(bool(value))
    if value is None or value == "":
        return None
    if f.type in {"double", "currency", "percent"}:
        return generate.decimal_text(format(Decimal(str(value)), "f"))
    if f.type == "datetime" and isinstance(value, datetime):
        return stamp(value)
    if f.type in {"id", "reference"}:
        return ids.widen(str(value))
    return value
