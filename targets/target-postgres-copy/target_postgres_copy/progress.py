"""How far a table is in a run, and when its stream is complete."""

from dataclasses import dataclass

from target_postgres_copy.stage import Place


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a table is in this run, whatever SCHEMA its stream has at the moment.

    stamp:      the number of STATE messages before its last row
    version:    of the last ACTIVATE_VERSION
    owed:       a version that is activated when the stream turns out to be complete
    rows:       whether rows came since the last activation; `unversioned`: whether some came without a version
    made, fed:  monotonic seconds when the table was made, and when its last batch was sent off
    hold:       number in the ledger of a table that is built aside, until it is swapped in
    """

    place: Place
    stream: str
    stamp: int = 0
    version: int | None = None
    owed: int | None = None
    rows: bool = False
    unversioned: bool = False
    made: float = 0.0
    fed: float = 0.0
    hold: int | None = None
