import re
from contextlib import nullcontext
from dataclasses import replace

import pytest
from sqlalchemy import text, update

from orchestrator.domains.catalog.errors import UnknownConnectorError, UnknownVariantError
from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import rules, service
from orchestrator.domains.integrations.errors import (
    DisabledError,
    InvalidIntegrationConfigError,
    NameTakenError,
    NotADraftError,
    NothingSelectedError,
    SameTableError,
    StreamModeError,
    UnknownDestinationError,
    UnknownIntegrationError,
    UnknownStreamError,
)
from orchestrator.domains.integrations.tables import DestinationRow
from orchestrator.domains.integrations.types import Mode, NewIntegration, SetupState, Verdict
from orchestrator.drivers.addresses import AddressNotAllowedError
from orchestrator.drivers.http import Http
from orchestrator.drivers.meltano.errors import DiscoveryError
from orchestrator.drivers.meltano.values import secrets_in
from orchestrator.drivers.postgres_login import LoginRefusedError
from orchestrator.kernel import ids
from tests.fixtures.drivers import GITHUB, TEAMS, TOKEN, USERS, over_tcp


def test_a_new_integration_is_a_draft_with_its_secret_in_the_vault_only(drivers, github):
    assert github.setup_state is SetupState.DRAFT
    assert github.target_schema == "our_code"
    assert TOKEN not in repr(github)
    shown = service.public(drivers, github)
    assert shown["auth"]["token"]["set"] is True
    assert TOKEN not in str(shown)
    assert service.opened(drivers, github).secrets["auth.token"].get_secret_value() == TOKEN


def test_every_wrong_field_is_named_and_nothing_is_saved(drivers, place):
    values = {"auth": {"auth_type": "token"}, "what": {"by": "repositories", "repositories": "x"}, "start_date": "soon"}
    with pytest.raises(InvalidIntegrationConfigError) as caught:
        service.add(drivers, place, NewIntegration(type="github", name=" ", values=values, target_schema="Not One"))
    assert {"name", "auth.token", "start_date", "target_schema"} <= {path for path, _ in caught.value.problems}
    assert caught.value.exit_code == 6
    assert service.listing(drivers, place.org_id) == []


def test_an_unknown_connector_suggests_one(drivers, place):
    with pytest.raises(UnknownConnectorError, match="githib") as caught:
        service.add(drivers, place, NewIntegration(type="githib", name="x", values={}))
    assert "github" in caught.value.hint


def test_two_integrations_can_not_share_a_name_or_a_schema(drivers, place, github):
    with pytest.raises(NameTakenError, match="Our code"):
        service.add(drivers, place, NewIntegration(type="github", name="Our code", values=GITHUB))
    with pytest.raises(NameTakenError, match="our_code"):
        service.add(drivers, place, NewIntegration(type="github", name="b", values=GITHUB, target_schema="our_code"))
    second = service.add(drivers, place, NewIntegration(type="github", name="Our: Code", values=GITHUB))
    assert second.target_schema == "our_code_2"


@pytest.fixture
def other(drivers):
    """Another organization of the same installation, with the default destination."""
    place = identity.ensure(drivers.db, "other")
    with drivers.db.transaction(place.org_id) as tx:
        service.ensure_warehouse(tx, place.org_id)
    return place


def test_a_schema_of_the_warehouse_is_one_organizations(drivers, place, other, github):
    wanted = NewIntegration(type="github", name="Mine", values=GITHUB, target_schema="our_code")
    with pytest.raises(NameTakenError) as theirs:
        service.add(drivers, other, wanted)
    with pytest.raises(NameTakenError) as ours:
        service.add(drivers, place, wanted)
    assert (theirs.value.message, theirs.value.hint) == (ours.value.message, ours.value.hint)
    assert service.listing(drivers, other.org_id) == []
    service.delete(drivers, github)
    with pytest.raises(NameTakenError):
        service.add(drivers, other, wanted)


def test_a_schema_nobody_chose_keeps_clear_of_other_organizations_without_counting_them(drivers, other, github):
    first = service.add(drivers, other, NewIntegration(type="github", name="Our code", values=GITHUB))
    assert first.name == github.name
    assert re.fullmatch("our_code_[a-z0-9]{4}", first.target_schema)
    assert service.opened(drivers, first).secrets["auth.token"].get_secret_value() == TOKEN
    assert len(service.listing(drivers, other.org_id)) == 1


def test_two_destinations_that_are_the_same_warehouse_share_its_schemas(drivers, place, github):
    service.add_destination(drivers, place, NewIntegration(type="warehouse", name="again", values={}))
    with pytest.raises(NameTakenError, match="our_code"):
        service.add(
            drivers,
            place,
            NewIntegration(type="github", name="b", values=GITHUB, target_schema="our_code", destination="again"),
        )


