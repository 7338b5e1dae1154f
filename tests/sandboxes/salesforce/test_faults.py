"""Trouble on request, seen from the client's side."""

import gzip
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead, RemoteDisconnected

import pytest

from sandboxes.salesforce import SandboxError

SOQL = "SELECT Id, Name, Description FROM Contact"


def test_a_fault_strikes_the_nth_matching_request_as_often_as_asked(client, org):
    fault = org.faults.add("status", path=r"/sobjects/Account\b", method="get", nth=2, times=2, retry_after=3)
    codes = [client.get("/sobjects/Account/describe").status for _ in range(5)]
    assert codes == [200, 503, 503, 200, 200]
    assert client.get("/sobjects/Contact/describe").status == 200
    assert (fault.matched, fault.hits) == (5, 2)


def test_an_error_status_carries_its_code_and_retry_after(client, org):
    org.faults.add("status", path="/limits", status=429, code="TOO_MANY_REQUESTS", reason="slow down", retry_after=7)
    answer = client.get("/limits")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.json == [{"message": "slow down", "errorCode": "TOO_MANY_REQUESTS"}]


def test_a_session_fault_really_ends_the_session(client, org):
    org.faults.add("session", path="/limits")
    assert [client.get("/limits").status, client.get("/sobjects").status] == [401, 401]
    client.token = org.access_token()
    assert client.get("/limits").status == 200


def test_the_limit_fault_looks_like_a_used_up_quota(client, org):
    org.faults.add("limit", path="/query")
    answer = client.query(SOQL)
    assert (answer.status, answer.code) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_a_reset_comes_before_or_within_the_body(client, org):
    org.faults.add("reset", path="/sobjects$")
    org.faults.add("reset_body", path="/query", fraction=0.5)
    with pytest.raises((ConnectionResetError, RemoteDisconnected)):
        client.get("/sobjects")
    with pytest.raises((ConnectionResetError, IncompleteRead)):
        client.query(SOQL)
    assert client.query(SOQL).status == 200


def test_a_stall_holds_the_answer_up(client, org):
    org.faults.add("stall", path="/limits", seconds=0.2)
    began = time.monotonic()
    assert client.get("/limits").status == 200
    assert time.monotonic() - began >= 0.2
    org.faults.add("stall_body", path="/sobjects$", seconds=0.2)
    assert len(client.get("/sobjects").json["sobjects"]) == 10


def test_what_is_stalled_goes_on_when_faults_are_cleared(client, org):
    stall = org.faults.add("stall", path="/limits", seconds=600)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(client.get, "/limits")
        while not stall.hits:
            time.sleep(0.01)
        assert client.get("/sobjects").status == 200
        assert not held.done()
        org.faults.clear()
        assert held.result(timeout=60).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_cut_row_is_a_complete_answer_that_ends_in_the_middle_of_a_row(client, org, encoding):
    job = client.finished(SOQL)
    whole = client.get(f"/jobs/query/{job}/results", Accept_Encoding=encoding)
    org.faults.add("cut_row", path="/results")
    cut = client.get(f"/jobs/query/{job}/results", Accept_Encoding=encoding)
    org.faults.add("cut_row", path="/results", fraction=0.9999)
    last = client.get(f"/jobs/query/{job}/results", Accept_Encoding=encoding).body
    assert whole.body.startswith(last) and last.count(b"\n") == whole.body.count(b"\n") - 1
    assert cut.status == 200
    assert whole.body.startswith(cut.body)
    assert len(cut.body) < len(whole.body) * 0.6
    assert not cut.body.endswith(b"\n")
    assert cut.headers["sforce-numberofrecords"] == whole.headers["sforce-numberofrecords"]


def test_a_truncated_gzip_is_a_complete_answer_that_cannot_be_unzipped(client, org):
    job = client.finished(SOQL)
    org.faults.add("truncated_gzip", path="/results", fraction=0.7)
    answer = client.get(f"/jobs/query/{job}/results", Accept_Encoding="gzip")
    assert int(answer.headers["content-length"]) == len(answer.raw)
    with pytest.raises((EOFError, zlib.error)):
        gzip.decompress(answer.raw)


def test_jobs_fail_abort_and_dawdle_with_salesforces_reason(client, org):
    org.faults.add("job_failed", reason="InternalServerError: QUERY_TIMEOUT")
    org.faults.add("job_aborted", nth=2)
    failed, aborted, fine = (client.finished(SOQL) for _ in range(3))
    shown = client.get(f"/jobs/query/{failed}").json
    assert (shown["state"], shown["errorMessage"]) == ("Failed", "InternalServerError: QUERY_TIMEOUT")
    assert client.get(f"/jobs/query/{failed}/results").code == "INVALIDJOBSTATE"
    assert client.get(f"/jobs/query/{aborted}").json["state"] == "Aborted"
    assert client.get(f"/jobs/query/{fine}").json["state"] == "JobComplete"
    org.faults.add("job_slow", seconds=30)
    slow = client.job(SOQL)
    assert not org.bulk.find(slow).ended.is_set()
    client.call("PATCH", f"/jobs/query/{slow}", {"state": "Aborted"})


def test_slow_mode_spreads_rows_over_time(client, org):
    org.rows_per_second = 10_000
    began = time.monotonic()
    assert len(client.query(SOQL).json["records"]) == 2_000
    assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        ("meteor", {}, "no fault 'meteor'"),
        ("status", {"path": "("}, "no regular expression"),
        ("status", {"colour": "red"}, "no setting colour"),
        ("status", {"hits": 3}, "no setting hits"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(org, kind, settings, sentence):
    with pytest.raises(SandboxError, match=sentence):
        org.faults.add(kind, **settings)
