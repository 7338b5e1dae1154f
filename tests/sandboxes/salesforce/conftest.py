"""A small org for all tests of a module, and a client that speaks plain HTTP to it."""

import csv
import gzip
import io
import json
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import quote, urlencode, urlsplit

import pytest

from sandboxes.salesforce import LocalOrg

SMALL = {"User": 5, "Account": 40, "Contact": 2_500, "Lead": 30, "Opportunity": 20, "Invoice__c": 400, "Attachment": 3}
BASE = "/services/data/v62.0"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> bytes:
        return gzip.decompress(self.raw) if self.headers.get("content-encoding") == "gzip" else self.raw

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json[0]["errorCode"]

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.body.decode(), newline="")))


class Client:
    def __init__(self, org: LocalOrg, token: str | None = None) -> None:
        self.org, self.token = org, token or org.access_token()

    def raw(self, method, target, body=None, headers=None) -> Answer:
        connection = HTTPConnection(urlsplit(self.org.url).netloc, timeout=20)
        try:
            connection.request(method, target, body, headers or {})
            got = connection.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def call(self, method, path, body=None, **headers) -> Answer:
        sent = None if body is None else json.dumps(body)
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        auth = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        target = path if path.startswith("/services/") else BASE + path
        return self.raw(method, target, sent, {**auth, **named})

    def get(self, path, **headers) -> Answer:
        return self.call("GET", path, **headers)

    def query(self, soql, *, everything=False, **headers) -> Answer:
        return self.get(f"/{'queryAll' if everything else 'query'}?q={quote(soql)}", **headers)

    def all(self, soql, *, everything=False):
        answer = self.query(soql, everything=everything).json
        records = answer["records"]
        while not answer["done"]:
            answer = self.get(answer["nextRecordsUrl"]).json
            records += answer["records"]
        return records

    def token_for(self, **form) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.raw("POST", "/services/oauth2/token", urlencode(form), kind)

    def job(self, soql, operation="queryAll", **more) -> str:
        made = self.call("POST", "/jobs/query", {"operation": operation, "query": soql, **more})
        assert made.status == 200, made.body
        return made.json["id"]

    def finished(self, soql, operation="queryAll", **more) -> str:
        job_id = self.job(soql, operation, **more)
        assert self.org.bulk.find(job_id).ended.wait(20)
        return job_id

    def control(self, method, path, body=None) -> Answer:
        return self.raw(method, path, json.dumps(body or {}), {"Content-Type": "application/json"})


@pytest.fixture(scope="module")
def org():
    with LocalOrg(counts=SMALL) as made:
        yield made


@pytest.fixture
def client(org):
    org.reset()
    return Client(org)


@pytest.fixture
def fresh():
    """A function that starts an org of its own, with options; all are stopped afterwards."""
    made: list[LocalOrg] = []

    def start(**options) -> Client:
        counts = {**dict.fromkeys(SMALL, 5), "Contact": 100, **options.pop("counts", {})}
        made.append(LocalOrg(counts=counts, **options).start())
        return Client(made[-1])

    yield start
    for org in made:
        org.stop()
