"""What goes wrong in the life of a sync, from end to end: at its end every record is there, once or more, and right."""

import json
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta

import pytest

from sandboxes.salesforce import LocalOrg, SObject, field
from tap_salesforce.errors import QuotaError
from tap_salesforce.tap import TapSalesforce

FEW = {"Contact": 600, "Account": 20, "User": 5, "Lead": 60, "Opportunity": 0, "Invoice__c": 10}
APIS = pytest.mark.parametrize("api", ["REST", "BULK2"])
SYSTEM = {"nillable": False, "system": True}
TASK = SObject(
    name="Task",
    prefix="00T",
    fields=(
        field("Id", "id", **SYSTEM),
        field("WhoId", "reference", refers_to=("Contact", "Lead")),
        field("WhatId", "reference", refers_to=("Account", "Opportunity")),
        field("OwnerId", "reference", refers_to=("Group", "User"), nillable=False),
        field("Subject", "combobox", 255),
        field("IsDeleted", "boolean", **SYSTEM),
        field("SystemModstamp", "datetime", **SYSTEM),
    ),
)
SETTING = SObject(
    name="Setting__c",
    prefix="a07",
    fields=(field("Id", "id", **SYSTEM), field("Name", "string", 80), field("Value__c", "double", scale=3)),
)


@pytest.fixture
def own_org():
    with LocalOrg(
        counts={**FEW, "Task": 0, "Setting__c": 30}, objects=[TASK, SETTING], rotate_refresh_tokens=True
    ) as org:
        yield org


def everything(org, name="Contact"):
    return {i for (i,) in org.store.rows(f'SELECT "Id" FROM "{name}"')}


# ---- late commits


@APIS
def test_a_record_that_becomes_visible_behind_the_bookmark_is_found_by_the_look_back(own_org, configure, run, api):
    config = configure(own_org, api_type=api, formula_refresh="never")
    state = run(config).states()[-1]
    closed = datetime.fromisoformat(state["bookmarks"]["Contact"]["replication_key_value"])
    (late,) = own_org.insert("Contact", [{"LastName": "Late"}], at=closed - timedelta(minutes=14))
    assert late in run(config, state=state).ids("Contact")
    assert late not in run({**config, "lookback_minutes": 1}, state=state).ids("Contact")


def test_a_record_committed_late_while_a_run_was_interrupted_is_found_by_the_run_after_the_next(
    own_org, configure, run
):
    config = configure(own_org, formula_refresh="never", window_rows=10)
    ids = sorted(everything(own_org))
    now = own_org.clock.now()
    for number, one in enumerate(ids[:60]):
        own_org.update("Contact", [one], {"Title": "young"}, at=now - timedelta(seconds=240 - 4 * number))
    states = run(config).states()
    cut = next(
        s
        for s in states
        if s["bookmarks"]["Contact"]["replication_key_value"] > (now - timedelta(seconds=200)).isoformat()
    )
    bound = datetime.fromisoformat(cut["bookmarks"]["Contact"]["replication_key_value"])
    assert "unfinished_since" in cut["bookmarks"]["Contact"]
    (late,) = own_org.insert("Contact", [{"LastName": "Late"}], at=bound - timedelta(seconds=30))
    own_org.clock.advance(3600)
    resumed = run(config, state=cut)
    after = run(config, state=resumed.states()[-1])
    assert late not in resumed.ids("Contact") and late in after.ids("Contact")


# ---- crashes


@APIS
def test_a_run_that_is_killed_goes_on_where_it_was(own_org, configure, tmp_path, api):
    own_org.rows_per_second = 400
    config, state = tmp_path / "config.json", tmp_path / "state.json"
    config.write_text(json.dumps(configure(own_org, api_type=api, window_rows=60)))
    tap = [sys.executable, "-m", "tap_salesforce", "--config", str(config)]
    killed, kept, waiting = Counter(), {}, Counter()
    with subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            message = json.loads(line)
            if message["type"] == "RECORD":
                waiting[message["record"]["Id"]] += 1
            elif message["type"] == "STATE" and "replication_key_value" in message["value"]["bookmarks"]["Contact"]:
                killed, kept = killed + waiting, message["value"]
                waiting.clear()
            if len(killed) > 200:
                process.send_signal(signal.SIGKILL)
                break
    own_org.rows_per_second = 0
    state.write_text(json.dumps(kept))
    done = subprocess.run([*tap, "--state", str(state)], capture_output=True, text=True, timeout=60, check=True)
    rest = {m["record"]["Id"] for m in map(json.loads, done.stdout.splitlines()) if m["type"] == "RECORD"}
    assert killed.keys() | rest == everything(own_org)
    assert not killed.keys() & rest


# ---- sessions


@APIS
def test_refresh_tokens_that_rotate_at_every_sign_in_of_a_run_lose_nothing(own_org, configure, run, caplog, api):
    app = own_org.app
    auth = {"auth_type": "oauth_refresh", "client_id": app.client_id, "client_secret": app.client_secret}
    page = "/results" if api == "BULK2" else "q=SELECT(\\+|%20)I"
    for nth in (1, 2, 3):
        own_org.faults.add("session", path=page, nth=nth * 2)
    config = configure(own_org, api_type=api, window_rows=60, auth={**auth, "refresh_token": app.refresh_token})
    out = run(config)
    assert out.ids("Contact") == Counter(everything(own_org))
    assert caplog.text.count("rotated the refresh token") >= 4


