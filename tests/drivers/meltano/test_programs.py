import subprocess
import threading
from pathlib import Path

from orchestrator.drivers.meltano.programs import programs
from orchestrator.drivers.meltano.values import Side


def test_there_is_an_executable_program_for_each_side_and_nobody_elses(tmp_path):
    found = programs(tmp_path)
    assert set(found) == set(Side)
    assert {path.stat().st_mode & 0o777 for path in found.values()} == {0o700}
    assert all(subprocess.run((path,), capture_output=True, check=False).returncode != 126 for path in found.values())


def test_they_are_written_once(tmp_path):
    before = {side: path.stat().st_ino for side, path in programs(tmp_path).items()}
    assert {side: path.stat().st_ino for side, path in programs(tmp_path).items()} == before


def test_threads_that_write_them_at_once_do_not_take_each_others_file(tmp_path, monkeypatch):
    together, replace, failed = threading.Barrier(4, timeout=30), Path.replace, []

    def all_at_once(self, target):
        together.wait()
        return replace(self, target)

    def write():
        try:
            programs(tmp_path)
        except Exception as error:  # noqa: BLE001 - whatever a thread fails with is what this is about
            failed.append(error)

    monkeypatch.setattr(Path, "replace", all_at_once)
    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(list((tmp_path / "launchers").iterdir())) == len(Side)
