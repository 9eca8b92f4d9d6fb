"""The live day in lockstep against the twin: the choice at 09:20, restarts, short days, the broker's word."""

from pathlib import Path

import pytest

from bot.assemble.closing import EXIT_DONE, EXIT_REFUSED
from bot.core.engine import Engine
from bot.core.rules import Rules
from bot.core.session import Session
from bot.storage.choices import choices
from bot.storage.journal import journal_path, read_journal
from tests.conftest import DAY, at
from tests.live_world import EXPIRY, Incarnations, World, held, key_of, master, row


def journaled(world: World) -> dict[str, str]:
    """entry → key, as the day's journal has it."""
    kept = read_journal(journal_path(world.folder / "data", DAY))
    return {entry: chosen.contract.key for entry, chosen in choices(kept).items()}


def test_the_contract_is_chosen_once_at_twenty_past_nine_journaled_and_traded(tmp_path: Path) -> None:
    """A half day, too: every deadline lies within it, and the books are closed after its close."""
    world = World(tmp_path, environ={"BOT_SESSION__ENTRY_CUTOFF": "09:24"})
    assert world.run() == EXIT_DONE
    (chosen,) = world.said("contract_chosen")
    assert chosen["time"].startswith("2026-09-16T09:20:0")
    assert chosen["instrument"] == key_of(25000)
    assert "NIFTY stands at 25,01" in chosen["reason"]
    assert "lot 65" in chosen["reason"]
    assert journaled(world) == {"NIFTY ATM CE, expiry nearest": chosen["instrument"]}
    orders = world.said("order")
    assert {order["instrument"] for order in orders} == {chosen["instrument"]}
    assert [line["phase"] for line in world.said("phase")] == [
        "preflight", "connect", "open", "entry_cutoff", "flatten", "close", "reconcile", "archive",
        "scrapes", "exit",
    ]  # fmt: skip
    assert world.said("day_over")[0]["exit_code"] == EXIT_DONE
    assert not [line for line in world.said("calendar") if "disagreement" in line["problem"]]


async def until_held(world: World, lives: Incarnations, clock: str) -> None:
    """From `clock` on: until the twin's account, not the bot, says that we own something."""
    await lives.until(clock)
    while not held(world):
        assert lives.clock.now() < at("09:26:00"), "never bought"
        await lives.clock.sleep_until(lives.clock.now() + 100_000_000)


@pytest.mark.parametrize("clock", ["09:18:00", "09:20:40", "09:25:00.5", "09:30:03"])
def test_a_restart_at_any_phase_takes_the_same_contract_and_ends_flat(tmp_path: Path, clock: str) -> None:
    """Killed while choosing, trading, leaving, and after the close."""

    async def kill(world: World, lives: Incarnations) -> None:
        await lives.until(clock)
        lives.kill()

    world = World(tmp_path, mode="live")
    assert world.run(kill) == EXIT_DONE
    assert held(world) == 0
    chosen = {line["instrument"] for line in world.said("contract_chosen")}
    assert len(chosen) == 1
    assert set(journaled(world).values()) == chosen
    assert world.twin is not None
    assert {order.instrument for order in world.twin.exchange.orders()} == chosen
    assert sum(trade.quantity for trade in world.twin.exchange.trades()) > 0


def test_a_lost_journal_takes_the_contract_our_orders_are_in(tmp_path: Path) -> None:
    """Killed in a position, the disk gone: the broker's book says what is ours, and it is sold."""

    async def lose(world: World, lives: Incarnations) -> None:
        await until_held(world, lives, "09:20:20")
        lives.kill()
        for path in (world.folder / "data").glob("journal-*"):
            path.unlink()

    world = World(tmp_path, mode="live")
    world.run(lose)
    assert held(world) == 0
    first, second = world.said("contract_chosen")
    assert first["instrument"] == second["instrument"]
    assert "carries our mark, the journal is lost" in second["reason"]


def test_the_mark_of_a_lost_journal_is_the_engines_own() -> None:
    engine = Engine(Rules(), Session.on(DAY), [], lambda _: 0.0, 1)
    assert engine.is_own(f"k{DAY:%y%m%d}r1n1")


def test_a_late_start_chooses_at_once_and_one_after_the_cut_off_chooses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "late", starts="09:21:00", market_opens="09:16:00")
    world.folder.mkdir()
    assert world.run() == EXIT_DONE
    assert len(world.said("contract_chosen")) == 1
    world = World(tmp_path / "later", starts="09:26:00", market_opens="09:16:00")
    world.folder.mkdir()
    assert world.run() == EXIT_DONE
    assert not world.said("contract_chosen")
    assert "not traded today" in world.said("no_contract")[0]["reason"]
    assert world.said("nothing_to_trade")


