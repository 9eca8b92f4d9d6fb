"""Everything the broker and the exchange say no to, each with its code or text and its source.

Three doors, in the order a request meets them: the input check answers the call itself (HTTP status and
UDAPI code, upstox §2.5); the broker's risk check (RMS) and the exchange answer later, as status `rejected`
or `not modified` with a `status_message`. The UDAPI codes are Upstox's; the texts are ours in the manner of
theirs: clients must match them loosely (upstox §9). Where a source names no code, the refusal is put at the
later door. Pure functions: no order's state is changed here.
"""

from collections.abc import Container
from typing import Final, NamedTuple

from bot.core.rules import Contract
from bot.core.units import InstrumentKey, Nanos, Paise, Quantity, ist, rupees, tick_ceil, tick_floor
from bot.sim.orders import OrderRequest

SIDES: Final = frozenset({"BUY", "SELL"})
ORDER_TYPES: Final = frozenset({"LIMIT", "SL", "SL-M", "MARKET"})
PRODUCTS: Final = frozenset({"D", "I", "MTF"})
VALIDITIES: Final = frozenset({"DAY", "IOC"})
TAG_LENGTH_MAX: Final = 40  # upstox §5.1
SERVICE_OPENS: Final = (5, 30)  # IST; closed from midnight until then (UDAPI100074)
AUTOMATIC: Final = -1.0  # market_protection: the broker's own percentage


class Refusal(NamedTuple):
    """An answer to the call itself. `http_status` is 400 unless noted in upstox §2.5."""

    http_status: int
    code: str
    message: str


def _no(code: str, message: str, http_status: int = 400) -> Refusal:
    return Refusal(http_status, code, message)


# --- first door: the call -----------------------------------------------------------------------------------


def service_refusal(at: Nanos) -> Refusal | None:
    """Closed from 00:00 to 05:30 IST (upstox §2.5, orders.md); HTTP 423 as for funds (upstox §6.2)."""
    now = ist(at)
    if (now.hour, now.minute) < SERVICE_OPENS:
        return _no("UDAPI100074", "The order service is open from 05:30 to 24:00 IST.", 423)
    return None


def input_refusal(request: OrderRequest, known: Container[InstrumentKey]) -> Refusal | None:
    """What the API says before any order exists (upstox §2.5). `known` holds the valid instrument keys."""
    return _words_refusal(request, known) or _prices_refusal(request)


def _words_refusal(request: OrderRequest, known: Container[InstrumentKey]) -> Refusal | None:
    if not request.instrument:
        return _no("UDAPI1026", "Instrument key is required")
    if request.instrument not in known:
        return _no("UDAPI100011", "Invalid instrument key")
    words = (
        (request.order_type, ORDER_TYPES, "UDAPI1004", "UDAPI1056", "order_type"),
        (request.product, PRODUCTS, "UDAPI1006", "UDAPI1054", "product"),
        (request.validity, VALIDITIES, "UDAPI1007", "UDAPI1055", "validity"),
        (request.side, SIDES, "UDAPI1057", "UDAPI1057", "transaction_type"),
    )
    for word, allowed, missing, invalid, name in words:
        if not word:
            return _no(missing, f"The '{name}' is required")
        if word not in allowed:
            return _no(invalid, f"The '{name}' is invalid")
    if request.quantity <= 0:
        return _no("UDAPI1052", "The quantity cannot be zero")
    if len(request.tag) > TAG_LENGTH_MAX:
        return _no("UDAPI1119", "The tag is longer than 40 characters")
    return None


def _prices_refusal(request: OrderRequest) -> Refusal | None:
    price, trigger = request.price, request.trigger_price
    match request.order_type:
        case "LIMIT":
            # A trigger price with LIMIT is ignored: the official samples send one.
            return _no("UDAPI1029", "Price is required for a LIMIT order") if price <= 0 else None
        case "SL":
            if price <= 0:
                return _no("UDAPI1031", "Price and trigger price are required for a SL order")
            if trigger <= 0:
                return _no("UDAPI1036", "Trigger price is required")
            if request.side == "BUY" and trigger > price:  # upstox §5.1: read as one code per side
                return _no("UDAPI1037", "Trigger price must not be above the price of a BUY")
            if request.side == "SELL" and trigger < price:
                return _no("UDAPI1038", "Trigger price must not be below the price of a SELL")
            return None
        case _:  # MARKET, SL-M
            if price != 0:  # upstox §0 fact 9
                return _no("UDAPI1040", "Price is not required for this order type")
            if request.order_type == "SL-M" and trigger <= 0:
                return _no("UDAPI1032", "Only a trigger price is required for a SL-M order")
            return _protection_refusal(request)


def _protection_refusal(request: OrderRequest) -> Refusal | None:
    """market_protection: -1 automatic, 0 none, 1 to 25 percent (upstox §5.1)."""
    protection = request.market_protection
    if protection > 25:
        return _no("UDAPI1159", "market_protection must not be above 25")
    if protection not in (AUTOMATIC, 0) and not protection >= 1:
        return _no("UDAPI1160", "market_protection is invalid")
    if protection == 0 and request.order_type == "MARKET":  # since 1 Apr 2026 (orders.md, upstox §0 fact 7)
        return _no("UDAPI1158", "Market orders without market protection are not allowed")
    return None


