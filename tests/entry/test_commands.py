import json

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.drivers.bundle import Drivers
from orchestrator.entry import doctor, installing
from orchestrator.entry.main import run
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.kernel.stdio import ReaderLeftError


def test_init_makes_what_is_missing_and_repeating_it_changes_nothing(command, drivers):
    drivers.settings.key_file.unlink()
    drivers.__dict__.pop("keys", None)
    first = command("init", "--json")
    assert (first.code, first.json["key_made"]) == (0, True)
    key = drivers.settings.key_file.read_bytes()
    again = command("init", "--json")
    assert (again.code, again.json["key_made"]) == (0, False)
    assert drivers.settings.key_file.read_bytes() == key
    assert drivers.settings.key_file.stat().st_mode & 0o777 == 0o600


def test_init_closes_a_home_that_stands_open(command, home):
    home.chmod(0o755)
    assert command("init").code == 0
    assert home.stat().st_mode & 0o777 == 0o700


def test_init_refuses_a_home_that_is_everybodys_before_anything_is_made(command, home):
    home.chmod(0o777)
    answer = command("init")
    assert answer.code == 6
    assert "everybody may write to it" in answer.err
    assert "ORCHESTRATOR_HOME" in answer.err


def test_init_removes_plugin_environments_but_those_of_this_version(command, drivers):
    assert command("init").code == 0
    assert {"tap-salesforce--orchestrator", "target-postgres-copy--orchestrator"} <= set(drivers.plugins.kept)


def test_a_lost_key_is_never_papered_over_with_a_new_one(command, drivers, github):
    drivers.settings.key_file.unlink()
    drivers.__dict__.pop("keys", None)
    assert command("init", "--json").json["key_made"] is False
    assert not drivers.settings.key_file.exists()


def test_init_in_words_says_what_comes_next(command):
    answer = command("init")
    assert answer.code == 0
    assert "orchestrator add" in answer.err
    assert "organization" in answer.out


def test_migrate_on_a_current_database_does_nothing(command):
    answer = command("migrate", "--json")
    assert (answer.code, answer.json["changed"]) == (0, False)
    assert "Nothing to do" in command("migrate").err


def test_doctor_is_content_with_a_whole_installation(command, github, monkeypatch):
    monkeypatch.setattr(doctor, "_plugins", lambda _: iter(()))
    monkeypatch.setattr(doctor, "_isolation", lambda _: iter(()))
    answer = command("doctor", "--json")
    assert answer.json["ok"], answer.json
    assert answer.code == 0
    assert {"Control plane", "Schema", "Warehouse", "Master key", "Connectors"} <= {
        one["check"] for one in answer.json["checks"]
    }


def test_doctor_names_a_missing_key_and_its_cure(command, drivers, github, monkeypatch):
    monkeypatch.setattr(doctor, "_isolation", lambda _: iter(()))
    drivers.settings.key_file.unlink()
    drivers.__dict__.pop("keys", None)
    answer = command("doctor")
    assert answer.code == 1
    assert "×" in answer.out
    assert "INTEGRATION_ENCRYPTION_KEY" in answer.out


def test_doctor_names_a_warehouse_that_is_away(command, drivers, monkeypatch):
    monkeypatch.setattr(doctor, "_plugins", lambda _: iter(()))
    monkeypatch.setattr(doctor, "_isolation", lambda _: iter(()))
    drivers.__dict__["warehouse_url"] = SecretStr("postgresql://u:hunter2@127.0.0.1:1/nowhere")
    answer = command("doctor", "--json")
    drivers.__dict__.pop("warehouse_url")
    [finding] = [one for one in answer.json["checks"] if one["check"] == "Warehouse"]
    assert finding["state"] == "bad"
    assert "WAREHOUSE_URL" in finding["fix"]
    assert "hunter2" not in answer.out


def test_doctor_goes_on_after_a_finding(drivers, monkeypatch):
    def broken(_):
        raise OrchestratorError("It is broken.", hint="Mend it.")
        yield

    monkeypatch.setattr(doctor, "_python", broken)
    monkeypatch.setattr(doctor, "_plugins", lambda _: iter(()))
    monkeypatch.setattr(doctor, "_isolation", lambda _: iter(()))
    found = doctor.findings(drivers)
    assert (found[0].state, found[0].fix) == (doctor.State.BAD, "Mend it.")
    assert len(found) > 4


def test_doctor_names_a_home_that_is_closed_to_this_user(drivers, monkeypatch):
    def closed(_drivers):
        raise PermissionError(13, "Permission denied", "/root/x/master.key")

    monkeypatch.setattr("orchestrator.entry.doctor.os.access", lambda *_: False)
    monkeypatch.setattr(doctor, "_keys", closed)
    monkeypatch.setattr(doctor, "_isolation", lambda _: iter(()))
    found = {one.check: one for one in doctor.findings(drivers)}
    assert found["Home"].state is found["Master key"].state is doctor.State.BAD
    assert found["Master key"].found == "/root/x/master.key: Permission denied"
    assert "ORCHESTRATOR_HOME" in found["Home"].fix


def test_doctor_says_once_that_the_database_is_away(drivers, monkeypatch):
    def away(_drivers):
        raise DatabaseAwayError("refused")

    for name in ("_database", "_schema", "_keys"):
        monkeypatch.setattr(doctor, name, away)
    monkeypatch.setattr(doctor, "_isolation", lambda _: iter(()))
    found = {one.check: one for one in doctor.findings(drivers)}
    assert found["Control plane"].state is doctor.State.BAD
    assert found["Control plane"].fix
    assert [found[name].state for name in ("Schema", "Master key")] == [doctor.State.NOTE] * 2


