"""Records removed for good: every one is told, none that exists is, and nothing is read less because of it."""

from datetime import datetime, timedelta

import pytest

from sandboxes.salesforce import LocalOrg, SObject, field
from sandboxes.salesforce.deleted import LogOfDeletions
from tap_salesforce.errors import ConfigError
from tap_salesforce.reading import Reading

DAY = 86_400
FEW = {"Contact": 300, "User": 5, "Account": 5, "Lead": 0, "Opportunity": 0, "Invoice__c": 0}


@pytest.fixture
def own_org():
    """An org whose clock the tests move, and whose sessions outlive that."""
    with LocalOrg(counts=FEW, token_lifetime=1e8) as org:
        yield org


@pytest.fixture
def sync(own_org, configure, run):
    """Sync from a state, with removals noticed; afterwards ten minutes pass, so that no minute is still open."""

    def once(state=None, **changes):
        settings = {"hard_deletes": True, "formula_refresh": "never", **changes}
        out = run(configure(own_org, **settings), state=state)
        own_org.clock.advance(600)
        return out

    return once


def removed(out, stream="Contact"):
    """Id → time of deletion of the tombstones: records with no more than the key and the marks of deletion."""
    short = [r for r in out.records(stream) if not r.keys() - {"Id", "IsDeleted", "SystemModstamp", "_sdc_deleted_at"}]
    return {r["Id"]: r["_sdc_deleted_at"] for r in short}


def counted(caplog):
    """The sums of what the log counts."""
    points = [r.args[0] for r in caplog.records if r.name == "singer_sdk.metrics" and r.args]
    return {n: sum(p.value for p in points if p.metric.value == n) for n in ("record_count", "deleted_count")}


def hard_delete(org, which):
    ids = org.hard_delete("Contact", which)
    org.clock.advance(120)
    return set(ids)


def test_a_removed_record_is_told_once_with_its_key_and_time(own_org, sync):
    first = sync()
    assert not removed(first)
    at = own_org.clock.now()
    (gone,) = hard_delete(own_org, 1)
    second = sync(first.states()[-1])
    assert set(removed(second)) == {gone}
    (tombstone,) = [r for r in second.records("Contact") if r["Id"] == gone]
    assert tombstone["IsDeleted"] is True
    assert tombstone["SystemModstamp"] == tombstone["_sdc_deleted_at"]
    assert abs(datetime.fromisoformat(tombstone["_sdc_deleted_at"]) - at) < timedelta(seconds=3)
    assert not removed(sync(second.states()[-1]))


def test_without_the_setting_nothing_is_asked_and_nothing_told(own_org, sync):
    first = sync(hard_deletes=False)
    hard_delete(own_org, 1)
    assert not removed(sync(first.states()[-1], hard_deletes=False))
    assert not any("deleted" in request for request in own_org.stats.shown()["requests"])


def test_turned_on_later_it_looks_back_as_far_as_salesforce_remembers(own_org, sync, caplog):
    caplog.set_level("INFO")
    own_org.store.log_of_deletions = LogOfDeletions(reach=timedelta(days=15))
    first = sync(hard_deletes=False)
    hard_delete(own_org, 2)
    own_org.clock.advance(8 * DAY)
    known = hard_delete(own_org, 2)
    own_org.clock.advance(8 * DAY)
    assert set(removed(sync(first.states()[-1]))) == known
    assert "as far back as Salesforce remembers" in caplog.text


def test_rolling_the_state_back_tells_the_same_again(own_org, sync):
    state = sync().states()[-1]
    gone = hard_delete(own_org, 3)
    assert set(removed(sync(state))) == set(removed(sync(state))) == gone


def test_a_first_reading_tells_what_went_away_while_it_was_interrupted(own_org, sync):
    full = sync(window_rows=50)
    cut = full.states()[1]
    gone = hard_delete(own_org, 3)
    assert set(removed(sync(cut, window_rows=50))) == gone


def test_a_first_reading_that_ends_before_its_first_bookmark_tells_them_too(own_org, sync):
    full = sync()
    before = full.messages[: next(at for at, m in enumerate(full.messages) if m["type"] == "RECORD")]
    state = [m["value"] for m in before if m["type"] == "STATE"][-1]
    assert "replication_key_value" not in state["bookmarks"]["Contact"]
    gone = hard_delete(own_org, 3)
    again = sync(state)
    assert set(removed(again)) == gone
    assert len(again.ids("Contact")) == len(full.ids("Contact"))


