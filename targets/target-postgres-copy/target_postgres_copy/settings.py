"""The settings: what the SDK shows, and the same as one value."""

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from jsonschema import Draft202012Validator
from psycopg.conninfo import conninfo_to_dict
from singer_sdk import typing as th

from target_postgres_copy.batchfiles import local
from target_postgres_copy.errors import ConfigError

_SSL_MODES: Final = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_DRIVERS: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"})
_FILE_OR_TEXT: Final = "A file, or the text itself. Ignored if sqlalchemy_url is set."


class LoadMethod(StrEnum):
    """What happens to rows that are there already; the values are the SDK's."""

    APPEND = "append-only"
    UPSERT = "upsert"
    OVERWRITE = "overwrite"


def _text(name: str, title: str, description: str, **facts: Any) -> Any:
    return th.Property(name, th.StringType(), title=title, description=description, **facts)


def _switch(name: str, title: str, description: str, *, default: bool) -> Any:
    return th.Property(name, th.BooleanType(), title=title, description=description, default=default)


_ENCODING: Final = th.ObjectType(
    th.Property("format", th.StringType(allowed_values=["csv", "jsonl", "parquet"]), title="Format"),
    th.Property("compression", th.StringType(allowed_values=["gzip", "none"]), title="Compression"),
)
_STORAGE: Final = th.ObjectType(
    th.Property("root", th.StringType(), title="Root"), th.Property("prefix", th.StringType(), title="Prefix")
)

CONFIG_SCHEMA: Final[dict[str, Any]] = th.PropertiesList(
    _text("sqlalchemy_url", "Address", "postgresql+psycopg://user:password@host:port/database?…", secret=True),
    _text("host", "Host", "Host name, or folder of a unix socket. Ignored if sqlalchemy_url is set."),
    th.Property("port", th.IntegerType(), default=5432, title="Port", description="Ignored if sqlalchemy_url is set."),
    _text("user", "User", "Ignored if sqlalchemy_url is set."),
    _text("password", "Password", "Ignored if sqlalchemy_url is set.", secret=True),
    _text("database", "Database", "Ignored if sqlalchemy_url is set."),
    _switch("ssl_enable", "TLS", "Insist on what ssl_mode says; otherwise TLS where offered.", default=False),
    _text("ssl_mode", "TLS mode", "As libpq's sslmode.", default="verify-full", allowed_values=_SSL_MODES),
    _text("ssl_certificate_authority", "Certificate authority", _FILE_OR_TEXT),
    _switch("ssl_client_certificate_enable", "Client certificate", "Sign in with a certificate.", default=False),
    _text("ssl_client_certificate", "Client certificate", _FILE_OR_TEXT),
    _text("ssl_client_private_key", "Client key", _FILE_OR_TEXT, secret=True),
    _text("default_target_schema", "Schema", "Where the tables go; made where it is missing.", default="melty"),
    _text(
        "load_method",
        "Load method",
        "upsert: rows with the same key are replaced. append-only: every row is added. "
        "overwrite: the new rows take the place of the old ones all at once, at the end.",
        default=LoadMethod.UPSERT.value,
        allowed_values=[method.value for method in LoadMethod],
    ),
    _switch("hard_delete", "Remove deleted rows", "Otherwise they stay, with _sdc_deleted_at set.", default=False),
    _switch("add_record_metadata", "Metadata columns", "Add _sdc_extracted_at and others.", default=True),
    _switch("activate_version", "Activate versions", "Heed ACTIVATE_VERSION messages.", default=True),
    th.Property(
        "batch_size_rows",
        th.IntegerType(minimum=1),
        default=50_000,
        title="Rows per batch",
        description="RECORD messages are loaded after so many, after 8 MiB, or after 5 s.",
    ),
    th.Property(
        "max_connections",
        th.IntegerType(minimum=1, maximum=16),
        default=3,
        title="Connections",
        description="So many batches are copied at once.",
    ),
    _switch(
        "clean_up_batch_files",
        "Delete batch files",
        "Local ones, when they are loaded.",
        default=True,
    ),
    _switch("validate_records", "Validate records", "Has no effect: Postgres checks every value.", default=True),
    _switch("sanitize_null_text_characters", "Strip NUL", "Has no effect: always done.", default=True),
    th.Property(
        "batch_config",
        th.ObjectType(
            th.Property("encoding", _ENCODING, title="Encoding"), th.Property("storage", _STORAGE, title="Storage")
        ),
        title="Batches",
        description="Of storage.root batch files are read and deleted, and of nowhere else. BATCH says the rest.",
    ),
    th.Property(
        "continued_streams",
        th.ArrayType(th.StringType()),
        title="Continued streams",
        description="Whose earlier rows are in their tables: where one of those is gone, the load ends.",
    ),
    th.Property(
        "notes_file",
        th.StringType(),
        title="Notes",
        description="Where the columns of each load are noted for the next: a continued stream may lack none of them.",
    ),
    th.Property(
        "claimed_by",
        th.StringType(pattern="^[A-Za-z0-9 _-]{1,100}$"),
        title="Claimed by",
        description="Who alone loads into the schema. Its comment says so, and the load ends where it names another.",
    ),
).to_dict()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration, read and judged.

    connection: keyword arguments of psycopg.connect; holds the password
    address:    host and database as messages may show them
    batch_rows: RECORD messages per batch
    clean_up:   whether batch files are deleted; never where they are known to be on another machine
    continued:  streams whose tables must be there
    notes:      where loads note for the next one what they had
    claim:      who alone loads into the schema, if that is said
    storage:    folder of batch files, where it is known: nothing outside of it is read or deleted
    """

    connection: Mapping[str, Any]
    address: str
    user: str
    schema: str | None
    method: LoadMethod
    hard_delete: bool
    metadata: bool
    activate: bool
    batch_rows: int
    connections: int
    clean_up: bool
    continued: frozenset[str]
    notes: Path | None
    claim: str | None
    storage: str | None


def read(config: Mapping[str, Any]) -> Settings:
    """Settings out of a validated configuration; ConfigError, which quotes no value that may be secret."""
    if (config.get("ssh_tunnel") or {}).get("enable"):
        raise ConfigError("This loader opens no SSH tunnel.", hint="Unset ssh_tunnel, or use target-postgres.")
    connection = _from_url(config["sqlalchemy_url"]) if config.get("sqlalchemy_url") else _from_parts(config)
    root = ((config.get("batch_config") or {}).get("storage") or {}).get("root")
    host = str(connection.get("host") or connection.get("hostaddr") or "the default socket")
    return Settings(
        connection=connection,
        address=f"{host}/{connection.get('dbname', '')}",
        user=str(connection.get("user", "")),
        schema=config.get("default_target_schema"),
        method=LoadMethod(config["load_method"]),
        hard_delete=config["hard_delete"],
        metadata=config["add_record_metadata"],
        activate=config["activate_version"] and config.get("process_activate_version_messages", True),
        batch_rows=config["batch_size_rows"],
        connections=config["max_connections"],
        clean_up=config["clean_up_batch_files"] and (not root or local(root) is not None),
        continued=frozenset(config.get("continued_streams") or ()),
        notes=Path(config["notes_file"]) if config.get("notes_file") else None,
        claim=config.get("claimed_by") or None,
        storage=root or None,
    )


def misfits(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with a configuration, in words that quote no value of it."""
    found = Draft202012Validator(schema).iter_errors(config)
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'the configuration'} must be {error.validator}"
        f" {error.validator_value!r}"
        for error in found
    ]


