"""Who runs next in a world in a box: asyncio's own scheduling, without the machine's part in it.

A simulated day is half a million tiny steps, and most of what asyncio does between two of them is to ask the
kernel and the wall clock, which have nothing to say here. The order of steps is asyncio's own: first come
first served, timers in the order of their times. It knows nothing of networks or trading.
"""

from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, Final

from bot.run.lockstep import LockstepLoop, LockstepStuck

STEPS_AN_INSTANT: Final = 2_000_000  # more: something answers itself for ever
_SAME_INSTANT_SECONDS: Final = 1e-9


class Step:
    """What asyncio calls a handle: something to be called soon, or at `seconds` of the loop's time."""

    __slots__ = ("args", "callback", "context", "over", "seconds")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None, seconds: float
    ) -> None:
        self.callback, self.args, self.seconds = callback, args, seconds
        self.context = copy_context() if context is None else context
        self.over = False

    def cancel(self) -> None:
        self.over = True
        self.args = ()  # what it would have held alive until its time

    def cancelled(self) -> bool:
        return self.over

    def when(self) -> float:
        return self.seconds


class SteppedLoop(LockstepLoop):
    """LockstepLoop without a kernel: for worlds in which nothing outside ever speaks to the loop."""

    def __init__(self) -> None:
        super().__init__()
        self._timers: list[tuple[float, int, Step]] = []
        self._timers_made = 0
        self._steps = 0  # of this instant
        self.held: list[Step] | None = None  # steps of those who stand still; None: nobody does
        self.stands_still: Callable[[Context], bool] = lambda _: False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        step = Step(callback, args, context, 0.0)
        self._ready.append(step)  # type: ignore[attr-defined]
        return step

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        return self.call_at(self.lockstep.seconds + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Step:
        step = Step(callback, args, context, when)
        self._timers_made += 1
        heappush(self._timers, (when, self._timers_made, step))
        return step

    def release(self, *, more: bool) -> None:
        """What was held may run again. `more`: somebody else still stands still."""
        held, self.held = self.held or [], [] if more else None
        self._ready.extend(held)  # type: ignore[attr-defined]

    def _run_once(self) -> None:
        """The hook of asyncio: everything that is to happen now; or let time pass, when nothing is."""
        ready: Any = self._ready  # type: ignore[attr-defined]
        if not ready:
            self._pass_time()
        while ready and not self._stopping:  # type: ignore[attr-defined]
            step = ready.popleft()
            if step.over:
                continue
            if self.held is not None and self.stands_still(step.context):
                self.held.append(step)
                continue
            self._steps += 1
            if self._steps > STEPS_AN_INSTANT:
                raise LockstepStuck(f"{STEPS_AN_INSTANT} steps and no end of the instant at {self.time()} s")
            try:
                step.context.run(step.callback, *step.args)
            except Exception as error:  # noqa: BLE001 - as asyncio does: it is for the loop's handler
                self.call_exception_handler({"message": f"in {step.callback!r}", "exception": error})

    def _pass_time(self) -> None:
        lockstep, timers = self.lockstep, self._timers
        while lockstep.quiet:
            waiter = lockstep.quiet.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        while timers and timers[0][2].over:
            heappop(timers)
        if not timers:
            raise LockstepStuck("everybody waits, and nobody for a time")
        lockstep.seconds = max(lockstep.seconds, timers[0][0])
        self._steps = 0
        ready: Any = self._ready  # type: ignore[attr-defined]
        while timers and timers[0][0] <= lockstep.seconds + _SAME_INSTANT_SECONDS:
            ready.append(heappop(timers)[2])