def test_a_full_refresh_begins_anew(own_org, sync):
    hard_delete(own_org, 2)
    out = sync(None)
    assert not removed(out)
    mark = datetime.fromisoformat(out.bookmark("Contact")["deleted_until"])
    assert own_org.clock.now() - mark < timedelta(minutes=11)


def test_a_record_taken_out_of_the_recycle_bin_is_not_told_even_if_the_log_names_it(own_org, sync, monkeypatch):
    state = sync().states()[-1]
    (back,) = own_org.delete("Contact", 1)
    own_org.clock.advance(60)
    own_org.undelete("Contact", [back])
    gone = hard_delete(own_org, 1)
    log = type(own_org.store).deleted_log
    moment = own_org.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    monkeypatch.setattr(type(own_org.store), "deleted_log", lambda *a: [(back, moment), *log(*a)])
    out = sync(state)
    assert set(removed(out)) == gone
    assert next(r for r in out.records("Contact") if r["Id"] == back)["_sdc_deleted_at"] is None


def test_a_record_in_the_recycle_bin_comes_once_and_whole(own_org, sync, caplog):
    caplog.set_level("INFO")
    state = sync().states()[-1]
    (binned,) = own_org.delete("Contact", 1)
    own_org.clock.advance(120)
    caplog.clear()
    out = sync(state)
    (record,) = [r for r in out.records("Contact") if r["Id"] == binned]
    assert len(record) > 4 and record["_sdc_deleted_at"]
    assert counted(caplog) == {"record_count": 1, "deleted_count": 1}


def test_a_record_in_the_recycle_bin_that_no_row_tells_of_is_told(own_org, sync):
    state = sync().states()[-1]
    (binned,) = own_org.delete("Contact", 1)
    with own_org.store._change() as db:  # as when a deletion moved no stamp
        db.execute('UPDATE "Contact" SET "SystemModstamp" = \'2020-02-02T02:02:02.000+0000\' WHERE "Id" = ?', [binned])
    own_org.clock.advance(120)
    out = sync(state)
    assert set(removed(out)) == {binned} and len(out.ids("Contact")) == 1


def test_a_record_that_leaves_the_recycle_bin_before_its_row_is_read_is_told(own_org, sync, monkeypatch):
    state, deleted = sync().states()[-1], own_org.clock.now()
    (binned,) = own_org.delete("Contact", 1)
    own_org.clock.advance(120)
    plan = Reading.plan

    def emptied(*args, **more):
        own_org.hard_delete("Contact", [binned], at=deleted)
        return plan(*args, **more)

    monkeypatch.setattr(Reading, "plan", emptied)
    assert set(removed(sync(state))) == {binned}


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "silently short"])
def test_a_gap_in_the_log_is_a_warning_that_names_the_fix(own_org, sync, caplog, refuses):
    own_org.store.log_of_deletions = LogOfDeletions(reach=timedelta(days=15), refuses=refuses)
    state = sync().states()[-1]
    hard_delete(own_org, 1)
    own_org.clock.advance(20 * DAY)
    known = hard_delete(own_org, 1)
    (changed,) = own_org.update("Contact", 1, {"Title": "new"})
    out = sync(state)
    assert set(removed(out)) == known and changed in out.ids("Contact")
    assert caplog.text.count("has forgotten which records of Contact were removed for good") == 1
    assert "full refresh" in caplog.text
    caplog.clear()
    sync(out.states()[-1])
    assert "forgotten" not in caplog.text


def test_too_many_ids_for_one_answer_are_asked_for_in_shorter_spans(own_org, sync):
    state = sync().states()[-1]
    gone = set()
    for _ in range(6):
        gone |= hard_delete(own_org, 3)
    own_org.store.log_of_deletions = LogOfDeletions(most=4)
    assert set(removed(sync(state))) == gone


def test_a_long_time_is_asked_for_by_days_and_the_mark_moves_with_each(own_org, sync):
    state = sync().states()[-1]
    gone = set()
    for _ in range(4):
        gone |= hard_delete(own_org, 2)
        own_org.clock.advance(DAY)
    out = sync(state)
    assert set(removed(out)) == gone
    marks = [state["bookmarks"]["Contact"]["deleted_until"] for state in out.states()]
    assert marks == sorted(marks) and len(set(marks)) >= 5


