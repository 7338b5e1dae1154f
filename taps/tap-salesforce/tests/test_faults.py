"""Passing trouble is waited out where it struck; lasting trouble ends the run with Salesforce's words."""

import logging
import re

import pytest

from tap_salesforce import backoff, bulk, client
from tap_salesforce import pages as pages_module
from tap_salesforce.backoff import Backoff, seconds_of
from tap_salesforce.errors import (
    AccessError,
    AnswerError,
    ConfigError,
    JobError,
    QuotaError,
    RateLimitedError,
    ShortResultError,
    UnavailableError,
)

WAIT = Backoff.wait
PASSING = {
    "503": {"kind": "status", "status": 503, "retry_after": 1},
    "429": {"kind": "status", "status": 429, "code": "TOO_MANY", "retry_after": 3},
    "500": {"kind": "status", "status": 500, "code": "UNKNOWN_EXCEPTION"},
    "reset": {"kind": "reset"},
    "reset within the body": {"kind": "reset_body", "fraction": 0.7},
}
CUT = {
    "cut within a row": {"kind": "cut_row", "fraction": 0.6},
    "cut within the last row": {"kind": "cut_row", "fraction": 0.9999},
    "truncated gzip": {"kind": "truncated_gzip", "fraction": 0.5},
}
PATHS = {
    "creating a job": ("BULK2", "/jobs/query/?$", "POST"),
    "polling": ("BULK2", r"/jobs/query/\w+$", "GET"),
    "a result page": ("BULK2", "/results", "GET"),
    "a query": ("REST", r"queryAll\?q=SELECT(\+|%20)I", "GET"),
    "a next page": ("REST", r"/query(All)?/01g", "GET"),
    "counting": ("REST", "COUNT", "GET"),
    "describing": ("REST", "/describe", "GET"),
}


@pytest.fixture
def pages(monkeypatch, org):
    """REST in pages of 300 rows, so that there are next pages."""
    make = client.http_session

    def small(connections):
        http = make(connections)
        http.headers["Sforce-Query-Options"] = "batchSize=300"
        return http

    monkeypatch.setattr("tap_salesforce.tap.http_session", small)


@pytest.mark.parametrize("trouble", PASSING)
@pytest.mark.parametrize("place", PATHS)
def test_passing_trouble_costs_one_request_and_no_record(org, configure, run, quick, pages, trouble, place):
    api, path, method = PATHS[place]
    fault = org.faults.add(**PASSING[trouble], path=path, method=method, times=2)
    out = run(configure(org, api_type=api, bulk_page_rows=300))
    assert sum(out.ids("Contact").values()) == 900 and max(out.ids("Contact").values()) == 1
    assert fault.hits == 2
    if "retry_after" in PASSING[trouble]:
        assert quick.count(str(PASSING[trouble]["retry_after"])) == 2


@pytest.mark.parametrize("trouble", CUT)
@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_cut_page_is_read_again_without_losing_or_repeating_rows(org, configure, run, monkeypatch, trouble, page):
    monkeypatch.setattr(pages_module, "_CHUNK", 50)
    fault = org.faults.add(**CUT[trouble], path="/results", nth=page, times=2)
    out = run(configure(org, bulk_page_rows=300))
    assert sum(out.ids("Contact").values()) == 900 and max(out.ids("Contact").values()) == 1
    assert fault.hits == 2


def test_a_page_that_stays_cut_ends_the_run_and_moves_no_bookmark(org, configure, run):
    org.faults.add("truncated_gzip", path="/results", times=0)
    with pytest.raises(ShortResultError, match=r"cut short again and again.*Run again"):
        run(configure(org, max_retries=2))
    assert run.partial.states() == []


def test_a_page_announcing_more_rows_than_it_has_is_not_believed(org, configure, run, monkeypatch):
    monkeypatch.setattr(pages_module.Page, "_verify", _pretend(pages_module.Page._verify))
    with pytest.raises(ShortResultError):
        run(configure(org, max_retries=1))


def _pretend(verify):
    def other(self, reply, body, rows):
        reply.headers["Sforce-NumberOfRecords"] = str(rows + 1)
        return verify(self, reply, body, rows)

    return other


def test_a_page_that_never_ends_with_a_line_end_is_taken_the_second_time(org, configure, run, monkeypatch):
    read = pages_module.Body.readinto

    def shaved(self, target):
        size = read(self, target)
        self.last = b"x"
        return size

    monkeypatch.setattr(pages_module.Body, "readinto", shaved)
    assert sum(run(configure(org)).ids("Contact").values()) == 900