def test_files_are_each_organizations_own(drivers, place, other):
    for one in (place, other):
        service.add_destination(drivers, one, NewIntegration(type="jsonl", name="files", values={}))
        new = NewIntegration(type="github", name="a", values=GITHUB, target_schema="same", destination="files")
        assert service.add(drivers, one, new).target_schema == "same"


def test_a_discarded_draft_leaves_its_name_and_schema_free(drivers, place, github):
    service.discard(drivers, github)
    again = service.add(drivers, place, NewIntegration(type="github", name="Our code", values=GITHUB))
    assert again.target_schema == "our_code"


def test_what_is_no_draft_any_more_can_not_be_discarded(drivers, place, github):
    service.connect(drivers, github)
    with pytest.raises(NotADraftError):
        service.discard(drivers, github)
    assert service.opened(drivers, service.find(drivers, place.org_id, github.id)).secrets


def test_a_draft_that_has_run_can_not_be_discarded(drivers, place, github):
    run = "INSERT INTO orchestrator.runs (org_id, id, integration_id, trigger, timeout) VALUES (:o, :r, :i, 'x', '1h')"
    with drivers.db.connection() as connection:
        values = {"o": ids.decode("org", place.org_id), "r": ids.uuid7(), "i": ids.decode("int", github.id)}
        connection.execute(text(run), values)
    with pytest.raises(NotADraftError):
        service.discard(drivers, github)
    assert service.find(drivers, place.org_id, github.id) == github


@pytest.mark.parametrize(("wanted", "hint"), [("warehous", "mean 'warehouse'"), ("Zebra", "There are: warehouse.")])
def test_an_unknown_destination_suggests_one(drivers, place, wanted, hint):
    with pytest.raises(UnknownDestinationError) as caught:
        service.add(drivers, place, NewIntegration(type="github", name="x", values=GITHUB, destination=wanted))
    assert hint in caught.value.hint


def test_it_is_found_by_name_id_and_beginning_of_an_id(drivers, place, github):
    for wanted in ("Our code", github.id, github.id[:20], github.id.removeprefix("int_")):
        assert service.find(drivers, place.org_id, wanted) == github


def test_what_is_not_there_suggests_what_is(drivers, place, github):
    with pytest.raises(UnknownIntegrationError) as caught:
        service.find(drivers, place.org_id, "our cod")
    assert "Our code" in caught.value.hint
    assert caught.value.exit_code == 3


def test_another_organizations_integration_is_as_unknown_as_any(drivers, github):
    other = identity.ensure(drivers.db, "other")
    with pytest.raises(UnknownIntegrationError):
        service.find(drivers, other.org_id, github.id)


def test_an_edit_without_the_secret_keeps_it(drivers, github):
    changed = service.edit(
        drivers, github, {**GITHUB, "auth": {"auth_type": "token"}, "start_date": "2025-05-05"}, name="New"
    )
    assert (changed.name, changed.config["start_date"]) == ("New", "2025-05-05")
    assert service.opened(drivers, changed).secrets["auth.token"].get_secret_value() == TOKEN


def test_a_wrong_edit_changes_nothing(drivers, place, github):
    with pytest.raises(InvalidIntegrationConfigError):
        service.edit(drivers, github, {**GITHUB, "start_date": "soon"})
    assert service.find(drivers, place.org_id, github.id) == github


SHOP = {"host": "127.0.0.1", "database": "shop", "user": "etl", "password": "s3cret-of-the-shop"}


@pytest.fixture
def shop(drivers, place):
    return service.add(drivers, place, NewIntegration(type="postgres", name="Shop", values=SHOP))


def test_a_stored_secret_does_not_go_to_another_server(drivers, place, shop):
    with pytest.raises(InvalidIntegrationConfigError) as caught:
        service.edit(drivers, shop, {**shop.config, "host": "evil.example"})
    assert caught.value.exit_code == 6
    ((path, sentence),) = caught.value.problems
    assert (path, "Host has changed" in sentence) == ("password", True)
    assert service.find(drivers, place.org_id, "Shop") == shop
    moved = service.edit(drivers, shop, {**shop.config, "host": "localhost", "password": "another-secret"})
    assert service.opened(drivers, moved).secrets["password"].get_secret_value() == "another-secret"


