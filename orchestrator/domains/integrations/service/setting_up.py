"""The main job: from the fields of a form to an integration that works, knows its streams and which of them it reads.

Every door calls it and shows what goes on in its own way; a conversation takes the steps one by one instead.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations.errors import FailedTestError
from orchestrator.domains.integrations.service import checking
from orchestrator.domains.integrations.service.checking import OnCheck, OnOutput, ignore
from orchestrator.domains.integrations.service.configuring import add, connect
from orchestrator.domains.integrations.service.selecting import choose_only
from orchestrator.domains.integrations.types import (
    CheckResult,
    Integration,
    NewIntegration,
    SetupState,
    StreamChange,
    Verdict,
)
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.errors import OrchestratorError


class Step(StrEnum):
    """What takes its time, and is worth following."""

    TEST = "test"
    DISCOVER = "discover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Who is told what goes on within a step."""

    on_check: OnCheck = ignore
    on_output: OnOutput = ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """How far it came. Whatever ended it, the integration is saved and as shown here.

    checks:   of the test; () where it was left out
    change:   what the discovery found; None where it was left out
    failure:  what ended it early
    """

    integration: Integration
    checks: tuple[CheckResult, ...] = ()
    change: StreamChange | None = None
    failure: OrchestratorError | None = None

    def or_raise(self) -> Integration:
        """The integration, where nothing failed. Raises the failure."""
        if self.failure is not None:
            raise self.failure
        return self.integration


OnStep = Callable[[Step, SetUp], AbstractContextManager[Follower]]


def _unfollowed(_step: Step, _so_far: SetUp) -> AbstractContextManager[Follower]:
    return nullcontext(Follower())


def set_up(
    drivers: Drivers,
    place: Place,
    new: NewIntegration,
    *,
    streams: Sequence[str] = (),
    test: bool = True,
    discover: bool = True,
    on_step: OnStep = _unfollowed,
) -> SetUp:
    """Save a new integration, and make it ready. Raises what `add` raises; nothing is saved then."""
    return make_ready(drivers, add(drivers, place, new), streams=streams, test=test, discover=discover, on_step=on_step)


def make_ready(
    drivers: Drivers,
    integration: Integration,
    *,
    streams: Sequence[str] = (),
    test: bool = True,
    discover: bool = True,
    on_step: OnStep = _unfollowed,
) -> SetUp:
    """Test and connect it, ask what there is to read, and select; the first failure ends it and is in the answer.

    streams:  exactly what is read, names and patterns; none leaves what is suggested or was chosen before
    test:     without, a draft stays a draft
    on_step:  entered before each step with how far it came, left at its end; answers who follows the step
    """
    done = SetUp(integration=integration)
    try:
        if test:
            with on_step(Step.TEST, done) as told:
                done = verify(drivers, integration, on_check=told.on_check, on_output=told.on_output)
            if done.failure is not None:
                return done
        if discover or streams:
            with on_step(Step.DISCOVER, done) as told:
                done = replace(done, change=checking.discover(drivers, integration, on_output=told.on_output))
        if streams:
            choose_only(drivers, integration, streams)
    except OrchestratorError as failure:
        return replace(done, failure=failure)
    return done


def verify(
    drivers: Drivers, integration: Integration, *, on_check: OnCheck = ignore, on_output: OnOutput = ignore
) -> SetUp:
    """Test it, and connect it where every check passes; the failure in the answer says which one did not.

    Raises what prevents checking at all.
    """
    checks = checking.test(drivers, integration, on_check=on_check, on_output=on_output)
    failed = next((check for check in checks if check.verdict is Verdict.FAILED), None)
    if failed is not None:
        failure = FailedTestError(integration.name, failed.title, failed.message, failed.hint)
        return SetUp(integration=integration, checks=checks, failure=failure)
    if integration.setup_state is not SetupState.CONNECTED:
        integration = connect(drivers, integration)
    return SetUp(integration=integration, checks=checks)
