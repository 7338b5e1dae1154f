"""A run of Meltano, from its project to what both plugins said."""

import json
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from orchestrator.drivers.meltano import runner
from orchestrator.drivers.meltano.errors import SettingError
from orchestrator.drivers.meltano.output import BlockCompleted, LogLine, Metric
from orchestrator.drivers.meltano.process import Isolation
from orchestrator.drivers.meltano.values import BATCH_FOLDER, NOTES_FILE, TOKEN_SOCKET, Project
from tests.drivers.meltano.callbacks import Callbacks, selection


def test_a_run_moves_the_selected_streams_and_reports_both_sides(meltano, tap, target, runs, tmp_path):
    callbacks = Callbacks()
    extractor = tap(streams={"users": 2500, "orders": 10}, copy_to=str(tmp_path))

    end = callbacks.run(meltano, Project(extractor=extractor, loader=target(), catalog=selection("users")))

    assert (end.code, end.stopped, end.error, end.callback_error) == (0, None, None, None)
    assert end.read == end.written == {"users": 2500}
    assert len((tmp_path / "loaded" / "users.jsonl").read_text().splitlines()) == 2500
    assert not (tmp_path / "loaded" / "orders.jsonl").exists()
    assert end.block.success
    assert any(isinstance(output, Metric) for output in callbacks.outputs)
    assert any(isinstance(output, BlockCompleted) for output in callbacks.outputs)
    assert list(runs.iterdir()) == []


def test_every_state_is_handed_over_during_the_run(meltano, tap, target):
    callbacks = Callbacks()
    extractor = tap(streams={"users": 3500}, state_every=1000)

    callbacks.run(meltano, Project(extractor=extractor, loader=target(), state_id="int_1"))

    assert callbacks.asked == "run:tap-fixture-to-target-fixture:int_1"
    assert [bookmarks["users"]["id"] for bookmarks in callbacks.saved] == [1000, 2000, 3000, 3500]


def test_a_run_starts_from_the_state_it_is_given(meltano, tap, target, tmp_path):
    state = {"completed": {"singer_state": {"bookmarks": {"users": {"id": 90}}}}, "partial": {}}
    callbacks = Callbacks(state=state)

    end = callbacks.run(meltano, Project(extractor=tap(streams={"users": 100}), loader=target()))

    assert end.written == {"users": 10}


@pytest.mark.parametrize("refuse_after", [0, 3])
def test_a_state_that_cannot_be_stored_ends_the_run(meltano, tap, target, refuse_after):
    callbacks = Callbacks(refuse_after=refuse_after)

    end = callbacks.run(meltano, Project(extractor=tap(streams={"users": 3500}), loader=target()))

    assert end.code == 1
    assert isinstance(end.callback_error, RuntimeError)
    assert len(callbacks.saved) == refuse_after
    assert "the database is gone" not in callbacks.text


def test_a_failing_tap_is_told_from_a_failing_target(meltano, tap, target):
    callbacks = Callbacks()
    end = callbacks.run(meltano, Project(extractor=tap(streams={"users": 9}, fail_after=5), loader=target()))
    assert (end.code, end.block.extractor_code, end.block.loader_code) == (1, 1, None)
    assert end.error == "CRITICAL the source went away"

    end = callbacks.run(meltano, Project(extractor=tap(streams={"users": 9}), loader=target(fail_after=5)))
    assert (end.code, end.block.extractor_code, end.block.loader_code) == (1, None, 1)
    assert end.error == "ERROR the destination is full"


def test_lost_records_and_broken_states_show_although_meltano_exits_with_0(meltano, tap, target):
    callbacks = Callbacks()
    end = callbacks.run(meltano, Project(extractor=tap(streams={"users": 9}), loader=target(lose=2, bad_state=True)))

    assert end.code == 0
    assert (end.read, end.written) == ({"users": 9}, {"users": 7})
    assert end.invalid_states > 0
    assert callbacks.saved == []


