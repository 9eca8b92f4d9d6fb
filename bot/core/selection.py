"""Which contract to trade: an option checked for trading, and the ATM option chosen by rule, with the reason.

Pure. It is given rows of the instrument master and prices, and fetches nothing. Lot, tick, freeze quantity
and expiry are the master's, never reckoned from a weekday (orders: choosing the contract).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Final, NamedTuple

from bot.core.rules import Contract, RiskRules
from bot.core.units import InstrumentKey, Paise, Quantity, rupees_text

CHOOSE_AT: Final = time(9, 20)  # once a day: the first minutes' prices are no guide
SHORTLIST: Final = 11  # strikes to ask quotes for: the nearest and five on each side
EXPIRY_WARNING_DAYS: Final = 2
OPTION_TYPES: Final = ("CE", "PE")


class Option(NamedTuple):
    """One option as the instrument master lists it."""

    key: InstrumentKey
    underlying: str  # NIFTY, BANKNIFTY, SENSEX …
    underlying_key: InstrumentKey
    option_type: str  # CE | PE
    strike: Paise
    expiry: date
    lot: Quantity
    tick: Paise
    freeze_quantity: Quantity
    exchange: str  # NSE | BSE
    name: str  # trading symbol
    on_index: bool  # False: on a share, settled by delivery


class ContractRefused(ValueError):
    """Can't be traded as wished. `problems` lists every reason, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def contract(option: Option, quantity: Quantity | None, day: date) -> Contract:
    """The option, fit to be traded on `day`. `quantity` in units, None: one lot. Raises ContractRefused."""
    wanted = option.lot if quantity is None else quantity
    problems = []
    if not option.on_index:
        problems.append(
            f"{option.name} is an option on a share: at expiry it is settled by delivering shares, for many "
            "times its premium. Only index options are traded."
        )
    if option.expiry < day:
        problems.append(f"{option.name} expired on {option.expiry}: name a contract that is listed today")
    if wanted <= 0 or wanted % option.lot:
        below = max(wanted // option.lot, 1) * option.lot
        problems.append(
            f"quantity {wanted} is not a multiple of {option.name}'s lot of {option.lot}: "
            f"write {below} or {below + option.lot}"
        )
    if wanted > option.freeze_quantity:
        most = option.freeze_quantity // option.lot * option.lot
        problems.append(
            f"quantity {wanted} is above {option.name}'s freeze quantity of {option.freeze_quantity}: "
            f"at most {most} in one order, and one order is all the bot sends"
        )
    if problems:
        raise ContractRefused(problems)
    return Contract(
        key=option.key,
        quantity=wanted,
        lot=option.lot,
        tick=option.tick,
        freeze_quantity=option.freeze_quantity,
        exchange=option.exchange,
        name=option.name,
    )


def expiry_warning(option: Option, day: date, trading_days: int) -> str:
    """A word from two days ahead on; "" before. `trading_days`: sessions after `day` up to the expiry."""
    if option.expiry == day:
        return f"{option.name} expires today: no entries after 14:00, everything is sold by 15:10"
    if (option.expiry - day).days > EXPIRY_WARNING_DAYS and trading_days > EXPIRY_WARNING_DAYS:
        return ""
    return f"{option.name} expires on {option.expiry:%A} {option.expiry}: choose the next contract soon"


# ---- the choice ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """What the owner asks for. `strike` None: at the money. `expiry` None: the nearest allowed."""

    underlying: str
    option_type: str
    strike: Paise | None = None
    expiry: date | None = None
    min_days_to_expiry: int = 1  # calendar days; 1: never on the day of expiry

    def __post_init__(self) -> None:
        assert self.option_type in OPTION_TYPES, self.option_type
        assert self.min_days_to_expiry >= 0, self.min_days_to_expiry


class Touch(NamedTuple):
    """The best prices of one option; 0: none."""

    bid: Paise
    ask: Paise


class Choice(NamedTuple):
    """The option of the day, and the reason in words, fit for a log and a trader."""

    option: Option
    reason: str


class NothingFits(ValueError):
    """No option passes. The text says why, strike by strike."""


def shortlist(options: Iterable[Option], wish: Wish, index: Paise, day: date) -> tuple[Option, ...]:
    """The options whose quotes decide, best first: one expiry, strikes by their distance from `index`.

    Two strikes at the same distance: the one in the money first (the lower for a call), as it has the higher
    premium and relative to it the narrower spread. Raises NothingFits.
    """
    series = [
        option
        for option in options
        if option.on_index and option.underlying == wish.underlying and option.option_type == wish.option_type
    ]
    if not series:
        raise NothingFits(f"the master lists no {wish.option_type} options on {wish.underlying}")
    expiry = _expiry(series, wish, day)
    aim = index if wish.strike is None else wish.strike
    into_the_money = -1 if wish.option_type == "CE" else 1
    listed = sorted(
        (option for option in series if option.expiry == expiry),
        key=lambda option: (abs(option.strike - aim), -into_the_money * (option.strike - aim), option.key),
    )
    if wish.strike is None:
        return tuple(listed[:SHORTLIST])
    if listed[0].strike != wish.strike:
        near = ", ".join(_strike(option) for option in listed[:3])
        raise NothingFits(
            f"{wish.underlying} has no strike {rupees_text(wish.strike)} for {expiry}; the nearest are {near}"
        )
    return tuple(listed[:1])


def choose(
    candidates: Sequence[Option],
    touches: Mapping[InstrumentKey, Touch],
    wish: Wish,
    index: Paise,
    day: date,
    risk: RiskRules,
) -> Choice:
    """The first of `shortlist`'s candidates that may be bought now. Raises NothingFits.

    Premium and spread are judged as an entry's are (`risk`), lest the choice be refused a second later.
    """
    assert candidates, "shortlist never gives nothing"
    passed_over: list[str] = []
    for option in candidates:
        objection = _objection(touches.get(option.key), risk)
        if not objection:
            return Choice(option, _reason(option, touches[option.key], wish, index, day, passed_over))
        passed_over.append(f"{_strike(option)} {objection}")
    raise NothingFits(
        f"no {wish.underlying} {wish.option_type} of {candidates[0].expiry} fits: {'; '.join(passed_over)}"
    )


def _expiry(series: Sequence[Option], wish: Wish, day: date) -> date:
    listed = sorted({option.expiry for option in series})
    if wish.expiry is not None:
        if wish.expiry not in listed:
            near = ", ".join(map(str, [one for one in listed if one >= day][:4]))
            raise NothingFits(
                f"{wish.underlying} has no options that expire on {wish.expiry}; listed: {near}"
            )
        if wish.expiry < day:
            raise NothingFits(f"the expiry {wish.expiry} is past")
        return wish.expiry
    for expiry in listed:
        if (expiry - day).days >= wish.min_days_to_expiry:
            return expiry
    raise NothingFits(
        f"no {wish.underlying} option expires {wish.min_days_to_expiry} days or more after {day}; the last "
        f"expiry listed is {listed[-1]}: the master is old"
    )


def _objection(touch: Touch | None, risk: RiskRules) -> str:
    if touch is None or touch.bid <= 0 or touch.ask <= 0 or touch.bid >= touch.ask:
        return "has no quotes on both sides"
    # As in risk.py: the spread against the middle, without a division.
    if (touch.ask - touch.bid) * 20_000 > risk.spread_max_bps * (touch.ask + touch.bid):
        return f"has a spread of {_spread_bps(touch):.0f} bps, above {risk.spread_max_bps:.0f}"
    if touch.ask < risk.premium_min:
        return f"costs ₹{rupees_text(touch.ask)}, below ₹{rupees_text(risk.premium_min)}"
    if risk.premium_max is not None and touch.ask > risk.premium_max:
        return f"costs ₹{rupees_text(touch.ask)}, above ₹{rupees_text(risk.premium_max)}"
    return ""


def _reason(
    option: Option, touch: Touch, wish: Wish, index: Paise, day: date, passed_over: Sequence[str]
) -> str:
    days = (option.expiry - day).days
    sought = "at the money" if wish.strike is None else f"strike {_strike(option)} as asked"
    when = "as asked" if wish.expiry is not None else f"the nearest with {wish.min_days_to_expiry} or more"
    text = (
        f"{option.name}: {wish.underlying} stands at {rupees_text(index)}, {wish.option_type} {sought}; "
        f"expiry {option.expiry}, {days} days away, {when}; ask ₹{rupees_text(touch.ask)}, spread "
        f"{_spread_bps(touch):.0f} bps; lot {option.lot}"
    )
    return text if not passed_over else f"{text}; passed over: {'; '.join(passed_over)}"


def _spread_bps(touch: Touch) -> float:
    return (touch.ask - touch.bid) * 20_000 / (touch.ask + touch.bid)


def _strike(option: Option) -> str:
    text = rupees_text(option.strike).replace(",", "")
    return text.removesuffix(".00")
