"""Orders, trades, positions and funds as the broker writes them (upstox §4, §5.5, §6). Pure.

The other direction from upstox/wire_orders.py, from the simulated exchange's records. Rupees are doubles
here; an average is not rounded, so that quantity × average is the money to the paisa.
"""

from typing import Final

from bot.core.charges import Charges, Nanopaise, in_rupees
from bot.core.rules import Contract
from bot.core.units import Nanos, Paise, ist, rupees, segment_of
from bot.sim.orders import OrderRow, SimPosition, SimTrade
from bot.twin.answers import Json
from bot.twin.hours import EXCHANGES

USER: Final = "TWIN01"


def time_text(at: Nanos) -> str | None:
    """`2026-09-16 09:15:00`: IST, no zone; null for 0."""
    return f"{ist(at):%Y-%m-%d %H:%M:%S}" if at else None


def symbol(contract: Contract) -> str:
    """What people call it; the key's token where the contract has no name."""
    return contract.name or contract.key.partition("|")[2]


def order_row(row: OrderRow, contract: Contract) -> Json:
    """A row of the order book and of the details."""
    return {
        "exchange": EXCHANGES[segment_of(row.instrument)],
        "product": row.product,
        "price": rupees(row.price),
        "quantity": row.quantity,
        "status": row.status,
        "guid": None,
        "tag": row.tag or None,
        "instrument_token": row.instrument,
        "placed_by": USER,
        "tradingsymbol": symbol(contract),
        "trading_symbol": symbol(contract),
        "order_type": row.order_type,
        "validity": row.validity,
        "trigger_price": rupees(row.trigger_price),
        "disclosed_quantity": 0,
        "transaction_type": row.side,
        "average_price": _average(row.filled_value, row.filled_quantity),
        "filled_quantity": row.filled_quantity,
        "pending_quantity": row.pending_quantity,
        "status_message": row.status_message,
        "status_message_raw": row.status_message or None,
        "exchange_order_id": row.exchange_order_id,
        "parent_order_id": None,
        "order_id": row.order_id,
        "variety": "SIMPLE",
        "order_timestamp": time_text(row.order_time),
        "exchange_timestamp": time_text(row.exchange_time),
        "is_amo": "after market" in row.status,
        "order_request_id": "1",
        "order_ref_id": row.order_id[::-1],
    }


def history_row(row: OrderRow, contract: Contract) -> Json:
    """One state of an order's history (upstox §5.5: fewer fields, and nulls where the book has blanks)."""
    fields = order_row(row, contract)
    for name in ("guid", "pending_quantity", "status_message_raw", "order_ref_id"):
        del fields[name]
    return fields | {"parent_order_id": "NA", "exchange_order_id": row.exchange_order_id or None}


def order_update(row: OrderRow, contract: Contract) -> Json:
    """A word of the portfolio stream about an order (upstox §4.1)."""
    head = {"update_type": "order", "user_id": USER, "userId": USER, "instrument_key": row.instrument}
    return head | order_row(row, contract)


def trade_row(trade: SimTrade, order: OrderRow, contract: Contract) -> Json:
    """One execution."""
    return {
        "exchange": EXCHANGES[segment_of(trade.instrument)],
        "product": trade.product,
        "tradingsymbol": symbol(contract),
        "trading_symbol": symbol(contract),
        "instrument_token": trade.instrument,
        "order_type": order.order_type,
        "transaction_type": trade.side,
        "quantity": trade.quantity,
        "exchange_order_id": trade.exchange_order_id,
        "order_id": trade.order_id,
        "exchange_timestamp": time_text(trade.at),
        "average_price": rupees(trade.price),
        "trade_id": trade.trade_id,
        "order_ref_id": order.order_id[::-1],
        "order_timestamp": time_text(order.order_time),
    }


def position_row(position: SimPosition, contract: Contract, last: Paise, close: Paise) -> Json:
    """A row of the day's positions. Nothing here is carried overnight."""
    bought, sold = position.buy_quantity, position.sell_quantity
    buy_price, sell_price = _average(position.buy_value, bought), _average(position.sell_value, sold)
    value = position.buy_value - position.sell_value
    realised = (sell_price - buy_price) * min(bought, sold)
    pnl = rupees(position.quantity * last - value)
    return _position(position) | {
        "exchange": EXCHANGES[segment_of(position.instrument)],
        "value": rupees(value),
        "pnl": round(pnl, 2),
        "last_price": rupees(last),
        "unrealised": round(pnl - realised, 2),
        "realised": round(realised, 2),
        "tradingsymbol": symbol(contract),
        "trading_symbol": symbol(contract),
        "close_price": rupees(close),
    }