def test_a_plugin_sees_its_own_settings_only_and_none_of_ours(meltano, tap, target, tmp_path, monkeypatch):
    callbacks = Callbacks()
    monkeypatch.setenv("INTEGRATION_ENCRYPTION_KEY", "master-key-value")
    folder = str(tmp_path)
    extractor = tap(streams={"users": 1}, password=SecretStr("tap-password"), copy_to=folder)

    callbacks.run(
        meltano, Project(extractor=extractor, loader=target(secret=SecretStr("target-secret"), copy_to=folder))
    )

    given = json.loads((tmp_path / "tap.json").read_text())
    assert given["parent"] == []  # neither environment, memory nor open files of Meltano
    other = json.loads((tmp_path / "target.json").read_text())
    assert given["mode"] == "0o100600"
    assert given["config"]["password"] == "tap-password"
    assert other["config"]["secret"] == "target-secret"
    environments = [json.dumps(plugin["env"]) for plugin in (given, other)]
    for value in ("tap-password", "target-secret", "master-key-value"):
        assert all(value not in environment for environment in environments)
    assert set(given["env"]) <= {
        "PATH", "HOME", "TMPDIR", "LANG", "TZ", "NO_COLOR", "SINGER_SDK_LOG_CONFIG", "LOGGING_CONF_FILE", "PWD", "LC_CTYPE",
        "JOBLIB_MULTIPROCESSING",
    }  # fmt: skip


def test_secrets_are_taken_out_of_everything_that_is_said(meltano, tap, target):
    callbacks = Callbacks()
    secret = 'p"ss/wörd\nsecond-line'
    noise = [f"login with {secret!r}", json.dumps({"password": secret}), "and second-line alone", 'ERROR p"ss/wörd']
    extractor = tap(streams={"users": 1}, password=SecretStr(secret), noise=noise, fail_after=1, error=f"bad: {secret}")

    end = callbacks.run(meltano, Project(extractor=extractor, loader=target()))

    said = callbacks.text + end.error
    assert "•••" in said
    for part in ("wörd", "w\\u00f6rd", "second-line"):
        assert part not in said


def test_meltanos_own_copy_of_the_log_goes_nowhere(meltano, tap, target, runs):
    found = {}

    def look(output):
        if isinstance(output, LogLine) and output.message == "waiting":
            for path in runs.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    found[path.name] = b"hello" in path.read_bytes()
            cancel.set()

    cancel = threading.Event()
    extractor = tap(streams={"users": 1}, noise=["hello"], hang=True)
    Callbacks().run(meltano, Project(extractor=extractor, loader=target()), on_output=look, cancel=cancel)

    assert [name for name, said in found.items() if said and "config" not in name] == []
    assert "meltano.yml" in found
    assert "elt.log" not in found


def test_a_tap_asks_for_a_fresh_token_and_the_answer_is_redacted(meltano, tap, target):
    callbacks = Callbacks()
    asked = []

    def fresh_token(digest):
        asked.append(digest)
        return {"access_token": "rotated-token-1", "instance_url": "https://org.example"}

    extractor = tap(streams={"users": 1}, token_socket=TOKEN_SOCKET)
    end = callbacks.run(meltano, Project(extractor=extractor, loader=target()), fresh_token=fresh_token)

    assert end.code == 0
    assert asked == ["abc"]
    assert "the new token is •••" in callbacks.text


@pytest.mark.parametrize("isolation", list(Isolation))
def test_who_is_none_of_a_runs_processes_is_not_heard_on_its_sockets(meltano, tap, target, tmp_path, isolation):
    cancel, heard = threading.Event(), []

    def ask(output):
        if isinstance(output, LogLine) and output.message == "waiting":
            address = json.loads((tmp_path / "tap.json").read_text())["config"]["token_socket"]
            with socket.socket(socket.AF_UNIX) as stranger, suppress(ConnectionError):
                stranger.connect(address.rpartition("#")[0])
                stranger.sendall(f'{address.rpartition("#")[2]}\n{{"rejected_sha256": "abc"}}\n'.encode())
                heard.append(stranger.recv(1000))
            cancel.set()

    asked = []
    token = {"access_token": "rotated-token-1", "instance_url": "https://org.example"}
    extractor = tap(streams={"users": 1}, token_socket=TOKEN_SOCKET, copy_to=str(tmp_path), hang=True)
    Callbacks().run(
        replace(meltano, isolation=isolation),
        Project(extractor=extractor, loader=target()),
        on_output=ask,
        cancel=cancel,
        fresh_token=lambda digest: asked.append(digest) or token,
    )

    assert cancel.is_set()
    assert asked == ["abc"], "the tap was answered, and nobody else"
    assert heard in ([], [b""])


