"""Describe, records and deletions over REST. (modules: rest_records, schema, objects, store)"""

import base64
from urllib.parse import quote

import pytest


def test_the_list_of_objects_names_their_addresses(client):
    answer = client.get("/sobjects").json
    listed = {s["name"]: s for s in answer["sobjects"]}
    assert answer["maxBatchSize"] == 200
    assert {"Account", "Contact", "Lead", "Opportunity", "User", "Invoice__c"} <= set(listed)
    contact = listed["Contact"]
    assert (contact["keyPrefix"], contact["custom"], contact["queryable"]) == ("003", False, True)
    assert contact["urls"]["describe"] == "/services/data/v62.0/sobjects/Contact/describe"
    assert listed["Invoice__c"]["custom"] is True
    assert listed["ActivityHistory"]["queryable"] is False


@pytest.mark.parametrize(
    ("sobject", "name", "expected"),
    [
        ("Contact", "Id", {"type": "id", "soapType": "tns:ID", "length": 18, "nillable": False, "createable": False}),
        ("Contact", "MailingAddress", {"type": "address", "soapType": "urn:address", "filterable": False}),
        ("Contact", "MailingStreet", {"type": "textarea", "compoundFieldName": "MailingAddress"}),
        ("Contact", "FirstName", {"type": "string", "compoundFieldName": "Name", "length": 40}),
        ("Contact", "Credit_Limit__c", {"type": "currency", "soapType": "xsd:double", "precision": 18, "scale": 2}),
        ("Contact", "Discount__c", {"type": "percent", "precision": 5, "custom": True}),
        ("Contact", "Birthdate", {"type": "date", "soapType": "xsd:date"}),
        ("Contact", "Call_Time__c", {"type": "time", "soapType": "xsd:time"}),
        ("Contact", "SystemModstamp", {"type": "datetime", "soapType": "xsd:dateTime", "updateable": False}),
        ("Contact", "Account_Rating__c", {"calculated": True, "calculatedFormula": "TEXT(Account.Rating)"}),
        ("Contact", "AccountId", {"type": "reference", "referenceTo": ["Account"], "relationshipName": "Account"}),
        ("Lead", "OwnerId", {"referenceTo": ["Group", "User"], "polymorphicForeignKey": True}),
        ("Contact", "Interests__c", {"type": "multipicklist"}),
        ("Attachment", "Body", {"type": "base64", "soapType": "xsd:base64Binary"}),
        ("AccountHistory", "OldValue", {"type": "anyType"}),
        ("Account", "NumberOfEmployees", {"type": "int", "digits": 8, "precision": 0}),
    ],
)
def test_describe_tells_the_facts_of_a_field(client, sobject, name, expected):
    fields = {f["name"]: f for f in client.get(f"/sobjects/{sobject}/describe").json["fields"]}
    assert fields[name] | expected == fields[name]
    assert ("SystemModstamp" in fields) is (sobject != "AccountHistory")


def test_a_record_can_be_made_read_changed_and_deleted(client, org):
    made = client.call("POST", "/sobjects/Contact", {"LastName": "Łukasz", "credit_limit__c": 12.5, "DoNotCall": True})
    assert (made.status, made.json["success"], made.json["errors"]) == (201, True, [])
    path = f"/sobjects/Contact/{made.json['id']}"
    first = client.get(path).json
    assert (first["LastName"], first["Credit_Limit__c"], first["DoNotCall"], first["Name"]) == (
        "Łukasz",
        12.5,
        True,
        "Łukasz",
    )
    assert first["attributes"] == {"type": "Contact", "url": f"/services/data/v62.0{path}"}
    org.clock.advance(5)
    assert client.call("PATCH", path, {"LastName": "New", "Email": None}).status == 204
    second = client.get(path + "?fields=LastName,SystemModstamp,CreatedDate").json
    assert second["LastName"] == "New"
    assert second["SystemModstamp"] > first["SystemModstamp"]
    assert second["CreatedDate"] == first["CreatedDate"]
    assert client.call("DELETE", path).status == 204
    assert client.get(path).status == 404
    assert client.call("DELETE", path).code == "ENTITY_IS_DELETED"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"LastName": "x", "Shoe": 1}, "INVALID_FIELD"),
        ({"FirstName": "x"}, "REQUIRED_FIELD_MISSING"),
        ({"LastName": "x", "SystemModstamp": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"LastName": "x", "Name": "y"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"LastName": "x" * 81}, "STRING_TOO_LONG"),
        (["LastName"], "JSON_PARSER_ERROR"),
    ],
)
def test_a_wrong_record_is_refused(client, body, code):
    answer = client.call("POST", "/sobjects/Contact", body)
    assert (answer.status, answer.code) == (400, code)


def test_what_is_not_there_is_not_found(client):
    for path in (
        "/sobjects/Nope/describe",
        "/sobjects/Contact/003Ls0000009999IAA",
        "/nope",
        "/sobjects/Contact/12/3/4",
    ):
        answer = client.get(path)
        assert (answer.status, answer.code) == (404, "NOT_FOUND")
    assert client.get("/services/data/v12.0/limits").status == 404
    assert client.call("PUT", "/limits").code == "METHOD_NOT_ALLOWED"


def test_a_file_is_read_by_its_own_address(client):
    made = client.call(
        "POST", "/sobjects/Attachment",
        {"Name": "a.bin", "ParentId": "001Ls0000000000IAA", "Body": base64.b64encode(b"\x00\xff!").decode()},
    ).json  # fmt: skip
    record = client.query(f"SELECT Body, BodyLength FROM Attachment WHERE Id = '{made['id']}'").json["records"][0]
    assert record["BodyLength"] == 3
    assert client.get(record["Body"]).body == b"\x00\xff!"


def test_deletions_are_listed_by_minute_hard_ones_too(fresh):
    own = fresh()
    now = own.org.clock.freeze()  # no minute, and no day, ends meanwhile
    soft, hard = own.org.delete("Contact", 2), own.org.hard_delete("Contact", 1)
    own.org.undelete("Contact", soft[:1])

    def listed(start, end):
        window = "&".join(f"{k}={quote(v)}" for k, v in (("start", start), ("end", end)))
        return own.get(f"/sobjects/Contact/deleted/?{window}")

    today, tomorrow = now.strftime("%Y-%m-%dT00:00:00+00:00"), "2999-01-01T00:00:00Z"
    answer = listed(today, tomorrow).json
    assert {r["id"] for r in answer["deletedRecords"]} == {soft[1], *hard}
    assert answer["earliestDateAvailable"] < answer["latestDateCovered"] <= now.strftime("%Y-%m-%dT%H:%M:59.000+0000")
    assert listed(tomorrow, today).code == "INVALID_REPLICATION_DATE"
    assert listed("2020-01-01T00:00:00Z", tomorrow).code == "INVALID_REPLICATION_DATE"
    assert listed("yesterday", tomorrow).code == "INVALID_VALUE"


def test_a_formula_changes_without_the_stamp_moving(fresh):
    own = fresh()
    rated = own.all("SELECT Id, AccountId, SystemModstamp, Account_Rating__c FROM Contact WHERE AccountId != null")[0]
    own.org.clock.advance(60)
    own.org.update(
        "Account", [rated["AccountId"]], {"Rating": "Hot" if rated["Account_Rating__c"] != "Hot" else "Cold"}
    )
    after = own.get(f"/sobjects/Contact/{rated['Id']}").json
    assert after["Account_Rating__c"] != rated["Account_Rating__c"]
    assert after["SystemModstamp"] == rated["SystemModstamp"]
