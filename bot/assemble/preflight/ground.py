"""What the checks stand on: settings, clock, one line to the broker, and what several of them need once."""

import asyncio
from dataclasses import dataclass, field
from datetime import date

from bot.assemble.access import AccessSettings
from bot.assemble.contracts import ContractsRefused, DayContracts, Pending, contracts_of
from bot.core.calendar import Calendar, CalendarRefused
from bot.core.rules import Contract
from bot.core.units import InstrumentKey, Paise, ist
from bot.run.ports import Clock
from bot.settings import Settings
from bot.storage import calendar_file
from bot.upstox.auth import Token
from bot.upstox.rest import UpstoxRest


@dataclass
class Ground:
    """For one preflight."""

    settings: Settings
    access: AccessSettings
    clock: Clock
    token: Token | None
    rest: UpstoxRest
    feed_seconds: float = 8.0
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _found: DayContracts | ContractsRefused | None = None
    _prices: dict[InstrumentKey, Paise] | None = None

    @property
    def day(self) -> date:
        return ist(self.clock.now()).date()

    def calendar(self) -> Calendar:
        """Raises CalendarRefused."""
        return calendar_file.load(self.settings.data_folder)

    async def day_contracts(self) -> DayContracts:
        """What `bot run` would trade, by the instrument master; read once. Raises ContractsRefused."""
        async with self._reading:
            if self._found is None:
                try:
                    calendar = self.calendar()
                except CalendarRefused:
                    calendar = Calendar({}, {})  # the calendar check says so; only expiry words need it here
                try:
                    self._found = await contracts_of(self.settings, self.clock, self.day, calendar, {})
                except ContractsRefused as refused:
                    self._found = refused
        if isinstance(self._found, ContractsRefused):
            raise self._found
        return self._found

    async def contracts(self) -> tuple[Contract, ...]:
        """Those known by now: without refused ones, and without wishes that are fulfilled at 09:20."""
        try:
            found = await self.day_contracts()
        except ContractsRefused:
            return self.settings.contracts
        return tuple(chosen.contract for chosen in found.chosen)

    async def exchanges(self) -> frozenset[str]:
        """NSE, BSE: where our contracts trade, known or wished for."""
        known = {contract.exchange for contract in await self.contracts()}
        wished = {option.exchange for one in await self._pending() for option in one.options[:1]}
        keys = {item.key[:3] for item in self.settings.instruments if item.key is not None}
        return frozenset(known | wished | keys) or frozenset({"NSE"})

    async def keys_to_sample(self) -> tuple[InstrumentKey, ...]:
        """What the feed is asked for: our contracts, and the indices of wishes."""
        keys = [contract.key for contract in await self.contracts()]
        keys += [one.index_key for one in await self._pending()]
        return tuple(dict.fromkeys(keys))

    async def _pending(self) -> tuple[Pending, ...]:
        try:
            return (await self.day_contracts()).pending
        except ContractsRefused:
            return ()  # said by the check of the instrument

    async def prices(self) -> dict[InstrumentKey, Paise]:
        """Last prices of our contracts, asked once. Raises ReadFailed."""
        keys = [contract.key for contract in await self.contracts()]
        async with self._reading:
            if self._prices is None:
                self._prices = await self.rest.last_prices(keys) if keys else {}
        return self._prices
