"""Queries over REST: filters, pages, errors. (modules: rest, soql_sql, render)"""

import json

import pytest

from sandboxes.salesforce import LocalOrg, field


@pytest.fixture(scope="module")
def invoices(org: LocalOrg):
    """Five invoices with values to filter by."""
    return org.insert(
        "Invoice__c",
        [
            {
                "Name": "Alpha",
                "Amount__c": "9.5",
                "Due__c": "2024-01-31",
                "Paid__c": True,
                "Cutoff__c": "09:00:00.000Z",
            },
            {
                "Name": "alpha",
                "Amount__c": "10.5",
                "Due__c": "2024-02-01",
                "Paid_At__c": "2024-02-01T10:00:00.000+0000",
            },
            {"Name": "100% O'Neil\\", "Amount__c": "-3"},
            {"Name": None, "Amount__c": "12345678901234.56", "Note__c": '\u0000 NUL\r\n"q" 😀'},
            {"Name": "under_score", "Exact__c": "1234567890.12345678"},
        ],
    )


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Name = 'ALPHA'", [0, 1]),
        ("Name != 'alpha'", [2, 3, 4]),
        ("NOT Name = 'alpha'", [2, 3, 4]),
        ("Name = null", [3]),
        ("Name LIKE 'al%'", [0, 1]),
        (r"Name LIKE '100\%%'", [2]),
        (r"Name LIKE 'under\_score'", [4]),
        (r"Name = '100% O\'Neil\\'", [2]),
        ("Name IN ('alpha', null)", [0, 1, 3]),
        ("Name NOT IN ('alpha', null)", [2, 4]),
        ("Amount__c > 9.5", [1, 3]),  # as numbers, not as text
        ("Amount__c >= 9.5 AND Amount__c < 11", [0, 1]),
        ("Amount__c < 0 OR Paid__c = true", [0, 2]),
        ("Due__c > 2024-01-31", [1]),
        ("Due__c != 2024-01-31", [1, 2, 3, 4]),
        ("Paid_At__c >= 2024-02-01T12:00:00+02:00", [1]),
        ("Paid_At__c > 2024-02-01T10:00:00Z", []),
        ("Cutoff__c <= 09:00:00Z", [0]),
        ("SystemModstamp > LAST_N_DAYS:1 AND Paid__c = false", [1, 2, 3, 4]),
    ],
)
def test_conditions_find_what_salesforce_would(client, invoices, where, found):
    ids = ", ".join(f"'{i[:15]}'" for i in invoices)
    records = client.all(f"SELECT Id FROM Invoice__c WHERE Id IN ({ids}) AND ({where})")
    assert sorted(invoices.index(r["Id"]) for r in records) == found


def test_order_is_numeric_and_nulls_come_first_unless_asked(client, invoices):
    ids = ", ".join(f"'{i}'" for i in invoices)
    ask = f"SELECT Id FROM Invoice__c WHERE Id IN ({ids}) ORDER BY Amount__c"
    assert [invoices.index(r["Id"]) for r in client.all(ask)] == [4, 2, 0, 1, 3]
    assert [invoices.index(r["Id"]) for r in client.all(ask + " DESC NULLS LAST LIMIT 2 OFFSET 1")] == [1, 0]


def test_values_come_out_exactly(client, invoices):
    text = client.query(f"SELECT Amount__c, Note__c FROM Invoice__c WHERE Id = '{invoices[3]}'").body
    assert b'"Amount__c":12345678901234.56' in text  # 16 digits: written out
    assert json.loads(text)["records"][0]["Note__c"] == '\u0000 NUL\r\n"q" 😀'
    exact = client.query(f"SELECT Exact__c FROM Invoice__c WHERE Id = '{invoices[4]}'").body
    assert b'"Exact__c":1234567890.12345678' in exact


def test_every_field_of_every_object_can_be_queried(client):
    for listed in client.get("/sobjects").json["sobjects"]:
        if not listed["queryable"]:
            continue
        described = client.get(listed["urls"]["describe"]).json
        names = [f["name"] for f in described["fields"]]
        answer = client.query(f"SELECT {', '.join(names)} FROM {listed['name']} LIMIT 3", everything=True)
        assert answer.status == 200, answer.body
        for record in answer.json["records"]:
            assert list(record) == ["attributes", *names]


def test_types_in_json_are_those_of_describe(client):
    record = client.query(
        "SELECT IsDeleted, MailingAddress, MailingLatitude, Credit_Limit__c, Birthdate, SystemModstamp, Name "
        "FROM Contact WHERE MailingCity != null AND MailingLatitude != null AND Credit_Limit__c != null "
        "AND Birthdate != null LIMIT 1"
    ).json["records"][0]
    assert record["IsDeleted"] is False
    assert set(record["MailingAddress"]) == {
        "city", "country", "geocodeAccuracy", "latitude", "longitude", "postalCode", "state", "street",
    }  # fmt: skip
    assert record["MailingAddress"]["latitude"] == record["MailingLatitude"]
    assert isinstance(record["Credit_Limit__c"], float)
    assert len(record["Birthdate"]) == 10
    assert record["SystemModstamp"].endswith(".000+0000")


def test_deleted_records_come_with_query_all_only(client, org):
    live, gone = (org.count("Contact")[k] for k in ("live", "deleted"))
    assert gone > 0
    assert client.query("SELECT COUNT() FROM Contact").json == {"totalSize": live, "done": True, "records": []}
    assert client.query("SELECT COUNT() FROM Contact", everything=True).json["totalSize"] == live + gone
    flags = {r["IsDeleted"] for r in client.all("SELECT IsDeleted FROM Contact", everything=True)}
    assert flags == {True, False}


