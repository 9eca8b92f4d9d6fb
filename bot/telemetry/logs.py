"""Structured logs: one line of JSON an event on stdout, or colours on a terminal.

Every line passes the redactor and then a bounded queue to a thread of its own, so a stuck pipe costs lines,
never time on the event loop. Libraries that use `logging` come out of the same pipe, from WARNING up.
This file must never know what a log line leads to.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final, TextIO, TypeAlias

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

from bot.core.units import Nanos, ist_text
from bot.telemetry.line_writer import DirectWriter, LineWriter
from bot.telemetry.log_observer import LogObserver
from bot.telemetry.redact import Redactor

__all__ = ["Log", "LogObserver", "Logs"]

Log: TypeAlias = FilteringBoundLogger  # log.info("event_name", key=value, …)

_FIELD_CHARS_MAX: Final = 16_384
_Render: TypeAlias = Callable[[dict[str, Any]], str]


class Logs:
    """Logging for the process, from construction to `close`. `now` gives the wall time of the day's clock.

    `pretty=None` looks at the stream: colours on a terminal, JSON anywhere else. An event's own `at` (ns)
    wins over `now`. Uncaught exceptions are logged (redacted) instead of printed. `direct`: without the
    thread, for a stream in memory.
    """

    def __init__(
        self,
        now: Callable[[], Nanos],
        *,
        stream: TextIO | None = None,
        pretty: bool | None = None,
        level: str = "info",
        secrets: Iterable[str] = (),
        direct: bool = False,
    ) -> None:
        out = sys.stdout if stream is None else stream
        self._now = now
        self._redactor = Redactor()
        for secret in secrets:
            self.hide(secret)
        self._render = _painter() if (out.isatty() if pretty is None else pretty) else _as_json
        self._writer = DirectWriter(out) if direct else LineWriter(out)
        self._config = structlog.get_config() if structlog.is_configured() else None
        wrapper = structlog.make_filtering_bound_logger(getattr(logging, level.upper()))
        structlog.configure(
            processors=[self._written], wrapper_class=wrapper, logger_factory=structlog.ReturnLoggerFactory()
        )
        # Not the global logger: after `close` that one would print, unredacted.
        self.log: Log = structlog.wrap_logger(
            structlog.ReturnLogger(), processors=[self._written], wrapper_class=wrapper
        ).bind()
        self._handler = _FromLogging(self._line)
        self._capture(logging.getLogger())

    @property
    def dropped(self) -> int:
        """Lines lost because the stream did not take them."""
        return self._writer.dropped

    def hide(self, secret: str) -> None:
        """Never let this value out: call it for every token and key the moment it is known."""
        self._redactor.hide(secret)

    def crashed(self, error: BaseException) -> None:
        """The last words of a process that ends by `error`."""
        self._crashed(type(error), error, error.__traceback__)

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Write what waits, for so long at most, and give `logging`, the hooks and structlog back."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._root_level)
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook = self._hooks
        structlog.reset_defaults()
        if self._config is not None:
            structlog.configure(**self._config)
        self._writer.close(timeout_seconds)

    def _capture(self, root: logging.Logger) -> None:
        self._root_level = root.level
        root.addHandler(self._handler)
        root.setLevel(logging.WARNING)
        logging.captureWarnings(True)
        self._hooks = sys.excepthook, threading.excepthook
        sys.excepthook = self._crashed
        threading.excepthook = self._thread_crashed

    def _written(self, _: Any, method: str, event: MutableMapping[str, Any]) -> str:
        """The only processor: makes the whole line, here and now; the thread only writes."""
        self._line("warning" if method == "warn" else "error" if method == "exception" else method, event)
        return ""

    def _line(self, level: str, event: MutableMapping[str, Any]) -> None:
        at = event.pop("at", None)
        trace = _trace(event.pop("exc_info", None))
        fields = {
            "time": ist_text(at if type(at) is int else self._now()),
            "level": level,
            "event": event.pop("event", ""),
        }
        fields.update((f"{name}_" if name in fields else name, value) for name, value in event.items())
        if trace:
            fields["exception"] = trace
        clean = {name: _clipped(value) for name, value in self._redactor.fields(fields).items()}
        try:
            line = self._render(clean)
        except (TypeError, ValueError):  # an integer beyond 64 bits, half a character
            line = _as_json({name: ascii(value) for name, value in clean.items()})
        self._writer.put(line)

    def _crashed(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._line("warning", {"event": "interrupted"})
        else:
            self._line("critical", {"event": "crashed", "exc_info": (kind, error, trace)})

    def _thread_crashed(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self._crashed(args.exc_type, args.exc_value, args.exc_traceback)


class _FromLogging(logging.Handler):
    """What libraries say through `logging`, as our lines."""

    def __init__(self, line: Callable[[str, MutableMapping[str, Any]], None]) -> None:
        super().__init__(logging.WARNING)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # their format and arguments don't match
            text = f"{record.msg} {record.args}"
        event = {"event": text, "logger": record.name, "exc_info": record.exc_info}
        self._line(record.levelname.lower(), event)


def _trace(told: Any) -> str:
    """`exc_info` in any of its shapes → the traceback's text, without anybody's local variables."""
    if isinstance(told, BaseException):
        told = (type(told), told, told.__traceback__)
    elif told and not isinstance(told, tuple):
        told = sys.exc_info()
    if not told or told[1] is None:
        return ""
    return structlog.processors.format_exc_info(None, "", {"exc_info": told})["exception"]  # type: ignore[no-any-return]


def _clipped(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _FIELD_CHARS_MAX:
        return f"{value[:_FIELD_CHARS_MAX]}… ({len(value)} characters)"
    return value


def _as_json(fields: Mapping[str, Any]) -> str:
    return orjson.dumps(fields).decode()


def _painter() -> _Render:
    """Colours for people. Only made on a terminal."""
    paint = structlog.dev.ConsoleRenderer(timestamp_key="time", pad_event_to=22, sort_keys=False)

    def render(fields: dict[str, Any]) -> str:
        clock = fields["time"].partition("T")[2].removesuffix("+05:30")
        return paint(None, fields["level"], fields | {"time": clock})

    return render