# --- second door: the broker's risk check -------------------------------------------------------------------


class Standing(NamedTuple):
    """The account as the risk check sees it, without the order under check."""

    position: Quantity  # signed, in the order's instrument and product
    selling: Quantity  # Σ still live SELLs there
    funds: Paise  # not spent, not blocked by live BUYs
    margin_for_shorts: bool
    intraday_entries_over: bool


class CircuitLimits(NamedTuple):
    lower: Paise
    upper: Paise


def risk_refusal(
    request: OrderRequest,
    unfilled: Quantity,
    contract: Contract,
    standing: Standing,
    circuit: CircuitLimits | None,
) -> str | None:
    """The risk check's text, or None. `request.price` is the limit (a protected MARKET's own, too)."""
    if request.quantity > contract.freeze_quantity:  # orders.md; market.md §3
        return (
            f"RMS:Rule: Check freeze quantity, quantity {request.quantity} above {contract.freeze_quantity}"
        )
    if circuit is not None and not circuit.lower <= request.price <= circuit.upper:  # wire sample, orders.md
        return (
            f"RMS:Rule: Check circuit limit including square off order, price {rupees(request.price):.2f}"
            f" outside {rupees(circuit.lower):.2f} to {rupees(circuit.upper):.2f}. Circuit breach"
        )
    if request.side == "BUY":
        entering = standing.position >= 0
        if request.price * unfilled > standing.funds:  # the premium is paid in full
            return (
                f"RMS:Margin Exceeds, required {rupees(request.price * unfilled):.2f},"
                f" available {rupees(standing.funds):.2f}"
            )
    else:
        # A second live SELL beyond the position is margined as a short (orders.md).
        entering = unfilled > standing.position - standing.selling
        if entering and not standing.margin_for_shorts:
            return "RMS:Margin Exceeds, margin of a short position is not available"
    if entering and request.product == "I" and standing.intraday_entries_over:  # orders.md
        return "RMS:Blocked for intraday product, square off time is near"
    return None


def protected_price(ltp: Paise, side: str, percent: float, tick: Paise) -> Paise:
    """MARKET becomes a LIMIT at ltp ± protection (upstox §7.2, community 9122), inside the band."""
    if percent == AUTOMATIC:
        # Index options: below ₹5 15 %, below ₹10 10 %; the further rows are not known to us: 5 % is assumed.
        percent = 15 if ltp < 5_00 else 10 if ltp < 10_00 else 5
    band = round(ltp * percent / 100)
    if side == "BUY":
        return max(tick_floor(ltp + band, tick), tick)
    return max(tick_ceil(ltp - band, tick), tick)


# --- third door: the exchange -------------------------------------------------------------------------------


def exchange_refusal(request: OrderRequest, contract: Contract) -> str | None:
    """What the exchange checks of an order's own numbers, on entry and on modification."""
    if request.order_type == "SL-M":  # NSE since 27 Sep 2021, BSE since 9 Oct 2023 (orders.md)
        return "16418 : Stop loss market orders are not allowed for options"
    if request.quantity % contract.lot:
        return f"16328 : Quantity is not a multiple of the regular lot {contract.lot}"
    if request.price % contract.tick:
        return f"16283 : The order price is not a multiple of the tick size {rupees(contract.tick):.2f}"
    if request.order_type == "SL":
        if request.trigger_price % contract.tick:
            return "16316 : The trigger price is not a multiple of the tick size"
        if stop_gap_too_wide(request.price, request.trigger_price):
            return "Stop limit order: price is too far from the trigger price"
    return None


def stop_gap_too_wide(price: Paise, trigger: Paise) -> bool:
    """The stop-limit gap: 20 % of a trigger above ₹50, else ₹10 (orders.md; BSE since 19 Jan 2026)."""
    gap = abs(price - trigger)
    return gap * 100 > trigger * 20 if trigger > 50_00 else gap > 10_00


def price_band(reference: Paise, exchange: str) -> tuple[Paise, Paise]:
    """(lowest SELL, highest BUY) of the limit price protection: reference ± 40 % (±₹20 up to ₹50) on NSE,
    ± 60 % / ₹30 on BSE (orders.md; both sides by the exchange's FAQ). Rounded so that the edge itself passes.
    """
    percent, rupees_small = (60, 30_00) if exchange == "BSE" else (40, 20_00)
    if reference <= 50_00:
        return reference - rupees_small, reference + rupees_small
    return -(-reference * (100 - percent) // 100), reference * (100 + percent) // 100


def protection_refusal(side: str, price: Paise, reference: Paise | None, exchange: str) -> str | None:
    """Limit price protection: on entry, on modification, and for a stop when it triggers (orders.md)."""
    if reference is None:  # nothing traded yet: no belief, no refusal
        return None
    lowest_sell, highest_buy = price_band(reference, exchange)
    if (side == "SELL" and price < lowest_sell) or (side == "BUY" and price > highest_buy):
        return "Order price is beyond LPP limit"
    return None
