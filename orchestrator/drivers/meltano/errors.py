"""What can go wrong before, around and after a Meltano process."""

from typing import Any

from orchestrator.kernel.errors import InvalidConfigError, OrchestratorError, TemporaryError


class MeltanoError(OrchestratorError):
    """A Meltano process did not do what it was started for."""

    code = "meltano_failed"


class MeltanoMissingError(MeltanoError):
    """There is no `meltano` beside the Python that runs us."""

    code = "meltano_missing"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"Meltano is not installed: {path} does not exist.",
            hint="Install the pinned requirements again: make setup.",
            path=path,
        )


class SettingError(InvalidConfigError):
    """A setting cannot be handed to a plugin: its name or its value does not fit an environment variable."""

    code = "setting_unusable"


class ValueTooLargeError(SettingError):
    """A value is larger than the operating system lets one environment variable be."""

    code = "value_too_large"

    def __init__(self, setting: str, size: int, limit: int) -> None:
        super().__init__(
            f"{setting} is {size:,} bytes; at most {limit:,} fit.",
            hint="Make the value smaller, or split it.",
            problems=((setting, f"{size:,} bytes; at most {limit:,} fit"),),
        )


class StartError(MeltanoError):
    """The process could not be started at all."""

    code = "process_not_started"


class DiscoveryError(MeltanoError):
    """The extractor did not answer discovery with a catalog.

    lines:  its last lines, redacted; the first of them that says an error is part of the message
    """

    code = "discovery_failed"

    def __init__(self, reason: str, *, lines: tuple[str, ...] = (), **facts: Any) -> None:
        super().__init__(
            f"Discovery failed: {reason}",
            hint="Check the connection; the log has the extractor's own words.",
            **facts,
        )
        self.reason = reason
        self.lines = lines


class RunStorageError(TemporaryError):
    """The private directory of a run could not be made or written."""

    code = "run_storage"
