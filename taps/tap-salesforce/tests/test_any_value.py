"""Whatever an org holds, a RECORD line holds the same: made-up values through the tap, by either API."""

import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandboxes.salesforce import LocalOrg
from tap_salesforce.tap import TapSalesforce

TEXTS = ("LastName", "Title", "Department", "Description", "Level__c", "Email")
NUMBERS = ("Credit_Limit__c", "Discount__c", "Score__c")
FEW = {"Contact": 0, "Account": 0, "User": 1, "Lead": 0, "Opportunity": 0, "Invoice__c": 0, "AccountHistory": 0}

# Characters that CSV, JSON, SQL or a shell treat in a way of their own, and all others.
awkward = st.text(st.sampled_from("\"',;\r\n\t\\ \x00\x1a\x85\u2028\ufeffNA%{}0"), max_size=12)
texts = st.one_of(
    st.none(), st.sampled_from(["NA", "null", "NULL", "\\N", '""', "#N/A", "true", "0012", " "]), awkward,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
)  # fmt: skip
numbers = st.none() | st.decimals(-(10**12), 10**12, places=4, allow_nan=False)
records = st.fixed_dictionaries(
    {
        **dict.fromkeys(TEXTS, texts),
        **dict.fromkeys(NUMBERS, numbers),
        "Birthdate": st.none() | st.dates().map(str),
        "EmailBouncedDate": st.none() | st.datetimes().map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").zfill(28)),
        "Call_Time__c": st.none() | st.times().map(lambda at: at.strftime("%H:%M:%S.000Z")),
        "DoNotCall": st.booleans(),
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def empty_org():
    with LocalOrg(counts=FEW) as org:
        yield org


def expected(record):
    """What the RECORD line must hold."""
    found = {name: record[name] or None for name in (*TEXTS, "Birthdate")}
    found |= {name: None if record[name] is None else Decimal(record[name]) for name in NUMBERS}
    found["EmailBouncedDate"] = record["EmailBouncedDate"] and record["EmailBouncedDate"].replace("+0000", "Z")
    return found | {name: record[name] for name in ("Call_Time__c", "DoNotCall")}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, min_size=10, max_size=50))
def test_a_record_line_holds_what_the_org_holds(empty_org, configure, capsys, made):
    ids = empty_org.insert("Contact", made)
    wanted = {one: expected(record) for one, record in zip(ids, made, strict=True)}
    for api in ("REST", "BULK2"):
        capsys.readouterr()
        TapSalesforce(config=configure(empty_org, api_type=api, bulk_page_rows=7)).sync_all()
        lines = [
            json.loads(line, parse_float=Decimal, parse_int=Decimal)
            for line in capsys.readouterr().out.split("\n")
            if line
        ]
        found = {m["record"]["Id"]: m["record"] for m in lines if m["type"] == "RECORD"}
        assert {one: {name: found[one][name] for name in wanted[one]} for one in ids} == wanted
    empty_org.hard_delete("Contact", ids)