def test_a_deleted_integration_comes_back_whole(drivers, place, github):
    service.delete(drivers, github)
    assert service.listing(drivers, place.org_id) == []
    gone = service.find(drivers, place.org_id, "Our code", deleted=True)
    back = service.restore(drivers, gone)
    assert back.deleted_at is None
    assert service.opened(drivers, back).secrets["auth.token"].get_secret_value() == TOKEN


def test_a_deleted_one_does_not_come_back_under_a_taken_name(drivers, place, github):
    service.delete(drivers, github)
    service.add(drivers, place, NewIntegration(type="github", name="Our code", values=GITHUB))
    with pytest.raises(NameTakenError):
        service.restore(drivers, service.find(drivers, place.org_id, github.id, deleted=True))


def test_discovery_keeps_what_people_chose(drivers, ready, meltano):
    service.choose(drivers, ready, ["teams"], selected=False)
    service.choose(drivers, ready, ["users.name"], selected=False)
    meltano.catalog = {"streams": [USERS, {**TEAMS, "tap_stream_id": "repos", "stream": "repos"}]}
    change = service.discover(drivers, ready)
    assert (change.added, change.gone, change.total) == (("repos",), ("teams",), 2)
    streams = {stream.name: stream for stream in service.streams(drivers, ready)}
    assert streams["users"].selected
    assert streams["users"].deselected_fields == ("name",)
    assert streams["teams"].gone_at is not None
    assert not streams["repos"].selected


def test_fields_stay_in_the_sources_order(drivers, ready, meltano):
    properties = {name: {"type": "string"} for name in ("id", "surname", "a", "name", "zip")}
    meltano.catalog = {"streams": [{**USERS, "schema": {"type": "object", "properties": properties}}]}

    service.discover(drivers, ready)

    [users] = [stream for stream in service.streams(drivers, ready) if stream.name == "users"]
    assert rules.fields(users.entry) == tuple(properties)
    [entry] = rules.run_catalog([users])["streams"]
    assert list(entry["schema"]["properties"]) == list(properties)


def test_a_failed_discovery_speaks_in_the_plugins_words_and_changes_nothing(drivers, ready, meltano):
    meltano.catalog, meltano.error = None, "Bad credentials"
    with pytest.raises(DiscoveryError, match="Bad credentials"):
        service.discover(drivers, ready)
    assert {stream.gone_at for stream in service.streams(drivers, ready)} == {None}


def test_choosing_what_fits_nothing_changes_nothing(drivers, ready):
    with pytest.raises(UnknownStreamError) as caught:
        service.choose(drivers, ready, ["users", "team"], selected=False)
    assert "teams" in caught.value.hint
    assert all(stream.selected for stream in service.streams(drivers, ready))


def test_keys_are_read_whatever_is_chosen(drivers, ready):
    service.choose(drivers, ready, ["users.*"], selected=False)
    users = next(stream for stream in service.streams(drivers, ready) if stream.name == "users")
    assert users.deselected_fields == ("at", "name")
    service.choose(drivers, ready, ["users.name"], selected=True)
    users = next(stream for stream in service.streams(drivers, ready) if stream.name == "users")
    assert users.deselected_fields == ("at",)


def test_a_stream_can_only_be_read_in_ways_its_source_offers(drivers, ready):
    with pytest.raises(StreamModeError, match="teams"):
        service.change_mode(drivers, ready, ["*"], Mode.INCREMENTAL)
    service.change_mode(drivers, ready, ["users"], Mode.FULL_TABLE)
    assert {stream.mode for stream in service.streams(drivers, ready)} == {Mode.FULL_TABLE}


def test_a_plan_has_the_plugins_settings_with_secrets_concealed(drivers, ready):
    plan = service.plan(drivers, ready)
    assert plan.streams == ("teams", "users")
    assert TOKEN in secrets_in(plan.extractor.config)
    assert TOKEN not in repr(plan)
    warehouse = drivers.warehouse_url.get_secret_value()
    assert secrets_in(plan.loader.config) == {warehouse}
    assert plan.loader.config["default_target_schema"] == "our_code"
    assert plan.fresh_token is None


def test_a_plan_loads_with_the_plugin_its_destination_was_added_with(drivers, place, meltano):
    plans = {}
    for variant in (None, "meltanolabs"):
        into = service.add_destination(
            drivers, place, NewIntegration(type="warehouse", name=f"with {variant}", values={}, variant=variant)
        )
        new = NewIntegration(type="github", name=f"into {into.name}", values=GITHUB, destination=into.name)
        meltano.catalog = {"streams": [USERS]}
        added = service.add(drivers, place, new)
        service.discover(drivers, added)
        service.choose(drivers, added, ["*"], selected=True)
        plans[variant] = service.plan(drivers, added)
    assert plans[None].loader.name == "target-postgres-copy"
    assert plans["meltanolabs"].loader.name == "target-postgres"
    assert "batch_size_rows" in plans["meltanolabs"].loader.config
    with pytest.raises(UnknownVariantError):
        service.add_destination(
            drivers, place, NewIntegration(type="warehouse", name="other", values={}, variant="airbyte")
        )


