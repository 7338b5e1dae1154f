import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.drivers import plugin_store
from orchestrator.drivers.plugin_store import PluginBuildError, PluginStore, PluginUnknownError, recipe, recipes

ROOT = Path(__file__).parents[2]


def wheel(folder: Path, module: str, code: str) -> str:
    """A wheel made by hand, with a program of the module's name; its line for a hashed requirements file."""
    path = folder / f"{module}-1.0-py3-none-any.whl"
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{module} = {module}:main\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return f"{module}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def root(tmp_path):
    """A repository with one plugin in it."""
    (tmp_path / "wheels").mkdir()
    line = wheel(tmp_path / "wheels", "tiny", "def main():\n    print('tiny says hello')\n")
    plugins = tmp_path / "plugins" / "extractors"
    plugins.mkdir(parents=True)
    lock = {"plugin_type": "extractors", "name": "tap-tiny", "variant": "test", "pip_url": "tiny", "executable": "tiny"}
    (plugins / "tap-tiny--test.lock").write_text(json.dumps({**lock, "capabilities": ["catalog"]}))
    (plugins / "tap-tiny--test.requirements.txt").write_text(line)
    return tmp_path


@pytest.fixture
def store(root):
    return PluginStore(
        root / "home", environ={"UV_OFFLINE": "1", "UV_FIND_LINKS": str(root / "wheels"), "PATH": "/usr/bin:/bin"}
    )


@pytest.fixture
def tiny(root):
    return recipe(root, "extractors", "tap-tiny", "test")


def test_a_program_works_from_where_it_ended_up(store, tiny):
    program = store.program(tiny)

    assert subprocess.check_output((program,), text=True) == "tiny says hello\n"
    assert list(program.parents[1].rglob("tiny*.pyc"))
    assert [path.name for path in program.parents[2].glob(".building-*")] == []


def test_our_own_source_is_built_without_a_network(store, root, tiny):
    pytest.importorskip("hatchling", reason="make installs it beside us")
    package = root / "source" / "tap_own"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def main():\n    print('our own')\n")
    (root / "source" / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "tap-own"\nversion = "1"\nscripts = { tap-own = "tap_own:main" }\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["tap_own"]\n'
    )
    own = replace(tiny, source=root / "source", program="tap-own")

    assert subprocess.check_output((store.program(own),), text=True) == "our own\n"
    assert not (store.ensure(own) / "wheel").exists()


def test_it_is_built_once(store, tiny, monkeypatch):
    first = store.ensure(tiny)
    monkeypatch.setattr(PluginStore, "_build", lambda *_: pytest.fail("built again"))

    assert store.ensure(tiny) == first


def test_two_builders_at_once_build_it_once(store, tiny, monkeypatch):
    builds, build = [], PluginStore._build
    monkeypatch.setattr(PluginStore, "_build", lambda self, *given: (builds.append(given), build(self, *given)))
    threads = [threading.Thread(target=store.ensure, args=(tiny,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(builds) == 1
    assert store.status([tiny])[0].ready


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root, tiny: tiny.requirements.write_text("# other\n"), id="requirements"),
        pytest.param(lambda root, tiny: (root / "source" / "tap.py").write_text("changed = True\n"), id="our source"),
    ],
)
def test_a_change_of_what_is_in_it_is_another_environment(store, root, tiny, change):
    (root / "source" / "tests").mkdir(parents=True)
    (root / "source" / "tap.py").write_text("changed = False\n")
    tiny = replace(tiny, source=root / "source")
    before = store.key(tiny)

    (root / "source" / "tests" / "test_tap.py").write_text("a test does not change what is installed\n")
    assert store.key(tiny) == before
    change(root, tiny)
    assert store.key(tiny) != before


def test_a_build_that_fails_says_why_and_leaves_nothing(store, root, tiny):
    tiny.requirements.write_text("absent==1.0 --hash=sha256:" + "0" * 64 + "\n")

    with pytest.raises(PluginBuildError) as caught:
        store.ensure(tiny)

    assert "tap-tiny--test" in caught.value.message
    assert "absent" in caught.value.detail
    assert not store.status([tiny])[0].ready
    assert [path for path in (root / "home" / "plugins").iterdir() if path.is_dir()] == []


def test_a_package_that_is_not_the_pinned_one_is_refused(store, tiny):
    tiny.requirements.write_text("tiny==1.0 --hash=sha256:" + "0" * 64 + "\n")

    with pytest.raises(PluginBuildError, match=r"(?i)hash"):
        store.ensure(tiny)


def test_what_a_killed_builder_left_is_removed(store, root, tiny):
    left = root / "home" / "plugins" / f".building-{store.key(tiny)}.dead"
    left.mkdir(parents=True)
    (root / "home" / "plugins" / f"{store.key(tiny)}.lock").touch()

    assert store.collect([tiny]) == 1
    assert not left.exists()


