"""Checks that ask the broker: token, address, calendar, funds, charges, clock.

Each gives a Finding for whatever the broker may answer. None of them sends an order: the address is proven
by cancelling an order that does not exist.
"""

import contextlib
from http import HTTPStatus
from typing import Final, TypeAlias

from bot.assemble.access import TokenRefused, expiry_words, refusal
from bot.assemble.opening import opening_for
from bot.assemble.preflight.finding import Finding, no_go, ok, warn
from bot.assemble.preflight.ground import Ground
from bot.core.calendar import CalendarRefused
from bot.core.charges import NoRateCard, card_on
from bot.core.commands import CancelOrder
from bot.core.events import Outcome, Side
from bot.core.exposure import Exposure, exposure
from bot.core.rules import Contract
from bot.core.trading_day import NoSession, Opening
from bot.core.units import SECOND, InstrumentKey, Paise, rupees_text
from bot.upstox.calendar import ask_broker
from bot.upstox.wire_answers import CallResult, ReadFailed

NO_ORDER: Final = "000000000000000"  # no order has this id
# Refusals that come after the door: the address is let in, the order is not known (upstox §2.5).
_PAST_THE_DOOR: Final = frozenset(
    f"UDAPI{code}" for code in (100010, 100040, 1010, 1023, 100036, 100038, 1108)
)
_SKEW_WARN: Final = 2 * SECOND  # hazards T2
_SKEW_NO_GO: Final = 5 * SECOND
_CHARGES_OFF: Final[Paise] = 2_00  # contract notes round STT to the rupee (market §2)
Contracts: TypeAlias = tuple[Contract, ...]
Prices: TypeAlias = dict[InstrumentKey, Paise]
_DERIVATIVES: Final = {"NSE": "NFO", "BSE": "BFO"}


async def token(ground: Ground) -> Finding:
    """A real call: whose token it is, and whether the account may trade what we trade."""
    name = "token"
    if ground.token is None:
        where = f"neither in BOT_LIVE_ACCESS_TOKEN nor in {ground.access.token_file}"
        return no_go(name, f"there is none, {where}", "Run `bot login`, or `bot token set`.")
    try:
        found = await ground.rest.identity()
    except ReadFailed as failure:
        if failure.status == HTTPStatus.FORBIDDEN and ground.settings.broker.mode != "live":
            advice = "Fine for an analytics token from an address that is not registered: see feed."
            return warn(name, "it may not read the profile (403)", advice)
        return no_go(name, *_halves(refusal(failure)))
    told = f"accepted for {found.user_id}; it {expiry_words(ground.token())}"
    if not found.active:
        return no_go(name, f"{told}, but the account is not active", "Mend that on the broker's site.")
    segments = {_DERIVATIVES[exchange] for exchange in await ground.exchanges()}
    if found.exchanges and (missing := sorted(segments - found.exchanges)):
        advice = "Activate the derivatives segment on the broker's site, or choose the other exchange."
        return no_go(name, f"{told}, but the account has no {', '.join(missing)}", advice)
    product = ground.settings.rules.orders.product
    if found.products and product not in found.products:
        advice = f"Set [broker] product to one of {', '.join(sorted(found.products))}."
        return no_go(name, f"{told}, but the account has no product {product}", advice)
    return ok(name, told)


async def address(ground: Ground) -> Finding:
    """Does the order host let this machine in? Asked by cancelling an order that is none of anybody's."""
    result = await ground.rest.cancel(CancelOrder("preflight", NO_ORDER, "preflight"))
    return judge_address(result)