def test_a_plan_of_some_streams_has_only_those(drivers, ready):
    assert service.plan(drivers, ready, only=["teams"]).streams == ("teams",)
    with pytest.raises(UnknownStreamError):
        service.plan(drivers, ready, only=["nope"])


def test_there_is_no_plan_without_streams_or_while_switched_off(drivers, ready):
    service.choose(drivers, ready, ["*"], selected=False)
    with pytest.raises(NothingSelectedError):
        service.plan(drivers, ready)
    off = service.switch(drivers, ready, enabled=False)
    with pytest.raises(DisabledError):
        service.plan(drivers, off)


def test_streams_that_would_be_loaded_over_each_other_are_not_read(drivers, github, meltano):
    names = ("public-users", "other-users", "public-teams")
    meltano.catalog = {"streams": [{**TEAMS, "tap_stream_id": name, "stream": name} for name in names]}
    service.discover(drivers, github)
    service.choose(drivers, github, ["*"], selected=True)
    with pytest.raises(SameTableError, match=r"'other-users' and 'public-users' .* 'users'"):
        service.plan(drivers, github)
    with pytest.raises(SameTableError):
        service.plan(drivers, github, only=["public-users"])
    assert service.plan(drivers, github, only=["public-teams"]).streams == ("public-teams",)
    service.choose(drivers, github, ["other-users"], selected=False)
    assert service.plan(drivers, github).streams == ("public-teams", "public-users")
    with pytest.raises(SameTableError):
        service.plan(drivers, github, only=["other-users"])


@pytest.mark.parametrize(("variant", "refused"), [("orchestrator", False), ("meltanolabs", True)])
def test_long_names_are_one_table_only_where_the_loader_cuts_them(drivers, github, meltano, variant, refused):
    names = ("public-" + "é" * 32 + "a", "public-" + "é" * 32 + "b")
    meltano.catalog = {"streams": [{**TEAMS, "tap_stream_id": name, "stream": name} for name in names]}
    with drivers.db.transaction(github.org_id) as tx:
        tx.execute(update(DestinationRow).values(variant=variant))
    service.discover(drivers, github)
    service.choose(drivers, github, ["*"], selected=True)
    with pytest.raises(SameTableError) if refused else nullcontext():
        assert service.plan(drivers, github).streams == names


def test_a_test_ends_with_the_plugin_itself(drivers, github, meltano, monkeypatch):
    meltano.catalog = {"streams": [USERS]}
    monkeypatch.setattr(type(drivers.http), "request", _answering(200, b"{}"))
    results = service.test(drivers, github)
    assert [(one.name, one.verdict) for one in results][-1] == ("first_record", Verdict.PASSED)
    assert "users" in results[-1].message
    assert {one.verdict for one in results} == {Verdict.PASSED}
    assert [stream.name for stream in service.streams(drivers, github)] == ["users"], "what it found is kept"


def test_the_first_failing_check_skips_the_rest(drivers, github, monkeypatch):
    monkeypatch.setattr(type(drivers.http), "request", _answering(401, b'{"message":"Bad credentials"}'))
    results = service.test(drivers, github)
    failed = [one for one in results if one.verdict is Verdict.FAILED]
    assert len(failed) == 1
    assert "Bad credentials" in failed[0].message
    assert TOKEN not in str(results)
    assert results[-1].verdict is Verdict.SKIPPED


def test_an_empty_source_passes_with_a_note(drivers, ready, meltano, monkeypatch):
    monkeypatch.setattr(type(drivers.http), "request", _answering(200, b"{}"))
    meltano.first_stream = None
    last = service.test(drivers, ready)[-1]
    assert last.verdict is Verdict.PASSED
    assert "no record" in last.message


def test_a_source_without_streams_passes_with_a_note(drivers, github, meltano, monkeypatch):
    monkeypatch.setattr(type(drivers.http), "request", _answering(200, b"{}"))
    meltano.catalog = {"streams": []}
    last = service.test(drivers, github)[-1]
    assert (last.verdict, "no stream" in last.message) == (Verdict.PASSED, True)


