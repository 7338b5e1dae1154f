"""The class Meltano loads, against the real server; that Meltano loads it, and what it makes of it: test_runner."""

from importlib.metadata import entry_points

import pytest
from meltano.core.state_store.base import MeltanoState

from orchestrator.drivers.meltano.socket_server import serving, state_answers
from orchestrator.drivers.meltano.state_backend import SocketStateStoreManager, StateRefusedError


@pytest.fixture
def kept():
    return {}


@pytest.fixture
def store(tmp_path, kept):
    with serving(tmp_path / "state.sock", state_answers(kept.get, kept.__setitem__), limit=10_000) as path:
        yield SocketStateStoreManager(uri=f"orchestrator://{path}", lock_timeout_seconds=10)


def test_it_is_registered_under_its_scheme():
    [found] = entry_points(group="meltano.state_backends", name="orchestrator")
    assert found.load() is SocketStateStoreManager


def test_what_is_set_is_got_back(store, kept):
    state = MeltanoState(state_id="a", completed_state={"singer_state": {"x": 1}}, partial_state={})

    store.update(state)

    assert kept == {"a": {"completed": {"singer_state": {"x": 1}}, "partial": {}}}
    assert store.get("a") == state


def test_no_state_is_none(store):
    assert store.get("a") is None


def test_a_refused_set_ends_the_process(store, kept):
    with pytest.raises(SystemExit) as caught:
        store.set(MeltanoState(state_id="a", completed_state={"x": "y" * 20_000}, partial_state={}))
    assert caught.value.code == 1
    assert kept == {}


def test_a_refused_get_raises_with_the_reason(tmp_path):
    def fail(_state_id):
        raise RuntimeError

    path = tmp_path / "state.sock"
    refusing = serving(path, state_answers(fail, print), limit=1000)
    with refusing, pytest.raises(StateRefusedError, match="failed to answer"):
        SocketStateStoreManager(uri=f"orchestrator://{path}").get("a")


def test_an_orchestrator_that_is_gone_ends_the_process(tmp_path):
    gone = SocketStateStoreManager(uri=f"orchestrator://{tmp_path}/state.sock")
    with pytest.raises(SystemExit):
        gone.set(MeltanoState(state_id="a"))


def test_history_is_not_meltanos_to_delete(store):
    with pytest.raises(StateRefusedError):
        store.clear("a")
    assert list(store.get_state_ids()) == []
