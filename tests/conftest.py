"""Fixtures shared by all tests; each lives in tests/fixtures, by what it stands for."""

pytest_plugins = [
    "tests.fixtures.database",
    "tests.fixtures.drivers",
    "tests.fixtures.cli",
    "tests.fixtures.environments",
    "tests.fixtures.terminal",
]
