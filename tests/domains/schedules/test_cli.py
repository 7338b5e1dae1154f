import json
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.schedules import service
from orchestrator.kernel import ids


def test_a_schedule_is_added_said_in_words_and_looks_ahead(command, github):
    answer = command("schedules", "add", "Our code", "--cron", "0 2 * * *", "--zone", "Europe/Berlin")
    assert answer.code == 0
    assert "Our code every day at 02:00 Europe/Berlin." in answer.err
    assert "Next: " in answer.err
    [row] = command("schedules", "list").rows
    assert "every day at 02:00 Europe/Berlin" in " ".join(row)


def test_an_empty_list_says_how_to_begin(command):
    answer = command("schedules", "list")
    assert (answer.code, answer.out) == (0, "")
    assert "orchestrator schedules add" in answer.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every", "15m"], "every 15 min"),
        (["--cron", "*/15 * * * *"], "every 15 min UTC"),
        (["--cron", "30 8 * * mon-fri"], "Mondays to Fridays at 08:30 UTC"),
        (["--cron", "@monthly"], "day 1 of every month at 00:00 UTC"),
        (["--cron", "0 6,18 * * sat,sun", "--zone", "Asia/Tokyo"], "Saturdays and Sundays at 06:00 and 18:00 Asia/Tokyo"),
        (["--cron", "0 0 1 * mon"], "cron 0 0 1 * mon UTC"),
        (["--on", "state.changed.v1"], "on state.changed.v1"),
    ],
)  # fmt: skip
def test_every_way_to_start_has_words(command, github, options, words):
    assert command("schedules", "add", "Our code", *options, "--json").json["when"] == words


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--cron", "0 0 31 2 *"], 6, "that day never comes"),
        (["--cron", "61 * * * *"], 6, "61 is no minute"),
        (["--cron", "* * * *"], 6, "4 fields, not five"),
        (["--cron", "0 0 * * fri-mon"], 6, "goes backwards"),
        (["--cron", "@dayly"], 6, "@daily"),
        (["--cron", "*/90 * * * *"], 6, "--every 90m"),
        (["--cron", "*/0 * * * *"], 6, "no step"),
        (["--cron", "@daily", "--zone", "Europe/Berln"], 6, "Did you mean 'Europe/Berlin'?"),
        (["--cron", "@daily", "--zone", "berlin"], 6, "Did you mean 'Europe/Berlin'?"),
        (["--cron", "@daily", "--zone", "../../etc/passwd"], 6, "no time zone"),
        (["--cron", "@daily", "--zone", "localtime"], 6, "no time zone"),
        (["--every", "0m"], 6, "at least one"),
        (["--every", "30s"], 6, "whole minutes"),
        (["--every", "31d"], 6, "not an interval"),
        (["--every", "1h", "--cron", "@daily"], 6, "one way to start"),
        ([], 6, "one way to start"),
        (["--every", "1h", "--misfire", "catch_up:1000000"], 6, "1,000,000 runs can't be caught up"),
        (["--every", "1h", "--misfire", "catch_up"], 6, "leaves open how many"),
        (["--every", "1h", "--misfire", "skipp"], 6, "Did you mean 'skip'?"),
        (["--every", "5m", "--jitter", "5m"], 6, "as long as the time between two slots"),
        (["--cron", "0 9 * * mon", "--blackout", "mon 08:00-18:00"], 6, "never start anything"),
        (["--every", "1h", "--blackout", "00:00-24:00"], 6, "nothing of the week is left"),
        (["--every", "1h", "--blackout", "mo 08:00-18:00"], 6, "no weekday"),
        (["--on", "state.change"], 6, "Did you mean 'state.changed.v1'?"),
        (["--on", "run.ended.v1"], 6, "no event"),
        (["--after", "Our cod"], 3, "Did you mean 'Our code'?"),
        (["--after", "Our code"], 5, "for ever: Our code → Our code"),
        (["--every", "1h", "--stream", "userz"], 3, "Did you mean 'users'?"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_what_to_do(command, ready, options, code, said):
    answer = command("schedules", "add", "Our code", *options)
    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert command("schedules", "list", "--json").json == []


def test_chains_that_end_where_they_began_are_refused(command, drivers, place, github):
    from orchestrator.domains.integrations.types import NewIntegration
    from tests.fixtures.drivers import GITHUB

    for name in ("B", "C"):
        integrations.add(drivers, place, NewIntegration(type="github", name=name, values=GITHUB))
    assert command("schedules", "add", "B", "--after", "Our code").code == 0
    assert command("schedules", "add", "C", "--after", "B").code == 0
    answer = command("schedules", "add", "Our code", "--after", "C")
    assert answer.code == 5
    assert "C → Our code → B → C" in answer.err


def test_the_next_start_is_none_that_a_blackout_keeps_from_starting(command, github):
    today = datetime.now(UTC)
    around = [f"{today + timedelta(days=step):%a} 00:00-24:00" for step in (-1, 0, 1)]
    shut = [word for window in around for word in ("--blackout", window)]
    added = command("schedules", "add", "Our code", "--every", "15m", *shut)
    later = [f"{today + timedelta(days=step):%Y-%m-%d}" for step in (2, 3)]
    for said in (added.err.partition("Next:")[2], command("schedules", "list").out):
        assert any(day in said for day in later), said
        assert f"{today:%Y-%m-%d}" not in said


def test_a_schedule_is_found_by_its_id_by_its_beginning_and_by_its_only_integration(command, github):
    added = command("schedules", "add", "Our code", "--every", "1h", "--json").json["id"]
    for wanted in (added, added[:-4], "Our code"):
        assert command("schedules", "show", wanted, "--json").json["id"] == added
    command("schedules", "add", "Our code", "--every", "2h")
    assert command("schedules", "show", "Our code").code == 2
    answer = command("schedules", "show", "our coda")
    assert (answer.code, "Did you mean 'Our code'?" in answer.err) == (3, True)


def test_showing_looks_ahead_and_back(command, github):
    command("schedules", "add", "Our code", "--cron", "30 2 * * *", "--zone", "Europe/Berlin", "--jitter", "5m")
    document = command("schedules", "show", "Our code", "--json").json
    assert (len(document["upcoming"]), document["slots"]) == (10, [])
    shown = command("schedules", "show", "Our code").out
    assert "delayed by up to 5 min" in shown


def test_one_that_can_not_be_fired_says_so_and_when_it_is_tried_again(command, drivers, github):
    command("schedules", "add", "Our code", "--every", "1h", "--json")
    with drivers.db.connection() as connection:  # a jitter that makes a division by zero
        connection.execute(
            text("UPDATE orchestrator.schedules SET jitter = '-1 second', next_slot = now(), next_fire_at = now()")
        )
    service.fire_due(drivers)
    shown = command("schedules", "show", "Our code")
    said = " ".join(shown.out.split())
    assert (shown.code, "Something unexpected went wrong in orchestrator itself" in said) == (0, True)
    assert "failed, again" in command("schedules", "list").out
    [document] = command("schedules", "list", "--json").json
    assert (document["failures"], document["failure"] in said) == (1, True)
    assert document["retry_at"]


@pytest.mark.parametrize("change", ["zone = 'Mars/Olympus'", "cron = 'often'"])
def test_a_schedule_that_nobody_can_read_any_more_is_listed_among_the_others(drivers, command, ready, change):
    for cron in ("0 2 * * *", "0 3 * * *"):
        assert command("schedules", "add", "Our code", "--cron", cron).code == 0
    first, second = (one["id"] for one in command("schedules", "list", "--json").json)
    with drivers.db.connection() as connection:
        broken = text(f"UPDATE orchestrator.schedules SET {change} WHERE id = :id")
        connection.execute(broken, {"id": ids.decode("sch", first)})
    listed = command("schedules", "list")
    assert (listed.code, "⚠" in listed.out, second in listed.out) == (0, True, True)
    shown = command("schedules", "show", first)
    assert (shown.code, f"orchestrator schedules edit {first}" in shown.out.replace("\n", " ")) == (0, True)
    assert command("schedules", "edit", first, "--cron", "0 4 * * *", "--zone", "UTC").code == 0
    assert "⚠" not in command("schedules", "list").out


def test_editing_changes_what_is_given_and_keeps_the_rest(command, ready):
    options = ("--cron", "0 9 * * *", "--stream", "users", "--jitter", "30s", "--blackout", "sat,sun 00:00-24:00")
    before = command("schedules", "add", "Our code", *options, "--json").json
    after = command("schedules", "edit", "Our code", "--zone", "Asia/Tokyo", "--json").json
    kept = ("id", "cron", "streams", "jitter", "blackout", "misfire")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert after["next_slot"] != before["next_slot"]
    cleared = command(
        "schedules", "edit", "Our code", "--all-streams", "--jitter", "0", "--blackout", "", "--json"
    ).json
    assert (cleared["streams"], cleared["jitter"], cleared["blackout"]) == (None, 0, [])


def test_pausing_and_resuming(command, github):
    command("schedules", "add", "Our code", "--every", "1h")
    assert command("schedules", "pause", "Our code", "--json").json["next_fire_at"] is None
    assert "paused" in command("schedules", "list").out
    assert command("schedules", "resume", "Our code", "--json").json["next_fire_at"]


def test_deleting_needs_a_yes(command, github):
    command("schedules", "add", "Our code", "--every", "1h")
    assert command("schedules", "delete", "Our code").code == 2
    assert command("schedules", "delete", "Our code", "--yes").code == 0
    assert command("schedules", "list", "--json").json == []


def test_a_preview_adds_nothing(command, place):
    answer = command(
        "schedules", "preview", "--cron", "0 12 * * *", "--blackout", "sat,sun 00:00-24:00", "-n", "7", "--json"
    )
    upcoming = answer.json["upcoming"]
    assert sum(not one["blocked"] for one in upcoming) == 7
    assert any(one["blocked"] for one in upcoming)
    assert command("schedules", "preview", "--cron", "0 12 * * *").code == 0
    assert command("schedules", "preview").code == 2
    assert command("schedules", "list", "--json").json == []


def test_lines_for_crontab_call_the_command_line_and_say_what_is_lost(command, ready, drivers, place):
    command("schedules", "add", "Our code", "--cron", "0 2 * * fri-sun", "--zone", "Europe/Berlin",
            "--stream", "users", "--jitter", "30s", "--blackout", "mon 00:00-01:00")  # fmt: skip
    command("schedules", "add", "Our code", "--every", "45m")
    text = command("schedules", "export", "--program", "/opt/my tools/orchestrator").out
    assert "CRON_TZ=Europe/Berlin\n" in text
    [line] = [one for one in text.splitlines() if one.startswith("0 2 * * 5-7 ")]
    program, *arguments = shlex.split(line.split(" ", 5)[5])
    assert program == "/opt/my tools/orchestrator"
    assert arguments == ["sync", ready.id, "--quiet", "--stream", "users"]
    for lost in ("No blackout", "No jitter", "Missed starts", "Left out. Its interval of 45 minutes"):
        assert lost in text


def test_a_percent_sign_ends_no_command(drivers, command, ready):
    command("schedules", "add", "Our code", "--every", "1h")
    [there] = service.listing(drivers, ready.org_id)
    text = command("schedules", "export", "--program", "/x%y/orchestrator").out
    assert r"/x\%y/orchestrator" in text
    assert (
        '"/x%%y/orchestrator" sync'
        in command("schedules", "export", "--format", "systemd", "--program", "/x%y/orchestrator").out
    )
    assert there.id in command("schedules", "export", "--format", "systemd").out


def test_units_for_systemd(command, ready):
    command("schedules", "add", "Our code", "--cron", "15 4 1 * mon", "--zone", "Europe/Berlin", "--jitter", "90s")
    [unit] = command("schedules", "export", "--format", "systemd", "--json").json
    assert "OnCalendar=*-*-1 4:15:00 Europe/Berlin" in unit["lines"]
    assert "OnCalendar=Mon *-*-* 4:15:00 Europe/Berlin" in unit["lines"]
    assert "RandomizedDelaySec=90" in unit["lines"]
    assert "Persistent=true" in unit["lines"]


def test_every_error_is_a_document_where_json_was_asked_for(command, github):
    answer = command("schedules", "add", "Our code", "--cron", "0 0 31 2 *", "--json")
    assert json.loads(answer.err)["error"]["code"] == "bad_cron"


@pytest.fixture
def shell(monkeypatch):
    """Variables of the shell that exports."""
    for name in ("DATABASE_URL", "WAREHOUSE_URL", "INTEGRATION_ENCRYPTION_KEY", "ORCHESTRATOR_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)

    def put(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


def test_exported_lines_name_the_installation_and_no_secret(command, ready, drivers, shell):
    command("schedules", "add", "Our code", "--cron", "0 2 * * *")
    shell(
        DATABASE_URL="postgresql://me:hunter2@db/x",
        SALESFORCE_CLIENT_ID="app",
        SALESFORCE_CLIENT_SECRET="hunter3",
        OTEL_EXPORTER_OTLP_ENDPOINT="https://me:hunter4@collector",
        ORCHESTRATOR_ORGANIZATION="default",
        ORCHESTRATOR_RUNS__DIRECTORY='/a "b" c',
    )
    text = command("schedules", "export").out
    home = drivers.settings.home
    assert f'ORCHESTRATOR_HOME="{home}"\n' in text
    assert 'ORCHESTRATOR_ORGANIZATION="default"\n' in text
    assert "ORCHESTRATOR_RUNS__DIRECTORY='/a \"b\" c'\n" in text
    assert f'ORCHESTRATOR_ENV_FILE="{home}/environment"\n' in text
    assert "DATABASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT, SALESFORCE_CLIENT_ID, SALESFORCE_CLIENT_SECRET" in text
    units = command("schedules", "export", "--format", "systemd").out
    assert f"Environment=ORCHESTRATOR_HOME={home}\n" in units
    assert 'Environment="ORCHESTRATOR_RUNS__DIRECTORY=/a \\"b\\" c"\n' in units
    [document] = command("schedules", "export", "--json").json
    assert document["environment"]["ORCHESTRATOR_HOME"] == str(home)
    assert document["secrets"][0] == "DATABASE_URL"
    for written in (text, units, json.dumps(document)):
        assert "hunter" not in written


def test_secrets_that_a_file_holds_already_need_no_word(command, ready, shell, tmp_path):
    command("schedules", "add", "Our code", "--cron", "0 2 * * *")
    shell(ORCHESTRATOR_ENV_FILE=str(tmp_path / "settings"))
    text = command("schedules", "export").out
    assert f'ORCHESTRATOR_ENV_FILE="{tmp_path}/settings"\n' in text
    assert "Not written here" not in text
