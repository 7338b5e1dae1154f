import secrets

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from orchestrator.drivers import postgres_facts
from orchestrator.kernel.db import Database, DatabaseAwayError, engine


@pytest.fixture
def guest(server):
    """The warehouse for a login that may connect, and nothing more."""
    address = make_url(server.url("warehouse").get_secret_value())
    owner, password = Database(engine(server.url("orchestrator"))), secrets.token_hex(8)
    try:
        with owner.connection() as connection:
            connection.execute(text(f"CREATE ROLE facts_guest LOGIN PASSWORD '{password}'"))
            connection.execute(text("GRANT CONNECT ON DATABASE warehouse TO facts_guest"))
        guest = address.set(username="facts_guest", password=password)
        yield SecretStr(guest.render_as_string(hide_password=False))
        with owner.connection() as connection:
            connection.execute(text("REVOKE CONNECT ON DATABASE warehouse FROM facts_guest"))
            connection.execute(text("DROP ROLE facts_guest"))
    finally:
        owner.close()


def test_a_server_tells_its_version_and_that_its_owner_may_create_schemas(server):
    facts = postgres_facts.at(server.url("warehouse"))
    assert int(facts.version.split(".")[0]) >= 14
    assert facts.may_create_schemas


def test_a_login_without_the_right_may_not_create_schemas(guest):
    assert not postgres_facts.at(guest).may_create_schemas


def test_an_open_database_is_asked_over_its_own_connections(database):
    assert postgres_facts.of(database) == postgres_facts.at(
        SecretStr(database.pool.url.render_as_string(hide_password=False))
    )


def test_a_server_that_is_away_is_told():
    with pytest.raises(DatabaseAwayError):
        postgres_facts.at(SecretStr("postgresql://nobody@127.0.0.1:9/nothing"))
