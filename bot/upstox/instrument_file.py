"""The child process that reads the broker's whole instrument master and keeps the few rows the bot wants.

`python -m bot.upstox.instrument_file --source … --cache …`: a process of its own, because the master is 60 MB
of JSON and read at once takes 255 MB; here it streams. It must never see a secret: the file is public.
"""

import argparse
import codecs
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import orjson

from bot.core.selection import OPTION_TYPES, Option
from bot.core.units import MILLISECOND, ist, paise

CACHE_VERSION: Final = 1
EXIT_REFUSED: Final = 1
_CHUNK_BYTES: Final = 1 << 16
_PACKED_BYTES_MAX: Final = 128 << 20  # 3.5 MB in 2025
_UNPACKED_BYTES_MAX: Final = 2 << 30  # 60 MB in 2025
_ROW_CHARACTERS_MAX: Final = 1 << 17  # a row is some 600
_NUMBER_MAX: Final = 1 << 43  # as milliseconds: the year 2248
_GZIP: Final = b"\x1f\x8b"
_CONNECT_SECONDS: Final = 10.0
_DERIVATIVES: Final = ("NSE_FO", "BSE_FO")
_INDICES: Final = ("NSE_INDEX", "BSE_INDEX")
_SPACE: Final = " \t\r\n"


class MasterDamaged(Exception):
    """What the source gave is not a whole instrument master. Says what it is, for the trader."""


# ---- bytes → rows ----------------------------------------------------------------------------------------


