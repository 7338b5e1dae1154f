"""What an extractor says on its stdout, looked at as it comes."""

import json
import re

from orchestrator.drivers.meltano.process import LINE_LIMIT, Lines

_CUT_RECORD = re.compile(rb'"type"\s*:\s*"(RECORD|BATCH)"')


class FirstData:
    """Looks for the first RECORD or BATCH in a Singer stream."""

    def __init__(self) -> None:
        self.stream: str | None = None
        self._lines = Lines()

    def __call__(self, chunk: bytes) -> bool:
        """True once it was there, whatever comes until the extractor has ended."""
        return self.stream is not None or any(self._is_data(line) for line in self._lines.feed(chunk))

    def _is_data(self, line: bytes) -> bool:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            if len(line) > LINE_LIMIT and _CUT_RECORD.search(line):
                self.stream = "?"
            return self.stream is not None
        if not isinstance(message, dict) or message.get("type") not in {"RECORD", "BATCH"}:
            return False
        name = message.get("stream")
        self.stream = name if isinstance(name, str) else "?"
        return True
