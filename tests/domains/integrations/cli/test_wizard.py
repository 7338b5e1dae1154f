"""Adding with a person at a terminal."""

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.types import NewIntegration
from tests.fixtures.drivers import over_tcp

ADVANCED, SAVE = "Change advanced settings?", "Save it and test it?"


@pytest.fixture
def listed(drivers, place):
    return lambda: [(one.name, one.setup_state.value) for one in service.listing(drivers, place.org_id)]


def fill_in(screen, org, *, secret, name=""):
    """Answer everything up to the summary."""
    screen.answer("Number:", "Client credentials")
    screen.answer("Consumer key:", org.app.client_id)
    screen.answer("Consumer secret (hidden):", secret)
    screen.answer("Salesforce domain [login.salesforce.com]:", org.url)
    screen.answer("Start date", "2020-01-01")
    screen.answer("Objects", "")
    screen.answer("Include deleted records? [Y/n]", "")
    screen.answer(ADVANCED, "")
    screen.answer("Name [Salesforce]:", name)


@pytest.mark.parametrize("columns", [80, 120])
def test_salesforce_from_the_first_question_to_the_first_streams(terminal, org, drivers, place, columns):
    screen = terminal("add", "salesforce", columns=columns)
    fill_in(screen, org, secret=org.app.client_secret, name="Our CRM")
    screen.expect("auth.client_secret  •••")
    screen.answer(SAVE, "y")
    for title in ("Reach Salesforce", "Sign in", "Use the API", "Read a first record with tap-salesforce"):
        screen.expect(f"✓ {title}")
    screen.expect("● Account")
    screen.answer("Streams [as marked]:", "-Lead")
    screen.expect("Selected: Account, Contact, Opportunity, User.")
    screen.expect("orchestrator sync 'Our CRM'")
    assert screen.ended() == 0
    assert org.app.client_secret not in screen.screen
    assert all(
        len(line) <= columns for line in screen.screen.splitlines() if "⠋" not in line and org.app.client_id not in line
    )
    found = service.find(drivers, place.org_id, "Our CRM")
    assert found.setup_state.value == "connected"
    assert [one.name for one in service.streams(drivers, found) if one.selected] == [
        "Account", "Contact", "Opportunity", "User",
    ]  # fmt: skip


def test_a_wrong_answer_is_asked_again_with_the_reason(terminal, org, listed):
    screen = terminal("add", "salesforce")
    screen.answer("Number:", "9")
    screen.expect("Give a number from 1 to 4.")
    screen.answer("Number:", "2")
    screen.answer("Consumer key:", "")
    screen.expect("Consumer key is missing.")
    screen.answer("Consumer key:", "an-id")
    screen.answer("Consumer secret (hidden):", "a-secret")
    screen.answer("Salesforce domain", "example.com")
    screen.expect("'example.com' is not one of Salesforce's addresses")
    screen.answer("Salesforce domain", "http://127.0.0.1:1")
    screen.answer("Start date", "yesterday")
    screen.expect("'yesterday' is not a date")
    screen.answer("Start date", "2020-01-01")
    screen.answer("Objects", "")
    screen.answer("Include deleted records? [Y/n]", "maybe")
    screen.expect("Answer yes or no.")
    screen.answer("Include deleted records? [Y/n]", "n")
    screen.answer(ADVANCED, "y")
    screen.answer("Number [2]:", "")
    screen.answer("Parallel requests [4]:", "99")
    screen.expect("99 is more than 32")
    screen.interrupt("Nothing was saved.")
    assert screen.ended() == 130
    assert listed() == []


def test_a_key_is_pasted_line_by_line_and_never_shown(terminal, org, listed):
    pem = org.app.private_key.strip()
    screen = terminal("add", "salesforce")
    screen.answer("Number:", "3")
    screen.answer("Consumer key:", org.app.client_id)
    screen.answer("Username", org.app.username)
    screen.answer("Private key (path of a file, or paste it):", "no key at all\n")
    screen.expect("is not a private key in PEM form")
    screen.answer("Private key (path of a file, or paste it):", pem)
    screen.answer("Salesforce domain", org.url)
    screen.answer("Start date", "2020-01-01")
    screen.answer("Objects", "")
    screen.answer("Include deleted", "")
    screen.answer(ADVANCED, "")
    screen.answer("Name", "")
    screen.answer(SAVE, "")
    screen.answer("Streams", "")
    assert screen.ended() == 0
    assert listed() == [("Salesforce", "connected")]
    assert not [line for line in pem.splitlines()[1:-1] if line in screen.screen]


