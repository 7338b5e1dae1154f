"""The parts that only odd answers reach."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import requests
from batchpages import Reply

from tap_salesforce import bulk, soap, soql
from tap_salesforce.counting import PageError
from tap_salesforce.errors import ConfigError, ShortResultError, SignInError, SourceError, UnavailableError
from tap_salesforce.pages import Address, Page
from tap_salesforce.settings import read
from tap_salesforce.tap import Org, TapSalesforce


@pytest.fixture
def client(org, configure):
    return Org(read(configure(org))).client


def test_the_clock_is_salesforces(org, client, monkeypatch):
    client.json("GET", "limits")
    assert abs(client.server_time() - datetime.now(UTC)) < timedelta(seconds=3)
    send = requests.Session.request

    def elsewhere(self, *args, **more):
        reply = send(self, *args, **more)
        reply.headers["Date"] = "Fri, 01 Jan 2100 00:00:00 GMT"
        return reply

    monkeypatch.setattr(requests.Session, "request", elsewhere)
    client.json("GET", "limits")
    assert client.server_time().year == 2100
    monkeypatch.setattr(requests.Session, "request", lambda self, *a, **k: _without_date(send(self, *a, **k)))
    client.json("GET", "limits")
    assert abs(client.server_time() - datetime.now(UTC)) < timedelta(seconds=3)


def _without_date(reply):
    del reply.headers["Date"]
    return reply


def test_an_answer_cannot_lead_the_token_to_another_host(client):
    with pytest.raises(SourceError, match=r"/services/data/v62\.0/limits/none"):
        client.json("GET", "https://evil.example/services/data/v62.0/limits/none")


def test_credentials_of_a_netrc_are_not_sent(org, configure, tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(file))
    app = org.app
    auth = {"auth_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    assert Org(read(configure(org, auth=auth))).client.json("GET", "limits")


def test_an_answer_that_is_no_json_is_asked_for_again(org, client, monkeypatch):
    answers = [b"<html>", b"<html>", b'{"n": 1.10}', b'{"n": 1.10}']  # requests itself looks once
    monkeypatch.setattr(requests.Response, "content", property(lambda _: answers.pop(0)))
    assert client.json("GET", "limits") == {"n": "1.10"}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_proxy_that_cannot_reach_salesforce_is_asked_again(org, client, status):
    fault = org.faults.add("status", path="/limits", status=status, code="", times=2)
    assert client.json("GET", "limits")
    assert fault.hits == 2


def test_an_empty_answer_is_none(org, client):
    job = client.json("POST", "jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"})
    jobs = bulk.Bulk(client, page_rows=9, wait=timedelta(minutes=1))
    bulk_job = bulk.Job(jobs, job["id"], ["Id"], first=False)
    list(bulk_job.pages())
    assert client.json("DELETE", f"jobs/query/{job['id']}") is None


def test_the_first_job_of_a_run_is_asked_about_sooner_than_the_others(org, client, monkeypatch):
    monkeypatch.setattr(bulk, "SOONEST_POLL", 10.0)
    monkeypatch.setattr(bulk, "FIRST_POLL", 20.0)
    waits = []
    client.backoff = replace(client.backoff, sleep=waits.append)
    jobs = bulk.Bulk(client, page_rows=9, wait=timedelta(minutes=1))
    for _ in range(2):
        with jobs.start("SELECT Id FROM Account", ["Id"]) as job:
            job.finished()
    assert 8 < waits[0] <= 10
    assert 18 < waits[-1] <= 20


def test_a_job_that_takes_long_is_asked_about_less_and_less_often_but_often_enough(org, client, monkeypatch):
    waits = []
    client.backoff = replace(client.backoff, sleep=waits.append)
    jobs = bulk.Bulk(client, page_rows=9, wait=timedelta(minutes=1))
    with jobs.start("SELECT Id FROM Account", ["Id"]) as job:
        answers = iter([{"state": "InProgress"}] * 20 + [{"state": "JobComplete", "numberRecordsProcessed": "7"}])
        monkeypatch.setattr(client, "json", lambda *_: next(answers))
        assert job.finished() == 7
    assert waits[1] < waits[5] < waits[8]
    assert 9 < max(waits) <= 10


def test_an_error_page_that_is_no_json_is_shown_by_its_status(org, client, monkeypatch):
    send = requests.Session.request

    def proxied(self, *args, **more):
        reply = send(self, *args, **more)
        reply.status_code, reply._content = 418, b"<html>teapot</html>"
        return reply

    monkeypatch.setattr(requests.Session, "request", proxied)
    with pytest.raises(SourceError, match=r"refused /limits \(HTTP 418\)"):
        client.json("GET", "limits")


def test_a_job_that_cannot_be_deleted_is_no_failure(org, client):
    query_bulk = bulk.Bulk(client, page_rows=9, wait=timedelta(minutes=1))
    with query_bulk.start("SELECT Id FROM Account", ["Id"]):
        org.faults.add("reset", path="/jobs/query/", times=0)


def test_columns_in_another_order_are_put_right_and_missing_ones_are_a_cut():
    page = Page(None, Address("p"), ["A", "B"])
    assert page._order(["B", "A", "C"]) == [1, 0]
    assert page._checked([["b", "a", "c"], []], [1, 0]) == [["a", "b"]]
    with pytest.raises(PageError, match="header"):
        page._order(["A"])
    assert page._order(None) is None


@pytest.mark.parametrize(
    ("bodies", "rows"),
    [
        ([b"A,B\n1,abc", b"A,B\n1,abcdef\n"], [["1", "abcdef"]]),
        ([b"A,B\n1,abcdef", b"A,B\n1,abcdef"], [["1", "abcdef"]]),
        ([b"A,B\n1,\xc3", b"A,B\n1,\xc3\xa4\n"], [["1", "ä"]]),
        ([b'"A","B"\n"1","a', b'"A","B"\n"1","a\r\n"\n'], [["1", "a\r\n"]]),
        ([b"A,B\n1", b"A,B\n1", b"A,B\n1,abc\n"], [["1", "abc"]]),
    ],
    ids=[
        "its last value is cut",
        "it never ends with a line end",
        "a character is cut",
        "a quoted value is cut",
        "it is cut between two values, twice",
    ],
)
def test_a_page_whose_last_row_may_be_cut_is_read_again(client, monkeypatch, bodies, rows):
    coming = [Reply(body, 1) for body in bodies]
    monkeypatch.setattr(client, "open", lambda *_, **__: coming.pop(0))
    assert [row for chunk in Page(client, Address("p"), ["A", "B"]).rows() for row in chunk] == rows
    assert not coming


def test_a_body_that_breaks_before_its_first_byte_is_asked_for_again(org, configure, run):
    org.faults.add("reset_body", path="/results", fraction=0.0, times=2)
    assert sum(run(configure(org)).ids("Contact").values()) == 900


def test_connections_that_always_break_on_a_page_end_the_run(org, configure, run):
    org.faults.add("reset", path="/results", times=0)
    with pytest.raises((UnavailableError, ShortResultError), match="broke again and again"):
        run(configure(org, max_retries=1))


@pytest.mark.parametrize("text", [b"<!DOCTYPE x><a/>", b"not xml", b""])
def test_sign_in_answers_that_are_no_plain_xml_hold_nothing(text):
    assert soap._texts(text) == {}


@pytest.mark.parametrize("way", ["oauth", "soap"])
def test_a_sign_in_that_gives_the_refused_token_again_ends_the_run(org, configure, way, monkeypatch):
    app = org.app
    password = {
        "auth_type": "password",
        "username": app.username,
        "password": app.password,
        "security_token": app.security_token,
    }
    client = {"auth_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    made = Org(read(configure(org, auth=password if way == "soap" else client)))
    token = org.access_token()
    monkeypatch.setattr(org.signin, "_session", lambda _: {"access_token": token, "instance_url": org.url})
    with pytest.raises(SignInError, match="refuses the"):
        made.client._door.renew(made.client._door.session().access_token)


def test_a_token_answer_without_a_token_is_said_so(org, configure, monkeypatch):
    app = org.app
    auth = {"auth_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    monkeypatch.setattr(org.signin, "token", lambda *_: {"id": "x"})
    with pytest.raises(SignInError, match="holds no access token"):
        TapSalesforce(config=configure(org, auth=auth)).streams  # noqa: B018


def test_a_sign_in_page_that_is_no_token_endpoint_is_said_so(org, configure, monkeypatch):
    monkeypatch.setattr(requests.Response, "json", lambda _: [])
    app = org.app
    auth = {"auth_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    with pytest.raises(SignInError, match=r"is not a Salesforce sign-in.*My Domain"):
        TapSalesforce(config=configure(org, auth=auth)).streams  # noqa: B018


@pytest.mark.parametrize("name", ["Id FROM User --", "a.b", "", "1a", "Näme"])
def test_names_that_are_no_names_never_reach_a_query(name):
    with pytest.raises(ConfigError, match="is not a Salesforce API name"):
        soql.select([name], "Account", None)


def test_a_span_without_bounds_has_no_condition():
    assert soql.count("Account", soql.Span("SystemModstamp", None, None)) == "SELECT COUNT() FROM Account"


def test_a_dry_run_asks_for_a_few_records_and_moves_no_bookmark(org, configure, capsys):
    assert TapSalesforce(config=configure(org)).run_connection_test()
    out = capsys.readouterr().out
    assert out.count('"type":"RECORD"') == 1 and "replication_key_value" not in out
    assert org.stats.shown()["rows"]["rest"]["Contact"] == 2
