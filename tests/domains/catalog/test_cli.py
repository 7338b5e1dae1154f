import subprocess
import sys

import pytest

from orchestrator.domains.catalog import service
from orchestrator.drivers.bundle import Drivers
from orchestrator.entry.main import run
from orchestrator.kernel.settings import Settings


@pytest.fixture
def command(tmp_path, capsys):
    """Commands of an installation without any database."""

    def call(*arguments):
        home = tmp_path / "nothing-here"
        code = run(arguments, drivers=Drivers(settings=Settings(home=home)))
        said = capsys.readouterr()
        assert not home.exists(), "looking at the catalog sets nothing up"
        return code, said.out, said.err

    return call


def test_the_list_needs_no_database_and_has_sources_first(command):
    code, out, err = command("connectors", "list")
    assert (code, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["name", "github", "postgres", "salesforce", "duckdb", "jsonl", "parquet", "warehouse"]
    assert "● available" in out


def test_the_list_as_json_has_what_the_table_has(command):
    import json

    code, out, _ = command("connectors", "list", "--json", "--kind", "destination")
    documents = json.loads(out)
    assert code == 0
    assert [document["name"] for document in documents] == ["duckdb", "jsonl", "parquet", "warehouse"]
    assert documents[0]["status"] == "available"
    assert documents[0]["plan"] == "free"
    assert documents[0]["variants"] == ["orchestrator"]


def test_a_broken_file_is_named_with_its_reason_and_the_others_are_listed(command, edited, monkeypatch):
    broken = edited("github", lambda document: document.pop("title"))
    monkeypatch.setattr(service, "installed", lambda: broken)
    code, out, err = command("connectors", "list")
    assert code == 0
    assert "salesforce" in out
    assert "github" not in out
    assert "github.json" in err
    assert "'title' is a required property" in err


def test_a_connector_shows_how_to_sign_in_and_what_is_asked(command):
    code, out, _ = command("connectors", "show", "salesforce")
    assert code == 0
    for part in (
        "Client credentials (auth.auth_type=client_credentials)",
        "auth.private_key",
        "required, secret",
        "login.salesforce.com",
        "Read a first record with tap-salesforce",
        "singer-io",
    ):
        assert part in out


def test_a_variant_shows_its_own_fields(command):
    import json

    def paths(*more):
        return {
            field["path"]
            for field in json.loads(command("connectors", "show", "salesforce", "--json", *more)[1])["fields"]
        }

    assert "max_workers" in paths()
    assert "max_workers" not in paths("--variant", "singer-io")
    assert "lookback_window" in paths("--variant", "singer-io")


def test_the_json_tells_secrets_from_the_rest(command):
    import json

    document = json.loads(command("connectors", "show", "salesforce", "--json")[1])
    [choice] = document["choices"]
    ways = {way["value"]: {field["path"]: field for field in way["fields"]} for way in choice["ways"]}
    assert ways["client_credentials"]["auth.client_secret"]["secret"]
    assert not ways["client_credentials"]["auth.client_id"]["secret"]
    assert document["checks"][-1] == "Read a first record with tap-salesforce"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("show", "salesfroce"), "Did you mean salesforce?"),
        (("show", "salesforce", "--variant", "airbyte"), "It has orchestrator, singer-io."),
    ],
    ids=["connector", "variant"],
)
def test_what_is_not_there_exits_3_with_what_is(command, arguments, hint):
    code, out, err = command("connectors", *arguments)
    assert (code, out) == (3, "")
    assert hint in err


def test_reading_commands_import_nothing_they_do_not_use(tmp_path):
    program = (
        "import sys; from orchestrator.entry.main import run; code = run(['connectors', 'list']);"
        "print(sorted({'fastapi', 'supabase', 'meltano', 'jsonschema', 'alembic', 'requests'} & set(sys.modules)), file=sys.stderr);"
        "sys.exit(code)"
    )
    environment = {"ORCHESTRATOR_HOME": str(tmp_path), "ORCHESTRATOR_ENV_FILE": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
