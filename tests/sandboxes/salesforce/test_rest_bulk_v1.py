"""Bulk API 1.0 query jobs. (modules: rest_bulk_v1, bulk_v1)"""

import json
import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from sandboxes.salesforce import bulk_v1

BASE = "/services/async/61.0/job"
SOQL = "SELECT Id, LastName, Description, Birthdate, DoNotCall, Credit_Limit__c, SystemModstamp FROM Contact"
JSON = "application/json"


def call(client, method, path="", body=None, kind=JSON, token=None, **headers):
    sent = json.dumps(body) if isinstance(body, dict) else body
    known = {"X-SFDC-Session": token or client.token, "Content-Type": kind}
    return client.raw(method, BASE + path, sent, {**known, **headers})


def opened(client, content="JSON", operation="queryAll", **more):
    made = call(client, "POST", body={"operation": operation, "object": "Contact", "contentType": content, **more})
    assert made.status == 201, made.body
    return made.json["id"]


def added(client, job, soql=SOQL, kind=JSON):
    """A batch's id, once it has ended."""
    made = call(client, "POST", f"/{job}/batch", soql, kind)
    assert made.status == 201, made.body
    batch = made.json["id"] if made.body.startswith(b"{") else xml(made).findtext("id")
    assert client.org.bulk_v1.batch(job, batch).ended.wait(20)
    return batch


def xml(answer):
    assert answer.headers["content-type"] == "application/xml"
    return ET.fromstring(re.sub(rb' xmlns="[^"]*"', b"", answer.body, count=1))


def files(client, job, batch):
    return call(client, "GET", f"/{job}/batch/{batch}/result").json


def test_a_json_job_as_simple_salesforce_goes_through_it(client, org):
    job = opened(client, concurrencyMode=0)
    batch = added(client, job)
    closed = call(client, "POST", f"/{job}", {"state": "Closed"})
    assert (closed.json["state"], closed.json["concurrencyMode"]) == ("Closed", "Parallel")
    shown = call(client, "GET", f"/{job}/batch/{batch}").json
    assert (shown["state"], shown["jobId"]) == ("Completed", job)
    (file,) = files(client, job, batch)
    rows = call(client, "GET", f"/{job}/batch/{batch}/result/{file}", Accept_Encoding="gzip").json
    count = org.count("Contact")
    assert len({row["Id"] for row in rows}) == count["live"] + count["deleted"] == shown["numberRecordsProcessed"]
    assert call(client, "GET", f"/{job}").json["numberBatchesCompleted"] == 1