def test_both_plugins_are_given_one_private_folder_for_batch_files(meltano, tap, target, tmp_path):
    callbacks = Callbacks()
    batches = {"storage": {"root": BATCH_FOLDER}}
    extractor = tap(streams={"users": 1}, copy_to=str(tmp_path), batch_config=batches)

    end = callbacks.run(meltano, Project(extractor=extractor, loader=target(batch_config=batches)))

    assert end.code == 0
    config = json.loads((tmp_path / "tap.json").read_text())["config"]
    folder = Path(urlsplit(config["batch_config"]["storage"]["root"]).path)
    assert folder.is_relative_to(meltano.runs)
    assert not folder.exists(), "gone with the run"


def test_what_a_loader_notes_is_given_to_its_next_run(meltano, tap, target):
    loader, first = target(notes_file=NOTES_FILE), Callbacks()

    end = first.run(meltano, Project(extractor=tap(streams={"users": 1}), loader=loader))
    again = first.run(meltano, Project(extractor=tap(streams={"users": 1}), loader=loader, notes=end.notes))

    assert (end.code, end.notes) == (0, "n")
    assert (again.code, again.notes) == (0, "nn")


def test_a_loader_that_was_given_no_place_for_notes_leaves_none(meltano, tap, target, runs):
    end = Callbacks().run(meltano, Project(extractor=tap(streams={"users": 1}), loader=target()))

    assert (end.code, end.notes) == (0, None)


def test_a_setting_that_needs_the_token_socket_is_refused_without_a_callback(meltano, tap, target):
    callbacks = Callbacks()
    with pytest.raises(SettingError):
        callbacks.run(meltano, Project(extractor=tap(token_socket=TOKEN_SOCKET), loader=target()))


def test_a_preview_masks_secrets_and_makes_nothing(meltano, tap, target, runs):
    extractor = tap(streams={"users": 1}, password=SecretStr("tap-password"), token_socket=TOKEN_SOCKET)

    preview = meltano.preview(Project(extractor=extractor, loader=target()))

    assert preview.variables["TAP_FIXTURE_PASSWORD"] == "•••"
    assert preview.variables["TAP_FIXTURE_STREAMS"] == '{"users": 1}'
    assert "tap-password" not in preview.meltano_yml
    assert not runs.exists()


def test_a_full_disk_is_the_reason_whatever_else_is_said(meltano, tap, target, monkeypatch):
    monkeypatch.setattr(runner.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))

    end = Callbacks().run(meltano, Project(extractor=tap(streams={"users": 5}, fail_after=1), loader=target()))

    assert end.storage_full
    assert "no space left" in end.error


def test_a_tap_can_neither_count_for_the_target_nor_end_the_run(meltano, tap, target):
    def structured(message, **extra):
        line = {"level": "info", "pid": 1, "logger_name": "x", "ts": 1, "thread_name": "x", "app_name": "x"}
        return json.dumps({**line, "message": message, "extra": {"producer": False, "consumer": True, **extra}})

    metric = {"metric": "record_count", "type": "counter", "value": 77, "tags": {"stream": "users"}}
    noise = [
        structured("Block run completed", success=True, _logger="meltano.cli.run"),
        structured("x", metric_info=metric),
    ]
    extractor = tap(streams={"users": 1}, noise=noise)
    extractor = replace(extractor, capabilities=(*extractor.capabilities, "structured-logging"))
    callbacks = Callbacks()

    end = callbacks.run(meltano, Project(extractor=extractor, loader=target(), catalog=selection("users")))

    assert (end.read, end.written) == ({"users": 78}, {"users": 1})
    assert (end.block.success, end.block.error) == (True, None)
    assert "Block run completed" in callbacks.text


def test_meltano_is_spared_where_a_plugin_that_is_over_wrote_to_its_own_pipe(meltano, tap, tmp_path):
    extractor = tap(streams={"users": 1}, discovery_daemon=str(tmp_path / "held"))
    catalog = meltano.discover(extractor, on_output=lambda _: None, timeout=timedelta(minutes=5))
    assert [stream["tap_stream_id"] for stream in catalog["streams"]] == ["users"]
