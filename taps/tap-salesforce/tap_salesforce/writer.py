"""Singer messages on stdout: the SDK's writer, plus a way for many ready-made lines at once."""

import sys

from singer_sdk.io_base import SingerWriter


class LineWriter(SingerWriter):  # type: ignore[misc]  # the SDK's types are not followed
    """Writes lines that are JSON already, in one call and with one flush."""

    def write_lines(self, lines: list[str]) -> None:
        """Each line ends with a line end."""
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