def test_a_build_under_way_is_not_collected(store, root, tiny):
    key = store.key(tiny)
    under_way = root / "home" / "plugins" / f".building-{key}.alive"
    under_way.mkdir(parents=True)

    with plugin_store._locked(root / "home" / "plugins" / f"{key}.lock"):
        assert store.collect([]) == 0
    assert under_way.exists()


LONG_AGO = 1_000_000_000


def test_an_environment_of_an_older_version_goes_when_nobody_asked_for_it_in_a_month(store, tiny):
    old = store.ensure(tiny)
    tiny.requirements.write_text(tiny.requirements.read_text() + "# changed\n")
    current = store.ensure(tiny)
    for path in (old, current):
        os.utime(path, (LONG_AGO, LONG_AGO))

    assert store.collect([tiny]) == 1
    assert not old.exists()
    assert current.is_dir()
    assert list(old.parent.glob(".building-*")) == []


def test_an_environment_somebody_asked_for_stays_whoever_made_it(store, tiny):
    path = store.ensure(tiny)
    os.utime(path, (LONG_AGO, LONG_AGO))
    store.ensure(tiny)

    assert store.collect([]) == 0
    assert path.is_dir()


def test_who_asks_while_it_is_collected_gets_a_whole_environment(store, tiny, monkeypatch):
    """The one who collects has decided, and is held just before the environment is put aside."""
    path = store.ensure(tiny)
    os.utime(path, (LONG_AGO, LONG_AGO))
    decided, asked, rename, got = threading.Event(), threading.Event(), Path.rename, []

    def held(self, target):
        if self == path:
            decided.set()
            assert asked.wait(30)
            asking.join(0.3)  # it waits for us; would it not, it would have the environment we are about to take away
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", held)
    collecting = threading.Thread(target=store.collect, args=([],))
    asking = threading.Thread(target=lambda: got.append(store.program(tiny)))
    collecting.start()
    assert decided.wait(30)
    asking.start()
    asked.set()
    for thread in (collecting, asking):
        thread.join()

    assert subprocess.check_output((got[0],), text=True) == "tiny says hello\n"


def test_the_installer_gets_no_secret_of_ours(root):
    store = PluginStore(
        root, environ={"DATABASE_URL": "x", "INTEGRATION_ENCRYPTION_KEY": "x", "UV_OFFLINE": "1", "HOME": "/"}
    )

    assert set(store._environ) == {"UV_OFFLINE", "HOME"}


def test_an_unknown_variant_is_not_found(root):
    with pytest.raises(PluginUnknownError):
        recipe(root, "extractors", "tap-tiny", "other")


def test_every_plugin_we_offer_has_a_lock_file_and_complete_hashed_requirements():
    offered = recipes(ROOT)

    assert {(plugin.kind, plugin.name, plugin.variant) for plugin in offered} == {
        ("extractors", "tap-salesforce", "orchestrator"),
        ("extractors", "tap-salesforce", "singer-io"),
        ("extractors", "tap-github", "meltanolabs"),
        ("extractors", "tap-postgres", "meltanolabs"),
        ("loaders", "target-postgres", "meltanolabs"),
        ("loaders", "target-duckdb", "orchestrator"),
        ("loaders", "target-jsonl", "orchestrator"),
        ("loaders", "target-postgres-copy", "orchestrator"),
    }
    for plugin in offered:
        text = plugin.requirements.read_text()
        assert text.count("--hash=sha256:") >= text.count("==") > 0, plugin.label
        assert "://" not in text
        assert plugin.settings
        assert plugin.source is None or (plugin.source / "pyproject.toml").is_file()


def test_progress_and_states_of_any_sdk_plugin_come_in_seconds(store, root, tiny):
    package = root / "sdk" / "singer_sdk"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "metrics.py").write_text(
        "class Counter:\n    def __init__(self, name, log_interval=60.0):\n        self.log_interval = log_interval\n"
    )
    (package / "target_base.py").write_text(
        "class Target:\n    _MAX_RECORD_AGE_IN_MINUTES = 5.0\n    def _process_batch_message(self, message): ...\n"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from singer_sdk import metrics, target_base;"
        "print(metrics.Counter('x').log_interval, metrics.Counter('x', log_interval=0.5).log_interval,"
        "target_base.Target._MAX_RECORD_AGE_IN_MINUTES * 60)"
    )

    python = store.ensure(tiny) / "bin" / "python"

    assert subprocess.check_output((python, "-c", code, root / "sdk"), text=True) == "2.0 0.5 5.0\n"


def test_meltano_itself_accepts_the_root_project_without_a_hub(tmp_path):
    shutil.copy(ROOT / "meltano.yml", tmp_path)
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins")
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "MELTANO_HUB_URL": "http://127.0.0.1:9"}
    meltano = Path(sys.executable).with_name("meltano")
    for plugin, setting in (("tap-salesforce-community", "refresh_token"), ("target-jsonl", "destination_path")):
        done = subprocess.run(
            (meltano, "config", "list", plugin), cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert setting in done.stdout