def _from_url(url: str) -> dict[str, Any]:
    wrong = ConfigError(
        "sqlalchemy_url is not an address of Postgres.",
        hint="It looks like postgresql://user:password@host:5432/database, special characters percent-encoded.",
    )
    try:
        parts = urlsplit(url)
        if parts.scheme not in _DRIVERS:
            raise wrong
        return dict(conninfo_to_dict(urlunsplit(parts._replace(scheme="postgresql"))))
    except (ValueError, psycopg.Error):
        raise wrong from None


def _from_parts(config: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in ("host", "user", "database") if not config.get(name)]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} must be set.", hint="Or set sqlalchemy_url.")
    names = {"host": "host", "port": "port", "user": "user", "password": "password", "dbname": "database"}
    connection = {key: config[name] for key, name in names.items() if config.get(name) is not None}
    files: dict[str, str] = {}
    if config["ssl_enable"]:
        connection["sslmode"] = config["ssl_mode"]
        files["sslrootcert"] = "ssl_certificate_authority"
    if config["ssl_client_certificate_enable"]:
        files |= {"sslcert": "ssl_client_certificate", "sslkey": "ssl_client_private_key"}
    for key, name in files.items():
        if config.get(name):
            connection[key] = _file(config[name])
    return connection


def _file(value: str) -> str:
    """A file with the certificate: the one named, or one made of the text, which goes when the process ends."""
    if "-----BEGIN" not in value:
        return str(Path(value).expanduser())
    folder = tempfile.mkdtemp(prefix="target-postgres-copy-")  # 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    aside = Path(folder) / "pem"
    aside.touch(mode=0o600)  # libpq refuses keys that others may read
    aside.write_text(value, encoding="utf-8")
    return str(aside)
