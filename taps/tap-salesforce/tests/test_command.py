"""The command as people and Meltano start it: exit statuses, sentences instead of tracebacks, signals, pipes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from tap_salesforce.tap import TapSalesforce

TAP = [sys.executable, "-m", "tap_salesforce"]


@pytest.fixture
def command(tmp_path, configure, org):
    """Arguments that run the tap against the org."""

    def made(**changes):
        file = tmp_path / "config.json"
        file.write_text(json.dumps(configure(org, **changes)))
        return [*TAP, "--config", str(file)]

    return made


def test_a_sync_on_the_command_line(command):
    done = subprocess.run(command(streams=["Account"]), capture_output=True, text=True, timeout=60, check=False)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [m["type"] for m in messages].count("RECORD") == 60
    assert messages[0]["type"] == "SCHEMA" and messages[-1]["type"] == "STATE"
    assert re.search(r'METRIC: .*"record_count","value":60', done.stderr)


@pytest.mark.parametrize("more", [[], ["--discover"], ["--test"]])
def test_a_foreseen_failure_is_a_sentence_for_people_and_one_for_machines(command, more):
    wrong = {"auth_type": "client_credentials", "client_id": "nobody", "client_secret": "s3cr3t-value"}
    done = subprocess.run([*command(auth=wrong), *more], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "s3cr3t-value" not in done.stderr
    assert "Salesforce refused the sign-in: invalid_client_id" in done.stderr
    failure = json.loads(done.stderr.split("FAILURE: ")[1].splitlines()[0])
    assert (failure["kind"], failure["origin"], failure["retryable"]) == ("auth_expired", "source", False)
    assert failure["message"] and failure["hint"]


def test_a_failure_in_the_middle_of_a_stream_has_no_traceback_either(command, org):
    org.faults.add("job_failed", reason="QUERY_TIMEOUT")
    done = subprocess.run(command(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "unhandled" not in done.stderr
    assert "QUERY_TIMEOUT" in done.stderr


def test_an_unforeseen_failure_keeps_its_traceback(configure, org, tmp_path, monkeypatch):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(configure(org)))
    monkeypatch.setattr("tap_salesforce.reading.Reading.steps", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        TapSalesforce.cli(["--config", str(file)])


def test_a_wrong_configuration_is_refused_before_anything_is_sent(command, org):
    before = org.stats.shown()["requests"]
    for more in ([], ["--discover"]):
        done = subprocess.run([*command(max_workers=0), *more], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "max_workers" in done.stderr
    assert org.stats.shown()["requests"] == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_tap_and_shows_in_its_status(command, org, number, status):
    org.rows_per_second = 300
    with subprocess.Popen(command(api_type="REST"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tap:
        assert json.loads(tap.stdout.readline())["type"] == "SCHEMA"
        tap.send_signal(number)
        _, said = tap.communicate(timeout=30)
    assert tap.returncode == status
    assert "Stopped by" in said and "Traceback" not in said


def test_a_loader_that_goes_away_ends_the_tap(command, org):
    org.rows_per_second = 1_500
    read, write = os.pipe()
    with subprocess.Popen(command(window_rows=50), stdout=write, stderr=subprocess.PIPE, text=True) as tap:
        os.close(write)
        os.read(read, 10)
        os.close(read)
        _, said = tap.communicate(timeout=30)
    assert tap.returncode == 1 and "Traceback" not in said
    assert "The loader stopped reading" in said and "unhandled" not in said
    assert json.loads(said.split("FAILURE: ")[1].splitlines()[0])["origin"] == "destination"


def test_two_discoveries_at_once_do_not_disturb_each_other(configure, org):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(len(TapSalesforce(config=configure(org)).streams)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, 1]


def test_the_signal_handler_says_so_and_leaves(configure, org, caplog):
    caplog.set_level("INFO")
    tap = TapSalesforce(config=configure(org))
    with pytest.raises(SystemExit) as ended:
        tap._handle_termination(signal.SIGTERM, None)
    assert ended.value.code == 143 and "Stopped by SIGTERM" in caplog.text
