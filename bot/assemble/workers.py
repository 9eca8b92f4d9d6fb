"""Processes beside this one for long work: they end with it, at once, whatever ends it.

It knows no work. A worker is spawned, not forked: a fork would copy the runtime's threads in any state.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from typing import Any, Final

SPAWN: Final[SpawnContext] = multiprocessing.get_context("spawn")


@contextmanager
def workers(
    jobs: int, begin: Callable[..., None] | None = None, *given: Any
) -> Iterator[ProcessPoolExecutor]:
    """So many. Each calls `begin(*given)` first. An interrupt or an error here ends them: nobody waits for
    what will not be kept.
    """
    with ProcessPoolExecutor(jobs, SPAWN, _begin, (begin, given)) as pool:
        try:
            yield pool
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()
            pool.shutdown(cancel_futures=True)  # waited for: at the exit the pool's thread would race its end
            raise


def _begin(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    """Interrupts are the parent's business; and a worker whose parent was killed has nobody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