def test_a_key_can_be_a_file(terminal, org, tmp_path):
    key = tmp_path / "key.pem"
    key.write_text(org.app.private_key)
    screen = terminal("add", "salesforce")
    screen.answer("Number:", "3")
    screen.answer("Consumer key:", org.app.client_id)
    screen.answer("Username", org.app.username)
    screen.answer("Private key", str(key))
    screen.expect("Salesforce domain")
    screen.end_input()
    assert screen.ended() == 130


def test_a_failed_test_can_be_corrected_with_what_was_answered_as_defaults(terminal, org, listed):
    screen = terminal("add", "salesforce")
    fill_in(screen, org, secret="a-wrong-secret")
    screen.answer(SAVE, "")
    screen.expect("× Sign in")
    screen.expect("– Use the API")
    screen.answer("Number [1]:", "1")
    screen.answer("Number [2]:", "")
    screen.answer(f"Consumer key [{org.app.client_id[:8]}", "")
    screen.answer("empty keeps it):", org.app.client_secret)
    screen.answer(f"Salesforce domain [{org.url}]:", "")
    screen.answer("Start date [2020-01-01]:", "")
    screen.answer("Objects", "")
    screen.answer("Include deleted", "")
    screen.answer(ADVANCED, "")
    screen.expect("✓ Read a first record")
    screen.answer("Streams", "nothing here")
    screen.expect("No stream fits 'nothing here'.")
    screen.answer("Streams", "?")
    screen.answer("Streams", "all")
    assert screen.ended() == 0
    assert "6 of 6" in screen.screen
    assert listed() == [("Salesforce", "connected")]


@pytest.mark.parametrize(
    ("choice", "said", "left"),
    [("2", "is kept as a draft", [("Salesforce", "draft")]), ("3", "was discarded; nothing of it is left", [])],
    ids=["keep", "discard"],
)
def test_a_failed_test_can_be_left_alone(terminal, org, drivers, place, listed, choice, said, left):
    screen = terminal("add", "salesforce")
    fill_in(screen, org, secret="a-wrong-secret")
    screen.answer(SAVE, "")
    screen.answer("Number [1]:", choice)
    screen.expect(said)
    assert screen.ended() == 0
    assert listed() == left
    with drivers.db.transaction(place.org_id) as tx:
        for table in ("integrations", "integration_credentials", "vault_secrets"):
            assert tx.scalar(text(f"SELECT count(*) FROM orchestrator.{table}")) == len(left), table


def test_stopping_after_it_was_saved_says_that_it_was(terminal, org, listed):
    screen = terminal("add", "salesforce")
    fill_in(screen, org, secret=org.app.client_secret)
    screen.answer(SAVE, "")
    screen.expect("Streams [as marked]:")
    screen.interrupt("Salesforce is connected. What it reads: orchestrator streams Salesforce")
    assert screen.ended() == 130
    assert listed() == [("Salesforce", "connected")]


def test_saying_no_to_the_summary_saves_nothing(terminal, org, listed):
    screen = terminal("add", "salesforce")
    fill_in(screen, org, secret="whatever")
    screen.answer(SAVE, "n")
    screen.expect("Nothing was saved.")
    assert screen.ended() == 0
    assert listed() == []


def test_an_edit_keeps_the_secret_that_is_left_empty(terminal, drivers, place, github):
    screen = terminal("integrations", "edit", "Our code", "--no-test")
    screen.answer("empty keeps it):", "")
    screen.answer("Number [1]:", "")
    screen.answer("[octo/hello]:", "octo/world")
    screen.answer("Start date [2024-01-01]:", "")
    screen.answer(ADVANCED, "")
    screen.expect("Saved.")
    assert screen.ended() == 0
    changed = service.find(drivers, place.org_id, "Our code")
    assert changed.config["what"]["repositories"] == ["octo/world"]
    assert service.public(drivers, changed)["auth"]["token"]["set"] is True


