"""Put the two Lambdas into one zip, the same bytes each time: `python infra/lambdas/package.py`."""

import zipfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = ("request.py", "webhook.py")


def package(target: Path = HERE / "build" / "token.zip") -> Path:
    """Write the zip. Returns where it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in SOURCES:
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (HERE / name).read_bytes())
    return target


if __name__ == "__main__":
    print(package())
