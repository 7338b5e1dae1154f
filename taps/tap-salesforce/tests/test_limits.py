"""Objects that strain Salesforce's limits are read whole, or a sentence says what to deselect."""

import csv
import io

import pytest

from sandboxes.salesforce import LocalOrg, SObject, field
from tap_salesforce import soql
from tap_salesforce.advice import too_long
from tap_salesforce.errors import AnswerError, ConfigError, JobError, SourceError
from tap_salesforce.tap import TapSalesforce

FEW = {"Contact": 5, "Account": 5, "User": 5, "Lead": 0, "Opportunity": 0, "Invoice__c": 0, "Wide__c": 40}
LONG = SObject(
    name="Long__c",
    prefix="a08",
    bulk=False,
    fields=(
        field("Id", "id", nillable=False, system=True),
        *(field(f"A_Long_Name_For_A_Field_{n:04d}__c") for n in range(600)),
        field("SystemModstamp", "datetime", nillable=False, system=True),
    ),
)


@pytest.fixture(scope="module")
def wide():
    """An org with an object of 800 custom fields, and one of 600 with long names that Bulk refuses."""
    with LocalOrg(counts={**FEW, "Long__c": 3}, wide_fields=800, wide_text=300, objects=[LONG]) as org:
        yield org


@pytest.fixture
def org(wide):
    wide.reset()
    yield wide
    wide.reset()


@pytest.mark.parametrize("api", ["REST", "BULK2"])
def test_eight_hundred_fields_arrive_with_every_value(org, configure, run, api):
    records = run(configure(org, streams=["Wide__c"], api_type=api)).records("Wide__c")
    assert len(records) == 40
    names = [f"F{n:04d}__c" for n in range(800)]
    for record in records:
        assert [name for name in names if name not in record] == []
    columns = ", ".join(f'"{name}"' for name in ("Id", "F0799__c", "F0400__c", "F0001__c"))
    stored = {i: rest for i, *rest in org.store.rows(f"SELECT {columns} FROM Wide__c")}
    found = {r["Id"]: [r["F0799__c"], r["F0400__c"]] for r in records}
    assert found == {i: [text, other] for i, (text, other, _) in stored.items()}


def test_eight_hundred_fields_fit_into_a_file(org, configure, run, tmp_path):
    wish = {"encoding": {"format": "csv", "compression": "none"}, "storage": {"root": tmp_path.as_uri()}}
    run(configure(org, streams=["Wide__c"], batch_config=wish))
    (file,) = tmp_path.iterdir()
    found = {row["Id"]: row for row in csv.DictReader(io.StringIO(file.read_bytes().decode(), newline=""))}
    stored = {i: rest for i, *rest in org.store.rows('SELECT "Id", "F0799__c", "F0400__c" FROM Wide__c')}
    assert {i: [row["F0799__c"], row["F0400__c"]] for i, row in found.items()} == {
        i: [text or "" for text in values] for i, values in stored.items()
    }


def test_a_small_window_that_rest_cannot_take_goes_by_bulk(org, configure, run, monkeypatch):
    monkeypatch.setattr(soql, "LONGEST_REST", 5_000)
    assert len(run(configure(org, streams=["Wide__c"], rest_below_rows=1_000)).ids("Wide__c")) == 40
    assert org.stats.shown()["rows"]["bulk"] == {"Wide__c": 40}


def test_a_dry_run_of_an_object_that_rest_cannot_take_works(org, configure, capsys, monkeypatch):
    monkeypatch.setattr(soql, "LONGEST_REST", 5_000)
    TapSalesforce(config=configure(org, streams=["Wide__c"])).run_sync_dry_run(dry_run_record_limit=3)
    assert not org.bulk._jobs and "rest" not in org.stats.shown()["rows"]


def test_too_many_fields_for_rest_says_how_many_to_deselect_and_that_is_enough(org, configure, run):
    config = configure(org, streams=["Long__c"])
    with pytest.raises(ConfigError, match=r"602 fields has [\d,]+ characters; REST takes 15,000") as raised:
        run(config)
    spare = int(str(raised.value).split("at least ")[1].split(" ")[0])
    assert 50 < spare < 200
    assert "A_Long_Name_For_A_Field_0000__c" in str(raised.value)
    catalog = TapSalesforce(config=config).catalog_dict
    for part in catalog["streams"][0]["metadata"]:
        name = (part["breadcrumb"] or [""])[-1]
        if name.startswith("A_Long") and int(name[-7:-3]) < spare:
            part["metadata"]["selected"] = False
    assert len(run(config, catalog=catalog).ids("Long__c")) == 3


def test_more_fields_than_fit_at_all_are_all_spared():
    error = too_long(["Id"], length=999, limit=3, way="REST")
    assert "Deselect at least 1 fields" in str(error)


CODES = {
    "QUERY_TOO_COMPLICATED": "formula fields",
    "QUERY_TIMEOUT": "window_rows",
    "OPERATION_TOO_LARGE": "View All Data",
    "INVALID_FIELD": "discovery again",
    "INVALID_TYPE": "grant access",
}


@pytest.mark.parametrize(
    ("code", "status"),
    [*((code, 400) for code in CODES), *((code, 500) for code in CODES if not code.startswith("INVALID"))],
)
def test_a_query_refused_by_rest_says_what_to_do(org, configure, run, code, status):
    fault = org.faults.add("status", path="q=SELECT(\\+|%20)I", status=status, code=code, reason="No.", times=0)
    with pytest.raises(AnswerError, match=f"{code}: No.*{CODES[code]}"):
        run(configure(org, api_type="REST", max_retries=2))
    assert fault.hits == 1


@pytest.mark.parametrize("code", CODES)
def test_a_query_refused_when_a_job_is_made_says_what_to_do(org, configure, run, code):
    org.faults.add("status", path="/jobs/query", status=400, code=code, reason="No.")
    with pytest.raises(SourceError, match=f"{code}: No.*{CODES[code]}"):
        run(configure(org))


@pytest.mark.parametrize("code", CODES)
def test_a_job_that_fails_says_what_to_do(org, configure, run, code):
    org.faults.add("job_failed", reason=f"{code}: No.")
    with pytest.raises(JobError, match=f"{code}: No.*{CODES[code]}"):
        run(configure(org))
