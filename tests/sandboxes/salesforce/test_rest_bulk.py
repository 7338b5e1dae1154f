"""Bulk API 2.0 query jobs. (modules: rest_bulk, bulk, render)"""

import pytest

PLAIN = "SELECT Id, Name, Description, Credit_Limit__c, Birthdate, DoNotCall, SystemModstamp FROM Contact"


def pages(client, job, **headers):
    got, locator = [], ""
    while locator != "null":
        page = client.get(f"/jobs/query/{job}/results?maxRecords=900{locator and '&locator=' + locator}", **headers)
        assert page.status == 200
        got.append(page)
        locator = page.headers["sforce-locator"]
    return got


def test_a_job_goes_through_its_states(fresh):
    own = fresh(job_seconds=0.05)
    made = own.call("POST", "/jobs/query", {"operation": "query", "query": PLAIN})
    assert made.json["state"] == "UploadComplete"
    assert made.json | {"object": "Contact", "contentType": "CSV", "apiVersion": 62.0, "lineEnding": "LF"} == made.json
    job = made.json["id"]
    assert own.get(f"/jobs/query/{job}").json["state"] in {"UploadComplete", "InProgress"}
    assert own.get(f"/jobs/query/{job}/results").code == "INVALIDJOBSTATE"
    assert own.org.bulk.find(job).ended.wait(10)
    done = own.get(f"/jobs/query/{job}").json
    assert (done["state"], done["jobType"]) == ("JobComplete", "V2Query")
    assert done["numberRecordsProcessed"] == own.org.count("Contact")["live"]
    assert done["totalProcessingTime"] >= 50


def test_pages_hold_every_record_once_and_say_how_many(client, org):
    job = client.finished(PLAIN)
    got = pages(client, job)
    assert [p.headers["sforce-numberofrecords"] for p in got] == [str(len(p.rows)) for p in got]
    rows = [row for p in got for row in p.rows]
    count = org.count("Contact")
    assert len({r["Id"] for r in rows}) == len(rows) == count["live"] + count["deleted"]
    assert got[0].headers["content-type"] == "text/csv; charset=UTF-8"


def test_bulk_and_rest_give_the_same_values(client):
    names = [f["name"] for f in client.get("/sobjects/Contact/describe").json["fields"] if f["type"] != "address"]
    soql = f"SELECT {', '.join(names)} FROM Contact"
    rest = {r["Id"]: r for r in client.all(soql, everything=True)}
    rows = [row for p in pages(client, client.finished(soql)) for row in p.rows]
    assert len(rows) == len(rest)
    for row in rows:
        for name in names:
            value = rest[row["Id"]][name]
            if isinstance(value, bool):
                assert row[name] == str(value).lower()
            elif isinstance(value, int | float):
                assert float(row[name]) == value
            else:
                assert row[name] == (value or "")


def test_every_value_is_quoted_null_is_empty_and_quotes_are_doubled(client, org):
    (new,) = org.insert("Invoice__c", [{"Name": 'a "b"\r\nc', "Note__c": "\u0000,😀", "Amount__c": None}])
    job = client.finished(f"SELECT Name, Amount__c, Note__c, Paid__c FROM Invoice__c WHERE Id = '{new}'")
    body = client.get(f"/jobs/query/{job}/results").body
    assert body == '"Name","Amount__c","Note__c","Paid__c"\n"a ""b""\r\nc","","\u0000,😀","false"\n'.encode()


def test_other_delimiters_and_line_ends(client):
    job = client.finished("SELECT Id, Name FROM User", columnDelimiter="PIPE", lineEnding="CRLF")
    body = client.get(f"/jobs/query/{job}/results").body
    assert body.startswith(b'"Id"|"Name"\r\n"005')
    assert body.endswith(b'"\r\n')


def test_results_are_zipped_for_those_who_ask(client):
    job = client.finished(PLAIN)
    zipped, plain = (client.get(f"/jobs/query/{job}/results", Accept_Encoding=e) for e in ("gzip", "identity"))
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.body == plain.raw
    assert len(zipped.raw) < len(plain.raw) / 2