def test_fewer_rows_than_the_job_processed_is_an_error(org, configure, run, monkeypatch):
    finished = bulk.Job.finished
    monkeypatch.setattr(bulk.Job, "finished", lambda self: finished(self) + 1)
    with pytest.raises(ShortResultError, match=r"processed 901 rows but delivered 900"):
        run(configure(org))


@pytest.mark.parametrize("trouble", ["status", "reset", "reset_body"])
def test_trouble_that_does_not_pass_ends_the_run(org, configure, run, trouble):
    org.faults.add(trouble, path="/queryAll", times=0)
    with pytest.raises(UnavailableError, match=r"again"):
        run(configure(org, api_type="REST", max_retries=2))


def test_being_slowed_down_for_ever_ends_the_run(org, configure, run):
    org.faults.add("status", path="/queryAll", status=429, times=0)
    with pytest.raises(RateLimitedError, match=r"slow down"):
        run(configure(org, api_type="REST", max_retries=1))


@pytest.mark.parametrize(
    ("kind", "said"),
    [("job_failed", "Contact failed: QUERY_TIMEOUT.*too long"), ("job_aborted", "Contact was aborted")],
)
def test_a_job_that_ends_badly_says_salesforces_reason(org, configure, run, kind, said):
    org.faults.add(kind, reason="QUERY_TIMEOUT: Your query request was running for too long.")
    with pytest.raises(JobError, match=said):
        run(configure(org))
    assert not org.bulk._jobs


def test_a_failed_window_keeps_the_bookmarks_of_those_before(org, configure, run):
    org.faults.add("job_failed", nth=4)
    with pytest.raises(JobError):
        run(configure(org, window_rows=100))
    got = run.partial
    bound = got.bookmark("Contact")["replication_key_value"]
    assert len(got.states()) == 3
    assert all(record["SystemModstamp"] < bound for record in got.records("Contact"))
    assert not org.bulk._jobs


def test_a_job_refused_only_when_it_runs_is_read_by_rest(org, configure, run, caplog):
    caplog.set_level("INFO")
    org.faults.add("job_failed", reason="INVALIDENTITY: Entity is not supported by the Bulk API.")
    assert sum(run(configure(org)).ids("Contact").values()) == 900
    assert "read by REST" in caplog.text


def test_a_job_that_takes_too_long_is_given_up(org, configure, run):
    org.faults.add("job_slow", seconds=30)
    with pytest.raises(UnavailableError, match=r"still (InProgress|UploadComplete) after"):
        run(configure(org, bulk_job_minutes=0.001))
    assert not org.bulk._jobs


def test_a_job_that_takes_a_while_is_waited_for(org, configure, run):
    org.faults.add("job_slow", seconds=0.2)
    assert sum(run(configure(org)).ids("Contact").values()) == 900


def test_a_long_wait_for_a_job_says_how_far_it_is(org, configure, run, monkeypatch, caplog):
    monkeypatch.setattr(bulk, "_TELL_EVERY", 0.0)
    caplog.set_level(logging.INFO, logger="tap-salesforce")
    org.faults.add("job_slow", seconds=0.2)
    assert sum(run(configure(org)).ids("Contact").values()) == 900
    assert re.search(r"Bulk job is \w+ after 0 minutes: [\d,]+ rows so far", caplog.text)


def test_the_daily_limit_is_said_and_not_retried(org, configure, run):
    fault = org.faults.add("limit", path="/queryAll", times=0)
    with pytest.raises(QuotaError, match=r"REQUEST_LIMIT_EXCEEDED"):
        run(configure(org, api_type="REST"))
    assert fault.hits == 1


def test_the_run_stops_before_the_org_is_locked_out(org, configure, run):
    org.use_requests(95_000)
    with pytest.raises(QuotaError, match=r"95,00. of its 100,000 daily API requests"):
        run(configure(org))
    org.use_requests(95_000)
    assert run(configure(org, max_api_usage_percent=100)).ids("Contact")