def test_deletions_under_way_are_told_by_the_next_run(own_org, sync):
    own_org.store.log_of_deletions = LogOfDeletions(lag=timedelta(minutes=30))
    state = sync().states()[-1]
    gone = hard_delete(own_org, 1)
    out = sync(state)
    assert not removed(out)
    own_org.clock.advance(1800)
    assert set(removed(sync(out.states()[-1]))) == gone


def test_a_run_that_dies_after_a_tombstone_tells_it_again(own_org, sync):
    state = sync().states()[-1]
    gone = hard_delete(own_org, 1)
    own_org.faults.add("status", path="COUNT", status=400, code="MALFORMED_QUERY")
    with pytest.raises(Exception, match="MALFORMED_QUERY"):
        sync(state)
    assert set(removed(sync(state))) == gone


def test_a_log_that_is_refused_is_a_warning_and_the_records_come(own_org, sync, caplog):
    state = sync().states()[-1]
    hard_delete(own_org, 1)
    (changed,) = own_org.update("Contact", 1, {"Title": "new"})
    own_org.faults.add("status", path="/deleted/", status=403, code="INSUFFICIENT_ACCESS", reason="no", times=0)
    out = sync(state)
    assert changed in out.ids("Contact")
    assert "Records of Contact removed for good are not noticed" in caplog.text
    assert out.bookmark("Contact")["deleted_until"] == state["bookmarks"]["Contact"]["deleted_until"]


def test_the_recycle_bin_may_stay_unread(own_org, sync):
    first = sync(include_deleted=False)
    (binned,) = own_org.delete("Contact", 1)
    own_org.clock.advance(120)
    second = sync(first.states()[-1], include_deleted=False)
    assert set(removed(second)) == {binned}
    own_org.undelete("Contact", [binned])
    third = sync(second.states()[-1], include_deleted=False)
    assert [r["_sdc_deleted_at"] for r in third.records("Contact") if r["Id"] == binned] == [None]


def test_objects_without_a_log_are_read_as_ever(configure, run):
    plain = SObject(
        name="Gadget__c", prefix="a09", replicateable=False,
        fields=(field("Id", "id", nillable=False, system=True), field("CreatedDate", "datetime", system=True)),
    )  # fmt: skip
    with LocalOrg(counts={**FEW, "Gadget__c": 7}, objects=[plain]) as org:
        config = configure(org, streams=["Gadget__c"], hard_deletes=True)
        state = run(config).states()[-1]
        org.clock.advance(600)
        run(config, state=state)
        assert not any("deleted" in request for request in org.stats.shown()["requests"])


def test_with_stream_maps_nothing_is_told_but_a_warning(own_org, sync, caplog):
    maps = {"Contact": {"Loud": "LastName.upper()"}}
    state = sync(stream_maps=maps).states()[-1]
    hard_delete(own_org, 1)
    assert not removed(sync(state, stream_maps=maps))
    assert "stream maps are in use" in caplog.text


def test_the_sdks_batches_come_after_the_tombstones(own_org, sync, tmp_path):
    batches = {"encoding": {"format": "jsonl", "compression": "gzip"}, "storage": {"root": f"file://{tmp_path}"}}
    state = sync(batch_config=batches).states()[-1]
    gone = hard_delete(own_org, 1)
    own_org.update("Contact", 1, {"Title": "new"})
    out = sync(state, batch_config=batches)
    kinds = [m["type"] for m in out.messages if m["type"] in ("RECORD", "BATCH")]
    assert set(removed(out)) == gone and kinds == ["RECORD", "BATCH"]


def test_an_unreadable_mark_is_said_so(sync):
    state = sync().states()[-1]
    state["bookmarks"]["Contact"]["deleted_until"] = "soon"
    with pytest.raises(ConfigError, match=r"deleted_until is not a time"):
        sync(state)


def test_tombstones_are_counted_as_records_and_as_deletions(own_org, sync, caplog):
    caplog.set_level("INFO")
    state = sync().states()[-1]
    hard_delete(own_org, 3)
    caplog.clear()
    out = sync(state)
    assert counted(caplog) == {"record_count": len(out.records("Contact")), "deleted_count": 3}
