"""Windows of time as people write and read them."""

from datetime import UTC, datetime

from orchestrator.domains.integrations.types import Window
from orchestrator.domains.runs.errors import WindowArgumentError

_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)  # older than any source's stamps


def window(since: str, until: str | None, *, now: datetime) -> Window:
    """The window between two days or times in ISO 8601, UTC where they name no zone; until now where none is given.

    Whole seconds, as sources have them. Raises WindowArgumentError.
    """
    first, end = _moment(since), now.replace(microsecond=0) if until is None else _moment(until)
    if first < _OLDEST:
        raise WindowArgumentError(f"Nothing changed before {spoken(_OLDEST)}.")
    if first >= end:
        raise WindowArgumentError(f"There is nothing from {spoken(first)} to {spoken(end)}.")
    return Window(since=first, until=end)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise WindowArgumentError(f"'{text}' is no day or time.") from None
    return moment.replace(microsecond=0)


def spoken(moment: datetime) -> str:
    """A bound of a window: the day alone where it is midnight."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}" if moment.time() == datetime.min.time() else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