def rows(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The rows of one JSON array of objects, plain or gzipped, as they come. Raises MasterDamaged."""
    text = _decoded(_unpacked(pieces))
    decoder = json.JSONDecoder()
    held, at = "", 0
    opened = False
    while True:
        while at < len(held) and held[at] in _SPACE + "," * opened:
            at += 1
        if at < len(held):
            if not opened:
                _expect_array(held, at)
                opened, at = True, at + 1
                continue
            if held[at] == "]":
                _expect_end(held[at + 1 :], text)  # read to the end, or the checksum is never looked at
                return
            try:
                row, at = decoder.raw_decode(held, at)
            except json.JSONDecodeError:
                if len(held) - at > _ROW_CHARACTERS_MAX:
                    raise MasterDamaged("it is damaged: there is text in it that is not JSON") from None
            else:
                if not isinstance(row, dict):
                    raise MasterDamaged("it is not a list of instruments")
                yield row
                continue
        more = next(text, None)
        if more is None:
            raise MasterDamaged("it is cut off: the file ends in the middle" if held else "it is empty")
        held, at = held[at:] + more, 0


def _expect_array(held: str, at: int) -> None:
    if held[at] == "<":
        raise MasterDamaged("it is a web page (HTML), not the instrument master")
    if held[at] != "[":
        raise MasterDamaged("it is not a JSON array of instruments")


def _expect_end(held: str, text: Iterator[str]) -> None:
    if held.strip() or any(more.strip() for more in text):
        raise MasterDamaged("it is damaged: there is more after its end")


def _decoded(pieces: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise MasterDamaged("it is damaged: it is not UTF-8 text") from None


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    first = b""
    while len(first) < len(_GZIP) and (piece := next(pieces, None)) is not None:
        first += piece
    if not first.startswith(_GZIP):
        if first:
            yield first
        yield from pieces
        return
    gzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    total = 0
    packed: bytes | None = first
    try:
        while packed is not None:
            while packed:
                out = gzip.decompress(packed, _CHUNK_BYTES)
                packed = gzip.unconsumed_tail
                total += len(out)
                if total > _UNPACKED_BYTES_MAX:
                    raise MasterDamaged("it is damaged: it unpacks to far more than an instrument master")
                yield out
            packed = next(pieces, None)
    except zlib.error:
        raise MasterDamaged("it is damaged: the gzip data does not unpack") from None
    if gzip.unused_data:
        raise MasterDamaged("it is damaged: there is more after its end")
    if not gzip.eof:
        raise MasterDamaged("it is cut off: the gzip data ends in the middle")


# ---- rows → what is kept ---------------------------------------------------------------------------------


class Keeper:
    """Looks at every row and keeps the wanted ones, in the shape of the cache."""

    def __init__(self, underlyings: frozenset[str], keys: frozenset[str]) -> None:
        self._underlyings = underlyings
        self._keys = keys
        self.rows = 0
        self.known: set[str] = set()  # every underlying with index options
        self.options: list[list[Any]] = []
        self.indices: dict[str, str] = {}
        self.others: dict[str, str] = {}  # wanted keys that are no options: what they are
        self.unreadable: dict[str, str] = {}

    def look(self, row: dict[str, Any]) -> None:
        self.rows += 1
        key, kind = row.get("instrument_key"), row.get("instrument_type")
        if not isinstance(key, str):
            raise MasterDamaged("it is not a list of instruments: a row has no instrument_key")
        segment = row.get("segment")
        if segment in _INDICES:
            self.indices[key] = str(row.get("trading_symbol") or row.get("name"))
        if segment in _DERIVATIVES and kind in OPTION_TYPES:
            underlying = row.get("underlying_symbol")
            if row.get("underlying_type") == "INDEX":
                self.known.add(str(underlying))
            if underlying in self._underlyings or key in self._keys:
                self._keep(key, row)
        elif key in self._keys:
            self.others[key] = f"{row.get('trading_symbol') or row.get('name')}, a {kind} of {segment}"

    def _keep(self, key: str, row: dict[str, Any]) -> None:
        try:
            self.options.append(list(option(row)))
        except ValueError as error:
            self.unreadable[key] = str(error)


def option(row: dict[str, Any]) -> Option:
    """A row of the master (upstox §6.6) → Option. Raises ValueError with the field."""
    lot, tick = _whole(row, "lot_size"), _whole(row, "tick_size")  # the tick in paise
    return Option(
        key=_text(row, "instrument_key"),
        underlying=_text(row, "underlying_symbol"),
        underlying_key=_text(row, "underlying_key"),
        option_type=_text(row, "instrument_type"),
        strike=paise(_number(row, "strike_price")),
        expiry=ist(_whole(row, "expiry") * MILLISECOND).date(),  # 23:59:59 IST
        lot=lot,
        tick=tick,
        freeze_quantity=_whole(row, "freeze_quantity"),
        exchange=_text(row, "exchange"),
        name=_text(row, "trading_symbol"),
        on_index=_text(row, "underlying_type") == "INDEX",
    )


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value


def _number(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is missing")  # noqa: TRY004 - one error for whatever is wrong with a row
    if not 0 < value < _NUMBER_MAX:  # catches NaN as well
        raise ValueError(f"{name} {value} is out of all bounds")
    return value


def _whole(row: dict[str, Any], name: str) -> int:
    number = _number(row, name)
    if number != int(number):
        raise ValueError(f"{name} {number} is not a whole number")
    return int(number)


# ---- the source ------------------------------------------------------------------------------------------


def fetch(address: str, path: Path) -> None:
    """Download to `path`. Raises MasterDamaged with what went wrong."""
    import httpx  # only the child that downloads pays for it

    try:
        with (
            httpx.Client(timeout=_CONNECT_SECONDS, trust_env=False) as client,
            client.stream("GET", address, headers={"User-Agent": "kalman-options-bot"}) as answer,
            path.open("wb") as file,
        ):
            if answer.status_code != httpx.codes.OK:
                raise MasterDamaged(f"the server answered with HTTP {answer.status_code}")
            size = 0
            for piece in answer.iter_raw():
                size += file.write(piece)
                if size > _PACKED_BYTES_MAX:
                    raise MasterDamaged("it is damaged: far larger than an instrument master")
    except httpx.InvalidURL as error:
        raise MasterDamaged(f"the address is wrong: {error}") from None
    except httpx.HTTPError as error:
        raise MasterDamaged(f"it can't be downloaded: {type(error).__name__}") from None


def _pieces(path: Path, digest: "hashlib._Hash") -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
            yield piece


def build(source: Path, name: str, at: int, underlyings: frozenset[str], keys: frozenset[str]) -> bytes:
    """The cache's bytes, from a master on disk. `at`: when it was fetched. Raises MasterDamaged, OSError."""
    started = perf_counter()
    keeper = Keeper(underlyings, keys)
    digest = hashlib.sha256()
    pieces = _pieces(source, digest)
    for row in rows(pieces):
        keeper.look(row)
    for _ in pieces:  # what is left counts for the hash
        pass
    if not keeper.known:
        raise MasterDamaged("it lists no index options")
    return orjson.dumps(
        {
            "version": CACHE_VERSION,
            "source": name,
            "fetched_at": at,
            "sha256": digest.hexdigest(),
            "rows": keeper.rows,
            "seconds": round(perf_counter() - started, 3),
            "wanted": {"underlyings": sorted(underlyings), "keys": sorted(keys)},
            "known": sorted(keeper.known),
            "options": keeper.options,
            "indices": keeper.indices,
            "others": keeper.others,
            "unreadable": keeper.unreadable,
        }
    )


def write_whole(path: Path, content: bytes) -> None:
    """All of it or nothing, whenever the power goes."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def main(arguments: list[str]) -> int:
    """The child. Says nothing when the cache is written; else one sentence on stdout, exit code 1."""
    parser = argparse.ArgumentParser(prog="bot.upstox.instrument_file")
    parser.add_argument("--source", required=True)  # http(s) address or path
    parser.add_argument("--cache", required=True, type=Path)
    parser.add_argument("--at", required=True, type=int)
    parser.add_argument("--underlying", action="append", default=[])
    parser.add_argument("--key", action="append", default=[])
    asked = parser.parse_args(arguments)
    wanted = frozenset(asked.underlying), frozenset(asked.key)
    download = asked.cache.with_name(f"{asked.cache.name}.download")
    try:
        if asked.source.startswith(("https://", "http://")):
            fetch(asked.source, download)
            content = build(download, asked.source, asked.at, *wanted)
        else:
            content = build(Path(asked.source), asked.source, asked.at, *wanted)
        write_whole(asked.cache, content)
    except (MasterDamaged, OSError) as error:
        sys.stdout.write(f"{asked.source}: {error}")
        return EXIT_REFUSED
    finally:
        download.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