def test_started_at_1528_it_joins_enters_nothing_and_ends_with_the_close(tmp_path: Path) -> None:
    """A regular day: the flatten is a minute away, the segment closes at 15:40."""
    key = f'[[instruments]]\nkey = "{key_of(25000)}"\n'
    world = World(
        tmp_path, starts="15:28:00", calendar="", closes="15:40:00", market_opens="15:20:00", instruments=key,
        strikes=(25000,),
    )  # fmt: skip
    assert world.run() == EXIT_DONE
    assert not world.said("order")
    assert [line["phase"] for line in world.said("phase")][-6:] == [
        "flatten", "close", "reconcile", "archive", "scrapes", "exit",
    ]  # fmt: skip


def test_a_broker_that_disagrees_about_the_day_means_no_entries_and_a_notice(tmp_path: Path) -> None:
    """The calendar has a half day, the broker a longer one."""
    world = World(tmp_path, closes="09:33:00")
    assert world.run() == EXIT_DONE
    assert any("calendar disagreement" in line["problem"] for line in world.said("calendar"))
    assert "CalendarDisagreement" in {line["name"] for line in world.said("alert")}
    assert not world.said("order")
    assert world.said("contract_chosen")  # the day is watched, and nothing is bought


def test_on_its_day_of_expiry_a_contract_is_sold_earlier(tmp_path: Path) -> None:
    key = f'[[instruments]]\nkey = "{key_of(25000)}"\n'
    early = {"BOT_SESSION__EXPIRY_DAY_ENTRY_CUTOFF": "09:17", "BOT_SESSION__EXPIRY_DAY_FLATTEN": "09:19"}
    rows = [row(25000, DAY), row(25050, EXPIRY)]
    world = World(tmp_path, instruments=key, environ=early, rows=rows, strikes=(25000,))
    assert world.run() == EXIT_DONE
    assert any("expires today" in line["problem"] for line in world.said("contract"))
    bought = [line for line in world.said("order") if line["side"] == "BUY"]
    assert bought, world.story()
    assert all(clock_of(line) < "09:17:00" for line in bought)
    assert all(clock_of(line) < "09:19:10" for line in world.said("fill"))


def clock_of(line: dict[str, str]) -> str:
    return line["time"][11:19]


@pytest.mark.parametrize(
    ("instruments", "environ", "words"),
    [
        ('[[instruments]]\nkey = "NSE_FO|1"\n', {}, "is not in the instrument master"),
        ('[[instruments]]\nkey = "NSE_FO|25000"\nquantity = 70\n', {}, "not a multiple"),
        (
            '[[instruments]]\nkey = "NSE_FO|25000"\nlot = 75\nfreeze_quantity = 1755\n',
            {},
            "lot is 75 in the settings, the instrument master says 65",
        ),
        (
            '[[instruments]]\nunderlying = "FINNIFTY"\noption_type = "CE"\n',
            {},
            "has no index options; there are: NIFTY",
        ),
        ("", {"BOT_DATA__INSTRUMENT_MASTER": "/nowhere/master.json.gz"}, "nothing is traded without today's"),
    ],
    ids=["gone", "no multiple", "an old lot", "unknown underlying", "no master"],
)
def test_what_can_not_be_traded_is_refused_in_a_sentence_before_anything_is_sent(
    tmp_path: Path, instruments: str, environ: dict[str, str], words: str
) -> None:
    world = World(tmp_path, environ=environ, mode="live", starts="09:21:00", strikes=())
    world.instruments = instruments or world.instruments
    assert world.run() == EXIT_REFUSED
    assert any(words in line["problem"] for line in world.said("refused")), world.said("refused")
    assert world.twin is not None
    assert not world.twin.exchange.orders()


def test_a_master_that_is_gone_later_in_the_day_keeps_nobody_from_going_on(tmp_path: Path) -> None:
    """The morning's contract is in the journal: a restart needs neither master nor cache."""

    async def lose(world: World, lives: Incarnations) -> None:
        await until_held(world, lives, "09:15:20")
        master(world.folder, []).unlink()
        (world.folder / "data" / "instruments.json").unlink()
        lives.kill()

    key = f'[[instruments]]\nkey = "{key_of(25000)}"\n'
    world = World(tmp_path, mode="live", instruments=key, strikes=(25000,))
    assert world.run(lose) == EXIT_DONE
    assert held(world) == 0
    assert len({line["instrument"] for line in world.said("order")}) == 1


def test_nothing_that_fits_is_said_with_its_reasons_and_nothing_is_traded(tmp_path: Path) -> None:
    world = World(tmp_path, environ={"BOT_RISK__PREMIUM_MIN_RUPEES": "5000"})
    assert world.run() == EXIT_DONE
    reason = world.said("no_contract")[0]["reason"]
    assert "below ₹5,000.00" in reason
    assert not world.said("order")
