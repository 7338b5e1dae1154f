"""What a sync would read, going by what earlier ones read."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from orchestrator.domains.integrations.types import Mode, Stream
from orchestrator.domains.runs.rules.bookmarks import position
from orchestrator.domains.runs.types import Sample, StreamForecast

_RECENT = 5  # runs that an estimate goes by


def forecast(
    streams: Iterable[Stream],
    bookmarks: Mapping[str, Mapping[str, Any]],
    samples: Sequence[Sample],
    *,
    full_refresh: bool,
) -> tuple[StreamForecast, ...]:
    """What would be read of each stream.

    samples: of earlier runs, the newest first; only those of the same nature count: a first read says nothing about
    what changes in a day, and the other way round
    """
    return tuple(_one(stream, bookmarks.get(stream.name), samples, full_refresh=full_refresh) for stream in streams)


def _one(
    stream: Stream, bookmark: Mapping[str, Any] | None, samples: Sequence[Sample], *, full_refresh: bool
) -> StreamForecast:
    always = stream.mode is Mode.FULL_TABLE  # then every run read it from the start, whatever state there was
    whole = always or full_refresh or not bookmark
    same = [one for one in samples if one.stream == stream.name and (always or one.whole == whole)][:_RECENT]
    asked = [one.api_calls for one in same if one.api_calls is not None]
    return StreamForecast(
        stream=stream.name,
        mode=stream.mode.value,
        whole=whole,
        position=position(None if whole else bookmark),
        rows=round(median(one.read for one in same)) if same else None,
        seconds=median(one.seconds for one in same) if same else None,
        api_calls=round(median(asked)) if asked else None,
        samples=len(same),
    )