def test_pages_follow_the_batch_size_and_together_hold_every_record_once(client, org):
    first = client.query("SELECT Id FROM Contact", Sforce_Query_Options="batchSize=500").json
    assert len(first["records"]) == 500
    assert first["nextRecordsUrl"].startswith("/services/data/v62.0/query/01g")
    assert first["nextRecordsUrl"].endswith("-500")
    ids = [r["Id"] for r in client.all("SELECT Id FROM Contact")]
    assert len(ids) == len(set(ids)) == org.count("Contact")["live"]


def test_an_open_query_keeps_its_records_while_others_change(client, fresh):
    own = fresh(counts={"Contact": 600})
    first = own.query("SELECT Id FROM Contact", Sforce_Query_Options="batchSize=200").json
    own.org.churn("Contact", delete=50, insert=50)
    ids = [r["Id"] for r in first["records"]]
    while not first["done"]:
        first = own.get(first["nextRecordsUrl"]).json
        ids += [r["Id"] for r in first["records"]]
    assert len(ids) == len(set(ids)) == first["totalSize"]


def test_aggregates_answer_one_record(client, org):
    record = client.query("SELECT MAX(SystemModstamp), MIN(Amount__c) low, COUNT(Id) FROM Invoice__c").json["records"][
        0
    ]
    assert record["attributes"] == {"type": "AggregateResult"}
    assert set(record) == {"attributes", "expr0", "low", "expr2"}
    assert record["expr2"] == org.count("Invoice__c")["live"]


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        ("SELECT Id, Foo FROM Contact", "INVALID_FIELD", "No such column 'Foo' on entity 'Contact'."),
        ("SELECT Id FROM Contact WHERE Foo = 1", "INVALID_FIELD", "No such column 'Foo' on entity 'Contact'."),
        ("SELECT Owner.Name FROM Contact", "INVALID_FIELD", "Didn't understand relationship 'Owner'"),
        ("SELECT Id FROM Kontact", "INVALID_TYPE", "sObject type 'Kontact' is not supported."),
        ("SELECT Id FROM ActivityHistory", "INVALID_TYPE", "sObject type 'ActivityHistory' is not supported."),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Contact ORDER BY MailingAddress", "INVALID_FIELD", "can not be filtered"),
        (
            "SELECT Id FROM Contact WHERE SystemModstamp > '2024-01-01'",
            "INVALID_FIELD",
            "'SystemModstamp' must be of type dateTime and should not be enclosed in quotes",
        ),
        ("SELECT Id FROM Contact WHERE Name = 5", "INVALID_FIELD", "must be of type string"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > 2024-01-01", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Contact WHERE SystemModstamp > 2024-13-01T00:00:00Z", "MALFORMED_QUERY", "invalid datetime"),
        ("SELECT Id, Id FROM Contact", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT FIELDS(ALL) FROM Contact", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
    ],
)
def test_wrong_queries_are_refused_as_by_salesforce(client, soql, code, message):
    answer = client.query(soql)
    assert answer.status == 400
    (error,) = answer.json
    assert error["errorCode"] == code
    assert message in error["message"]


def test_an_unknown_locator_is_refused(client):
    assert client.get("/query/01gLs0000000999IAA-2000").code == "INVALID_QUERY_LOCATOR"


def test_fields_all_needs_a_limit_and_then_gives_every_field(client):
    described = client.get("/sobjects/Account/describe").json["fields"]
    record = client.query("SELECT FIELDS(ALL) FROM Account LIMIT 1").json["records"][0]
    assert set(record) == {"attributes", *(f["name"] for f in described)}


def test_large_answers_are_zipped_only_for_those_who_can(client):
    zipped = client.query("SELECT Id, Name FROM Contact", Accept_Encoding="gzip")
    plain = client.query("SELECT Id, Name FROM Contact")
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert len(zipped.raw) < len(plain.raw) / 2


def test_an_address_over_16384_characters_is_too_long(client):
    names = ",".join(["Id"] * 6_000)
    assert client.query(f"SELECT {names} FROM Contact").status == 414


def test_an_object_of_400_fields_can_be_read(fresh):
    own = fresh(counts={"Wide__c": 20}, wide_fields=400, wide_text=1_000)
    names = [f["name"] for f in own.get("/sobjects/Wide__c/describe").json["fields"]]
    assert len(names) > 400
    job = own.finished(f"SELECT {','.join(names)} FROM Wide__c")
    assert [len(r) for r in own.get(f"/jobs/query/{job}/results").rows] == [len(names)] * 20


def test_fields_can_come_go_and_change_their_type(fresh):
    own = fresh()
    own.org.add_field("Contact", field("Region__c", "picklist", picklist=("EMEA",)))
    own.org.update("Contact", 3, {"Region__c": "EMEA"})
    assert len(own.all("SELECT Id FROM Contact WHERE Region__c = 'EMEA'")) == 3
    own.org.replace_field("Contact", "Region__c", field("Area__c", "string"))
    assert len(own.all("SELECT Area__c FROM Contact WHERE Area__c = 'EMEA'")) == 3
    own.org.remove_field("Contact", "Area__c")
    assert own.query("SELECT Area__c FROM Contact").code == "INVALID_FIELD"