# ---- silence


@pytest.mark.parametrize("trouble", ["stall", "stall_body"])
@pytest.mark.parametrize(
    ("api", "path"), [("BULK2", "/results"), ("BULK2", "/jobs/query/?$"), ("REST", "q=SELECT(\\+|%20)I")]
)
def test_silence_longer_than_the_time_out_costs_one_request_and_no_record(
    own_org, configure, run, quick, api, path, trouble
):
    fault = own_org.faults.add(trouble, path=path, seconds=3.0, times=1)
    out = run(configure(own_org, api_type=api, timeout_seconds=0.5))
    assert out.ids("Contact") == Counter(everything(own_org))
    assert fault.hits == 1
    assert quick == [None], "it was asked again, and not waited for"


# ---- quota


@APIS
def test_a_run_stopped_by_the_quota_is_finished_by_the_next(own_org, configure, run, api):
    config = configure(own_org, api_type=api, window_rows=30, max_api_usage_percent=50)
    own_org.daily_limit = 80
    with pytest.raises(QuotaError, match=r"used 40 of its 80 daily API requests.*next run goes on") as raised:
        run(config)
    assert json.loads(raised.value.as_json())["kind"] == "quota_exceeded" and raised.value.retryable
    first = run.partial
    assert own_org.usage()[0] <= 40 + 2 * 4  # what tidies up behind the jobs under way
    assert not own_org.bulk._jobs
    own_org.use_requests(0)
    own_org.daily_limit = 100_000
    second = run(config, state=first.states()[-1])
    assert first.ids("Contact").keys() | second.ids("Contact").keys() == everything(own_org)
    assert 0 < len(first.ids("Contact")) < 600 and len(second.ids("Contact")) < 600
    assert "unfinished_since" not in second.bookmark("Contact")


def test_the_share_holds_among_the_pages_of_one_job_too(own_org, configure, run):
    own_org.use_requests(0)
    own_org.daily_limit = 100
    with pytest.raises(QuotaError, match="used 30 of its 100"):
        run(configure(own_org, window_rows=1_000, bulk_page_rows=10, max_api_usage_percent=30))
    assert own_org.usage()[0] <= 30 + 2  # the job is deleted
    assert 0 < len(run.partial.ids("Contact")) < 300


# ---- values


@APIS
def test_nul_and_control_characters_survive_as_they_are(own_org, configure, run, api):
    text = "a\x00b\x01\x1f\t\x7f\u2028\ufeff\U0001f600'\"\\,\r\n;"
    (one,) = own_org.insert("Contact", [{"LastName": text, "Description": text * 3}])
    found = next(r for r in run(configure(own_org, api_type=api)).records("Contact") if r["Id"] == one)
    assert (found["LastName"], found["Description"]) == (text, text * 3)


@APIS
def test_dates_stay_dates_and_moments_stay_moments(own_org, configure, run, api):
    values = {"Birthdate": "1699-12-31", "EmailBouncedDate": "2026-03-29T01:59:59.000+0000"}
    (one,) = own_org.insert("Contact", [{"LastName": "x", **values}])
    out = run(configure(own_org, api_type=api))
    found = next(r for r in out.records("Contact") if r["Id"] == one)
    assert found["Birthdate"] == "1699-12-31"
    assert found["EmailBouncedDate"] == "2026-03-29T01:59:59.000Z"
    formats = {name: facts.get("format") for name, facts in out.schema("Contact")["properties"].items()}
    assert (formats["Birthdate"], formats["EmailBouncedDate"]) == ("date", "date-time")


@APIS
def test_references_to_one_of_several_objects_come_as_plain_ids(own_org, configure, run, api):
    contact, lead, account = (min(everything(own_org, n)) for n in ("Contact", "Lead", "Account"))
    tasks = [
        {"WhoId": contact, "WhatId": account, "Subject": "Call"},
        {"WhoId": lead, "Subject": "Mail"},
        {"OwnerId": "00GLs0000000001IAA"},
    ]
    made = own_org.insert("Task", tasks)
    out = run(configure(own_org, api_type=api, streams=["Task"]))
    found = {r["Id"]: r for r in out.records("Task")}
    assert found.keys() == set(made)
    for one, given in zip(made, tasks, strict=True):
        assert {name: found[one][name] for name in ("WhoId", "WhatId")} == {"WhoId": None, "WhatId": None} | {
            name: given[name] for name in ("WhoId", "WhatId") if name in given
        }
    assert found[made[2]]["OwnerId"] == "00GLs0000000001IAA"
    assert out.schema("Task")["properties"]["WhoId"]["type"] == ["string", "null"]


@APIS
def test_an_object_without_any_stamp_is_read_whole_at_each_run(own_org, configure, run, api):
    config = configure(own_org, api_type=api, streams=["Setting__c"], hard_deletes=True)
    (entry,) = TapSalesforce(config=config).catalog_dict["streams"]
    assert entry["replication_method"] == "FULL_TABLE" and entry["key_properties"] == ["Id"]
    first = run(config)
    own_org.update("Setting__c", 1, {"Value__c": "12.125"})
    second = run(config, state=first.states()[-1])
    assert first.ids("Setting__c") == second.ids("Setting__c") == Counter(everything(own_org, "Setting__c"))
    assert 12.125 in [r["Value__c"] for r in second.records("Setting__c")]
