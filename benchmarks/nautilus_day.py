"""NautilusTrader's side of against_nautilus.py: the same rule on the same ticks. Runs in `.venv-nautilus`.

It knows nothing of this project but the file of ticks it is given. Per tick a QuoteTick (bid, ask, sizes:
what orders match against) and a TradeTick (the last price: what the filter eats). An entry is a limit at
the ask plus a tick, good for two seconds; a stop rests at the exchange ₹50 under the fill; an exit takes it
back and sells by a limit five ticks through the bid, priced anew each second.
"""

import json
import resource
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    AssetClass,
    OmsType,
    OptionKind,
    OrderSide,
    TimeInForce,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, TraderId, Venue
from nautilus_trader.model.instruments import OptionContract
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

NSE = Venue("NSE")
TICK, STOP, WARM_UP = 0.05, 50.0, 100
SECOND = 1_000_000_000
SETTLED = 200  # ticks
LATENCY_NS = 40_000_000  # the mean of an order call over the twin's wire


def contract(last_ns: int) -> OptionContract:
    return OptionContract(
        InstrumentId(Symbol("OPTION"), NSE), Symbol("OPTION"), AssetClass.INDEX, USD, 2,
        Price.from_str("0.05"),
        Quantity.from_int(1), Quantity.from_int(1), "INDEX", OptionKind.CALL, Price.from_str("25000.00"),
        0, last_ns + 10**15, 0, 0,
    )  # fmt: skip


class Rule(Strategy):  # type: ignore[misc]  # it is not installed here
    """Constant-velocity Kalman filter in plain floats. Flat: buy when falling below the estimate; long: sell
    when rising above it.
    """

    def __init__(self, option: OptionContract, lot: int) -> None:
        super().__init__(StrategyConfig(oms_type="NETTING"))
        self.option, self.ticks, self.trips = option, 0, 0
        self.estimate = self.velocity = 0.0
        self.p00, self.p01, self.p11 = 1.0, 0.0, 1.0
        self.gains = 0.0, 0.0
        self.bid = self.ask = 0.0
        self.long = False
        self.moving: Any = None  # the entry or the exit under way
        self.resting: Any = None
        self.asked_at = 0
        self.lot = self.units = lot

    def on_start(self) -> None:
        self.subscribe_quote_ticks(self.option.id)
        self.subscribe_trade_ticks(self.option.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self.bid, self.ask = float(tick.bid_price), float(tick.ask_price)

    def on_trade_tick(self, tick: TradeTick) -> None:
        price = float(tick.price)
        self.filter(price)
        self.ticks += 1
        if self.moving is not None:
            self.work(tick.ts_event)
            return
        if self.ticks < WARM_UP or not self.bid:
            return
        if not self.long and self.velocity < 0 and price < self.estimate:
            self.send(OrderSide.BUY, self.ask + TICK, tick.ts_event)
        elif self.long and self.velocity > 0 and price > self.estimate:
            if self.resting is not None and self.resting.is_open:
                self.cancel_order(self.resting)
            self.send(OrderSide.SELL, self.bid - 5 * TICK, tick.ts_event)

    def filter(self, price: float) -> None:
        if self.ticks < SETTLED:  # then the gain is a constant
            p01 = self.p01 + self.p11
            p00 = self.p00 + self.p01 + p01 + 1e-4
            p11 = self.p11 + 1e-4
            variance = p00 + 1e-2
            self.gains = gain0, gain1 = p00 / variance, p01 / variance
            self.p00, self.p01, self.p11 = (1.0 - gain0) * p00, (1.0 - gain0) * p01, p11 - gain1 * p01
        predicted = self.estimate + self.velocity
        innovation = price - predicted
        self.estimate = predicted + self.gains[0] * innovation
        self.velocity += self.gains[1] * innovation

    def work(self, at: int) -> None:
        """An entry is given up after two seconds, an exit priced anew each second."""
        order = self.moving
        if order.side == OrderSide.BUY:
            if order.is_open and at - self.asked_at > 2 * SECOND:
                self.cancel_order(order)
                self.asked_at = at
        elif order.is_open and at - self.asked_at > SECOND:
            self.modify_order(order, price=self.option.make_price(self.bid - 5 * TICK))
            self.asked_at = at

    def send(self, side: OrderSide, price: float, at: int) -> None:
        self.asked_at = at
        if side == OrderSide.BUY:
            self.units = self.lot
        self.moving = self.order_factory.limit(
            self.option.id,
            side,
            Quantity.from_int(self.units),
            self.option.make_price(price),
            TimeInForce.DAY,
        )
        self.submit_order(self.moving)

    def on_order_filled(self, event: Any) -> None:
        order = self.cache.order(event.client_order_id)
        if not order.is_closed:
            return
        if order.side == OrderSide.BUY:
            self.bought(order)
        else:
            self.long, self.moving, self.resting = False, None, None
            self.trips += 1

    def bought(self, order: Any) -> None:
        self.moving, self.units = None, int(order.filled_qty)
        self.long = self.units > 0
        if not self.long:
            return
        trigger = float(order.avg_px) - STOP
        self.resting = self.order_factory.stop_limit(
            self.option.id,
            OrderSide.SELL,
            Quantity.from_int(self.units),
            self.option.make_price(trigger * 0.9),
            self.option.make_price(trigger),
            TimeInForce.DAY,
        )
        self.submit_order(self.resting)

    def on_order_canceled(self, event: Any) -> None:
        if self.moving is not None and event.client_order_id == self.moving.client_order_id:
            self.bought(self.moving)


def data_of(option: OptionContract, rows: "np.ndarray[Any, Any]") -> list[Any]:
    """Quote and trade of each row, in order of time."""
    made: list[Any] = []
    for number, (at, ltp, ltq, bid, ask, bid_quantity, ask_quantity) in enumerate(rows.tolist()):
        price, size = option.make_price, Quantity.from_int
        made.append(
            QuoteTick(
                option.id, price(bid / 100), price(ask / 100), size(bid_quantity), size(ask_quantity), at, at
            )
        )
        trade = TradeId(str(number))
        made.append(
            TradeTick(
                option.id, price(ltp / 100), size(max(ltq, 1)), AggressorSide.NO_AGGRESSOR, trade, at, at
            )
        )
    return made


def main() -> int:
    rows = np.load(Path(sys.argv[1]))
    option = contract(int(rows[-1][0]))
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("BENCH-001"), logging=LoggingConfig(bypass_logging=True), run_analysis=False
        )
    )
    engine.add_venue(
        venue=NSE, oms_type=OmsType.NETTING, account_type=AccountType.MARGIN, base_currency=USD,
        starting_balances=[Money(10_000_000, USD)], default_leverage=Decimal(1),
        latency_model=LatencyModel(base_latency_nanos=LATENCY_NS),
    )  # fmt: skip
    engine.add_instrument(option)
    engine.add_data(data_of(option, rows))
    rule = Rule(option, int(sys.argv[2]))
    engine.add_strategy(rule)
    began, began_cpu = time.perf_counter(), time.process_time()
    engine.run()
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    result = {
        "ticks": len(rows),
        "round_trips": rule.trips,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
