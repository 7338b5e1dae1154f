from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.domains.integrations import rules
from orchestrator.domains.integrations.types import (
    Destination,
    DisplayStatus,
    Health,
    Integration,
    Mode,
    SetupState,
    Stream,
)
from tests.fixtures.drivers import TEAMS, USERS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Integration(
    org_id="o", id="i", workspace_id="w", type="github", variant="meltanolabs", name="n", config={}, credential_id="c",
    destination_id="d", target_schema="s", setup_state=SetupState.CONNECTED, enabled=True, health=Health.HEALTHY,
    tested_at=None, discovered_at=None, created_at=NOW, updated_at=NOW, deleted_at=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param({}, DisplayStatus.CONNECTED, id="all well"),
        pytest.param({"health": Health.DEGRADED}, DisplayStatus.CONNECTED, id="degraded is still connected"),
        pytest.param({"health": Health.FAILING}, DisplayStatus.NEEDS_ATTENTION, id="failing"),
        pytest.param({"setup_state": SetupState.NEEDS_REAUTH}, DisplayStatus.NEEDS_ATTENTION, id="signed out"),
        pytest.param({"setup_state": SetupState.DRAFT}, DisplayStatus.CONNECTING, id="draft"),
        pytest.param({"setup_state": SetupState.PENDING_AUTH}, DisplayStatus.CONNECTING, id="waiting for sign-in"),
        pytest.param({"enabled": False}, DisplayStatus.DISCONNECTED, id="switched off"),
        pytest.param({"setup_state": SetupState.REVOKED}, DisplayStatus.DISCONNECTED, id="revoked"),
    ],
)
def test_the_shown_status_comes_from_three_axes(changes, shown):
    assert rules.display_status(replace(ONE, **changes)) is shown


@pytest.mark.parametrize(
    ("name", "taken", "schema"),
    [
        pytest.param("Salesforce demo", [], "salesforce_demo", id="words"),
        pytest.param("Salesforce demo", ["salesforce_demo", "salesforce_demo_2"], "salesforce_demo_3", id="taken"),
        pytest.param("Ünïcode — 日本", [], "n_code", id="other letters"),
        pytest.param("日本", [], "integration", id="nothing left"),
        pytest.param("2024 numbers", [], "s_2024_numbers", id="a digit first"),
        pytest.param("pg_catalog", [], "s_pg_catalog", id="Postgres's own prefix"),
        pytest.param("x" * 200, [], "x" * 53, id="too long"),
    ],
)
def test_a_schema_is_named_after_its_integration(name, taken, schema):
    found = rules.schema_name(name, taken)
    assert found == schema
    assert rules.schema_problem(found) is None


def test_a_mark_sets_a_schema_apart_from_those_nobody_here_knows_of():
    assert rules.schema_name("Sales", ["sales"], mark="7x0k") == "sales_7x0k"
    assert rules.schema_problem(rules.schema_name("x" * 200, [f"{'x' * 53}_7x0k"], mark="7x0k")) is None


@pytest.mark.parametrize(
    "schema", ["Upper", "with space", 'qu"ote', "", "1st", "pg_x", "public", "orchestrator", "a" * 64]
)
def test_a_schema_postgres_or_we_cannot_take_is_refused(schema):
    assert rules.schema_problem(schema)


@pytest.mark.parametrize("name", ["", "  ", " x", "x\n", "a" * 101, "int_abc", "-x", "tab\there", "x\x9b", "a\u202eb"])
def test_a_name_nobody_could_type_is_refused(name):
    assert rules.name_problem(name)


@pytest.mark.parametrize("name", ["Salesforce", "日本 🎉", 'it\'s "quoted"', "$HOME"])
def test_any_other_name_is_fine(name):
    assert rules.name_problem(name) is None


def test_patterns_prefer_the_exact_name_and_else_ignore_case():
    names = ("Account", "AccountHistory", "contact", "Contact")
    assert rules.matching(["Contact", "account", "acc*", "?ead"], names) == {
        "Contact": ("Contact",),
        "account": ("Account",),
        "acc*": ("Account", "AccountHistory"),
        "?ead": (),
    }


def test_a_stream_that_tells_changes_is_read_incrementally():
    assert rules.entry_mode(USERS) is Mode.INCREMENTAL
    assert rules.entry_mode(TEAMS) is Mode.FULL_TABLE
    assert rules.modes(USERS) == (Mode.FULL_TABLE, Mode.INCREMENTAL)
    assert rules.modes(TEAMS) == (Mode.FULL_TABLE,)


