"""The command line's ending: a foreseen failure is one sentence and an exit status, never a traceback."""

import logging
import sys
from typing import Any, Self

import click
from singer_sdk.plugin_base import SingerCommand

from target_postgres_copy.errors import LoadError


class TargetCommand(SingerCommand):  # type: ignore[misc]  # the SDK's types are not followed
    """Runs the target, and turns a LoadError into words."""

    @classmethod
    def like(cls, made: click.Command, logger: logging.Logger) -> Self:
        """The same command as the SDK made."""
        return cls(
            name=made.name,
            callback=made.callback,
            context_settings=made.context_settings,
            params=made.params,
            help=made.help,
            logger=logger,
        )

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; a failure is said once for people and once for machines."""
        try:
            return super().main(*args, **kwargs)
        except LoadError as error:
            self.logger.error("%s", error)  # noqa: TRY400 - the traceback would tell people nothing
            self.logger.error("FAILURE: %s", error.as_json())  # noqa: TRY400
            sys.exit(error.exit_code)
