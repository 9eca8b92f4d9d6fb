"""What the checks stand on: settings, clock, one line to the broker, and what several of them need once."""

import asyncio
from dataclasses import dataclass, field
from datetime import date

from bot.assemble.access import AccessSettings
from bot.core.rules import Contract
from bot.core.units import InstrumentKey, Paise, ist
from bot.run.ports import Clock
from bot.settings import Settings
from bot.upstox import instruments
from bot.upstox.auth import Token
from bot.upstox.instruments import Master, MasterRefused, Wanted
from bot.upstox.rest import UpstoxRest


@dataclass
class Ground:
    """For one preflight. `master_source`: an address or a path."""

    settings: Settings
    access: AccessSettings
    clock: Clock
    token: Token | None
    rest: UpstoxRest
    contracts: tuple[Contract, ...]
    master_source: str = instruments.SOURCE
    feed_seconds: float = 8.0
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _master: Master | MasterRefused | None = None
    _prices: dict[InstrumentKey, Paise] | None = None

    @property
    def day(self) -> date:
        return ist(self.clock.now()).date()

    @property
    def keys(self) -> tuple[InstrumentKey, ...]:
        return tuple(contract.key for contract in self.contracts)

    async def master(self) -> Master:
        """Today's instrument master, read once. Raises MasterRefused."""
        async with self._reading:
            if self._master is None:
                try:
                    self._master = await instruments.ready(
                        self.clock,
                        Wanted(keys=frozenset(self.keys)),
                        self.settings.data_folder,
                        self.master_source,
                    )
                except MasterRefused as refused:
                    self._master = refused
        if isinstance(self._master, MasterRefused):
            raise self._master
        return self._master

    async def prices(self) -> dict[InstrumentKey, Paise]:
        """Last prices of our instruments, asked once. Raises ReadFailed."""
        async with self._reading:
            if self._prices is None:
                self._prices = await self.rest.last_prices(self.keys)
        return self._prices
