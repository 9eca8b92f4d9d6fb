"""The envelopes of the broker's answers, and the way a handler says no (upstox §1.3). Pure."""

from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]


class Answer(NamedTuple):
    """What goes back: an HTTP status and the body's JSON; or bytes of some kind; or another address."""

    body: Json
    status: int = HTTPStatus.OK
    location: str = ""
    raw: bytes | None = None
    kind: str = "application/json"


class Refused(Exception):
    """The broker says no, with a code of upstox §2.5."""

    def __init__(
        self, status: int, code: str, message: str, path: str | None = None, value: object = None
    ) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status, self.code, self.message = status, code, message
        self.path, self.value = path, value
        self.injected = False  # said because a fault was asked for, not because of what was asked

    @property
    def answer(self) -> Answer:
        """The error envelope: no `data`, and each field in both casings. No code: a proxy's page."""
        if not self.code:
            page = f"<!DOCTYPE html><html><title>Access denied</title><body>{self.message}</body></html>"
            return Answer({}, self.status, raw=page.encode(), kind="text/html")
        error = {
            "errorCode": self.code,
            "message": self.message,
            "propertyPath": self.path,
            "invalidValue": self.value,
            "error_code": self.code,
            "property_path": self.path,
            "invalid_value": self.value,
        }
        return Answer({"status": "error", "errors": [error]}, self.status)


def invalid(path: str, message: str, value: object = None) -> Refused:
    """Input that cannot be read (UDAPI100036)."""
    return Refused(HTTPStatus.BAD_REQUEST, "UDAPI100036", message, path, value)


def success(data: object, **more: object) -> Answer:
    """`more` stands beside `data`: metadata, summary."""
    return Answer({"status": "success", "data": data, **more})
