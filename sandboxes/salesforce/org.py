"""The org as a whole: data, sign-in, REST, Bulk, faults and control endpoints behind one address."""

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self

from . import control, login, rest_bulk, rest_bulk_v1, rest_records
from .app import App
from .bulk import BulkJobs
from .bulk_v1 import JobsV1
from .clock import Clock
from .errors import ApiError, OAuthError, SandboxError, invalid_session, limit_exceeded
from .faults import JOB_KINDS, Fault, Faults
from .objects import DEFAULT_COUNTS, STANDARD, wide
from .rest import VERSIONS, Rest, refused
from .schema import Field, SObject
from .signin import SignIn
from .store import Changes, Store
from .web import Request, Response, Trouble, WebServer, as_json

_DATA = re.compile(r"/services/data/v(\d\d\.\d)(/.*)?\Z")
_SEASONS = ("Summer", "Winter", "Spring")


class Stats:
    """What was asked and handed out since the start or the last reset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.rows: dict[str, Counter[str]] = {}

    def asked(self, method: str, path: str) -> None:
        """Count a request; ids and locators in the path are shown as {id}."""
        shape = re.sub(r"/(?=[0-9A-Za-z-]*\d)(?!v\d\d\.\d)[0-9A-Za-z]{15,18}(-\d+)?(?=/|\Z)", "/{id}", path)
        with self._lock:
            self.requests[f"{method} {shape}"] += 1

    def served(self, api: str, sobject: str, rows: int) -> None:
        """Count records handed out."""
        with self._lock:
            self.rows.setdefault(api, Counter())[sobject] += rows

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self.requests.clear()
            self.rows.clear()

    def shown(self) -> dict[str, Any]:
        """Requests by method and path; records by API and object."""
        with self._lock:
            return {"requests": dict(self.requests), "rows": {api: dict(c) for api, c in self.rows.items()}}


class LocalOrg:
    """A Salesforce org on this computer: `with LocalOrg(counts={"Contact": 10_000}) as org: … org.url …`.

    seed:           decides all data and, unless random_credentials, all credentials
    counts:         records per object, over the defaults
    token_lifetime: of an access token, seconds
    rotate_refresh_tokens:  each refresh token works once; a second use revokes the grant
    daily_limit:    API requests a day before REQUEST_LIMIT_EXCEEDED
    job_seconds:    how long a Bulk job stays InProgress at least
    bulk_page_rows: rows of a Bulk result page unless maxRecords says less
    rows_per_second: throttles every answer with records; 0 for none
    auto_approve:   the consent page is skipped
    wide_fields, wide_text:  the shape of `Wide__c`, which exists only if counts names it
    cache_dir:      keeps generated data between orgs of one seed and counts
    jwt_key_file:   keeps the key for JWT sign-in
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        random_credentials: bool = False,
        counts: Mapping[str, int] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token_lifetime: float = 7_200,
        rotate_refresh_tokens: bool = False,
        daily_limit: int = 100_000,
        job_seconds: float = 0.0,
        bulk_page_rows: int = 50_000,
        rows_per_second: float = 0.0,
        auto_approve: bool = False,
        wide_fields: int = 400,
        wide_text: int = 0,
        cache_dir: Path | None = None,
        jwt_key_file: Path | None = None,
        redirect_uris: Sequence[str] = (),
        objects: Sequence[SObject] = (),
    ) -> None:
        sobjects = [*STANDARD, *objects]
        if counts and counts.get("Wide__c"):
            sobjects.append(wide(wide_fields, wide_text))
        self.counts = _counts(sobjects, counts or {})
        self.clock, self.faults, self.stats = Clock(), Faults(), Stats()
        self.daily_limit, self.rows_per_second, self.auto_approve = daily_limit, rows_per_second, auto_approve
        self.app = App(None if random_credentials else seed, key_file=jwt_key_file, redirect_uris=tuple(redirect_uris))
        self._used = 0
        self._used_lock = threading.Lock()
        self._web = WebServer(host, port, self._answer)
        self.signin = SignIn(
            self.app, self.clock, lambda: self.url, lifetime=token_lifetime, rotate=rotate_refresh_tokens
        )
        try:
            self.store = Store(sobjects, self.counts, seed=seed, clock=self.clock, cache_dir=cache_dir)
        except BaseException:
            self._web.stop()
            raise
        self.bulk = BulkJobs(self.store, job_seconds=job_seconds, page_rows=bulk_page_rows)
        self.bulk_v1 = JobsV1(self.bulk)
        self._async = rest_bulk_v1.BulkV1(self.bulk_v1, self.app.user_id, self.stats.served)
        self._rest = Rest(
            self.store, self.bulk, self.app.user_id, served=self.stats.served, usage=self.usage,
            routes=(rest_records.ROUTES, rest_bulk.ROUTES),
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Where it listens: also the instance_url of every session."""
        return self._web.url

    @property
    def authority(self) -> str:
        """The certificate (PEM) that makes a client trust this org where it stands in for Salesforce's hosts."""
        return self._web.authority.pem

    def start(self) -> Self:
        """Begin to answer."""
        self._web.start()
        return self

    def stop(self) -> None:
        """Stop at once and remove the data."""
        self._web.stop()
        self.bulk_v1.close()
        self.bulk.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- changing records -----------------------------------------------------------------------------------------

    def insert(self, name: str, records: int | Sequence[Mapping[str, Any]], *, at: datetime | None = None) -> list[str]:
        """Add records (or that many made-up ones); at: the SystemModstamp they get (default: the org's now)."""
        if isinstance(records, int):
            return self.store.churn(name, insert=records)["inserted"]
        return self.store.insert(name, records, at=at)

    def update(
        self, name: str, which: int | Sequence[str], changes: Changes, *, at: datetime | None = None
    ) -> list[str]:
        """Change records. which: ids, or how many; changes: values by field, or a function of the id."""
        return self.store.update(name, which, changes, at=at)

    def delete(self, name: str, which: int | Sequence[str], *, at: datetime | None = None) -> list[str]:
        """Move records to the recycle bin."""
        return self.store.delete(name, which, at=at)

    def undelete(self, name: str, which: int | Sequence[str], *, at: datetime | None = None) -> list[str]:
        """Take records out of the recycle bin."""
        return self.store.undelete(name, which, at=at)

    def hard_delete(self, name: str, which: int | Sequence[str], *, at: datetime | None = None) -> list[str]:
        """Remove records so that only getDeleted still knows them."""
        return self.store.hard_delete(name, which, at=at)

    def churn(self, name: str, *, update: int = 0, delete: int = 0, insert: int = 0) -> dict[str, list[str]]:
        """Change, delete and add that many records, the same ones for the same seed; answers their ids."""
        return self.store.churn(name, update=update, delete=delete, insert=insert)

    def count(self, name: str) -> dict[str, int]:
        """{"live": …, "deleted": …}."""
        return self.store.count(name)

    def add_field(self, name: str, new: Field) -> None:
        """Give an object another field."""
        self.store.add_field(name, new)

    def remove_field(self, name: str, field_name: str) -> None:
        """Take a field from an object."""
        self.store.remove_field(name, field_name)

    def replace_field(self, name: str, field_name: str, new: Field) -> None:
        """Rename or retype a field."""
        self.store.replace_field(name, field_name, new)

    # -- sessions and limits --------------------------------------------------------------------------------------

    def access_token(self) -> str:
        """A good access token, without the detour of a grant."""
        return self.signin.session()

    def revoke_sessions(self) -> None:
        """Every access token stops working; refresh tokens go on."""
        self.signin.end_all()

    def revoke_app(self) -> None:
        """Every refresh and access token stops working."""
        self.signin.revoke_refresh_tokens()

    def usage(self) -> tuple[int, int]:
        """API requests of the day, and how many there may be."""
        return self._used, self.daily_limit

    def use_requests(self, used: int) -> None:
        """Pretend that so many API requests were made today."""
        with self._used_lock:
            self._used = used

    def reset(self) -> None:
        """Forget faults, statistics and used requests; records and sessions stay."""
        self.faults.clear()
        self.stats.reset()
        self.use_requests(0)
        self.rows_per_second = 0.0

    # -- requests -------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> tuple[Response, Trouble]:
        """Answer any request; errors become the answers Salesforce gives."""
        if request.path.startswith("/sandbox/"):
            return control.answer(self, request), Trouble()
        self.stats.asked(request.method, request.path)
        struck = self.faults.take(request.method, request.target)
        try:
            response = self._route(request, struck)
        except ApiError as error:
            v1 = request.path.startswith(rest_bulk_v1.PREFIX)
            response = rest_bulk_v1.refused(error, request) if v1 else as_json(error.body(), error.status)
        except OAuthError as error:
            response = as_json(error.body(), error.status)
            response.headers["Cache-Control"] = "no-store"
        except SandboxError as error:
            response = as_json(refused(error).body(), 400)
        if request.path.startswith("/services/data/v"):
            response.headers.setdefault("Sforce-Limit-Info", f"api-usage={self._used}/{self.daily_limit}")
        response.headers["Date"] = format_datetime(self.clock.now(), usegmt=True)
        return response, Trouble(faults=struck, rows_per_second=self.rows_per_second)

    def _route(self, request: Request, struck: Sequence[Fault]) -> Response:
        for fault in struck:
            if spoilt := self._refusal(fault, request):
                return spoilt
        if request.path.rstrip("/") == "/services/data":
            return as_json([_version(v) for v in VERSIONS])
        match, v1 = _DATA.match(request.path), request.path.startswith(rest_bulk_v1.PREFIX)
        if match is None and not v1:
            return login.answer(self, request)
        self.signin.check(_authorization(request))
        with self._used_lock:
            if self._used >= self.daily_limit:
                raise limit_exceeded()
            self._used += 1
        jobs = [f for f in struck if f.kind in JOB_KINDS]
        if match is None:
            return self._async.answer(request, jobs)
        return self._rest.answer(request, match[1], (match[2] or "").rstrip("/"), jobs)

    def _refusal(self, fault: Fault, request: Request) -> Response | None:
        """The answer of a fault that replaces the real one."""
        if fault.kind == "session":
            self.signin.end(_authorization(request).partition(" ")[2])
            raise invalid_session()
        if fault.kind == "limit":
            raise limit_exceeded()
        if fault.kind == "status":
            response = as_json([{"message": fault.reason, "errorCode": fault.code}], fault.status)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = str(fault.retry_after)
            return response
        return None


def _authorization(request: Request) -> str:
    """Bulk 1.0 has a header of its own for what all others call a bearer token."""
    token = rest_bulk_v1.session(request)
    return f"Bearer {token}" if token else request.headers.get("authorization", "")


def _version(number: int) -> dict[str, str]:
    label = f"{_SEASONS[(number - 61) % 3]} '{24 + (number - 59) // 3}"
    return {"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"}


def _counts(sobjects: Sequence[SObject], asked: Mapping[str, int]) -> dict[str, int]:
    known = {s.name for s in sobjects if s.queryable}
    for name, count in asked.items():
        if name not in known:
            raise SandboxError(f"The org has no object {name}; it has {', '.join(sorted(known))}.")
        if count < (1 if name == "User" else 0):
            raise SandboxError(f"{count} is no number of {name} records.")
    return {n: c for n, c in {**DEFAULT_COUNTS, **asked}.items() if n in known}
