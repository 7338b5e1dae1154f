"""Who looks on while a worker works."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from orchestrator.domains.integrations.types import CheckResult, Integration
from orchestrator.domains.runs.service import Follower
from orchestrator.domains.runs.types import Progress, Run
from orchestrator.domains.schedules.types import Fired


class Observer:
    """Sees what a worker does, and here makes nothing of it. Called from several threads at once."""

    def attempt(self, integration: Integration, run: Run) -> AbstractContextManager[Follower]:
        """Be told what becomes of one attempt at a run; left with LeaseLostError where others took it over."""
        return _unfollowed(integration, run)

    def recovered(self, found: Sequence[Run]) -> None:
        """Runs were taken from workers that are gone."""

    def fired(self, fired: Fired) -> None:
        """Slots of schedules came to their ends."""

    def checked(self, integration: Integration, results: Sequence[CheckResult]) -> None:
        """A connection was checked; told by whichever thread did."""


@contextmanager
def _unfollowed(_integration: Integration, _run: Run) -> Iterator[Follower]:
    yield Follower()


class Several(Observer):
    """All of these."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    @contextmanager
    def attempt(self, integration: Integration, run: Run) -> Iterator[Follower]:
        """Tell each."""
        with ExitStack() as stack:
            yield _Each([stack.enter_context(one.attempt(integration, run)) for one in self._observers])

    def recovered(self, found: Sequence[Run]) -> None:
        """Tell each."""
        for one in self._observers:
            one.recovered(found)

    def fired(self, fired: Fired) -> None:
        """Tell each."""
        for one in self._observers:
            one.fired(fired)

    def checked(self, integration: Integration, results: Sequence[CheckResult]) -> None:
        """Tell each."""
        for one in self._observers:
            one.checked(integration, results)


class _Each(Follower):
    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = followers

    def progress(self, progress: Progress) -> None:
        for one in self._followers:
            one.progress(progress)

    def ended(self, run: Run) -> None:
        for one in self._followers:
            one.ended(run)