def test_missing_permission_and_refused_queries_are_told_apart(org, configure, run):
    org.faults.add("status", path="/queryAll", status=403, code="INSUFFICIENT_ACCESS", reason="no access")
    with pytest.raises(AccessError, match=r"INSUFFICIENT_ACCESS: no access"):
        run(configure(org, api_type="REST"))
    org.faults.add("status", path="/queryAll", status=400, code="INVALID_FIELD", reason="No such column")
    with pytest.raises(AnswerError, match=r"INVALID_FIELD: No such column"):
        run(configure(org, api_type="REST"))
    org.faults.add("status", path="/jobs/query", status=400, code="INVALIDJOB", reason="bad job")
    with pytest.raises(AnswerError, match=r"INVALIDJOB"):
        run(configure(org))


def test_an_org_too_large_to_count_is_read_all_the_same(org, configure, run):
    org.faults.add("status", path="COUNT", status=400, code="OPERATION_TOO_LARGE", times=3)
    assert sum(run(configure(org)).ids("Contact").values()) == 900


def test_a_refused_count_is_no_end_of_the_world_but_an_error(org, configure, run):
    org.faults.add("status", path="COUNT", status=400, code="MALFORMED_QUERY")
    with pytest.raises(AnswerError, match=r"MALFORMED_QUERY"):
        run(configure(org))


def test_a_forgotten_cursor_begins_the_query_again(org, configure, run, pages):
    org.faults.add("status", path=r"/query(All)?/01g", status=400, code="INVALID_QUERY_LOCATOR")
    out = run(configure(org, api_type="REST"))
    assert len(out.ids("Contact")) == 900
    org.faults.add("status", path=r"/query(All)?/01g", status=400, code="INVALID_QUERY_LOCATOR", times=0)
    with pytest.raises(AnswerError, match=r"INVALID_QUERY_LOCATOR"):
        run(configure(org, api_type="REST"))


ROUND = r"leads back to a page that was read already"


def test_locators_that_go_round_end_the_run_instead_of_reading_for_ever(org, configure, run, monkeypatch):
    monkeypatch.setattr("sandboxes.salesforce.rest_bulk.locator", lambda _: "MzAw")  # 300
    with pytest.raises(AnswerError, match=ROUND):
        run(configure(org, bulk_page_rows=300))
    assert len(run.partial.records("Contact")) <= 900 and not run.partial.states()


def test_cursors_that_go_round_end_the_run_too(org, configure, run, pages, monkeypatch):
    json_of = client.Client.json

    def first_again(self, method, path, **more):
        answer = json_of(self, method, path, **more)
        if path.split("/")[-1].startswith("01g"):
            answer |= {"done": False, "nextRecordsUrl": path}
        return answer

    monkeypatch.setattr(client.Client, "json", first_again)
    with pytest.raises(AnswerError, match=ROUND):
        run(configure(org, api_type="REST"))


def test_a_query_too_long_is_refused_with_the_way_out(org, configure, run, monkeypatch):
    monkeypatch.setattr("tap_salesforce.soql.LONGEST_REST", 200)
    with pytest.raises(ConfigError, match=r"REST takes 200\. Deselect at least \d+ fields.*BULK2"):
        run(configure(org, api_type="REST"))
    monkeypatch.setattr("tap_salesforce.soql.LONGEST_BULK", 200)
    with pytest.raises(ConfigError, match=r"has 6\d\d characters; Salesforce takes 200\. Deselect at least \d+ fields"):
        run(configure(org))


def test_waits_grow_keep_a_cap_and_heed_salesforce():
    waits = Backoff(retries=9, base=0.5, cap=30)
    for number in range(12):
        full = min(30, 0.5 * 2**number)
        assert full / 2 <= WAIT(waits, number, None) <= full
    assert WAIT(waits, 0, "7") == 7
    assert WAIT(waits, 0, "99999") == 300
    assert WAIT(waits, 0, "soon") <= 0.5


def test_retry_after_may_be_a_date(monkeypatch):
    assert seconds_of("Thu, 01 Jan 1998 00:00:00 GMT") == 0
    assert (seconds_of("Fri, 01 Jan 2100 00:00:00 -0000") or 0) > 0
    assert seconds_of(None) is None


def test_attempts_end_unless_there_is_progress():
    slept = []
    tries = backoff.Backoff(retries=2, sleep=slept.append)
    error = UnavailableError("x", hint="y")
    seen = []

    def work():
        for attempt in tries.attempts():
            seen.append(attempt.number)
            attempt.failed(error, progressed=len(seen) == 2)

    with pytest.raises(UnavailableError):
        work()
    assert seen == [0, 1, 0, 1, 2] and len(slept) == 4
