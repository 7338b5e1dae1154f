"""The tap's settings: the JSON schema people and Meltano see, and the value the code works with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tap_salesforce import formulas
from tap_salesforce.errors import ConfigError
from tap_salesforce.hosts import login_url

_SECRET = {"type": "string", "secret": True, "writeOnly": True}
_TEXT = {"type": "string", "minLength": 1}
MEGABYTE = 1_000_000
CSV = "csv"  # a format of batch files that the SDK does not know


CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["auth"],
    "properties": {
        "auth": {
            "title": "How to sign in",
            "type": "object",
            "description": "auth_type plus the fields of that way.",
            "required": ["auth_type"],
            "properties": {
                "auth_type": {
                    "type": "string",
                    "enum": ["oauth_refresh", "client_credentials", "jwt_bearer", "password", "session"],
                },
                **dict.fromkeys(("client_secret", "refresh_token", "private_key", "password"), _SECRET),
                **dict.fromkeys(("security_token", "access_token"), _SECRET),
                **dict.fromkeys(("client_id", "username", "instance_url", "token_socket"), _TEXT),
            },
        },
        "domain": {
            **_TEXT,
            "title": "Salesforce domain",
            "default": "login.salesforce.com",
            "description": "My Domain host; login.salesforce.com for production, test.salesforce.com for a sandbox.",
        },
        "allow_private": {
            "type": "boolean",
            "title": "Allow a local org",
            "default": False,
            "description": "Operators only: lets domain and instance_url be a loopback URL.",
        },
        "start_date": {
            "type": "string",
            "title": "Start date",
            "description": "Date or date-time; records changed before it are left out of incremental streams.",
        },
        "end_date": {
            "type": "string",
            "title": "End date",
            "description": "Date or date-time; incremental streams are read up to there, and of deletions nothing.",
        },
        "streams": {
            "type": "array",
            "items": _TEXT,
            "title": "Objects",
            "description": "API names; without it every object the user can query.",
        },
        "include_deleted": {
            "type": "boolean",
            "title": "Include deleted records",
            "default": True,
            "description": "Reads the recycle bin too: rows with IsDeleted true and _sdc_deleted_at set.",
        },
        "hard_deletes": {
            "type": "boolean",
            "title": "Notice records removed for good",
            "default": False,
            "description": "Asks Salesforce's log of deletions; only for loaders that understand tombstones.",
        },
        "formula_refresh": {
            "type": "string",
            "enum": list(formulas.EVERY),
            "title": "Read formula fields again",
            "default": "weekly",
            "description": "How often streams with formula fields are read whole: their changes leave no trace.",
        },
        "api_type": {"type": "string", "enum": ["REST", "BULK2"], "title": "API", "default": "BULK2"},
        "max_workers": {
            "type": "integer",
            "minimum": 1,
            "maximum": 32,
            "title": "Parallel requests",
            "default": 4,
            "description": "Describe calls or page downloads at once, and Bulk jobs prepared ahead (up to 4).",
        },
        "api_version": {
            "type": "string",
            "pattern": r"^[0-9]{2,3}\.0$",
            "title": "API version",
            "default": "62.0",
        },
        "window_rows": {
            "type": "integer",
            "minimum": 1,
            "title": "Rows per window",
            "default": 5_000,
            "description": "Rows between two bookmarks, or a fortieth of a larger stream; in csv batches a page.",
        },
        "lookback_minutes": {
            "type": "number",
            "minimum": 0,
            "maximum": 1440,
            "title": "Look-back (minutes)",
            # A stamp is taken while a transaction runs, and seen when it is over: after 10 minutes at most, by
            # Salesforce's clock. source: Apex guide, "Execution Governors and Limits", execution time per transaction
            "default": 15,
            "description": "A run re-reads this long before the last bookmark, for records committed late.",
        },
        "rest_below_rows": {
            "type": "integer",
            "minimum": 0,
            "title": "Small windows by REST",
            "default": 2_000,
            "description": "With BULK2: windows of at most so many rows go by REST: one request, no job to wait for.",
        },
        "bulk_page_rows": {
            "type": "integer",
            "minimum": 1,
            "title": "Rows per Bulk result page",
            "default": 50_000,
            "description": "In csv batches a page is a file, and in most streams a bookmark follows it.",
        },
        "bulk_job_minutes": {
            "type": "number",
            "exclusiveMinimum": 0,
            "title": "Longest wait for a Bulk job (minutes)",
            "default": 120,
        },
        "max_retries": {
            "type": "integer",
            "minimum": 0,
            "maximum": 20,
            "title": "Retries",
            "default": 8,
            "description": "How often one request is repeated after 429, 5xx, a reset or a time-out.",
        },
        "timeout_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "title": "Time-out (seconds)",
            "default": 120,
            "description": "How long Salesforce may be silent before a request counts as lost.",
        },
        "max_api_usage_percent": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 100,
            "title": "Share of the daily API requests",
            "default": 95,
            "description": "The run stops when the org has used so much of its daily requests.",
        },
        "batch_config": {
            "type": "object",
            "title": "Batches",
            "description": "Write BATCH messages: csv are Bulk result pages as they come, jsonl what the SDK writes.",
            "properties": {
                "encoding": {
                    "type": "object",
                    "required": ["format"],
                    "properties": {
                        "format": {"type": "string", "enum": [CSV, "jsonl", "parquet"]},
                        "compression": {"type": "string", "enum": ["gzip", "none"]},
                    },
                },
                "storage": {
                    "type": "object",
                    "required": ["root"],
                    "properties": {"root": _TEXT, "prefix": {"type": "string"}},
                },
                "batch_size": {"type": "integer", "minimum": 1},
            },
            "required": ["encoding", "storage"],
        },
        "batch_storage_mb": {
            "type": "integer",
            "minimum": 1,
            "title": "Room for batch files (MB)",
            "default": 256,
            "description": "The tap waits while csv files of so many MB, or all there is space for, wait to be loaded.",
        },
        "metrics_interval_seconds": {
            "type": "number",
            "minimum": 0.1,
            "title": "Seconds between record counts in the log",
            "default": 1,
        },
        "save_rotated_token": {
            "type": "boolean",
            "title": "Write a rotated refresh token back",
            "default": False,
            "description": "oauth_refresh run by hand: store the new refresh token in the --config file.",
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the tap was told, checked once. Times are aware UTC."""

    auth: Mapping[str, Any]
    login_url: str
    allow_private: bool
    start: datetime | None
    end: datetime | None
    streams: tuple[str, ...]
    include_deleted: bool
    hard_deletes: bool
    formula_refresh: str
    bulk: bool
    max_workers: int
    api_version: str
    window_rows: int
    lookback: timedelta
    rest_below_rows: int
    bulk_page_rows: int
    bulk_job_wait: timedelta
    batch_storage: int
    max_retries: int
    timeout: float
    max_api_usage: float
    save_rotated_token: bool