def test_a_secret_is_asked_for_again_where_it_would_go_to_another_server(terminal, drivers, place):
    values = {"host": "localhost", "database": "shop", "user": "etl", "password": "the-first-secret"}
    service.add(drivers, place, NewIntegration(type="postgres", name="Shop", values=values))
    screen = terminal("integrations", "edit", "Shop", "--no-test")
    screen.answer("Host [localhost]:", "127.0.0.1")
    screen.answer("Port [5432]:", "")
    screen.answer("Database [shop]:", "")
    screen.answer("User [etl]:", "")
    screen.answer("empty keeps it):", "")
    screen.answer("Number [1]:", "")
    screen.answer("Schemas", "")
    screen.answer(ADVANCED, "")
    screen.expect("Host has changed")
    screen.answer("Password (hidden):", "")
    screen.expect("Password is missing.")
    screen.answer("Password (hidden):", "the-second-secret")
    screen.expect("Saved.")
    assert screen.ended() == 0
    changed = service.find(drivers, place.org_id, "Shop")
    assert service.opened(drivers, changed).secrets["password"].get_secret_value() == "the-second-secret"


def test_a_destination_is_asked_for_in_the_same_way(terminal, command):
    screen = terminal("add", "jsonl")
    screen.answer("Folder [files]:", "crm/raw")
    screen.answer(ADVANCED, "")
    screen.answer("Name [JSON Lines files]:", "Files")
    screen.answer("Save it?", "y")
    screen.expect("--destination Files")
    assert screen.ended() == 0


def test_a_registered_app_is_not_asked_for(terminal, org, drivers, place):
    app = {"SALESFORCE_CLIENT_ID": org.app.client_id, "SALESFORCE_CLIENT_SECRET": org.app.client_secret}
    screen = terminal("add", "salesforce", **app)
    screen.answer("Number:", "1")
    screen.answer("Refresh token (hidden):", org.app.refresh_token)
    screen.answer("Salesforce domain", org.url)
    screen.answer("Start date", "2020-01-01")
    screen.answer("Objects", "")
    screen.answer("Include deleted", "")
    screen.answer(ADVANCED, "")
    screen.answer("Name", "")
    screen.answer(SAVE, "")
    screen.answer("Streams", "none of these, User")
    screen.answer("Streams", "+Asset")
    assert screen.ended() == 0
    assert "Consumer" not in screen.screen
    found = service.find(drivers, place.org_id, "Salesforce")
    assert found.config["auth"]["client_id"] == org.app.client_id
    assert "Asset" in [one.name for one in service.streams(drivers, found) if one.selected]


def test_of_several_destinations_one_is_picked(terminal, command, org):
    assert command("add", "jsonl", "--set", "folder=crm", "--name", "Files").code == 0
    screen = terminal("add", "salesforce")
    fill_in(screen, org, secret=org.app.client_secret)
    screen.answer("Number [2]:", "Files")
    screen.expect("loads into          Files")
    screen.answer(SAVE, "n")
    assert screen.ended() == 0


def test_a_name_that_was_taken_meanwhile_is_asked_for_again(terminal, org, drivers, place, salesforce_fields, listed):
    screen = terminal("add", "salesforce")
    fill_in(screen, org, secret=org.app.client_secret)
    screen.expect(SAVE)
    service.add(drivers, place, NewIntegration(type="salesforce", name="Salesforce", values=salesforce_fields))
    screen.type("y")
    screen.expect("Another integration already has the name 'Salesforce'.")
    screen.answer("Name [Salesforce 2]:", "")
    screen.answer(SAVE, "")
    screen.answer("Streams", "")
    assert screen.ended() == 0
    assert listed() == [("Salesforce", "draft"), ("Salesforce 2", "connected")]


def test_a_destination_that_refuses_is_corrected_in_the_conversation(terminal, server, command):
    with over_tcp(server) as port:
        screen = terminal("add", "warehouse", "--name", "Mine")
        screen.answer("Number [1]:", "2")
        screen.answer("Host", "localhost")
        screen.answer("Port [5432]:", str(port))
        screen.answer("Database", "nowhere")
        screen.answer("User", server.user)
        screen.answer("Password (hidden):", server.password.get_secret_value())
        screen.answer("Number [1]:", "")
        screen.answer(ADVANCED, "")
        screen.answer("Save it?", "y")
        screen.expect("does not exist")
        screen.answer("Number [2]:", "")
        screen.answer("Host", "")
        screen.answer("Port", "")
        screen.answer("Database [nowhere]:", "postgres")
        screen.answer("User", "")
        screen.answer("Password", "")
        screen.answer("Number [1]:", "")
        screen.answer(ADVANCED, "")
        screen.answer("Save it?", "y")
        screen.expect("--destination Mine")
        assert screen.ended() == 0