def position_update(position: SimPosition) -> Json:
    """A word of the portfolio stream about a position (upstox §4.2). Its exchange is the segment."""
    head = {"update_type": "position", "instrument_key": position.instrument}
    return head | _position(position) | {"exchange": segment_of(position.instrument)}


def _position(position: SimPosition) -> Json:
    bought, sold = position.buy_quantity, position.sell_quantity
    buy_price, sell_price = _average(position.buy_value, bought), _average(position.sell_value, sold)
    open_price = buy_price if position.quantity > 0 else sell_price if position.quantity < 0 else 0.0
    return {
        "multiplier": 1.0,
        "product": position.product,
        "instrument_token": position.instrument,
        "average_price": open_price,
        "buy_value": rupees(position.buy_value),
        "overnight_quantity": 0,
        "day_buy_value": rupees(position.buy_value),
        "day_buy_price": buy_price,
        "overnight_buy_amount": 0.0,
        "overnight_buy_quantity": 0,
        "day_buy_quantity": bought,
        "day_sell_value": rupees(position.sell_value),
        "day_sell_price": sell_price,
        "overnight_sell_amount": 0.0,
        "overnight_sell_quantity": 0,
        "day_sell_quantity": sold,
        "quantity": position.quantity,
        "sell_value": rupees(position.sell_value),
        "buy_price": buy_price,
        "sell_price": sell_price,
    }


def funds_v2(available: Paise, used: Paise) -> Json:
    """Equity holds the combined amount (upstox §6.2)."""

    def row(free: Paise, spent: Paise) -> Json:
        zeros = dict.fromkeys(("payin_amount", "span_margin", "adhoc_margin", "exposure_margin"), 0.0)
        return zeros | {
            "used_margin": rupees(spent),
            "notional_cash": 0.0,
            "available_margin": rupees(free),
        }

    return {"equity": row(available, used), "commodity": row(0, 0)}


def funds_v3(opening: Paise, available: Paise, used: Paise) -> Json:
    """What can be traded with, and what cannot (upstox §6.2)."""
    cash = dict.fromkeys(("added_today", "withdrawn_today", "amount_from_stock_sale", "unpaid_charges"), 0.0)
    loss = {"total": 0.0, "realised": 0.0, "unrealised": 0.0}
    delivery = {"total": 0.0, "equity": 0.0, "fo_settlement": 0.0}
    nothing_used = {
        "total": 0.0,
        "mtf": 0.0,
        "span_exposure": 0.0,
        "cash_margin_var_elm": 0.0,
        "premium_present": 0.0,
        "delivery_margin": delivery,
    }
    margin = nothing_used | {"total": rupees(used), "loss": loss, "premium_present": rupees(used)}
    pledge = {"total": 0.0, "equity": 0.0, "mutual_funds": 0.0}
    return {
        "available_to_trade": {
            "total": rupees(available),
            "cash_available_to_trade": {
                "total": rupees(available),
                "cash": {"opening_balance": rupees(opening)} | cash,
                "margin_used": margin,
            },
            "pledge_available_to_trade": {"margin_from_pledge": pledge, "margin_used": nothing_used},
        },
        "unavailable_to_trade": {
            "cash_unavailable_to_trade": {"unsettled_profit": {"todays_profit": 0.0, "previous_days": 0.0}},
            "pledge_unavailable_to_trade": {"equity": 0.0, "mutual_funds": 0.0},
        },
    }


def charges_row(charges: Charges) -> Json:
    """`/v2/charges/brokerage` (upstox §6.2; the older casing of two names beside the new)."""
    other = {
        "transaction": _rupees(charges.exchange),
        "clearing": 0.0,
        "ipft": 0.0,
        "sebi_turnover": _rupees(charges.sebi),
    }
    plan = {"name": "BASIC", "min_expense": 0.0}
    return {
        "charges": {
            "total": rupees(charges.total),
            "brokerage": _rupees(charges.brokerage),
            "taxes": {
                "gst": _rupees(charges.gst),
                "stt": _rupees(charges.stt),
                "stamp_duty": _rupees(charges.stamp),
            },
            "other_charges": other,
            "otherTaxes": other,
            "dp_plan": plan,
            "dpPlan": plan,
        }
    }


def _average(value: Paise, quantity: int) -> float:
    return value / quantity / 100 if quantity else 0.0


def _rupees(amount: Nanopaise) -> float:
    return round(in_rupees(amount), 2)
