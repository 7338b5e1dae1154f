"""The tap itself: its settings, its streams, its command line."""

import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from jsonschema import Draft202012Validator
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import SingerCommand

from tap_salesforce import settings as settings_module
from tap_salesforce.auth import Door, GivenSession, OAuth, Post, SignIn
from tap_salesforce.backoff import Backoff
from tap_salesforce.bulk import Bulk
from tap_salesforce.client import Client, http_session
from tap_salesforce.discovery import find_objects
from tap_salesforce.errors import SourceError
from tap_salesforce.rest import Rest
from tap_salesforce.settings import CONFIG_SCHEMA, Settings
from tap_salesforce.streams import SalesforceStream, keep_keys
from tap_salesforce.writer import LineWriter

log = logging.getLogger("tap-salesforce")


class Org:
    """One Salesforce org, signed in on first use, and the two ways to query it."""

    def __init__(self, settings: Settings, *, config_files: tuple[str, ...] = ()) -> None:
        self.settings = settings
        self._config_files = config_files
        http = http_session(settings.max_workers)
        backoff = Backoff(retries=settings.max_retries)
        sign_in: SignIn
        post = Post(http, backoff, timeout=settings.timeout)
        if settings.auth["auth_type"] == "session":
            sign_in = GivenSession(settings)
        elif settings.auth["auth_type"] == "password" and not settings.auth.get("client_id"):
            from tap_salesforce.soap import SoapLogin  # late: XML is for those who sign in so

            sign_in = SoapLogin(settings, post)
        else:
            sign_in = OAuth(settings, post, save_token=self._keep_token)
        self.client = Client(
            Door(sign_in),
            http,
            backoff,
            api_version=settings.api_version,
            timeout=settings.timeout,
            max_api_usage=settings.max_api_usage,
        )
        self.rest = Rest(self.client)
        self.bulk = Bulk(self.client, page_rows=settings.bulk_page_rows, wait=settings.bulk_job_wait)

    def _keep_token(self, old: str, new: str) -> None:
        """Salesforce has replaced the refresh token: the old one works no more, so say what became of the new."""
        if self.settings.save_rotated_token and any(_replace_token(path, old, new) for path in self._config_files):
            log.warning("Salesforce rotated the refresh token; the new one is written to the configuration file.")
            return
        log.warning(
            "Salesforce rotated the refresh token; the new one is kept for this run only. "
            "Set save_rotated_token to have it written to the --config file, or sign in again before the next run."
        )


def _replace_token(path: str, old: str, new: str) -> bool:
    """Put `new` in the place of `old` in a configuration file, atomically; False if `old` is not in it."""
    file = Path(path)
    config = json.loads(file.read_text(encoding="utf-8"))
    auth = config.get("auth")
    if not isinstance(auth, dict) or auth.get("refresh_token") != old:
        return False
    auth["refresh_token"] = new
    handle, aside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # 0600 from the start
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(config, out, indent=2)
        out.flush()
        os.fsync(out.fileno())
    Path(aside).replace(file)
    return True


class TapCommand(SingerCommand):  # type: ignore[misc]  # the SDK's types are not followed
    """The command line: a foreseen failure is one sentence and an exit status, never a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and turn a SourceError into words."""
        try:
            return super().main(*args, **kwargs)
        except SourceError as error:
            self.logger.error("%s", error)  # noqa: TRY400 - the traceback would tell people nothing
            self.logger.error("FAILURE: %s", error.as_json())  # noqa: TRY400
            sys.exit(error.exit_code)


class TapSalesforce(Tap):  # type: ignore[misc]  # the SDK's types are not followed
    """Singer tap for Salesforce."""

    name = "tap-salesforce"
    package_name = "tap-salesforce"
    dynamic_catalog = True
    config_jsonschema = CONFIG_SCHEMA
    message_writer_class = LineWriter
    _config_files: tuple[str, ...] = ()
    _org: Org | None = None

    @property
    def org(self) -> Org:
        """The org of this configuration; ConfigError if it cannot work."""
        if self._org is None:
            self._org = Org(settings_module.read(self.config), config_files=self._config_files)
        return self._org

    def setup_mapper(self) -> None:
        """As the SDK's; but first no catalog, however it was edited, may deselect the keys."""
        for entry in self.input_catalog.streams if self.input_catalog is not None else ():
            keys = [*(entry.key_properties or ()), entry.replication_key, entry.metadata.root.replication_key]
            keep_keys(entry.metadata, entry.schema.properties or {}, keys)
        super().setup_mapper()

    def discover_streams(self) -> list[SalesforceStream]:
        """With a catalog only what it selects is described: one request per stream."""
        settings = self.org.settings
        names = settings.streams
        if self.input_catalog is not None:
            names = tuple(
                entry.tap_stream_id
                for entry in self.input_catalog.streams
                if entry.metadata.resolve_selection().get((), True)
            )
            if not names:
                return []
        found = find_objects(
            self.org.client,
            names,
            max_workers=settings.max_workers,
            include_deleted=settings.include_deleted,
            hard_deletes=settings.hard_deletes,
        )
        streams = [SalesforceStream(self, self.org, described) for described in found]
        for stream in streams:
            stream.logger.addFilter(_not_foreseen)
        return streams

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """As the SDK's, but no message quotes a value of `auth`."""
        super()._validate_config(raise_errors=False)  # fills in defaults
        errors = [_described(error) for error in Draft202012Validator(self.config_jsonschema).iter_errors(self._config)]
        if errors and raise_errors:
            raise ConfigValidationError("Config validation failed", errors=errors, schema={})
        return errors

    def _handle_termination(self, signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG002 - the SDK's signature
        """Stop at once and say so in the exit status; STATE is out already for every closed window."""
        log.info("Stopped by %s.", signal.Signals(signum).name)
        sys.exit(128 + signum)

    @classmethod
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        """Remember which files the configuration came from."""
        cls._config_files = tuple(path for path in value if path != "ENV")
        return super().cb_config(ctx, param, value)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with our ending."""
        made = super().get_singer_command()
        return TapCommand(
            name=made.name,
            callback=made.callback,
            context_settings=made.context_settings,
            params=made.params,
            help=made.help,
            logger=cls.logger,
        )


def _described(error: Any) -> str:
    """A validation error in words that hold no secret."""
    path = [str(part) for part in error.absolute_path]
    where = ".".join(path) or "the configuration"
    if path[:1] == ["auth"] and error.validator not in ("required", "enum"):
        return f"{where} is not valid: it must be {error.validator} {error.validator_value!r}"
    return f"{where}: {error.message}"


def _not_foreseen(record: logging.LogRecord) -> bool:
    """Drops the SDK's "unhandled error" line for failures that are explained anyway."""
    return not (record.msg.startswith("An unhandled error") and isinstance(sys.exc_info()[1], SourceError))


def main() -> None:
    """The console script."""
    TapSalesforce.cli()