def test_a_plugin_that_fails_fails_the_test_in_its_words(drivers, ready, meltano, monkeypatch):
    monkeypatch.setattr(type(drivers.http), "request", _answering(200, b"{}"))
    meltano.first_stream, meltano.code, meltano.error = None, 1, "401 Unauthorized"
    last = service.test(drivers, ready)[-1]
    assert (last.verdict, last.message) == (Verdict.FAILED, "401 Unauthorized")


def _answering(status, body):
    class Answer:
        pass

    def request(self, method, url, **_):
        answer = Answer()
        answer.status, answer.body = status, body
        return answer

    return request


@pytest.fixture
def strangers(drivers):
    """A network where a name of a tenant's leads to a private address, and none of those is allowed."""
    drivers.__dict__["http"] = Http(allow_private=False, resolve=lambda _host, _port: ["10.0.0.7"])


def test_nothing_is_started_towards_an_address_that_is_not_allowed(drivers, shop, meltano, strangers):
    with pytest.raises(AddressNotAllowedError, match=r"127\.0\.0\.1:5432"):
        service.discover(drivers, shop)
    with drivers.db.connection() as connection:
        connection.execute(
            text('UPDATE orchestrator.integrations SET config = config || \'{"host": "db.tenant.example"}\'')
        )
    moved = service.find(drivers, shop.org_id, shop.id)
    with pytest.raises(AddressNotAllowedError, match=r"db\.tenant\.example:5432 is not called: it is private"):
        service.opened(drivers, moved).extractor()
    failed = next(one for one in service.test(drivers, moved) if one.verdict is Verdict.FAILED)
    assert "is private" in failed.message
    assert meltano.ran == []


def test_a_destination_at_an_address_that_is_not_allowed_is_neither_saved_nor_called(drivers, place, strangers):
    own = {"server": "own", **SHOP, "host": "db.tenant.example"}
    new = NewIntegration(type="warehouse", name="Theirs", values={"connection": own})
    for test in (True, False):
        with pytest.raises(AddressNotAllowedError, match=r"db\.tenant\.example:5432"):
            service.add_destination(drivers, place, new, test=test)
    assert [one.name for one in service.destinations(drivers, place.org_id)] == ["warehouse"]


def test_a_sync_into_a_server_that_moved_to_a_private_address_does_not_start(drivers, place, meltano):
    drivers.__dict__["http"] = Http(allow_private=False, resolve=lambda _host, _port: ["8.8.8.8"])
    own = {"server": "own", **SHOP, "host": "db.tenant.example"}
    new = NewIntegration(type="warehouse", name="Theirs", values={"connection": own})
    service.add_destination(drivers, place, new, test=False)
    added = service.add(drivers, place, NewIntegration(type="github", name="a", values=GITHUB, destination="Theirs"))
    meltano.catalog = {"streams": [USERS]}
    service.discover(drivers, added)
    service.choose(drivers, added, ["*"], selected=True)
    assert service.plan(drivers, added).loader.environment["PGHOSTADDR"] == "8.8.8.8"
    drivers.__dict__["http"] = Http(allow_private=False, resolve=lambda _host, _port: ["10.0.0.7"])
    with pytest.raises(AddressNotAllowedError):
        service.plan(drivers, added)


def test_the_plugin_calls_the_address_that_was_judged(drivers, shop):
    assert service.opened(drivers, shop).extractor().environment["PGHOSTADDR"] == "127.0.0.1"


def test_a_destination_of_ones_own_is_signed_in_to_before_it_is_saved(drivers, place, server):
    def new(password):
        with_it = {"server": "own", "host": "localhost", "port": port, "database": "postgres", "user": server.user}
        return NewIntegration(type="warehouse", name="Mine", values={"connection": {**with_it, "password": password}})

    with over_tcp(server) as port:
        wrong = replace_user(new(server.password), "nobody")
        with pytest.raises(LoginRefusedError, match="nobody"):
            service.add_destination(drivers, place, wrong)
        assert len(service.destinations(drivers, place.org_id)) == 1
        assert service.add_destination(drivers, place, new(server.password)).name == "Mine"


def replace_user(new, user):
    return replace(new, values={"connection": {**new.values["connection"], "user": user}})


def test_a_destination_of_files_can_be_added_and_used(drivers, place):
    added = service.add_destination(
        drivers, place, NewIntegration(type="jsonl", name="files", values={"folder": "sales"})
    )
    assert added.name in {one.name for one in service.destinations(drivers, place.org_id)}
    with pytest.raises(NameTakenError):
        service.add_destination(drivers, place, NewIntegration(type="jsonl", name="files", values={"folder": "sales"}))
    with pytest.raises(InvalidIntegrationConfigError):
        service.add_destination(drivers, place, NewIntegration(type="jsonl", name="x", values={"nope": 1}))