def test_query_shows_values_as_they_are(command):
    answer = command("query", "SELECT 2024 AS year, '2024-01-01T10:00:00Z'::timestamptz AS at, true AS yes")
    assert answer.out.splitlines()[1].split() == ["2024", "2024-01-01", "10:00:00+00:00", "True"]


def test_query_shows_rows_of_the_warehouse(command):
    answer = command("query", "SELECT 1 AS one, NULL AS nothing, 'x[red]y' AS marked")
    assert answer.code == 0
    assert "one" in answer.out
    assert "x[red]y" in answer.out
    assert command("query", "SELECT 1 AS one", "--json").json == [{"one": 1}]


def test_query_shows_every_column_also_those_that_are_empty_or_called_the_same(command):
    statement = "SELECT 1 AS a, 2 AS a, '' AS blank"
    assert command("query", statement).out.splitlines()[0].split() == ["a", "a", "(2)", "blank"]
    assert command("query", statement, "--json").json == [{"a": 1, "a (2)": 2, "blank": ""}]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1234567890.123456789012345678::numeric", "1234567890.123456789012345678"),
        ("array[1.50, NULL]::numeric[]", ["1.50", None]),
        ("'NaN'::float8", "nan"),
        ("0.5::float8", 0.5),
        ("'08:30'::time", "08:30:00"),
        ("'5b0e9c30-0000-4000-8000-000000000000'::uuid", "5b0e9c30-0000-4000-8000-000000000000"),
        (r"'\x00ff'::bytea", r"\x00ff"),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("'2024-01-01'::date", "2024-01-01"),
        ("interval '1 minute'", 60.0),
        ("""'{"a": [1]}'::jsonb""", {"a": [1]}),
    ],
)
def test_query_has_a_json_form_of_every_type(command, value, shown):
    assert command("query", f"SELECT {value} AS it", "--json").json == [{"it": shown}]


def test_query_says_where_it_stopped(command):
    answer = command("query", "SELECT * FROM generate_series(1, 10)", "--limit", "3")
    assert len(answer.rows) == 3
    assert "--limit" in answer.err


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (i int)",
        "COMMIT; CREATE TABLE x (i int)",
        "SET TRANSACTION READ WRITE; CREATE TABLE x (i int)",
        "SET TRANSACTION READ WRITE",
        "BEGIN READ WRITE",
        "COMMIT",
        "SELECT nonsense",
        "",
        "DROP SCHEMA public CASCADE",
    ],
)
def test_query_only_reads(command, sql):
    refused = command("query", sql)
    assert (refused.code, refused.out) == (2, "")
    assert "refused" in refused.err
    left = command("query", "SELECT count(*) AS n FROM pg_tables WHERE tablename = 'x'", "--json")
    assert left.json == [{"n": 0}]


def test_the_embedded_server_is_shown(command):
    shown = command("db", "--json").json
    assert shown["running"] in {True, False}
    assert f"{shown['size_bytes'] / 1e6:,.1f} MB" in command("db").out


def test_a_word_that_is_none_of_the_choices_is_said_in_one_sentence(command):
    said = command("db", "nope").err
    assert "Error: Invalid value for 'ACTION': 'nope' is not one of 'status', 'stop'." in said


def test_an_unknown_sandbox_is_a_wrong_call(command):
    answer = command("sandbox", "hubspot")
    assert answer.code == 2
    assert "salesforce" in answer.err


def test_an_error_is_one_sentence_and_a_hint_or_one_document(command):
    plain = command("integrations", "show", "nope")
    assert (plain.code, plain.out) == (3, "")
    assert "nope" in plain.err
    assert "Traceback" not in plain.err
    document = json.loads(command("integrations", "show", "nope", "--json").err)
    assert document["error"]["code"] == "unknown_integration"
    assert document["error"]["hint"]


@pytest.mark.parametrize("arguments", [["nonsense"], ["sync"], ["runs", "list", "--limit", "many"], ["--nope"]])
def test_a_wrong_call_exits_2(arguments, drivers, capsys):
    assert run(arguments, drivers=drivers) == 2
    assert capsys.readouterr().err


def test_a_reader_who_leaves_is_no_error(drivers, monkeypatch):
    def gone(*_, **__):
        raise ReaderLeftError

    monkeypatch.setattr("orchestrator.kernel.console.show_json", gone)
    assert run(["runs", "list", "--json"], drivers=drivers) == 0


def test_ctrl_c_exits_130(drivers, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.kernel.console.show_json", interrupted)
    assert run(["runs", "list", "--json"], drivers=drivers) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_database_that_was_never_migrated_says_what_to_run(command, drivers, database):
    del drivers.__dict__["db"]
    drivers.check = _not_migrated
    answer = command("integrations", "list")
    drivers.__dict__["db"] = database
    assert answer.code == 8
    assert "orchestrator migrate" in answer.err


def _not_migrated(_db):
    from orchestrator.migrations.runner import NotMigratedError

    raise NotMigratedError(None)


def test_drivers_are_made_when_first_used_and_closed_once(drivers):
    fresh = Drivers(settings=drivers.settings)
    assert set(fresh.__dict__) == {"settings", "check"}
    assert fresh.db is fresh.unchecked_db
    assert fresh.worker.name.startswith("worker-")
    mark = fresh.workers_folder / fresh.worker.name
    assert mark.exists()
    fresh.close()
    assert not mark.exists()


def test_installing_gives_every_organization_a_warehouse(drivers):
    installing.install(drivers)
    place = installing.install(drivers).place
    with drivers.db.transaction(place.org_id) as tx:
        assert tx.scalars(text("SELECT name FROM orchestrator.destinations")).all() == ["warehouse"]
