"""What a person names (files, folders, globs, S3 addresses) → the recorded files of a sweep, each once."""

import hashlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path
from typing import Final

from bot.research.sweep import Source
from bot.storage.archive import ArchiveRefused

SUFFIXES: Final = (".csv", ".json", ".ktape")  # of what counts as a recording in a folder; each also with .gz


def sources_of(words: Sequence[str]) -> tuple[list[Source], list[str], list[str]]:
    """(files in the order named, notes for people, problems)."""
    found: dict[str, Source] = {}
    notes: list[str] = []
    problems: list[str] = []
    for word in words:
        try:
            sources = list(_in_bucket(word) if word.startswith("s3://") else _here(word))
        except ArchiveRefused as refused:
            problems.append(str(refused))
            continue
        except OSError as error:
            problems.append(f"{word}: {error.strerror}. Check name and rights")
            continue
        if not sources:
            problems.append(f"{word}: no recorded file there ({', '.join(SUFFIXES)}, each plain or .gz)")
        for source in sources:
            twin = found.setdefault(source.identity, source)
            if twin.address != source.address:
                notes.append(f"{source.address}: the same content as {twin.address}, counted once")
    return list(found.values()), notes, problems


def _here(word: str) -> Iterator[Source]:
    path = Path(word)
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if _is_recording(file.name) and file.is_file()]
    elif has_magic(word) and not path.exists():
        files = [Path(name) for name in sorted(glob(word, recursive=True)) if Path(name).is_file()]  # noqa: PTH207
    else:
        files = [path]
    for file in files:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        yield Source(file.name, str(file.absolute()), f"sha256:{digest}")


def _in_bucket(word: str) -> Iterator[Source]:
    bucket, _, wanted = word.removeprefix("s3://").partition("/")
    if not bucket or has_magic(bucket):
        raise ArchiveRefused(
            f"{word}: names no bucket. Write s3://bucket/folder/ or s3://bucket/folder/*.csv.gz"
        )
    from bot.storage.s3 import S3Fault  # boto3 costs 10 MB and 0.2 s: only where it is used
    from bot.storage.s3_files import S3Files

    plain = wanted.partition("*")[0].partition("?")[0].partition("[")[0]
    folder = wanted if not wanted or wanted.endswith("/") else f"{wanted}/"
    try:
        objects = S3Files(bucket).listed(plain)
    except S3Fault as fault:
        raise ArchiveRefused(f"{word}: {fault}. Try again") from None
    for key, size, etag in objects:
        name = key.rpartition("/")[2]
        if has_magic(wanted):
            named = fnmatchcase(key, wanted) and key.count("/") == wanted.count("/")
        else:
            # As in a folder on disk: what lies directly in it.
            named = key == wanted or (key == folder + name and _is_recording(name))
        if named and size:
            yield Source(name, f"s3://{bucket}/{key}", f"etag:{etag}")


def _is_recording(name: str) -> bool:
    return not name.startswith(".") and name.lower().removesuffix(".gz").endswith(SUFFIXES)