def test_json_has_moments_in_milliseconds_and_all_else_as_rest_has_it(client):
    job = opened(client)
    batch = added(client, job)
    (file,) = files(client, job, batch)
    rows = call(client, "GET", f"/{job}/batch/{batch}/result/{file}").json
    rest = {row["Id"]: row for row in client.all(SOQL, everything=True)}
    for row in rows:
        expected = rest[row["Id"]]
        moment = datetime.strptime(expected["SystemModstamp"], "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
        assert row.pop("SystemModstamp") == moment.timestamp() * 1000
        assert row.pop("attributes")["type"] == "Contact"
        assert row == {name: expected[name] for name in row}


def test_a_csv_job_is_shown_in_json_where_asked_and_its_batches_in_xml(client):
    job = opened(client, "CSV")
    batch = added(client, job, kind="text/csv")
    shown = xml(call(client, "GET", f"/{job}/batch/{batch}"))
    assert (shown.tag, shown.findtext("state")) == ("batchInfo", "Completed")
    listed = xml(call(client, "GET", f"/{job}/batch"))
    assert [one.findtext("id") for one in listed] == [batch]
    result = xml(call(client, "GET", f"/{job}/batch/{batch}/result"))
    assert result.tag == "result-list"
    got = call(client, "GET", f"/{job}/batch/{batch}/result/{result.findtext('result')}")
    assert got.headers["content-type"].startswith("text/csv")
    assert {row["Id"]: row for row in got.rows} == {row["Id"]: row for row in _bulk2(client)}


def _bulk2(client):
    return client.get(f"/jobs/query/{client.finished(SOQL)}/results").rows


def test_a_job_can_be_made_in_xml(client):
    body = f'<?xml version="1.0"?><jobInfo xmlns="{"http://www.force.com/2009/06/asyncapi/dataload"}"><operation>query'
    body += "</operation><object>Contact</object><contentType>CSV</contentType></jobInfo>"
    made = xml(call(client, "POST", body=body, kind="application/xml; charset=UTF-8"))
    assert (made.tag, made.findtext("operation"), made.findtext("state")) == ("jobInfo", "query", "Open")


def test_query_leaves_deleted_records_out(client, org):
    job = opened(client, operation="query")
    batch = added(client, job)
    assert call(client, "GET", f"/{job}/batch/{batch}").json["numberRecordsProcessed"] == org.count("Contact")["live"]


def test_large_results_are_several_files_that_hold_every_record_once(client, monkeypatch):
    monkeypatch.setattr(bulk_v1, "FILE_ROWS", 700)
    job = opened(client)
    batch = added(client, job)
    ids = [
        row["Id"]
        for file in files(client, job, batch)
        for row in call(client, "GET", f"/{job}/batch/{batch}/result/{file}").json
    ]
    assert len(files(client, job, batch)) > 1
    assert len(ids) == len(set(ids)) == call(client, "GET", f"/{job}").json["numberRecordsProcessed"]


@pytest.mark.parametrize(("content", "nothing"), [("CSV", bulk_v1.NOTHING), ("JSON", b"[]")])
def test_a_query_that_finds_nothing_says_so(client, content, nothing):
    job = opened(client, content)
    batch = added(client, job, "SELECT Id FROM Contact WHERE LastName = 'nobody has this name'")
    (file,) = client.org.bulk_v1.batch(job, batch).files
    assert call(client, "GET", f"/{job}/batch/{batch}/result/{file}").body == nothing


@pytest.mark.parametrize("soql", ["SELECT Nothing FROM Contact", "SELECT Id FROM Lead", "SELECT", "SELECT Id, x FROM"])
def test_a_wrong_query_fails_its_batch(client, soql):
    job = opened(client)
    batch = added(client, job, soql)
    shown = call(client, "GET", f"/{job}/batch/{batch}").json
    assert shown["state"] == "Failed"
    assert shown["stateMessage"].startswith("InvalidBatch : Failed to process query: ")
    assert files(client, job, batch) == []


def test_a_batch_can_be_made_to_fail(client):
    client.org.faults.add("job_failed", path="/batch$", method="POST", reason="QUERY_TIMEOUT")
    job = opened(client)
    batch = added(client, job)
    assert call(client, "GET", f"/{job}/batch/{batch}").json["stateMessage"] == "QUERY_TIMEOUT"


def test_an_aborted_job_does_nothing_more(fresh):
    client = fresh(job_seconds=30)
    job = opened(client)
    batch = call(client, "POST", f"/{job}/batch", SOQL).json["id"]
    assert call(client, "POST", f"/{job}", {"state": "Aborted"}).json["state"] == "Aborted"
    assert call(client, "GET", f"/{job}/batch/{batch}").json["state"] == "NotProcessed"
    assert call(client, "POST", f"/{job}/batch", SOQL).json["exceptionCode"] == "InvalidJobState"


def test_a_dead_session_is_told_in_the_form_that_was_asked(client):
    refused = call(client, "GET", "/750", token="00D!wrong")
    assert (refused.status, refused.json["exceptionCode"]) == (400, "InvalidSessionId")
    refused = call(client, "GET", "/750", token="00D!wrong", kind="text/csv")
    assert xml(refused).findtext("exceptionCode") == "InvalidSessionId"


def test_a_session_can_be_made_to_end(client):
    client.org.faults.add("session", path=r"/services/async/.*/batch$")
    job = opened(client)
    assert call(client, "POST", f"/{job}/batch", SOQL).json["exceptionCode"] == "InvalidSessionId"
    assert call(client, "GET", f"/{job}").json["exceptionCode"] == "InvalidSessionId"


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/750000000000001AAA", None, "InvalidJob"),
        ("POST", "", {"operation": "insert", "object": "Contact", "contentType": "JSON"}, "InvalidJob"),
        ("POST", "", {"operation": "query", "object": "Nothing", "contentType": "JSON"}, "InvalidJob"),
        ("POST", "", {"operation": "query", "object": "Contact", "contentType": "XML"}, "InvalidJob"),
        ("POST", "", [], "InvalidJob"),
        ("DELETE", "", None, "InvalidUrl"),
        ("GET", "/750/nothing", None, "InvalidUrl"),
    ],
)
def test_what_makes_no_sense_is_refused(client, method, path, body, code):
    sent = body if isinstance(body, dict | None) else json.dumps(body)
    assert call(client, method, path, sent).json["exceptionCode"] == code


def test_batches_and_results_that_are_not_there_are_refused(client):
    job = opened(client)
    assert call(client, "GET", f"/{job}/batch/751").json["exceptionCode"] == "InvalidBatch"
    batch = added(client, job)
    assert call(client, "GET", f"/{job}/batch/{batch}/result/752").json["exceptionCode"] == "InvalidResult"


def test_bulk_requests_are_counted(client):
    before = client.org.usage()[0]
    opened(client)
    assert client.org.usage()[0] == before + 1
