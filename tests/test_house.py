"""The house rules hold: rooms import only from floors below; the core reads no clock and does no IO."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOT = ROOT / "bot"
FLOORS = {
    "core": 1,
    "settings_sections": 1,
    "run": 2,
    "settings_file": 1,
    "settings": 2,
    "upstox": 3,
    "sim": 3,
    "storage": 3,
    "telemetry": 3,
    "twin": 4,
    "simulate": 5,
    "research": 5,
    "assemble": 6,
    "cli": 7,
    "__main__": 8,
}
FILES = sorted(path for path in BOT.rglob("*.py") if not path.name.endswith("_pb2.py"))
CORE_BANS = {
    "time", "random", "secrets", "uuid", "os", "logging", "structlog", "asyncio", "threading", "socket",
    "pathlib", "io", "sqlite3", "httpx", "websockets", "subprocess", "sys",
}  # fmt: skip
CLOCK_CALLS = {"now", "utcnow", "today", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}


def _room(path: Path) -> str:
    return path.relative_to(BOT).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(BOT)))
def test_a_room_imports_only_from_floors_below(path: Path) -> None:
    here = _room(path)
    if here == "__init__":
        return
    for line, module in _imports(path):
        parts = module.split(".")
        if parts[0] != "bot" or len(parts) == 1 or parts[1] == here:
            continue
        there = parts[1]
        assert FLOORS[there] < FLOORS[here], f"{path}:{line}: {here} must not import {module}"


@pytest.mark.parametrize("path", sorted((BOT / "core").glob("*.py")), ids=lambda path: path.name)
def test_the_core_has_no_clock_no_randomness_no_logging_no_io_no_async(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for line, module in _imports(path):
        assert module.split(".")[0] not in CORE_BANS, f"{path}:{line}: {module}"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path}:{node.lineno}: async"
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in {"open", "print", "input", "exec", "eval"}, f"{path}:{node.lineno}: {name}()"
            if isinstance(node.func, ast.Attribute):
                assert name not in CLOCK_CALLS, f"{path}:{node.lineno}: .{name}() reads a clock"


def test_only_live_reads_the_wall_clock() -> None:
    """`time.time` and `datetime.now` appear in run/live.py alone; a stopwatch may time things."""
    for path in FILES:
        if path.relative_to(BOT).as_posix() == "run/live.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                read = f"{node.value.id}.{node.attr}"
                banned = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
                assert read not in banned, f"{path}:{node.lineno}: {read}"


def test_rooms_are_comfortable() -> None:
    """No hand-written file above 350 lines."""
    long = {
        str(path.relative_to(BOT)): n for path in FILES if (n := len(path.read_text().splitlines())) > 350
    }
    assert not long


def test_no_heavy_library_stands_in_the_running_bot() -> None:
    """TensorFlow, pandas and scikit-learn belong to research/ (the train extra) alone."""
    for path in FILES:
        if _room(path) == "research":
            continue
        for line, module in _imports(path):
            assert module.split(".")[0] not in {"tensorflow", "keras", "pandas", "sklearn"}, f"{path}:{line}"