def judge_address(result: CallResult) -> Finding:
    """What the answer to the cancel of no order says about the address."""
    name, code = "address", result.code
    if result.outcome is Outcome.REFUSED and code in _PAST_THE_DOOR:
        return ok(name, "the order host lets this machine in")
    match code:
        case "UDAPI1154":
            return no_go(
                name,
                f"orders are refused from here ({code}: {result.message})",
                "Register this machine's public IPv4 in the developer console (once a calendar week), then "
                "get a new token: the change kills the old one.",
            )
        case "UDAPI100050" | "HTTP_401":
            advice = "Get a new token with `bot login`: it is bound to app and address (upstox §8.13)."
            return no_go(name, "the order host does not accept the token, though reads may work", advice)
        case "UDAPI1156":
            advice = "Correct [broker] algo_name, or leave it empty."
            return no_go(name, "the order host does not know the algo's name", advice)
        case "UDAPI100074":
            return warn(name, "not asked: orders are served from 05:30", "Run `bot preflight` again then.")
        case "UDAPI10005" | "HTTP_429" | "LOCAL_LIMIT":
            return warn(name, f"not told: too many calls ({code})", "Run `bot preflight` again in a minute.")
        case "HTTP_403":
            advice = "If it stays: the broker's proxy blocks this address. Ask the broker's support."
            return no_go(name, "turned away by a page that is not the broker's API (403)", advice)
        case "NOT_SENT" | "TIMEOUT" | "LOST":
            advice = "Check this machine's network and firewall (the order host is reached over IPv4 only)."
            return no_go(name, f"the order host did not answer ({code})", advice)
        case _:
            words = f"{result.outcome}: {code} {result.message}".strip()
            return warn(name, f"not clear: {words}", "Run it again; look the code up if it stays.")


async def calendar(ground: Ground) -> Finding:
    """Is the year covered, is there a session today, and does the broker agree?"""
    name, day = "calendar", ground.day
    try:
        known = ground.calendar()
    except CalendarRefused as refused:
        return no_go(name, str(refused), "Correct calendar.csv in the data folder, or move it away.")
    if not known.covers(day):
        return no_go(
            name,
            f"{day.year} is not covered by the calendar",
            "Run `bot calendar fetch` and look at its list.",
        )
    broker, untold = await ask_broker(ground.rest, day)
    exchanges = await ground.exchanges()
    opening = opening_for(ground.settings, known, day, exchanges=exchanges, broker=broker)
    alerts = [alert for alert in opening.alerts if broker is not None or "has not confirmed" not in alert]
    said = opening.reason if isinstance(opening, NoSession) else opening.title
    if disagreement := [alert for alert in alerts if alert.startswith("calendar disagreement")]:
        return no_go(name, said, disagreement[0])
    if isinstance(opening, NoSession) and opening.why.wants_a_person:
        return no_go(name, said, "Correct [session] in bot.toml: its times leave nothing of the day.")
    if isinstance(opening, Opening) and not opening.entries_allowed:
        advice = "The hours of such a day are told late: look at the exchange's circular, then run it again."
        return no_go(name, f"{said}; the broker has not confirmed it", advice)
    if untold:
        return warn(name, f"{said}; {untold}", "Look at the exchange's holiday list yourself.")
    if isinstance(opening, NoSession):
        return warn(name, f"no session: {said}", "Nothing to do: `bot run` says so and exits.")
    return warn(name, said, " ".join(alerts)) if alerts else ok(name, f"{said}; the broker agrees")


async def funds(ground: Ground) -> Finding:
    """Enough for one position of each instrument? And what may be lost today."""
    name, rules = "funds", ground.settings.rules
    try:
        available = await ground.rest.available()
        contracts, prices = await ground.contracts(), await ground.prices()
    except ReadFailed as failure:
        if failure.reason == "shut":
            return warn(name, "the broker tells funds from 05:30", "Run `bot preflight` again then.")
        return warn(name, f"not told: {failure}", "Look into the broker's app before the open.")
    if not contracts:
        return ok(name, f"₹{rupees_text(available)} available; the contract is chosen at 09:20")
    if missing := [contract.name for contract in contracts if contract.key not in prices]:
        return warn(
            name,
            f"₹{rupees_text(available)} available; no price is known of {', '.join(missing)}",
            "Run `bot preflight` again once it has traded today.",
        )
    seen = _exposures(ground, contracts, prices)
    cost = sum(one.cost for one in seen)
    if cost > available:
        return no_go(
            name,
            f"₹{rupees_text(available)} available, one position takes ₹{rupees_text(cost)}",
            "Add funds, trade fewer lots, or name a cheaper contract.",
        )
    worst = sum(one.at_stop for one in seen)
    said = (
        f"₹{rupees_text(available)} available; a position takes ₹{rupees_text(cost)}. At risk: a stop costs "
        f"₹{rupees_text(worst)}, with a 10 % gap ₹{rupees_text(sum(one.at_gap for one in seen))}, at worst "
        f"all ₹{rupees_text(sum(one.everything for one in seen))}; {_day_limit(ground)}"
    )
    return _warned(ground, contracts, prices, worst, said) if rules.risk.guards else ok(name, said)


