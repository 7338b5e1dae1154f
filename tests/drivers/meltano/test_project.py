import json
import math
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.drivers.meltano.directory import run_directory
from orchestrator.drivers.meltano.errors import SettingError, ValueTooLargeError
from orchestrator.drivers.meltano.output import LogLine
from orchestrator.drivers.meltano.project import INHERITED, VALUE_LIMIT, render
from orchestrator.drivers.meltano.runner import Meltano
from orchestrator.drivers.meltano.values import Limits, Plugin, Project, Side
from tests.drivers.meltano.conftest import program

CANARY = "canary-4711"
HOSTILE = {
    "dollar": "$HOME and ${PATH} and $MELTANO_PROJECT_ROOT and \\$X",
    "quotes": """'single' "double" `back` \\ """,
    "lines": "one\ntwo\r\nthree\ttab\n",
    "unicode": "žluťoučký 🐴 \u2028 \u200f",
    "empty": "",
    "space": "  around  ",
    "looks_like_json": '{"a": [1, null]}',
    "looks_like_a_number": "0123",
    "looks_like_true": "true",
    "looks_like_null": "null",
    "looks_like_yaml": "!!python/object/apply:os.system [id]",
    "looks_like_a_date": "2024-01-01",
    "looks_like_days_ago": "3 days ago",
    "nul": "before\0after",
    "surrogate": "lone \udc80 one",
    "large": "é" * 50_000,
    "yes": True,
    "no": False,
    "zero": 0,
    "big": 10**30,
    "negative": -5,
    "float": 0.1,
    "float_large": 1.7e308,
    "object": {"a.b": 1, "nested": {"c\\.d": None, "list": [1.5, {"x.y": []}]}, "dollar": "$HOME"},
    "plain_object": {"a": {"b": [1, "two", None, True]}},
    "array": ["$HOME", {"a": "${PATH}"}, 1, 2.5],
    "empty_object": {},
    "empty_array": [],
    "PATH": "not the real one",
    "LD_PRELOAD": "/tmp/evil.so",
    "a-b": "with a dash",
}

texts = st.text(max_size=60) | st.text("${}\\'\"\n aA_:#!&*-%@`,[]", max_size=40)
leaves = texts | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner | st.none(), max_size=3) | st.dictionaries(st.text(max_size=6), inner | st.none(), max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def received(tmp_path_factory):
    """Give settings to a tap through a real `meltano invoke`; what arrives, and every place the canary was seen."""
    folder = tmp_path_factory.mktemp("values")
    executable = program(folder, "tap")
    meltano = Meltano(home=folder / "home", runs=folder / "runs")

    def receive(config):
        seen, cancel = set(), threading.Event()

        def look(output):
            if isinstance(output, LogLine):
                seen.update({"log"} if CANARY in output.message else ())
                if output.message == "waiting":
                    files = [path for path in (folder / "runs").rglob("*") if path.is_file()]
                    seen.update(path.name for path in files if CANARY.encode() in path.read_bytes())
                    cancel.set()

        tap = Plugin(
            side=Side.EXTRACTOR,
            name="tap-fixture",
            executable=executable,
            config={**config, "streams": {}, "hang": True, "copy_to": str(folder), "canary": SecretStr(CANARY)},
            writable=(folder,),
        )
        meltano.read_first_record(Project(extractor=tap), on_output=look, cancel=cancel)
        got = json.loads((folder / "tap.json").read_text())["config"]
        for own in ("streams", "hang", "copy_to", "canary"):
            del got[own]
        return got, seen

    return receive


def test_hostile_values_arrive_unchanged_and_nowhere_else(received):
    got, seen = received(HOSTILE)

    assert got == HOSTILE
    assert seen
    assert all(name.startswith("tap.") and "config.json" in name for name in seen)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(values, min_size=40, max_size=50))
def test_any_value_arrives_unchanged(received, given_values):
    config = {f"setting_{number}": value for number, value in enumerate(given_values)}

    got, seen = received(config)

    assert got == config
    assert {name: type(value) for name, value in got.items()} == {name: type(value) for name, value in config.items()}
    assert "log" not in seen


def test_null_is_absent(received):
    assert received({"nothing": None, "something": 1})[0] == {"something": 1}


def rendered(config, **more):
    return render_alone(Plugin(side=Side.EXTRACTOR, name="tap-x", executable="/venv/bin/tap-x", config=config, **more))


def render_alone(tap):
    programs = {Side.EXTRACTOR: "/bin/launch"}
    return render(Project(extractor=tap), programs=programs, markers={}, inherited={}, limits=Limits())


def test_no_value_is_in_meltano_yml():
    yml = rendered({"a": "${SECRET}-canary", "b": {"c": "canary"}, "d": 0.5}).files["meltano.yml"]

    assert "canary" not in yml
    assert "$" not in yml


def test_variables_always_carry_the_plugins_prefix():
    names = set(rendered({"LD_PRELOAD": "x", "PATH": "x", "MELTANO_DATABASE_URI": "x", "PYTHONPATH": "x"}).variables)

    assert all(name.startswith("TAP_X_") for name in names)


@pytest.mark.parametrize("name", ["", "_select", "a.b", "a b", "a=b", "a__b", "ü", "a\nb", "-a"])
def test_a_name_that_could_mean_something_else_is_refused(name):
    with pytest.raises(SettingError):
        rendered({name: "x"})


@pytest.mark.parametrize("name", ["meltano", "x", "tap_x", "tap--x", "tap-x; rm", "TAP-X"])
def test_a_plugin_with_another_kind_of_name_is_refused(name):
    tap = Plugin(side=Side.EXTRACTOR, name=name, executable="/venv/bin/tap-x")
    with pytest.raises(SettingError):
        render_alone(tap)


def test_two_settings_that_need_one_variable_are_refused():
    with pytest.raises(SettingError, match="TAP_X_A_B"):
        rendered({"a-b": 1, "a_b": 2})


@pytest.mark.parametrize(
    "value", ["x" * VALUE_LIMIT, "é" * (VALUE_LIMIT // 2), ["é" * (VALUE_LIMIT // 6)], ["\0" * 30_000]]
)
def test_a_value_larger_than_a_variable_is_refused(value):
    with pytest.raises(ValueTooLargeError) as caught:
        rendered({"big": value})
    assert caught.value.problems[0][0] == "big"


def test_the_largest_value_that_is_let_through_arrives(received):
    largest = {"big": "x" * (VALUE_LIMIT - len("MELTANO_EXTRACT_BIG=\0"))}
    assert received(largest)[0] == largest


def test_all_settings_together_have_a_limit():
    with pytest.raises(ValueTooLargeError, match="together"):
        rendered({f"s{number}": "x" * 100_000 for number in range(12)})


def test_not_a_number_is_handed_over_as_python_writes_it():
    variables = rendered({"x": math.inf}).variables
    assert variables == {"TAP_X_X": "Infinity"}


def test_certificates_are_what_is_inherited():
    assert set(INHERITED) == {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}


def test_a_directory_can_be_made_twice_at_once(tmp_path):
    with run_directory(tmp_path) as one, run_directory(tmp_path) as two:
        assert one.path != two.path
