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
    with serving(tmp_path / "state.sock", state_answers(kept.get, kept.__setitem__), limit=10_000) as address:
        yield SocketStateStoreManager(uri=f"orchestrator://{address}", lock_timeout_seconds=10)


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

    with (
        serving(tmp_path / "state.sock", state_answers(fail, print), limit=1000) as address,
        pytest.raises(StateRefusedError, match="failed to answer"),
    ):
        SocketStateStoreManager(uri=f"orchestrator://{address}").get("a")


@pytest.mark.parametrize("wrong", ["", "#", "#00", "#" + "0" * 32])
def test_whoever_does_not_know_the_nonce_changes_nothing(tmp_path, kept, wrong):
    folder = tmp_path / "with # and % and ?"
    folder.mkdir()
    with serving(folder / "s", state_answers(kept.get, kept.__setitem__), limit=10_000) as address:
        SocketStateStoreManager(uri=f"orchestrator://{address}").set(MeltanoState(state_id="a"))
        path = address.rpartition("#")[0]
        with pytest.raises(SystemExit):
            SocketStateStoreManager(uri=f"orchestrator://{path}{wrong or '#'}").set(MeltanoState(state_id="b"))
        with pytest.raises(StateRefusedError):
            SocketStateStoreManager(uri=f"orchestrator://{path}{wrong or '#'}").get("a")
    assert set(kept) == {"a"}


def test_an_orchestrator_that_is_gone_ends_the_process(tmp_path):
    gone = SocketStateStoreManager(uri=f"orchestrator://{tmp_path}/state.sock#00")
    with pytest.raises(SystemExit):
        gone.set(MeltanoState(state_id="a"))


def test_history_is_not_meltanos_to_delete(store):
    with pytest.raises(StateRefusedError):
        store.clear("a")
    assert list(store.get_state_ids()) == []
