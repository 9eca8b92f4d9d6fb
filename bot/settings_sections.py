"""`[[instruments]]` of bot.toml: a contract by its key, or a wish the bot fulfils at 09:20. The shape only.

Whether the contract exists, and its lot, tick, freeze quantity and expiry, is the instrument master's word;
numbers written here by hand stand in for it where there is none (the twin), and must agree with it elsewhere.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Section(BaseModel):
    """What all sections share: unknown settings are refused, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class LoginSettings(Section):
    """`[login]`, for `bot login`; the secret comes from BOT_LOGIN__API_SECRET alone."""

    api_key: str = ""
    api_secret: SecretStr = SecretStr("")
    redirect_uri: str = "http://127.0.0.1:8910/login"  # as registered with the app, letter by letter


class ProcessSettings(Section):
    """How the bot is as a process among others."""

    on_stop: Literal["flatten", "hold"] = "flatten"  # SIGTERM in a position: sell it, or leave it to its stop
    crash_loop_boots: Annotated[int, Field(ge=0)] = 3  # so many starts…
    crash_loop_minutes: Annotated[float, Field(gt=0)] = 10.0  # …within so long: exits only; 0 boots: never
    lease_seconds: Annotated[float, Field(ge=15, le=600)] = 90.0  # live, archive in S3: one bot at a time


class InstrumentSettings(Section):
    """One entry. `quantity` in units or `lots` in lots; one lot unless given."""

    key: Annotated[str, Field(pattern=r"^(NSE|BSE)_FO\|\w+$")] | None = None
    underlying: Annotated[str, Field(pattern=r"^[A-Z0-9&-]+$")] | None = None
    option_type: Literal["CE", "PE"] | None = None
    strike: Literal["ATM"] | Annotated[float, Field(gt=0)] = "ATM"  # ATM: at the money; or rupees
    expiry: Literal["nearest"] | date = "nearest"
    min_days_to_expiry: Annotated[int, Field(ge=0)] = 1
    quantity: Annotated[int, Field(gt=0)] | None = None
    lots: Annotated[int, Field(gt=0)] | None = None
    lot: Annotated[int, Field(gt=0)] | None = None
    freeze_quantity: Annotated[int, Field(gt=0)] | None = None
    tick_rupees: Annotated[float, Field(gt=0)] = 0.05
    name: str = ""

    @model_validator(mode="after")
    def _one_of_each(self) -> "InstrumentSettings":
        if (self.key is None) == (self.underlying is None):
            raise ValueError('give either key = "NSE_FO|…", or underlying and option_type, not both')
        if self.key is not None and self.option_type is not None:
            raise ValueError("option_type belongs to underlying; a key names its contract already")
        if self.underlying is not None and self.option_type is None:
            raise ValueError('option_type: is missing; write "CE" or "PE"')
        if self.underlying is not None and self.lot is not None:
            raise ValueError("lot: comes from the instrument master when the bot chooses the contract")
        if self.quantity is not None and self.lots is not None:
            raise ValueError("give quantity (units) or lots, not both")
        return self

    @model_validator(mode="after")
    def _tradable(self) -> "InstrumentSettings":
        if (self.lot is None) != (self.freeze_quantity is None):
            raise ValueError(
                "give lot and freeze_quantity together, or neither: the instrument master has both"
            )
        if self.lot is None or self.freeze_quantity is None:
            return self
        if self.units % self.lot:
            raise ValueError(f"quantity {self.units} is not a multiple of the lot {self.lot}")
        if self.units > self.freeze_quantity:
            raise ValueError(f"quantity {self.units} is above the freeze quantity {self.freeze_quantity}")
        return self

    @property
    def by_hand(self) -> bool:
        """Do all of the contract's numbers stand here?"""
        return self.lot is not None

    @property
    def units(self) -> int:
        """The quantity of an entry whose lot stands here."""
        assert self.lot is not None
        return self.quantity or (self.lots or 1) * self.lot

    @property
    def title(self) -> str:
        """For people: the key, or the wish in words."""
        if self.key is not None:
            return self.key
        strike = self.strike if isinstance(self.strike, str) else f"{self.strike:g}"
        return f"{self.underlying} {strike} {self.option_type}, expiry {self.expiry}"