def test_a_way_of_reading_the_tap_forces_is_the_only_one():
    forced = {"stream": "x", "metadata": [{"breadcrumb": [], "metadata": {"forced-replication-method": "FULL_TABLE"}}]}
    assert rules.modes(forced) == (Mode.FULL_TABLE,)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        pytest.param({**TEAMS, "tap_stream_id": "a\x1b[2J"}, "its name", id="an escape sequence"),
        pytest.param(
            {**TEAMS, "tap_stream_id": "ok", "stream": "a\nb"}, "its name", id="a line break in its other name"
        ),
        pytest.param({**TEAMS, "tap_stream_id": "a\u202eb"}, "its name", id="written backwards"),
        pytest.param({**TEAMS, "schema": {"properties": {"a\0": {}}}}, "fields", id="a field"),
        pytest.param({**TEAMS, "schema": {"properties": {"a": {"enum": ["\0"]}}}}, "stored", id="NUL deep within"),
        pytest.param({**TEAMS, "schema": {"properties": {"a": {"title": "\ud800"}}}}, "stored", id="half a character"),
    ],
)
def test_a_stream_with_a_name_that_can_not_be_shown_or_stored_is_not_kept(entry, problem):
    assert problem in rules.entry_problem(entry)


def test_a_stream_may_have_any_name_that_can_be_read():
    assert rules.entry_problem({**TEAMS, "tap_stream_id": "public-Größe 📏[/b]"}) is None


def test_keys_come_from_the_entry_or_its_metadata():
    by_metadata = {"stream": "x", "metadata": [{"breadcrumb": [], "metadata": {"table-key-properties": ["a", "b"]}}]}
    assert rules.primary_key(USERS) == ("id",)
    assert rules.primary_key(by_metadata) == ("a", "b")
    assert rules.primary_key({"stream": "x"}) == ()


def test_the_catalog_of_a_run_has_the_chosen_streams_and_fields_only():
    users = Stream(
        name="users", selected=True, mode=Mode.INCREMENTAL, deselected_fields=("id", "name"), entry=USERS,
        discovered_at=NOW, gone_at=None,
    )  # fmt: skip
    (entry,) = rules.run_catalog([users])["streams"]
    assert (entry["replication_method"], entry["replication_key"]) == ("INCREMENTAL", "at")
    chosen = {tuple(item["breadcrumb"]): item["metadata"]["selected"] for item in entry["metadata"]}
    assert chosen == {(): True, ("properties", "id"): True, ("properties", "name"): False, ("properties", "at"): True}
    assert USERS["metadata"][0]["metadata"].get("selected") is None, "the stored entry is left as it was"


def test_a_stream_read_whole_has_no_replication_key():
    users = Stream(
        name="users",
        selected=True,
        mode=Mode.FULL_TABLE,
        deselected_fields=(),
        entry=USERS,
        discovered_at=NOW,
        gone_at=None,
    )
    (entry,) = rules.run_catalog([users])["streams"]
    assert (entry["replication_method"], entry["replication_key"]) == ("FULL_TABLE", None)
    assert "replication-key" not in entry["metadata"][0]["metadata"]


@pytest.mark.parametrize(
    ("config", "built_in"),
    [
        ({}, True),
        ({"connection": {"server": "built_in"}}, True),
        ({"connection": {"server": "other", "host": "h"}}, False),
    ],
)
def test_the_built_in_warehouse_is_the_one_nobody_named_a_server_for(config, built_in):
    assert (
        rules.is_built_in(
            Destination(org_id="o", id="d", type="warehouse", variant="orchestrator", name="w", config=config)
        )
        is built_in
    )


@pytest.mark.parametrize(
    ("streams", "together"),
    [
        pytest.param(["users", "teams"], (), id="each its own"),
        pytest.param(["public-users", "other-users", "public-teams"], ("public-users", "other-users"), id="schemas"),
        pytest.param(["a-b-users", "users"], ("a-b-users", "users"), id="with and without a schema"),
        pytest.param(["Users", "users"], (), id="Postgres tells case apart"),
        pytest.param(["users", "users"], (), id="named twice"),
    ],
)
def test_streams_that_a_warehouse_would_load_into_one_table_are_found(streams, together):
    def destination(connector):
        return Destination(org_id="o", id="d", type=connector, variant="orchestrator", name="w", config={})

    assert rules.in_one_table(destination("warehouse"), streams, cut_at=None) == together
    assert rules.in_one_table(destination("warehouse"), streams, cut_at=63) == together
    assert rules.in_one_table(destination("jsonl"), streams, cut_at=None) == (), (
        "a file is named after the whole stream"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(
            b'[{"message":"Session expired","errorCode":"INVALID_SESSION_ID"}]',
            "INVALID_SESSION_ID: Session expired",
            id="salesforce",
        ),
        pytest.param(b'{"error":"invalid_grant","error_description":"expired"}', "invalid_grant: expired", id="oauth"),
        pytest.param(b'{"message":"Bad credentials"}', "Bad credentials", id="github"),
        pytest.param(b"<html>", "", id="a page"),
        pytest.param(b"[]", "", id="nothing"),
        pytest.param(b'"x"', "", id="a text"),
        pytest.param(b"\xff", "", id="no utf-8"),
    ],
)
def test_a_refusal_is_told_in_the_providers_words(body, reason):
    assert rules.reason_in(body) == reason
