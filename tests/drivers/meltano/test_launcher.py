import json
import os
import resource

import pytest

from orchestrator.drivers.meltano import launcher


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Run the launcher up to the point where it would become the plugin; what it would become."""

    def launch(*arguments, **description):
        (tmp_path / "launch").mkdir()
        full = {"executable": "/venv/bin/tap", "pass": [], "set": {}, "decode": [], "limits": {}, **description}
        (tmp_path / "launch" / "extractor.json").write_text(json.dumps(full))
        became = []
        monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(tmp_path))
        monkeypatch.setattr(os, "execve", lambda *given: became.append(given))
        monkeypatch.setattr(os, "umask", lambda _: 0)
        launcher.main(["extractor", *arguments])
        return became[0]

    return launch


def test_the_plugin_gets_its_arguments_and_the_named_variables_only(launched, monkeypatch):
    monkeypatch.setenv("TAP_X_PASSWORD", "secret")
    monkeypatch.setenv("TZ", "UTC")

    became = launched("--discover", **{"pass": ["TZ", "LANG_THAT_IS_NOT_SET"]}, set={"EXTRA": "1"})

    assert became == ("/venv/bin/tap", ["/venv/bin/tap", "--discover"], {"TZ": "UTC", "EXTRA": "1"})


def test_settings_that_came_as_text_are_put_back_as_often_as_it_is_started(launched, tmp_path):
    config = tmp_path / "tap.config.json"
    config.write_text('{"rate": "0.5", "name": "0.5"}')

    program, arguments, _ = launched("--config", str(config), "--state", "s", decode=["rate", "absent"])

    assert json.loads(config.read_text()) == {"rate": "0.5", "name": "0.5"}
    assert arguments[0] == program
    assert arguments[3:] == ["--state", "s"]
    with open(arguments[2]) as decoded:  # noqa: PTH123 - a path as the plugin would open it
        assert json.load(decoded) == {"rate": 0.5, "name": "0.5"}


def test_limits_are_set(launched, monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda *given: limits.append(given))

    launched(limits={"CORE": 0})

    assert limits == [(resource.RLIMIT_CORE, (0, 0))]
