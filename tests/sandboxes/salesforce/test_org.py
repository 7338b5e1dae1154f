"""The org as a whole: versions, limits, statistics, its life. (modules: org, web, clock)"""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from sandboxes.salesforce import LocalOrg, SandboxError


def test_versions_are_listed_without_signing_in(client):
    versions = client.raw("GET", "/services/data/").json
    assert {"label": "Winter '25", "url": "/services/data/v62.0", "version": "62.0"} in versions
    assert versions[-1]["label"] == "Spring '26"


def test_everything_else_needs_a_good_session(client):
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Token {client.token}"}):
        answer = client.raw("GET", "/services/data/v62.0/sobjects", headers=headers)
        assert (answer.status, answer.code) == (401, "INVALID_SESSION_ID")
    assert client.raw("GET", "/services/data/v62.0/", headers={"Authorization": f"OAuth {client.token}"}).status == 200


def test_requests_are_counted_shown_and_finally_refused(client, org):
    org.use_requests(0)
    assert client.get("/sobjects").headers["sforce-limit-info"] == "api-usage=1/100000"
    assert client.get("/limits").json["DailyApiRequests"] == {"Max": 100_000, "Remaining": 99_998}
    org.use_requests(100_000)
    answer = client.get("/sobjects")
    assert (answer.status, answer.code) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert answer.json[0]["message"] == "TotalRequests Limit exceeded."


def test_statistics_tell_requests_and_records(client, org):
    client.query("SELECT Id FROM User")
    job = client.finished("SELECT Id FROM Lead")
    client.get(f"/jobs/query/{job}/results")
    shown = org.stats.shown()
    assert shown["requests"]["GET /services/data/v62.0/jobs/query/{id}/results"] == 1
    assert shown["rows"] == {"rest": {"User": 5}, "bulk": {"Lead": sum(org.count("Lead").values())}}


def test_a_connection_serves_many_requests(client, org):
    with socket.create_connection(urlsplit(org.url).netloc.split(":"), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(b"GET /services/data HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_many_clients_at_once_all_get_their_records(client, org):
    with ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(lambda _: len(client.all("SELECT Id, Name FROM Contact")), range(16)))
    assert set(sizes) == {org.count("Contact")["live"]}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "example.com", ""])
def test_it_listens_on_loopback_only(host):
    with pytest.raises(SandboxError, match="loopback only"):
        LocalOrg(host=host)


def test_a_taken_port_is_said_so(org):
    with pytest.raises(SandboxError, match="Cannot listen on"):
        LocalOrg(port=int(org.url.rsplit(":", 1)[1]))


def test_stopping_ends_stalled_requests_and_leaves_no_thread_and_no_file(client):
    before = set(threading.enumerate())
    counts = {"Contact": 50}
    with LocalOrg(counts=counts, rows_per_second=1, job_seconds=60) as org:
        directory = org.store.directory
        other = type(client)(org)
        other.job("SELECT Id FROM Contact")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(other.query, "SELECT Id FROM Contact")
            while not org.stats.shown()["rows"]:
                pass
            org.stop()
            with pytest.raises(Exception, match=r"IncompleteRead|reset"):
                waiting.result(60)
    assert not directory.exists()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()