def read(config: Mapping[str, Any]) -> Settings:
    """Turn a validated configuration into settings; ConfigError names the field that cannot work."""
    given = {name: facts["default"] for name, facts in CONFIG_SCHEMA["properties"].items() if "default" in facts}
    given.update({name: value for name, value in config.items() if value is not None})
    start, end = _moment("start_date", given), _moment("end_date", given)
    if start and end and end <= start:
        raise ConfigError("end_date is not after start_date.", hint="Swap them, or leave end_date out.")
    return Settings(
        auth=_auth(given.get("auth")),
        login_url=login_url(given["domain"], allow_private=given["allow_private"]),
        allow_private=given["allow_private"],
        start=start,
        end=end,
        streams=tuple(dict.fromkeys(given.get("streams") or ())),
        include_deleted=given["include_deleted"],
        hard_deletes=given["hard_deletes"],
        formula_refresh=given["formula_refresh"],
        bulk=given["api_type"] == "BULK2",
        max_workers=given["max_workers"],
        api_version=given["api_version"],
        window_rows=given["window_rows"],
        lookback=timedelta(minutes=float(given["lookback_minutes"])),
        rest_below_rows=given["rest_below_rows"],
        bulk_page_rows=given["bulk_page_rows"],
        bulk_job_wait=timedelta(minutes=float(given["bulk_job_minutes"])),
        batch_storage=given["batch_storage_mb"] * MEGABYTE,
        max_retries=given["max_retries"],
        timeout=float(given["timeout_seconds"]),
        max_api_usage=float(given["max_api_usage_percent"]),
        save_rotated_token=given["save_rotated_token"],
    )


# Required fields of each way to sign in.
SIGN_IN_FIELDS = {
    "oauth_refresh": ("client_id", "refresh_token"),
    "client_credentials": ("client_id", "client_secret"),
    "jwt_bearer": ("client_id", "username", "private_key"),
    "password": ("username", "password"),
    "session": ("access_token", "instance_url"),
}


def _auth(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError("auth is missing.", hint="Give auth with an auth_type and its fields.")
    tag = value.get("auth_type")
    needed = SIGN_IN_FIELDS.get(str(tag))
    if needed is None:
        raise ConfigError(f"auth.auth_type {str(tag)!r} is not known.", hint=f"Use one of {', '.join(SIGN_IN_FIELDS)}.")
    missing = [name for name in needed if not str(value.get(name) or "").strip()]
    if missing:
        listed = ", ".join(f"auth.{name}" for name in missing)
        raise ConfigError(f"Signing in by {tag} also needs {listed}.", hint="Add it to the configuration.")
    return value


def _moment(name: str, given: Mapping[str, Any]) -> datetime | None:
    value = given.get(name)
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError as wrong:
        raise ConfigError(
            f"{name} {value!r} is not a date.", hint="Write it as 2024-01-01 or 2024-01-01T00:00:00Z."
        ) from wrong
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
