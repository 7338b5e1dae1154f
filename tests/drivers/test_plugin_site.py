"""What plugins start with: intervals of the SDK capped, imports put off until something is called, less garbage looked for."""

import json
import runpy
import subprocess
import sys

import pytest

from orchestrator.drivers import plugin_site

SITE = f"import runpy; runpy.run_path({plugin_site.__file__!r}, run_name='sitecustomize')\n"


def _said(program):
    command = [sys.executable, "-I", "-c", SITE + program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


@pytest.fixture
def hook(monkeypatch):
    """`hook` of a copy of the module, undone afterwards."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    return runpy.run_path(plugin_site.__file__)["hook"]


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Modules whose names begin with `odd_`, by source; forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**sources):
        for name, source in sources.items():
            file = tmp_path / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(source)

    yield write
    for name in [name for name in sys.modules if name.startswith("odd_")]:
        del sys.modules[name]


def test_plugins_look_for_garbage_less_often():
    assert _said("import gc; print(gc.isenabled(), gc.get_threshold()[0])") == ["True", str(plugin_site.GARBAGE_AFTER)]


def test_the_sdks_intervals_are_capped_and_a_shorter_one_stays():
    program = """
from singer_sdk import Target, metrics
print(metrics.Counter("c", {}).log_interval, metrics.Counter("c", {}, 1.0).log_interval)
print(Target._MAX_RECORD_AGE_IN_MINUTES * 60)
"""

    assert _said(program) == [str(plugin_site.METRICS_INTERVAL), "1.0", str(plugin_site.STATE_INTERVAL)]


def test_the_sdk_is_imported_without_what_few_runs_call():
    program = "import sys, singer_sdk; print(*{'joblib', 'upath', 'fsspec', 'packaging.specifiers', 'backoff'} & set(sys.modules))"

    assert _said(program) == []


@pytest.fixture
def load(tmp_path):
    """What a target of the SDK's says that is told of a batch file, and given these settings."""
    program = """
import json, sys
from singer_sdk import BatchSink, Target
class Sink(BatchSink):
    def process_batch(self, context): print(context["records"])
class Loader(Target):
    name = "target-odd"
    config_jsonschema = {"properties": {"batch_config": {"type": "object"}}}
    default_sink_class = Sink
messages = [
    {"type": "SCHEMA", "stream": "s", "schema": {"properties": {"a": {"type": "integer"}}}, "key_properties": []},
    {"type": "BATCH", "stream": "s", "encoding": {"format": "jsonl"}, "manifest": [sys.argv[1]]},
]
Loader(config=json.loads(sys.argv[2])).listen(iter([json.dumps(message) for message in messages]))
"""

    def ended(url, config):
        command = [sys.executable, "-I", "-c", SITE + program, url, json.dumps(config)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return ended


def test_a_target_of_the_sdk_reads_batch_files_of_the_folder_it_was_given(load, tmp_path):
    folder = tmp_path / "batches ü"
    folder.mkdir()
    (folder / "one.jsonl").write_text('{"a": 5}\n')
    (tmp_path / "config.json").write_text('{"password": "hidden"}\n')
    (folder / "link").symlink_to(tmp_path / "config.json")
    (folder / "hard").hardlink_to(tmp_path / "config.json")
    (folder / "folder").mkdir()
    config = {"batch_config": {"encoding": {"format": "jsonl"}, "storage": {"root": folder.as_uri()}}}

    assert "[{'a': 5}]" in load((folder / "one.jsonl").as_uri(), config).stdout
    for name in ("link", "hard", "folder", "../config.json", ".."):
        ended = load(f"{folder.as_uri()}/{name}", config)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "batch file" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert "hidden" not in load((tmp_path / "config.json").as_uri(), config).stdout


def test_a_target_of_the_sdk_that_was_given_no_folder_reads_no_batch_file(load, tmp_path):
    (tmp_path / "one.jsonl").write_text('{"a": 5}\n')

    ended = load((tmp_path / "one.jsonl").as_uri(), {})

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "not set to read any" in ended.stderr


def test_the_sdk_still_reads_batch_files_and_drains_sinks_in_parallel(tmp_path):
    program = f"""
from singer_sdk.helpers._batch import StorageTarget
from singer_sdk import target_base
print(StorageTarget(root="{tmp_path}")._root_path)
with target_base.parallel_config(backend="threading", n_jobs=2):
    print(target_base.Parallel()(target_base.delayed(len)(text) for text in ["a", "bc"]))
"""

    assert _said(program) == [str(tmp_path), "[1,", "2]"]


def test_a_rest_stream_of_the_sdk_still_tries_again():
    program = """
from singer_sdk import RESTStream
class Quick(RESTStream):
    url_base = _logger = None
    def __init__(self): pass
    def backoff_handler(self, details): pass
    def backoff_jitter(self, seconds): return 0.0
tries = []
def ask():
    tries.append(1)
    if len(tries) < 3:
        raise ConnectionResetError
    return len(tries)
print(Quick().request_decorator(ask)())
"""

    assert _said(program) == ["3"]


def test_a_module_gets_what_it_seldom_calls_when_it_calls_it(hook, modules):
    modules(odd_heavy="def weigh(kilos): return kilos * 2", odd_user="from odd_heavy import weigh")
    hook(after={}, without={"odd_user": ["odd_heavy"]})

    import odd_user

    assert "odd_heavy" not in sys.modules
    assert odd_user.weigh(kilos=21) == 42
    assert odd_user.__spec__.name == "odd_user"


def test_what_stands_in_for_a_package_has_the_modules_that_stand_in_beside_it(hook, modules):
    modules(
        **{"odd_heavy/__init__": "", "odd_heavy/part": "def tons(): return 3"},
        odd_user="import odd_heavy.part\ndef weigh(): return odd_heavy.part.tons()",
    )
    hook(after={}, without={"odd_user": ["odd_heavy", "odd_heavy.part"]})

    import odd_user

    assert "odd_heavy.part" not in sys.modules
    assert odd_user.weigh() == 3


def test_other_modules_get_the_real_one_at_once(hook, modules):
    modules(odd_heavy="class Weight: pass", odd_user="import odd_heavy", odd_other="from odd_heavy import Weight")
    hook(after={}, without={"odd_user": ["odd_heavy"]})

    import odd_user  # isort: split
    import odd_other

    assert isinstance(odd_other.Weight(), type(odd_user.odd_heavy.Weight()))


def test_a_module_is_not_replaced_that_is_loaded_already(hook, modules):
    modules(odd_heavy="TONS = 3", odd_user="from odd_heavy import TONS")
    hook(after={}, without={"odd_user": ["odd_heavy"]})

    import odd_heavy
    import odd_user

    assert odd_user.TONS == odd_heavy.TONS


def test_nothing_stands_in_any_more_once_an_import_failed(hook, modules):
    modules(odd_heavy="TONS = 3", odd_user="import odd_heavy; 1 / 0")
    hook(after={}, without={"odd_user": ["odd_heavy"]})

    with pytest.raises(ZeroDivisionError):
        import odd_user  # noqa: F401
    import odd_heavy

    assert odd_heavy.TONS == 3


def test_a_module_is_changed_once_its_own_code_ran(hook, modules):
    modules(odd_changed="TONS = 3")
    hook(after={"odd_changed": lambda module: setattr(module, "TONS", module.TONS + 1)}, without={})

    import odd_changed

    assert odd_changed.TONS == 4
