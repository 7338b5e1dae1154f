"""A run by files that fails, is stopped or meets all troubles at once: the next goes on, and no row is lost."""

import json
import random
import signal
import subprocess
import sys

import pytest
from batchpages import SPOILT, everything, files, ids, left_in

from tap_salesforce import client
from tap_salesforce.errors import (
    JobError,
    QuotaError,
)


def test_a_session_that_ends_before_a_page_is_renewed(org, batches, run):
    app = org.app
    auth = {"auth_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    fault = org.faults.add("session", path="/results", nth=3)
    assert ids(run(batches(org, auth=auth))) == everything(org)
    assert fault.hits == 1


def test_a_run_that_failed_goes_on_behind_its_last_window(own_org, batches, run):
    own_org.faults.add("job_failed", nth=5)
    with pytest.raises(JobError):
        run(batches(own_org))
    first = run.partial
    before = ids(first)
    assert 200 < sum(before.values()) < 700
    rest = run(batches(own_org), state=first.states()[-1])
    assert before + ids(rest) == everything(own_org)


def test_a_run_stopped_by_the_quota_keeps_its_files_and_the_next_goes_on(own_org, batches, run):
    own_org.daily_limit = 80
    with pytest.raises(QuotaError, match="of its 80 daily API requests"):
        run(batches(own_org, max_api_usage_percent=50))
    first = run.partial
    own_org.use_requests(0)
    own_org.daily_limit = 100_000
    rest = run(batches(own_org), state=first.states()[-1])
    assert ids(first).keys() | ids(rest).keys() == everything(own_org).keys()
    assert 0 < sum(ids(first).values()) < 900 and 0 < sum(ids(rest).values()) < 900


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_tap_that_is_stopped_leaves_only_what_it_has_said_and_loses_nothing(own_org, batches, run, tmp_path, number):
    file = tmp_path / "config.json"
    config = batches(own_org, max_workers=2)
    file.write_text(json.dumps(config))
    own_org.rows_per_second = 400
    command = [sys.executable, "-m", "tap_salesforce", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tap:
        lines = []
        for line in tap.stdout:
            lines.append(json.loads(line))
            if sum(m["type"] == "STATE" for m in lines) == 3:
                break
        tap.send_signal(number)
        lines += [json.loads(line) for line in tap.stdout]
        tap.wait(30)
    own_org.rows_per_second = 0
    first = type(run(batches(own_org, streams=["User"])))(lines)
    if number == signal.SIGTERM:
        assert tap.returncode == 143
        assert set(files(first)) == {path for path in left_in(tmp_path) if "Contact" in path.name}
    rest = run(config, state=first.states()[-1])
    assert set(ids(first)) | set(ids(rest)) == set(everything(own_org))
    assert sum(ids(rest).values()) < 750


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_that_passes_may_go_wrong_at_once(own_org, batches, run, seed):
    rng = random.Random(seed)
    own_org.bulk.page_rows = 50
    app = own_org.app
    auth = {"auth_type": "oauth_refresh", "client_id": app.client_id, "client_secret": app.client_secret}
    ways = [
        *SPOILT.values(),
        {"kind": "stall_body", "seconds": 1.5},
        {"kind": "stall", "seconds": 1.5},
    ]
    places = ["/results", "/resultPages", r"/jobs/query/\w+$", "/jobs/query/?$", "COUNT", "/describe"]
    for nth in rng.sample(range(1, 12), client.RENEWALS):  # so many that some end which have just been renewed
        own_org.faults.add(kind="session", path=rng.choice(["/results", "/results", *places]), nth=nth)
    for _ in range(25):
        way = rng.choice(ways)
        path = "/results" if "fraction" in way else rng.choice(places)
        own_org.faults.add(**way, path=path, nth=rng.randrange(1, 12))
    wish = {"bulk_page_rows": 50, "window_rows": 200, "timeout_seconds": 0.5, "max_retries": 12}
    config = batches(own_org, auth={**auth, "refresh_token": app.refresh_token}, **wish)
    assert ids(run(config)) == everything(own_org)
    assert sum(fault["hits"] for fault in own_org.faults.listing()) > 15
