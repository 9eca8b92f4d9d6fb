"""Cells on a Dask cluster: other machines, each with this bot installed. What a cell means it does not know.

Dask lives in `.venv-dask` (made by `make dask-env`) and is imported here alone. Workers read files by the
addresses of the cells: paths that they all see, or `s3://`.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

from distributed import Client, KilledWorker, as_completed, get_worker

from bot.assemble.sweep import Answer, Answers, answer
from bot.assemble.sweep_options import SweepRefused
from bot.research.sweep import Cell, CellRefused, Row

_CONNECT_SECONDS = 15


class OnDask(Answers):
    """The scheduler at `address`. Raises SweepRefused when it can't be reached."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder)
        try:
            self._client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SweepRefused([f"--dask {address}: no scheduler answers there ({error})."]) from None

    def __call__(self, cells: Sequence[Cell]) -> Generator[Answer, None, None]:
        with self._client as client:
            if cells and not client.scheduler_info()["workers"]:
                raise SweepRefused(["--dask: the scheduler has no workers. Start `dask worker` somewhere"])
            # A worker that dies has its unfinished cells run by others; a key runs once.
            asked = [client.submit(_answer_there, cell, key=f"cell-{cell.key}", pure=True) for cell in cells]
            by_key = {f"cell-{cell.key}": cell for cell in cells}
            for future in as_completed(asked, loop=client.loop):
                try:
                    yield by_key[future.key], future.result()
                except KilledWorker as killed:
                    raise SweepRefused(
                        [f"--dask: workers died one after another ({killed}). See their logs"]
                    ) from None
                future.release()


def _answer_there(cell: Cell) -> Row | CellRefused:
    return answer(cell, Path(get_worker().local_directory) / "files")
