"""Discovery, and reading the first record."""

import pytest
from pydantic import SecretStr

from orchestrator.drivers.meltano.errors import DiscoveryError
from orchestrator.drivers.meltano.process import Stopped
from orchestrator.drivers.meltano.values import Project
from tests.drivers.meltano.callbacks import Callbacks, selection


def test_discovery_answers_with_the_catalog(meltano, tap, runs):
    callbacks = Callbacks()
    catalog = meltano.discover(tap(streams={"users": 1}, noise=["hello"]), on_output=callbacks.on_output)

    assert [stream["tap_stream_id"] for stream in catalog["streams"]] == ["users"]
    assert "hello" in callbacks.text
    assert list(runs.iterdir()) == []


def test_a_discovery_that_fails_says_why_in_the_taps_own_words(meltano, tap):
    callbacks = Callbacks()
    broken = tap(streams=5)
    with pytest.raises(DiscoveryError) as caught:
        meltano.discover(broken, on_output=callbacks.on_output)

    assert "TypeError: 'int' object is not iterable" in caught.value.message


def test_a_catalog_that_cannot_be_worked_with_is_said(meltano, tap):
    with pytest.raises(DiscoveryError, match=r"can't be used \(streams.0"):
        meltano.discover(tap(discovers={"streams": ["users"]}), on_output=print)


def test_the_name_of_the_first_stream_is_shown_like_any_other_text(meltano, tap):
    name = "users\x1b[31m of hunter2\u200b-secret\nforged"
    extractor = tap(streams={name: 5}, hang=True, password=SecretStr("hunter2-secret"))

    found = meltano.read_first_record(Project(extractor=extractor), on_output=print)

    assert found.stream == "users of ••• forged"


def test_reading_the_first_record_stops_there(meltano, tap):
    callbacks = Callbacks()
    extractor = tap(streams={"users": 5, "orders": 5}, hang=True)

    found = meltano.read_first_record(
        Project(extractor=extractor, catalog=selection("orders")), on_output=callbacks.on_output
    )

    assert found.stream == "orders"
    assert found.exit.stopped is Stopped.ENOUGH


def test_an_empty_source_is_no_failure_and_has_no_record(meltano, tap):
    callbacks = Callbacks()
    found = meltano.read_first_record(Project(extractor=tap(streams={"users": 0})), on_output=callbacks.on_output)

    assert (found.stream, found.exit.code, found.exit.error) == (None, 0, None)


def test_a_refused_sign_in_fails_with_the_taps_own_line(meltano, tap):
    callbacks = Callbacks()
    extractor = tap(
        streams={"users": 5}, noise=["INFO signing in"], refuse="requests.exceptions.HTTPError: 401 Bad credentials"
    )

    found = meltano.read_first_record(Project(extractor=extractor), on_output=callbacks.on_output)

    assert found.stream is None
    assert found.exit.code == 1
    assert found.exit.error == "requests.exceptions.HTTPError: 401 Bad credentials"
