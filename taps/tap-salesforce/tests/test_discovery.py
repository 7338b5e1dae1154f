"""The catalog says what the org says, in Singer's words."""

import pytest

from sandboxes.salesforce import field
from tap_salesforce.discovery import as_object, find_objects
from tap_salesforce.errors import ConfigError
from tap_salesforce.tap import TapSalesforce


def catalog(config):
    return {entry["stream"]: entry for entry in TapSalesforce(config=config).catalog_dict["streams"]}


def test_types_are_what_they_are(org, configure):
    invoice = catalog(configure(org, streams=["Invoice__c", "Account"]))["Invoice__c"]["schema"]["properties"]
    expected = {
        "Id": {"type": "string"},
        "Amount__c": {"type": ["number", "null"]},
        "Tax__c": {"type": ["number", "null"]},
        "Exact__c": {"type": ["number", "null"]},
        "Due__c": {"type": ["string", "null"], "format": "date"},
        "Paid_At__c": {"type": ["string", "null"], "format": "date-time"},
        "Cutoff__c": {"type": ["string", "null"], "format": "time"},
        "Paid__c": {"type": "boolean"},
        "Note__c": {"type": ["string", "null"]},
        "OwnerId": {"type": ["string", "null"]},
        "SystemModstamp": {"type": "string", "format": "date-time"},
        "Delivery__Latitude__s": {"type": ["number", "null"]},
    }
    for name, facts in expected.items():
        assert {k: v for k, v in invoice[name].items() if k != "description"} == facts, name
    account = catalog(configure(org, streams=["Account"]))["Account"]["schema"]["properties"]
    assert account["NumberOfEmployees"]["type"] == ["integer", "null"]
    assert account["Industry"]["type"] == ["string", "null"]
    assert account["Name"]["description"]


def test_compound_fields_come_as_their_components(org, configure):
    properties = catalog(configure(org, streams=["Account", "Invoice__c"]))
    assert "BillingAddress" not in properties["Account"]["schema"]["properties"]
    assert {"BillingStreet", "BillingCity", "BillingLatitude"} <= properties["Account"]["schema"]["properties"].keys()
    assert "Delivery__c" not in properties["Invoice__c"]["schema"]["properties"]


def test_binary_fields_are_left_out_with_a_notice(org, configure, caplog):
    caplog.set_level("INFO")
    assert "Body" not in catalog(configure(org, streams=["Attachment"]))["Attachment"]["schema"]["properties"]
    assert "Body of Attachment is left out" in caplog.text


def test_a_deletion_time_is_there_where_something_tells_it(org, configure):
    def told(stream, **settings):
        return (
            "_sdc_deleted_at" in catalog(configure(org, streams=[stream], **settings))[stream]["schema"]["properties"]
        )

    assert told("Contact") and told("Contact", include_deleted=False, hard_deletes=True)
    assert not told("Contact", include_deleted=False)
    assert not told("User") and told("User", hard_deletes=True)
    assert not told("AccountHistory") and told("AccountHistory", hard_deletes=True)


def test_keys_and_methods(org, configure):
    found = catalog(configure(org, streams=["Contact", "AccountHistory", "CaseStatus", "User"]))
    assert [entry["key_properties"] for entry in found.values()] == [["Id"]] * 4
    assert {name: entry["replication_key"] for name, entry in found.items()} == {
        "Contact": "SystemModstamp", "CaseStatus": "SystemModstamp", "User": "SystemModstamp",
        "AccountHistory": "CreatedDate",
    }  # fmt: skip
    assert "_sdc_deleted_at" in found["Contact"]["schema"]["properties"]
    assert "_sdc_deleted_at" not in found["User"]["schema"]["properties"]
    inclusion = {
        tuple(m["breadcrumb"])[-1]: m["metadata"]["inclusion"] for m in found["Contact"]["metadata"] if m["breadcrumb"]
    }
    automatic = {name for name, kind in inclusion.items() if kind == "automatic"}
    assert automatic == {"Id", "SystemModstamp", "IsDeleted", "_sdc_deleted_at"}


