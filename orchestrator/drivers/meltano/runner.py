"""The door of this folder: run, discover and read through Meltano, one private project per call."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from orchestrator.drivers.meltano import command, directory, family, landlock, notes, project, socket_server
from orchestrator.drivers.meltano.answers import FirstData
from orchestrator.drivers.meltano.errors import DiscoveryError, MeltanoMissingError
from orchestrator.drivers.meltano.judge import Judge
from orchestrator.drivers.meltano.output import BlockCompleted, Output, Source, clean_name, read
from orchestrator.drivers.meltano.process import (
    Ended,
    Isolation,
    Lease,
    Process,
    Stopped,
    possible_isolation,
    stream,
)
from orchestrator.drivers.meltano.programs import programs
from orchestrator.drivers.meltano.redact import Redactor
from orchestrator.drivers.meltano.values import (
    BATCH_FOLDER,
    NOTES_FILE,
    TOKEN_SOCKET,
    Limits,
    Marker,
    Plugin,
    Project,
    has,
    secrets_in,
)

CATALOG_LIMIT: Final = 256 * 1024 * 1024  # bytes a discovery may answer with
_FREE = 64 * 1024  # bytes; with less, whatever else was said follows from it
_FULL = "There is no space left where runs have their files ({})."

OnOutput = Callable[[Output], None]
LoadState = Callable[[str], dict[str, Any] | None]
SaveState = Callable[[str, dict[str, Any]], None]
FreshToken = Callable[[str], dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a run ended, for others to judge.

    code:            0, or what ended it; 128 + n for signal n. 0 alone is no success: records may be lost
    stopped:         why we ended it, None where it ended by itself
    block:           Meltano's verdict; None where it never came that far
    read, written:   records per stream as the tap and the target counted them
    invalid_states:  STATE lines of the target that Meltano could not parse
    error:           one redacted line for people; None after a clean end, and where we ended it for no fault of its own
    side:            who failed first; None where nothing tells
    complaints:      what was said as an error, by the side that failed where that is known
    lines:           the last redacted lines of the side that failed
    callback_error:  the first exception of a state or token callback
    storage_full:    no space was left in the run's directory at the end
    unredacted:      secrets too short to be taken out of the output
    notes:           what a loader that was given NOTES_FILE left there; None where that is nothing to be kept
    """

    code: int
    stopped: Stopped | None
    block: BlockCompleted | None
    read: Mapping[str, int]
    written: Mapping[str, int]
    invalid_states: int
    error: str | None
    side: Source | None
    complaints: tuple[str, ...]
    lines: tuple[str, ...]
    callback_error: BaseException | None
    storage_full: bool
    unredacted: int
    seconds: float
    notes: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRecord:
    """What a trial read found. stream: whose record came first, None where none came; then exit tells why."""

    stream: str | None
    exit: Exit


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would be rendered. variables: names with their values, secrets masked."""

    meltano_yml: str
    variables: Mapping[str, str]
    catalog: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meltano:
    """Starts Meltano; holds no state, so one serves every run of a process.

    home:       where launchers are kept, and run directories where there is no memory-backed storage
    runs:       where run directories are made, and nothing else; None decides by the machine
    inherited:  variables handed to Meltano and its plugins as they are (certificates, proxies); never secrets
    grace:      between asking a process to end and ending it
    readable:   files and folders that plugins may read besides what they need
    """

    home: Path
    runs: Path | None = None
    inherited: Mapping[str, str] = field(default_factory=dict)
    grace: timedelta = timedelta(seconds=10)
    isolation: Isolation = Isolation.NAMESPACE
    limits: Limits = field(default_factory=Limits)
    readable: tuple[Path, ...] = ()

    @property
    def runs_root(self) -> Path:
        """Where run directories are made."""
        return self.runs or directory.default_root(self.home)

    def run(
        self,
        plan: Project,
        *,
        on_output: OnOutput,
        load_state: LoadState,
        save_state: SaveState,
        fresh_token: FreshToken | None = None,
        timeout: timedelta | None = None,
        cancel: threading.Event | None = None,
        lease: Lease | None = None,
        run_id: UUID | None = None,
    ) -> Exit:
        """Sync once; on_output sees every redacted output in this thread, the other callbacks in others.

        load_state:   state id → {"completed", "partial"} or None
        save_state:   called for every STATE the target emits, during the run; raising ends the run with status 1
        fresh_token:  SHA-256 of the refused access token → {"access_token", "instance_url"}
        lease:        past its end every process is ended, even where this one was stopped or hangs
        An exception of on_output ends every process and goes on to the caller.
        """
        if plan.loader is None:
            raise ValueError("a run needs a loader")
        number = run_id or uuid4()
        argv = command.run(plan.extractor.name, plan.loader.name, state_id=plan.state_id, run_id=number)
        with self._session(plan, fresh_token, (load_state, save_state)) as session:
            project.discard_log(plan, session.place, number)
            return session.start(argv, on_output, timeout, cancel, lease=lease)

    def discover(
        self,
        extractor: Plugin,
        *,
        on_output: OnOutput,
        fresh_token: FreshToken | None = None,
        timeout: timedelta | None = None,
        cancel: threading.Event | None = None,
    ) -> dict[str, Any]:
        """The extractor's catalog. Raises DiscoveryError with the extractor's own words where there is none."""
        answer = bytearray()

        def take(chunk: bytes) -> bool:
            answer.extend(chunk)
            return len(answer) > CATALOG_LIMIT

        with self._session(Project(extractor=extractor), fresh_token) as session:
            end = session.start(command.discover(extractor.name), on_output, timeout, cancel, take)
        return _catalog(bytes(answer), end)

    def read_first_record(
        self,
        plan: Project,
        *,
        on_output: OnOutput,
        fresh_token: FreshToken | None = None,
        timeout: timedelta | None = None,
        cancel: threading.Event | None = None,
    ) -> FirstRecord:
        """Start the extractor through Meltano with the plan's catalog and end it at the first RECORD or BATCH."""
        watch = FirstData()
        with self._session(Project(extractor=plan.extractor, catalog=plan.catalog), fresh_token) as session:
            end = session.start(command.read(plan.extractor.name), on_output, timeout, cancel, watch)
        stream = None if watch.stream is None else session.cleaned_name(watch.stream)
        return FirstRecord(stream=stream, exit=end)

    def preview(self, plan: Project) -> Preview:
        """What a run of this plan would be given; the secrets in it masked."""
        rendered = project.render(
            plan,
            programs=programs(self.home),
            markers={
                TOKEN_SOCKET: "token.sock",
                BATCH_FOLDER: project.BATCHES,
                NOTES_FILE: str(notes.file(Path())),
            },
            inherited=self.inherited,
            limits=self.limits,
        )
        redact = Redactor(_secrets(plan))
        masked = {name: redact(text) for name, text in rendered.variables.items()}
        return Preview(meltano_yml=rendered.files["meltano.yml"], variables=masked, catalog=plan.catalog)

    def possible_isolation(self) -> Isolation | None:
        """What keeps the processes of a run together on this machine; None is the weakest, the process group."""
        return possible_isolation()

    def plugins_kept_apart(self) -> bool:
        """Whether each plugin reaches nothing on this machine but what it needs."""
        return landlock.version() > 0

    def reap(self) -> int:
        """Remove the directories of runs whose processes are dead; how many there were."""
        directory.reap_sockets()
        if self.runs is not None:
            return directory.reap(self.runs) + directory.reap_former(self.runs.parent)
        places = {self.runs_root, directory.root_at_home(self.home)}
        return sum(directory.reap(place) for place in places)

    @contextmanager
    def _session(
        self,
        plan: Project,
        fresh_token: FreshToken | None,
        state: tuple[LoadState, SaveState] | None = None,
    ) -> Iterator["_Session"]:
        with ExitStack() as stack:
            place = stack.enter_context(directory.run_directory(self.runs_root))
            session = _Session(meltano=self, plan=plan, place=place)
            markers: dict[Marker, str] = {
                BATCH_FOLDER: (place.path / project.BATCHES).as_uri(),
                NOTES_FILE: str(notes.file(place.path)),
            }
            if fresh_token is not None:
                answer = socket_server.token_answers(session.remembering(fresh_token))
                path = place.sockets / "token.sock"
                markers[TOKEN_SOCKET] = stack.enter_context(
                    session.serving(path, answer, limit=socket_server.TOKEN_LIMIT)
                )
            uri = None
            if state is not None:
                path = place.sockets / "state.sock"
                answer = socket_server.state_answers(*state)
                address = stack.enter_context(session.serving(path, answer, limit=socket_server.STATE_LIMIT))
                uri = f"orchestrator://{address}"
            rendered = project.render(
                plan,
                programs=programs(self.home),
                markers=markers,
                inherited=self.inherited,
                limits=self.limits,
                readable=self.readable,
            )
            project.write(rendered, place, plan)
            session.environment = project.process_environment(rendered, place, state_uri=uri, inherited=self.inherited)
            yield session