def test_a_locator_gives_the_same_page_again_and_a_wrong_one_is_refused(client):
    job = client.finished(PLAIN)
    first = client.get(f"/jobs/query/{job}/results?maxRecords=1000")
    again = [
        client.get(f"/jobs/query/{job}/results?maxRecords=1000&locator={first.headers['sforce-locator']}").body
    ] * 2
    assert again[0] == again[1] != first.body
    for wrong in ("bm9wZQ", "OTk5OTk5OTk", "*"):
        assert client.get(f"/jobs/query/{job}/results?locator={wrong}").code == "INVALID_LOCATOR"


def test_result_pages_can_be_read_side_by_side_five_at_a_time(client, org):
    org.bulk.page_rows = 300
    try:
        job = client.finished(PLAIN)
        answer = client.get(f"/jobs/query/{job}/resultPages").json
        assert (len(answer["resultPages"]), answer["done"]) == (5, False)
        urls = [p["resultUrl"] for p in answer["resultPages"]]
        while not answer["done"]:
            answer = client.get(answer["nextRecordsUrl"]).json
            urls += [p["resultUrl"] for p in answer["resultPages"]]
        rows = [r["Id"] for url in urls for r in client.get(url).rows]
    finally:
        org.bulk.page_rows = 50_000
    assert len(rows) == len(set(rows)) == sum(org.count("Contact").values())
    assert client.get(f"/services/data/v57.0/jobs/query/{job}/resultPages").status == 404


def test_results_must_be_read_with_the_version_of_the_job(client):
    job = client.finished(PLAIN)
    assert client.get(f"/services/data/v60.0/jobs/query/{job}/results").status == 409


def test_an_empty_result_has_a_header_and_no_rows(client):
    job = client.finished("SELECT Id, Name FROM Contact WHERE Name = 'nobody at all'")
    page = client.get(f"/jobs/query/{job}/results")
    assert page.body == b'"Id","Name"\n'
    assert (page.headers["sforce-numberofrecords"], page.headers["sforce-locator"]) == ("0", "null")
    assert len(client.get(f"/jobs/query/{job}/resultPages").json["resultPages"]) == 1


def test_a_result_shows_changes_made_before_the_job_and_none_made_after(client, org):
    soql = "SELECT Id, NextStep FROM Opportunity"
    before = client.finished(soql)
    org.update("Opportunity", 3, {"NextStep": "call again"})
    after = client.finished(soql)
    steps = [[r["NextStep"] for r in client.get(f"/jobs/query/{j}/results").rows] for j in (before, after)]
    assert [s.count("call again") for s in steps] == [0, 3]


def test_aborting_ends_a_job_once(fresh):
    own = fresh(job_seconds=30)
    job = own.job(PLAIN)
    assert own.call("DELETE", f"/jobs/query/{job}").code == "INVALIDJOBSTATE"
    assert own.call("PATCH", f"/jobs/query/{job}", {"state": "Aborted"}).json["state"] == "Aborted"
    assert own.get(f"/jobs/query/{job}").json["state"] == "Aborted"
    assert own.call("PATCH", f"/jobs/query/{job}", {"state": "Aborted"}).code == "INVALIDJOBSTATE"
    assert own.call("DELETE", f"/jobs/query/{job}").status == 204
    assert own.get(f"/jobs/query/{job}").status == 404


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        ("SELECT Id, MailingAddress FROM Contact", "API_ERROR", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Delivery__c FROM Invoice__c", "API_ERROR", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Id, Body FROM Attachment", "FEATURENOTENABLED", "Binary field not supported"),
        ("SELECT Id FROM CaseStatus", "INVALIDENTITY", "CaseStatus is not supported by the Bulk API"),
        ("SELECT COUNT() FROM Contact", "FEATURENOTENABLED", "Aggregate"),
        ("SELECT Id FROM Contact OFFSET 5", "FEATURENOTENABLED", "OFFSET"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE", "not supported"),
        ("SELECT Nothing FROM Contact", "INVALID_FIELD", "No such column"),
        ("SELECT", "MALFORMED_QUERY", "unexpected token"),
    ],
)
def test_what_bulk_does_not_do_is_refused_at_creation(client, soql, code, message):
    answer = client.call("POST", "/jobs/query", {"operation": "query", "query": soql})
    assert answer.status == 400
    assert answer.code == code
    assert message in answer.json[0]["message"]


@pytest.mark.parametrize("body", [{}, [], {"operation": "insert", "query": "x"}, {"operation": "query"}])
def test_a_job_that_is_no_query_is_refused(client, body):
    assert client.call("POST", "/jobs/query", body).code == "INVALIDJOB"
