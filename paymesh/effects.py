"""Effects: remote calls that a state owes, done after commit and again until they are done.

They are owed, not queued: a pure function `owed(state, at)` says what to ask, and the row's
next_action_at says when. The shell offers effects right after its commit; the sweeper finds what
was dropped, failed, or left behind by a crash. Both use this executor, so one effect is never done
twice at the same time in one process; and each is idempotent, so twice in two does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from paymesh import metrics, telemetry
from paymesh.clock import Clock
from paymesh.context import Call, Context, DeadlineClass
from paymesh.errors import Code, PaymentError
from paymesh.failpoint import failpoint
from paymesh.items import Item, Outcome
from paymesh.shell import Shell
from paymesh.store.port import Conflict, Unreachable
from paymesh.store.rowtypes import Aggregate

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Result:
    """What an effect gave: a command that tells the core, a value for who waits, or neither."""

    command: Any = None
    value: Any = None


Do = Callable[[Any], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class EffectLimits:
    in_flight_max: int = 2000
    """Beyond it an effect waits for the sweeper: seconds. So as many as a server takes calls."""
    effect_timeout_s: float = 10.0


class EffectExecutor:
    """Does effects; what comes of them goes back into the core as commands.

    `does` by effect type. An effect type that is not in it is itself a command (a deadline that
    has passed, for example) and goes straight to `submit`. A PaymentError of an effect means: not
    now; the row's next_action_at brings it back.
    """

    def __init__(
        self,
        *,
        name: str,
        does: Mapping[type, Do],
        limits: EffectLimits = EffectLimits(),
        clock: Clock,
    ) -> None:
        self._name, self._does, self._limits, self._clock = name, dict(does), limits, clock
        self._submit: Callable[[Item], Awaitable[Outcome]] | None = None
        self._running: dict[Any, asyncio.Task[Any]] = {}
        self._heard: dict[type, bool] = {}

    @property
    def heard(self) -> bool:
        """Whether the last call of each effect type reached somebody who answered. A process that
        has only just started knows of nobody: its peers may be as young, or still away."""
        return bool(self._heard) and all(self._heard.values())

    def bind(self, submit: Callable[[Item], Awaitable[Outcome]]) -> None:
        """Where the commands go; set once, when shell and batcher exist."""
        self._submit = submit

    def offer(self, effects: Sequence[Any]) -> None:
        """Starts the effects that there is room for; the sweeper does the rest."""
        for effect in effects:
            self.start(effect)

    def start(self, effect: Any) -> asyncio.Task[Any] | None:
        """The task that does the effect: the running one, a new one, or None without room."""
        running = self._running.get(effect)
        if running is not None:
            return running
        if len(self._running) >= self._limits.in_flight_max:
            metrics.EFFECTS.labels(type(effect).__name__, "dropped").inc()
            return None
        task = asyncio.create_task(self._do(effect))
        self._running[effect] = task
        metrics.EFFECTS_IN_FLIGHT.labels(self._name).set(len(self._running))
        task.add_done_callback(lambda _: self._running.pop(effect, None))
        return task

    async def execute(self, effects: Sequence[Any], *, timeout_s: float) -> list[Any]:
        """Waits for the effects at most so long; they go on without us. Their values, or None."""
        tasks = [self.start(effect) for effect in effects]
        waiting = [task for task in tasks if task is not None]
        if waiting and timeout_s > 0:
            await asyncio.wait(waiting, timeout=timeout_s)
        return [t.result() if t is not None and t.done() else None for t in tasks]

    async def _do(self, effect: Any) -> Any:
        name = type(effect).__name__
        try:
            async with asyncio.timeout(self._limits.effect_timeout_s):
                result = Result(command=effect)
                if type(effect) in self._does:
                    failpoint("effect.before_call")
                    result = await self._does[type(effect)](effect)
                    failpoint("effect.after_call")
                if result.command is not None:
                    await self._tell(result.command)
        except (PaymentError, TimeoutError, Unreachable, Conflict) as error:
            metrics.EFFECTS.labels(name, "later").inc()
            self._heard[type(effect)] = not _unheard(error)
            said = str(error) or type(error).__name__
            log.warning("effect.later", effect=name, business_id=_chain(effect), error=said)
            return None
        except Exception:
            metrics.EFFECTS.labels(name, "defect").inc()
            log.exception("effect.defect", effect=name, business_id=_chain(effect))
            return None
        metrics.EFFECTS.labels(name, "done").inc()
        self._heard[type(effect)] = True
        return result.value

    async def _tell(self, command: Any) -> None:
        assert self._submit is not None, "bind() comes first"
        call = Call(
            context=command.context,
            deadline=self._clock.monotonic() + self._limits.effect_timeout_s,
            traceparent=telemetry.traceparent(),
            deadline_class=DeadlineClass.BACKGROUND,
        )
        outcome = await self._submit(Item(command=command, call=call))
        if isinstance(outcome, PaymentError):
            raise outcome

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Waits for what is running, then lets go: the sweeper finds the rest."""
        tasks = list(self._running.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _chain(effect: Any) -> str:
    """The business_id under which its story is told; empty for one that does not say."""
    context: Context | None = getattr(effect, "context", None)
    return context.business_id if context is not None else ""


def _unheard(error: Exception) -> bool:
    """Nobody was there, or nobody in time: it tells nothing about what was to be asked."""
    return not isinstance(error, PaymentError) or error.code in {
        Code.UNAVAILABLE,
        Code.DEADLINE_EXCEEDED,
    }


@dataclass(frozen=True, slots=True)
class SweepLimits:
    rows_max: int = 200
    idle_s: float = 0.5
    """Pause when nothing was due."""
    ladder_s: tuple[float, ...] = (5, 30, 120, 600, 3600, 21600)
    """How long a row waits after its 1st, 2nd, … action without a result."""
    unheard_rungs: int = 3
    """So far a row climbs while calls go unheard: an outage must not cost hours of silence."""


async def sweep(
    shell: Shell[Any], executor: EffectExecutor, *, clock: Clock, limits: SweepLimits
) -> int:
    """Claims due rows, then does what they owe. How many rows were due."""
    aggregate = shell.aggregate
    assert isinstance(aggregate, Aggregate), "a family is not swept"
    ladder_s = limits.ladder_s if executor.heard else limits.ladder_s[: limits.unheard_rungs]
    due = await shell.store.claim_due(aggregate, limit=limits.rows_max, ladder_s=ladder_s)
    if not due:
        return 0
    states = await shell.store.load(aggregate, [row.key for row in due])
    now = clock.now()
    effects = [effect for state in states.values() for effect in shell.owed(state, now)]
    await executor.execute(effects, timeout_s=limits.ladder_s[0])
    return len(due)


async def sweep_forever(
    shell: Shell[Any], executor: EffectExecutor, *, clock: Clock, limits: SweepLimits
) -> None:
    """Sweeps until cancelled. A store that is away is waited for."""
    while True:
        try:
            found = await sweep(shell, executor, clock=clock, limits=limits)
        except (Unreachable, Conflict) as error:
            log.warning("sweep.later", aggregate=shell.aggregate.name, error=str(error))
            found = 0
        except Exception:  # a defect in one sweep must not end all sweeping
            log.exception("sweep.defect", aggregate=shell.aggregate.name)
            metrics.EFFECTS.labels("sweep", "defect").inc()
            found = 0
        if found < limits.rows_max:
            await clock.sleep(limits.idle_s)