class _Session:
    """One rendered project, ready to be started."""

    def __init__(self, *, meltano: Meltano, plan: Project, place: directory.RunDirectory) -> None:
        self._meltano = meltano
        self.place = place
        self._redact = Redactor(_secrets(plan))
        self._notes = plan.loader is not None and has(plan.loader.config, NOTES_FILE)
        self._judge = Judge()
        self._callback_error: BaseException | None = None
        self._supervisor: int | None = None
        self.environment: Mapping[str, str] = {}

    def serving(self, path: Path, answer: socket_server.Answer, *, limit: int) -> AbstractContextManager[str]:
        """Answer the processes of this run, and keep the first failure of a callback."""
        return socket_server.serving(path, answer, limit=limit, failed=self._failed, is_ours=self._is_ours)

    def _failed(self, error: BaseException) -> None:
        self._callback_error = self._callback_error or error

    def _is_ours(self, pid: int) -> bool:
        """True too where we can't see whose process it is: the nonce decides then."""
        return self._supervisor is not None and family.is_below(pid, self._supervisor) is not False

    def _started(self, supervisor: int) -> None:
        self._supervisor = supervisor

    def cleaned_name(self, name: str) -> str:
        """A name a plugin gave, as it may be shown."""
        return clean_name(name, self._redact)

    def remembering(self, fresh_token: FreshToken) -> FreshToken:
        """The callback, its tokens known to the redactor before the plugin has them."""

        def fresh(rejected: str) -> dict[str, str]:
            answer = fresh_token(rejected)
            self._redact.add([answer["access_token"]])
            return answer

        return fresh

    def start(
        self,
        argv: tuple[str, ...],
        on_output: OnOutput,
        timeout: timedelta | None,
        cancel: threading.Event | None,
        on_stdout: Callable[[bytes], bool] | None = None,
        *,
        lease: Lease | None = None,
    ) -> Exit:
        """Run Meltano to its end."""

        def on_line(line: bytes) -> None:
            output = read(line, redact=self._redact)
            if output is not None:
                self._judge.see(output)
                on_output(output)

        process = Process(
            command=(_meltano(), *argv),
            environment=self.environment,
            directory=self.place,
            timeout=None if timeout is None else timeout.total_seconds(),
            grace=self._meltano.grace.total_seconds(),
            cancel=cancel or threading.Event(),
            lease=lease,
            started=self._started,
            isolation=self._meltano.isolation,
            limits=self._meltano.limits,
        )
        started = time.monotonic()
        ended = stream(process, on_line=on_line, on_stdout=on_stdout)
        return self._exit(ended, time.monotonic() - started)

    def _exit(self, ended: Ended, seconds: float) -> Exit:
        by_itself = ended.code != 0 and ended.stopped is None
        full = shutil.disk_usage(self.place.path.parent).free < _FREE  # its own may be gone, by the lease
        side = self._judge.failed_side()
        told = _FULL.format(self.place.path.parent) if full else self._judge.error(ended.code)
        over = self._over(ended.stopped)
        return Exit(
            code=ended.code,
            stopped=ended.stopped,
            block=self._judge.block,
            read=self._judge.counts(Source.TAP),
            written=self._judge.counts(Source.TARGET),
            invalid_states=self._judge.invalid_states,
            error=over or (told if by_itself else None),
            side=side,
            complaints=self._judge.complaints(),
            storage_full=full,
            lines=self._judge.lines(side or Source.TAP),
            callback_error=self._callback_error,
            unredacted=self._redact.too_short,
            seconds=seconds,
            notes=notes.take(self.place.path) if self._notes else None,
        )

    def _over(self, stopped: Stopped | None) -> str | None:
        """What to tell of a run that took more than it may."""
        limits = self._meltano.limits
        if stopped is Stopped.MEMORY:
            return f"The run took more memory than the {limits.memory / 1024**3:,.1f} GiB that it may."
        if stopped is Stopped.PROCESSES:
            return f"The run started more than {limits.processes:,} processes and threads."
        return None


def _secrets(plan: Project) -> frozenset[str]:
    return frozenset().union(*(secrets_in(plugin.config) for plugin in plan.plugins))


def _meltano() -> str:
    path = Path(sys.executable).with_name("meltano")
    if not path.exists():
        raise MeltanoMissingError(str(path))
    return str(path)


def _catalog(answer: bytes, end: Exit) -> dict[str, Any]:
    """The catalog the extractor printed."""
    from orchestrator.drivers.meltano import catalog

    if end.stopped is Stopped.ENOUGH:
        raise DiscoveryError(f"the catalog is larger than {CATALOG_LIMIT:,} bytes.")
    if end.stopped is not None and end.error is None:
        raise DiscoveryError(f"it was {end.stopped.replace('_', ' ')}.", stopped=end.stopped)
    if end.code != 0:
        raise DiscoveryError(end.error or f"the extractor ended with status {end.code}.", lines=end.lines)
    try:
        found = catalog.parse(answer)
    except catalog.MalformedCatalogError as error:
        raise DiscoveryError(
            f"the extractor printed a catalog that can't be used ({error}).", lines=end.lines
        ) from None
    if found is None:
        raise DiscoveryError("the extractor printed no catalog.", lines=end.lines)
    return found
