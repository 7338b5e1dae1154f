"""Changing records from the library's side."""

from datetime import UTC, datetime

import pytest

from sandboxes.salesforce import SandboxError


def stamps(client, ids):
    listed = ", ".join(f"'{i}'" for i in ids)
    rows = client.all(f"SELECT Id, SystemModstamp, IsDeleted FROM Contact WHERE Id IN ({listed})", everything=True)
    return {r["Id"]: (r["SystemModstamp"], r["IsDeleted"]) for r in rows}


def test_churn_changes_deletes_and_adds_the_same_records_for_one_seed(fresh):
    one, two = fresh(), fresh()
    before = one.org.count("Contact")
    changed = one.org.churn("Contact", update=10, delete=4, insert=3)
    assert [len(changed[k]) for k in ("updated", "deleted", "inserted")] == [10, 4, 3]
    assert not set(changed["updated"]) & set(changed["deleted"])
    assert one.org.count("Contact") == {"live": before["live"] - 1, "deleted": before["deleted"] + 4}
    assert two.org.churn("Contact", update=10, delete=4, insert=3) == changed
    assert one.org.churn("Contact", update=10)["updated"] != changed["updated"]


@pytest.mark.parametrize("name", ["Account", "Lead", "Opportunity", "User", "Invoice__c"])
def test_every_object_can_churn(fresh, name):
    own = fresh(counts={name: 20})
    own.org.churn(name, update=2, delete=1, insert=2)
    required = [f.name for f in own.org.store.sobjects[name].columns if not f.nillable]
    nulls = " OR ".join(f'"{f}" IS NULL' for f in required)
    assert own.org.store.rows(f'SELECT COUNT(*) FROM "{name}" WHERE {nulls}') == [(0,)]


def test_changes_move_the_stamp_to_the_orgs_own_time(fresh):
    own = fresh()
    now = own.org.clock.freeze(datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC))
    own.token = own.org.access_token()
    updated = own.org.update("Contact", 2, lambda i: {"Title": f"title of {i}"})
    gone = own.org.delete("Contact", 1)
    (added,) = own.org.insert("Contact", [{"LastName": "x"}])
    moved = stamps(own, [*updated, *gone, added])
    assert {s for s, _ in moved.values()} == {"2031-05-06T07:08:09.000+0000"}
    assert moved[gone[0]][1] is True
    assert own.org.clock.advance(60) > now
    own.org.undelete("Contact", gone)
    assert stamps(own, gone)[gone[0]] == ("2031-05-06T07:09:09.000+0000", False)
    own.org.clock.release()


def test_a_late_commit_carries_an_earlier_stamp(fresh):
    own = fresh()
    changed = own.org.update("Contact", 1, {"Title": "late"}, at=datetime(2025, 1, 1, tzinfo=UTC))
    assert stamps(own, changed)[changed[0]][0] == "2025-01-01T00:00:00.000+0000"


def test_a_hard_delete_leaves_nothing_and_its_id_is_never_used_again(fresh):
    own = fresh()
    (last,) = own.org.insert("Contact", [{"LastName": "x"}])
    own.org.hard_delete("Contact", [last])
    assert stamps(own, [last]) == {}
    assert own.org.insert("Contact", [{"LastName": "y"}]) != [last]


def test_values_are_stored_as_salesforce_shows_them(fresh):
    own = fresh()
    (new,) = own.org.insert("Contact", [{"LastName": "x", "Title": "", "Credit_Limit__c": 1234.50, "Score__c": "1e3"}])
    record = own.get(f"/sobjects/Contact/{new}").json
    assert (record["Title"], record["Credit_Limit__c"], record["Score__c"]) == (None, 1234.5, 1000.0)


def test_impossible_changes_are_refused_and_change_nothing(fresh):
    own = fresh()
    for act in (
        lambda: own.org.update("Contact", 101, {"Title": "x"}),
        lambda: own.org.update("Contact", ["003Ls0000099999IAA"], {"Title": "x"}),
        lambda: own.org.update("Contact", 1, {"Shoe": "x"}),
        lambda: own.org.update("Contact", 1, {"Name": "a formula"}),
        lambda: own.org.insert("Kontact", [{}]),
    ):
        with pytest.raises(SandboxError):
            act()
    assert own.all("SELECT Id FROM Contact WHERE Title = 'x'", everything=True) == []
