"""The log of deletions refuses, forgets and lags as Salesforce's does."""

from datetime import timedelta
from urllib.parse import quote

import pytest

from sandboxes.salesforce import SObject, field
from sandboxes.salesforce.deleted import LogOfDeletions


@pytest.fixture
def own(fresh):
    return fresh(token_lifetime=1e7)


def asked(own, *, days: float = 1, name: str = "Contact"):
    now = own.org.clock.now() + timedelta(minutes=1)
    times = {"start": now - timedelta(days=days), "end": now}
    window = "&".join(f"{key}={quote(moment.isoformat(timespec='seconds'))}" for key, moment in times.items())
    return own.get(f"/sobjects/{name}/deleted/?{window}")


def test_too_many_ids_are_refused(own):
    own.org.store.log_of_deletions = LogOfDeletions(most=2)
    own.org.hard_delete("Contact", 2)
    assert len(asked(own).json["deletedRecords"]) == 2
    own.org.hard_delete("Contact", 1)
    assert asked(own).code == "EXCEEDED_ID_LIMIT"


def test_what_is_older_than_the_log_is_refused_or_left_out(own):
    own.org.hard_delete("Contact", 1)
    own.org.clock.advance(3 * 86_400)
    recent = own.org.hard_delete("Contact", 1)
    own.org.store.log_of_deletions = LogOfDeletions(reach=timedelta(days=2))
    assert asked(own, days=4).code == "INVALID_REPLICATION_DATE"
    own.org.store.log_of_deletions = LogOfDeletions(reach=timedelta(days=2), refuses=False)
    answer = asked(own, days=4).json
    assert [one["id"] for one in answer["deletedRecords"]] == recent
    assert answer["earliestDateAvailable"] > (own.org.clock.now() - timedelta(days=2, minutes=1)).isoformat()


def test_deletions_under_way_come_later_and_the_answer_says_until_when_it_is_whole(own):
    own.org.store.log_of_deletions = LogOfDeletions(lag=timedelta(minutes=5))
    own.org.hard_delete("Contact", 1)
    first = asked(own).json
    own.org.clock.advance(301)
    assert not first["deletedRecords"]
    assert first["latestDateCovered"] < asked(own).json["deletedRecords"][0]["deletedDate"]


def test_objects_that_are_not_replicated_have_no_log(own):
    other = SObject(name="Gadget__c", prefix="a09", fields=(field("Id", "id"),), replicateable=False)
    own.org.store.sobjects["Gadget__c"] = other
    assert own.get("/sobjects/Gadget__c/describe").json["replicateable"] is False
    assert asked(own, name="Gadget__c").code == "INVALID_TYPE_FOR_OPERATION"
