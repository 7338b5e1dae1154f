"""The command as people and Meltano start it: what is refused, in words and for machines, and what is never said."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from copydesk import Batches, Load, Warehouse, config, ended, record, schema, start, state
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from target_postgres_copy.errors import ConfigError, LoadError, MessageError
from target_postgres_copy.refusals import not_reached, told
from target_postgres_copy.settings import CONFIG_SCHEMA, read
from target_postgres_copy.target import TargetPostgresCopy

SECRET = "s3cr3t-p@ss"


@pytest.fixture
def parts(warehouse: Warehouse) -> dict:
    """The warehouse by host, user and so on."""
    known = conninfo_to_dict(warehouse.url.replace("+psycopg", ""))
    names = {"host": "host", "port": "port", "user": "user", "password": "password", "database": "dbname"}
    found = {name: known[key] for name, key in names.items()}
    return found | {"port": int(found["port"]), "default_target_schema": warehouse.schema}


@pytest.fixture
def guest(administrator: psycopg.Connection, warehouse: Warehouse, parts: dict) -> Iterator[dict]:
    """A user who may connect and make temporary tables, and nothing else."""
    name = sql.Identifier(f"guest_{warehouse.schema}")
    administrator.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(SECRET)))
    administrator.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE warehouse TO {}").format(name))
    yield parts | {"user": f"guest_{warehouse.schema}", "password": SECRET}
    warehouse.run("DROP SCHEMA IF EXISTS {} CASCADE")
    administrator.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(name, name))


def test_separate_settings_reach_the_same_database(parts: dict, warehouse: Warehouse, tmp_path: Path) -> None:
    end = ended(start(tmp_path, parts), schema("T"), record("T", Id="1"), state(1))
    assert (end.code, end.states) == (0, [1])
    assert warehouse.rows("T", "Id") == [("1",)]


def test_a_wrong_password_is_said_without_repeating_it(parts: dict, tmp_path: Path) -> None:
    end = ended(start(tmp_path, parts | {"password": SECRET}), schema("T"), record("T", Id="1"), state(1))
    assert (end.code, end.states) == (1, [])
    assert end.failure["kind"] == "config_error"
    assert "refused the sign-in" in end.failure["message"]
    assert SECRET not in end.log
    assert "Traceback" not in end.log


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"host": "/nowhere"}, "destination_error", "cannot be reached"),
        ({"host": "127.0.0.1", "port": 1}, "destination_error", "cannot be reached"),
        ({"database": "nothing"}, "config_error", "no such database"),
    ],
)
def test_a_server_that_is_not_there_is_said(parts: dict, tmp_path: Path, change: dict, kind: str, says: str) -> None:
    end = ended(start(tmp_path, parts | change), schema("T"), state(1))
    assert (end.code, end.states, end.failure["kind"]) == (1, [], kind)
    assert says in end.failure["message"]
    assert end.failure["hint"]


def test_a_user_who_may_not_create_is_told_what_is_missing(guest: dict, tmp_path: Path) -> None:
    end = ended(start(tmp_path, guest), schema("T"), record("T", Id="1"), state(1))
    assert (end.code, end.states) == (1, [])
    assert (end.failure["kind"], end.failure["origin"]) == ("permission_missing", "destination")
    assert "CREATE" in end.failure["hint"]
    assert SECRET not in end.log


def test_a_user_who_does_not_own_the_table_is_told_so(guest: dict, warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.run(
        'CREATE SCHEMA {}; CREATE TABLE {}."T" ("Id" text PRIMARY KEY)'.replace("{}", f'"{warehouse.schema}"')
    )
    name = f'"guest_{warehouse.schema}"'
    warehouse.connection.execute(f'GRANT ALL ON SCHEMA "{warehouse.schema}" TO {name}')
    warehouse.connection.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA "{warehouse.schema}" TO {name}')
    end = ended(start(tmp_path, guest | {"add_record_metadata": False}), schema("T"), record("T", Id="1"), state(1))
    assert (end.code, end.states) == (0, [1])
    end = ended(start(tmp_path, guest | {"add_record_metadata": False}), schema("T", New={"type": "string"}), state(2))
    assert (end.code, end.failure["kind"]) == (1, "permission_missing")
    assert "must be owner of table T" in end.failure["message"]


@pytest.mark.parametrize(
    ("code", "kind", "says", "again"),
    [
        ("53100", "destination_error", "disk is full", False),
        ("53300", "destination_error", "no room", True),
        ("40P01", "destination_error", "Somebody else", True),
        ("25006", "destination_error", "read-only", False),
        ("42501", "permission_missing", "may not do", False),
        ("22003", "schema_violation", "does not fit", False),
        ("22P05", "schema_violation", "encoding of the warehouse", False),
        ("54000", "schema_violation", "more than Postgres can hold", False),
        ("57P01", "destination_error", "went away", True),
        ("XX001", "destination_error", "XX001", False),
    ],
)
def test_what_postgres_refuses_is_said_and_the_next_sync_loses_nothing(
    load: Load, warehouse: Warehouse, batches: Batches, code: str, kind: str, says: str, again: bool
) -> None:
    load(schema("T"), record("T", Id="1"), state(1))
    warehouse.run(
        f"CREATE FUNCTION {{}}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION 'no luck today' USING ERRCODE = '{code}'; END $$"
    )
    warehouse.run(
        'CREATE TRIGGER refuse BEFORE INSERT ON {}."T" EXECUTE FUNCTION {}.refuse()'.replace(
            "{}", f'"{warehouse.schema}"'
        )
    )
    with pytest.raises(LoadError) as raised:
        load(schema("T"), batches.csv("T", "Id\n2\n"), state(2))
    failure = json.loads(raised.value.as_json())
    assert (failure["kind"], failure["retryable"], load.said) == (kind, again, [])
    assert says in failure["message"]
    assert failure["hint"]
    warehouse.run('DROP TRIGGER refuse ON {}."T"')
    assert load(schema("T"), batches.csv("T", "Id\n2\n"), state(2)) == [2]
    assert warehouse.rows("T", "Id") == [("1",), ("2",)]


@pytest.mark.parametrize(
    ("words", "says", "again"),
    [
        ('FATAL:  role "ada" is not permitted to log in', "does not let ada log in", False),
        ('FATAL:  too many connections for role "ada"', "no connection left for ada", True),
        ("FATAL:  sorry, too many clients already", "no connection left for ada", True),
        ("FATAL:  could not write init file", "disk of the warehouse at host/db is full", True),
        (
            "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
            "no connection",
            True,
        ),
        ("Connection refused", "cannot be reached", True),
    ],
)
def test_who_is_not_let_in_is_told_why(words: str, says: str, *, again: bool) -> None:
    error = not_reached(psycopg.OperationalError(f"connection failed: {words}"), user="ada", address="host/db")
    assert says in error.message
    assert error.retryable is again


def test_a_server_that_speaks_no_sqlstate_is_gone() -> None:
    assert "went away" in told(psycopg.OperationalError("connection lost"), "s.T").message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{broken", "not JSON"),
        ("[]", "not a Singer message"),
        ('{"type": "WHAT"}', "type that Singer does not know"),
        ('{"type": "SCHEMA", "stream": "T"}', "without stream or schema"),
        ('{"type": "SCHEMA", "stream": "T", "schema": {"properties": {}}, "key_properties": []}', "no properties"),
        ('{"type": "SCHEMA", "stream": "T", "schema": {"properties": {"a": {}}}, "key_properties": ["b"]}', "key of T"),
        ('{"type": "RECORD", "stream": "S", "record": null}', "without a record"),
        ('{"type": "RECORD", "stream": "S", "record": {"x": 1}}', "has no Id"),
        ('{"type": "STATE"}', "without a value"),
        ('{"type": "BATCH", "stream": "S"}', "without encoding or files"),
        ('{"type": "BATCH", "stream": "X", "encoding": {"format": "csv"}, "manifest": []}', "before its SCHEMA"),
    ],
)
def test_a_message_that_makes_no_sense_is_the_taps_fault(load: Load, line: str, says: str) -> None:
    with pytest.raises(MessageError) as raised:
        load(schema("S"), line, state(1))
    assert says in raised.value.message
    assert raised.value.origin == "source"
    assert load.said == []


def test_bytes_within_an_object_that_are_no_text_are_the_taps_fault(warehouse: Warehouse, tmp_path: Path) -> None:
    process = start(tmp_path, config(warehouse))
    process.stdin.write(json.dumps(schema("S", A={"type": "object"})) + "\n")
    process.stdin.flush()
    process.stdin.buffer.write(b'{"type": "RECORD", "stream": "S", "record": {"Id": "1", "A": {"a": "\xff"}}}\n')
    end = ended(process)
    assert (end.code, end.failure["kind"], "UTF-8" in end.failure["message"]) == (1, "source_error", True)
    assert "Traceback" not in end.log


def test_a_batch_of_unknown_format_or_packing_is_refused(load: Load, batches: Batches) -> None:
    for facts in ({"format": "xml"}, {"format": "csv", "compression": "zstd"}):
        message = batches.csv("S", "Id\n1\n") | {"encoding": facts}
        with pytest.raises(MessageError, match=r"cannot be (loaded|packed)"):
            load(schema("S"), message)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "host and user and database must be set"),
        ({"host": "h"}, "user and database must be set"),
        ({"sqlalchemy_url": f"mysql://u:{SECRET}@h/d"}, "not an address of Postgres"),
        ({"sqlalchemy_url": f"postgresql://u:{SECRET}@h/d?nonsense=1"}, "not an address of Postgres"),
        ({"sqlalchemy_url": f"postgresql://u:{SECRET}@[h/d"}, "not an address of Postgres"),
        ({"sqlalchemy_url": "postgresql://h/d", "ssh_tunnel": {"enable": True}}, "no SSH tunnel"),
    ],
)
def test_settings_that_cannot_work_are_said_without_secrets(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        TargetPostgresCopy(config=settings)
    assert says in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_setting_of_the_wrong_type_ends_the_command_in_words(tmp_path: Path) -> None:
    end = ended(start(tmp_path, {"max_connections": 99, "load_method": "magic", "password": [SECRET]}))
    assert (end.code, end.failure["kind"]) == (1, "config_error")
    assert "max_connections must be maximum 16" in end.failure["hint"]
    assert "load_method must be enum ['append-only', 'upsert', 'overwrite']" in end.failure["hint"]
    assert SECRET not in end.log


def test_certificates_may_be_files_or_text(tmp_path: Path) -> None:
    text = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
    defaults = {name: facts["default"] for name, facts in CONFIG_SCHEMA["properties"].items() if "default" in facts}
    chosen = {
        "host": "h", "user": "u", "database": "d", "ssl_enable": True, "ssl_certificate_authority": text,
        "ssl_client_certificate_enable": True, "ssl_client_certificate": "/some/file", "ssl_client_private_key": text,
    }  # fmt: skip
    connection = read(defaults | chosen).connection
    assert connection["sslmode"] == "verify-full"
    assert connection["sslcert"] == "/some/file"
    assert Path(connection["sslrootcert"]).read_text() == text
    assert Path(connection["sslkey"]).stat().st_mode & 0o777 == 0o600
    assert "sslmode" not in read(defaults | {"host": "h", "user": "u", "database": "d"}).connection


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_stays_small_however_much_is_loaded(warehouse: Warehouse, batches: Batches, tmp_path: Path) -> None:
    fat = "Id,A\n" + "".join(f'{number},"{number}{"x" * 1000}"\n' for number in range(30_000))
    message = batches.csv("T", fat, record_counts=[30_000])
    process = start(tmp_path, config(warehouse, clean_up_batch_files=False, max_connections=3))
    records = "".join(json.dumps(record("T", Id=str(number % 5000), A="y" * 1000)) + "\n" for number in range(60_000))
    first = "".join(json.dumps(sent) + "\n" for sent in (schema("T", A={"type": "string"}), message, message))
    process.stdin.write(first + records + json.dumps(state("all")) + "\n")
    process.stdin.flush()
    while json.loads(process.stdout.readline()) != "all":
        pass
    status = Path(f"/proc/{process.pid}/status").read_text()  # of the program alone: getrusage counts from the fork on
    assert ended(process).code == 0
    assert warehouse.count("T") == 30_000
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 150 << 10  # KiB


def test_the_version_is_told() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "target_postgres_copy", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert out.startswith("target-postgres-copy v")
