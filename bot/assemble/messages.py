"""What the morning and the evening message say of a day, and handing them over without anybody waiting."""

import asyncio
from collections.abc import Sequence

from bot.assemble.closing import DayResult
from bot.assemble.plan import Plan
from bot.telemetry.messages import ContractLine, Evening, Message, evening, morning, post


def morning_of(plan: Plan, stopped: str) -> Message:
    """`stopped`: why the engine allows no entries, "" when it does."""
    stop = plan.rules.risk.stop_loss
    lines = [
        ContractLine(contract.name or contract.key, contract.quantity, contract.lot, stop * contract.quantity)
        for contract in plan.contracts
    ]
    return morning(lines, plan.checks, stopped)


def evening_of(result: DayResult, *, flat: bool) -> Message:
    """`flat`: nothing owned and nothing under way, by our books and the broker's last word."""
    day = result.summary
    return evening(
        Evening(
            flat=flat,
            books_agree=None if result.books is None else result.books.reconciled,
            trades=day.trades,
            gross=day.gross,
            charges=day.charges,
            net=day.net,
            stops=day.stops,
            worst_slippage=day.worst_slippage,
            files=[stored.address for stored in result.stored] or [str(path) for path in result.files],
            archive_problem=result.archive_problem,
        )
    )


class Messenger:
    """Posts from threads; `finish` waits for those under way. Without an address it only logs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._posts: list[asyncio.Task[None]] = []

    def send(self, message: Message) -> None:
        """Log it, and hand it to Alertmanager, in the background."""
        log = self._plan.logs.log
        log.info("message", name=message.name, page=message.page, summary=message.summary, text=message.text)
        if self._plan.alertmanager:
            self._posts.append(asyncio.create_task(self._post(message), name="message"))

    async def finish(self) -> None:
        """At most a few seconds: a post gives up by itself."""
        await asyncio.gather(*self._posts)

    async def _post(self, message: Message) -> None:
        plan = self._plan
        plan.clock.departed()
        try:
            session = plan.session.day.isoformat()
            problem = await asyncio.to_thread(post, plan.alertmanager, message, session)
        finally:
            plan.clock.arrived()
        if problem:
            plan.logs.log.error("message_not_delivered", name=message.name, problem=problem)


def say_refused(alertmanager: str, problems: Sequence[str], session: str) -> str:
    """The day could not start: "" or why even that could not be said."""
    from bot.telemetry.messages import refused

    return post(alertmanager, refused(problems), session) if alertmanager else ""