def _warned(ground: Ground, contracts: Contracts, prices: Prices, at_stop: Paise, said: str) -> Finding:
    """Funds suffice; do the owner's own limits leave anything to do?"""
    risk, name = ground.settings.rules.risk, "funds"
    if risk.daily_loss is not None and at_stop > risk.daily_loss:
        return warn(name, said, "One stop exceeds risk.daily_loss_rupees: raise it, or trade fewer lots.")
    for contract in contracts:
        price = prices[contract.key]
        if price < risk.premium_min:
            floor = rupees_text(risk.premium_min)
            advice = f"{contract.name} costs ₹{rupees_text(price)}: entries below ₹{floor} are refused."
            return warn(name, said, f"{advice} Name a dearer contract, or lower risk.premium_min_rupees.")
        if risk.capital is not None and price * contract.quantity > risk.capital:
            return warn(
                name, said, "risk.capital_rupees is less than a position costs: no entry will be made."
            )
    return ok(name, said)


def _day_limit(ground: Ground) -> str:
    limit = ground.settings.rules.risk.daily_loss
    if limit is None:
        return "the day has no limit"
    return f"the day ends at a loss of ₹{rupees_text(limit)} (a trigger, too)"


def _exposures(ground: Ground, contracts: Contracts, prices: Prices) -> list[Exposure]:
    rules = ground.settings.rules
    return [
        exposure(
            contract,
            prices[contract.key],
            rules.orders,
            rules.risk,
            card_on(ground.day, contract.exchange),
        )
        for contract in contracts
    ]


async def charges(ground: Ground) -> Finding:
    """Does the broker reckon a round trip as our rate card does?"""
    name = "charges"
    try:
        prices = await ground.prices()
        differences = [
            await _charged(ground, contract, prices[contract.key])
            for contract in await ground.contracts()
            if contract.key in prices
        ]
    except ReadFailed as failure:
        return warn(name, f"not told: {failure}", "Compare the first contract note with the day's report.")
    except NoRateCard as missing:
        return no_go(name, str(missing), "Add the exchange's rates to core/charges.py.")
    if not differences:
        return warn(name, "no price is known, so nothing was compared", "Run it again once it has traded.")
    ours, theirs = (sum(pair[index] for pair in differences) for index in (0, 1))
    said = (
        f"a round trip at today's price: the broker reckons ₹{rupees_text(theirs)}, we ₹{rupees_text(ours)}"
    )
    if abs(ours - theirs) > _CHARGES_OFF:
        advice = "Rates or an offer have changed: every net figure is off by that much until the card is."
        return warn(name, said, advice)
    return ok(name, said)


async def _charged(ground: Ground, contract: Contract, price: Paise) -> tuple[Paise, Paise]:
    """(ours, the broker's) for buying and selling the quantity once at `price`."""
    card, product = card_on(ground.day, contract.exchange), ground.settings.rules.orders.product
    theirs = 0
    for side in (Side.BUY, Side.SELL):
        theirs += await ground.rest.charges(contract.key, side, contract.quantity, price, product)
    value = price * contract.quantity
    return card.round_trip(value, value).total, theirs


async def clock(ground: Ground) -> Finding:
    """Our clock against the `Date` of the broker's answers."""
    name = "clock"
    if ground.rest.clock_skew is None:
        with contextlib.suppress(ReadFailed):  # any answer carries a Date
            await ground.rest.identity()
    skew = ground.rest.clock_skew
    if skew is None:
        return warn(name, "the broker's answers carry no time", "Check that NTP runs on this machine.")
    seconds = abs(skew) / SECOND
    said = f"{seconds:.1f} s {'ahead of' if skew > 0 else 'behind'} the broker's (known to a second)"
    advice = "Set this machine's clock by NTP (`timedatectl set-ntp true`): deadlines hang on it."
    if abs(skew) > _SKEW_NO_GO:
        return no_go(name, said, advice)
    return warn(name, said, advice) if abs(skew) > _SKEW_WARN else ok(name, said)


def _halves(refused: TokenRefused) -> tuple[str, str]:
    said, _, advice = str(refused).partition(": ")
    return said, advice
