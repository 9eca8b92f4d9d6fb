"""One turn of the crank, shared by every mode: think → tell the observers → keep and send."""

from collections.abc import Callable, Sequence
from time import perf_counter

from bot.core.commands import Command
from bot.core.engine import Engine
from bot.core.events import Event
from bot.run.ports import Observer, Turn


class Stepper:
    """Turns events into turns. `on_commands` gets every event that had consequences, in order."""

    def __init__(
        self,
        engine: Engine,
        observers: Sequence[Observer],
        on_commands: Callable[[Event, list[Command]], None],
        on_observer_failed: Callable[[Observer, Exception], None],
    ) -> None:
        self.engine = engine
        self._observers = list(observers)
        self._on_commands = on_commands
        self._on_observer_failed = on_observer_failed

    def step(self, event: Event, newest: bool) -> None:
        """Handle one event. A stopwatch times the decision: it is measured, never read by it."""
        began = perf_counter()
        commands = self.engine.handle(event, newest=newest)
        seconds = perf_counter() - began
        turn = tuple.__new__(Turn, (event, self.engine.forecast, commands, seconds))
        for observer in self._observers:
            try:
                observer.hear(turn)
            except Exception as error:  # noqa: BLE001 - whatever it is, watching must not stop trading
                self._observers.remove(observer)
                self._on_observer_failed(observer, error)
                break  # the list changed; the others hear the next turn
        self._on_commands(event, commands)
