"""Our own endpoints under /sandbox."""

import json
import time
from email.utils import parsedate_to_datetime

import pytest


def test_records_are_changed_by_http(client, org):
    new = client.control(
        "POST", "/sandbox/records/Lead/insert", {"records": [{"LastName": "Web", "Company": "c"}]}
    ).json
    assert len(new["ids"]) == 1
    body = {"ids": new["ids"], "changes": {"LastName": "Changed"}}
    assert client.control("POST", "/sandbox/records/Lead/update", body).json == new
    assert client.get(f"/sobjects/Lead/{new['ids'][0]}").json["LastName"] == "Changed"
    for change, live in (("delete", 0), ("undelete", 1), ("hard_delete", 0)):
        assert client.control("POST", f"/sandbox/records/Lead/{change}", new).json == new
        assert client.query("SELECT COUNT() FROM Lead WHERE LastName = 'Changed'").json["totalSize"] == live
    assert client.control("GET", "/sandbox/records/Lead/count").json == org.count("Lead")


def test_churn_by_http(client):
    changed = client.control(
        "POST", "/sandbox/churn", {"object": "Contact", "update": 3, "delete": 2, "insert": 1}
    ).json
    assert {k: len(v) for k, v in changed.items()} == {"updated": 3, "deleted": 2, "inserted": 1}


def test_faults_by_http(client):
    made = client.control("POST", "/sandbox/faults", {"kind": "status", "path": "/limits", "status": 500}).json
    assert client.get("/limits").status == 500
    (listed,) = client.control("GET", "/sandbox/faults").json["faults"]
    assert (listed["id"], listed["hits"]) == (made["id"], 1)
    assert client.control("DELETE", "/sandbox/faults").json == {"ok": True}
    assert client.control("GET", "/sandbox/faults").json == {"faults": []}


def test_statistics_and_reset_by_http(client):
    client.query("SELECT Id FROM User")
    client.control("POST", "/sandbox/faults", {"kind": "limit", "path": "/nothing"})
    shown = client.control("GET", "/sandbox/stats").json
    assert (shown["rows"]["rest"]["User"], shown["usage"], len(shown["faults"])) == (5, 1, 1)
    client.control("POST", "/sandbox/reset")
    assert client.control("GET", "/sandbox/stats").json == {"requests": {}, "rows": {}, "usage": 0, "faults": []}


def test_settings_sessions_and_clock_by_http(client, org):
    client.control("POST", "/sandbox/settings", {"daily_limit": 5_000, "used_requests": 4_000})
    assert client.get("/sobjects").headers["sforce-limit-info"] == "api-usage=4001/5000"
    client.control("POST", "/sandbox/settings", {"daily_limit": 100_000})
    client.control("POST", "/sandbox/sessions/revoke")
    assert client.get("/sobjects").status == 401
    before = org.clock.now()
    assert client.control("POST", "/sandbox/clock", {"advance": 3_600}).json["now"] > before.strftime("%Y-%m-%dT%H")
    assert (org.clock.now() - before).total_seconds() >= 3_600
    org.clock.advance(-3_600)


def test_time_can_stand_still_and_is_the_one_that_answers_are_dated_by(client, org):
    held = client.control("POST", "/sandbox/clock", {"held": True}).json["now"]
    time.sleep(1.1)
    assert client.control("POST", "/sandbox/clock", {}).json["now"] == held
    dated = parsedate_to_datetime(client.get("/limits").headers["date"])
    assert dated == org.clock.now().replace(microsecond=0)
    assert client.control("POST", "/sandbox/clock", {"held": False}).json["now"] > held


@pytest.mark.parametrize(
    ("method", "path", "body", "sentence"),
    [
        ("POST", "/sandbox/faults", {"kind": "meteor"}, "no fault 'meteor'"),
        ("POST", "/sandbox/faults", {"kind": "status", "colour": 1}, "no setting colour"),
        ("POST", "/sandbox/churn", {"object": "Kontact", "update": 1}, "no object Kontact"),
        ("POST", "/sandbox/churn", {"object": "Lead", "update": "many"}, "makes no sense"),
        ("POST", "/sandbox/settings", {"colour": 1}, "no setting colour"),
        ("POST", "/sandbox/records/Lead/paint", {}, "no change paint"),
        ("POST", "/sandbox/records/Lead/delete", {"ids": "all"}, "list or a number"),
        ("POST", "/sandbox/faults", [], "JSON object"),
        ("GET", "/sandbox/nothing", None, "no control endpoint GET /sandbox/nothing"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(client, method, path, body, sentence):
    answer = client.raw(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    assert answer.status == 400
    assert sentence in answer.json["error"]


def test_another_site_cannot_reach_them_through_a_browser(client):
    kind = {"Content-Type": "text/plain"}
    assert "Content-Type" in client.raw("POST", "/sandbox/reset", "{}", kind).json["error"]
    rebound = {"Host": "evil.example", "Content-Type": "application/json"}
    assert "loopback" in client.raw("POST", "/sandbox/reset", "{}", rebound).json["error"]