def test_without_streams_all_that_can_be_queried_is_found(org, configure):
    found = catalog(configure(org, streams=None))
    assert {"Account", "Contact", "Lead", "Opportunity", "User", "Invoice__c", "Attachment"} <= found.keys()
    assert "ActivityHistory" not in found


def test_hidden_objects_and_those_that_need_a_filter_are_left_out():
    class Client:
        def json(self, _method, path):
            if path == "sobjects":
                names = {
                    "Account": {},
                    "Old__c": {"deprecatedAndHidden": True},
                    "Vote": {},
                    "Big__b": {},
                    "No": {"queryable": False},
                }
                return {"sobjects": [{"name": name, "queryable": True, **facts} for name, facts in names.items()]}
            return {"name": path.split("/")[1], "queryable": True, "fields": []}

    assert [o.name for o in find_objects(Client(), [], max_workers=2, include_deleted=True)] == ["Account"]


def test_names_may_be_typed_in_any_case(org, configure):
    assert list(catalog(configure(org, streams=["contact", "Contact"]))) == ["Contact"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Contcat", "no object Contcat.*Did you mean Contact"),
        ("Quite_Another__c", "no object Quite_Another__c"),
        ("ActivityHistory", "does not let ActivityHistory be queried"),
        ("Account;", "not the API name"),
    ],
)
def test_a_stream_that_cannot_be_is_named(org, configure, name, reason):
    with pytest.raises(ConfigError, match=reason):
        catalog(configure(org, streams=["Account", name]))


def test_an_object_that_cannot_be_described_is_left_out_unless_it_was_asked_for(org, configure, caplog):
    org.faults.add("status", path="sobjects/Lead/describe", status=403, code="INSUFFICIENT_ACCESS", times=0)
    found = catalog(configure(org, streams=None))
    assert "Lead" not in found and "Account" in found
    assert "Lead is left out" in caplog.text


def test_new_fields_are_found(own_org, configure):
    own_org.add_field("Contact", field("New__c", "int"))
    found = catalog(configure(own_org))
    assert found["Contact"]["schema"]["properties"]["New__c"]["type"] == ["integer", "null"]


def described(*, nillable=(), **fields):
    made = [
        {"name": name, "type": kind, "nillable": name in nillable, "filterable": True} for name, kind in fields.items()
    ]
    return as_object({"name": "Thing", "fields": made}, include_deleted=True)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"LastModifiedDate": "datetime", "CreatedDate": "datetime"}, "LastModifiedDate"),
        ({"CreatedDate": "datetime"}, "CreatedDate"),
        ({"LoginTime": "datetime"}, "LoginTime"),
        ({"SystemModstamp": "string"}, None),
        ({}, None),
    ],
)
def test_the_best_usable_key_is_taken(fields, key):
    assert described(**fields).replication_key == key


def test_a_stamp_that_can_be_empty_is_no_key_since_no_span_of_time_holds_such_records():
    stamps = {"LastModifiedDate": "datetime", "CreatedDate": "datetime"}
    assert described(CreatedDate="datetime", nillable=["CreatedDate"]).replication_key is None
    assert described(**stamps, nillable=["CreatedDate"]).replication_key == "LastModifiedDate"
    assert described(**stamps, nillable=["LastModifiedDate"]).replication_key is None, "by CreatedDate no change comes"
    for trusted in ("SystemModstamp", "LoginTime"):
        assert described(**{trusted: "datetime"}, nillable=[trusted]).replication_key == trusted


def test_without_a_stamp_nothing_tells_when_a_record_was_deleted():
    made = described(IsDeleted="boolean", CreatedDate="datetime")
    assert made.deleted_stamp is None and "_sdc_deleted_at" not in made.schema["properties"]
    assert made.primary_key == ()
