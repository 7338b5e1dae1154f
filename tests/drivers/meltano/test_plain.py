"""A project for Meltano alone: values as they were, secrets as names."""

import stat
from pathlib import Path

import pytest
import yaml
from meltano.core.utils import expand_env_vars

from orchestrator.drivers.meltano import plain
from orchestrator.drivers.meltano.errors import RunStorageError
from orchestrator.drivers.plugin_store import recipe
from orchestrator.kernel.environment import project_root

TAP = recipe(project_root(), "extractors", "tap-github", "meltanolabs")
TARGET = recipe(project_root(), "loaders", "target-jsonl", "orchestrator")


def written(folder: Path, **config: object) -> dict[str, object]:
    plugins = [plain.PlainPlugin(recipe=TAP, config=config), plain.PlainPlugin(recipe=TARGET, config={"path": "x"})]
    plain.write(folder, plugins, title="Ours", catalog={"streams": []}, state=None)
    document = yaml.safe_load((folder / "meltano.yml").read_text())
    [plugin] = document["plugins"]["extractors"]
    return plugin


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("pa$$word", id="no name"),
        pytest.param("$HOME", id="a name"),
        pytest.param("a ${HOME} b", id="in braces"),
        pytest.param("\\$HOME", id="escaped already"),
        pytest.param("${", id="open brace"),
        pytest.param({"a": ["$HOME", 1.5, True, None]}, id="nested"),
        pytest.param("ü\n'\"", id="anything else"),
    ],
)
def test_meltano_reads_values_as_they_were(tmp_path, value):
    found = written(tmp_path / "project", start_date=value)["config"]
    assert expand_env_vars(found["start_date"], {"HOME": "wrong"}) == value


def test_secrets_are_variables_to_fill_in(tmp_path):
    folder = tmp_path / "project"
    plugin = written(folder, auth_token=plain.hidden("tap-github", "auth.token"))
    assert plugin["config"] == {"auth_token": "${TAP_GITHUB_AUTH_TOKEN}"}
    assert (folder / ".env").read_text() == "TAP_GITHUB_AUTH_TOKEN=\n"
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600


def test_published_plugins_are_pinned_and_ours_come_along(tmp_path):
    assert written(tmp_path / "project")["pip_url"].startswith("meltanolabs-tap-github==")
    source = tmp_path / "project/targets/target-jsonl"
    assert (source / "target_jsonl/target.py").is_file()
    assert not (source / "tests").exists()


def test_nothing_is_written_over_nor_through_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/.env").symlink_to(elsewhere)
    with pytest.raises(RunStorageError, match="File exists"):
        written(tmp_path / "project")
    assert elsewhere.read_text() == "theirs"


def test_a_folder_is_free_where_it_is_new_or_empty(tmp_path):
    (tmp_path / "file").touch()
    assert plain.is_free(tmp_path / "new")
    assert not plain.is_free(tmp_path)
    assert not plain.is_free(tmp_path / "file")
    with pytest.raises(RunStorageError, match="too long"):
        plain.is_free(tmp_path / ("n" * 300))


def test_a_folder_that_cant_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunStorageError, match="could not be written"):
        written(tmp_path / "file" / "project")
