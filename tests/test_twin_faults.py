"""Things go wrong at the twin on command: by a script whose mistakes are named, or at its control address."""

import pytest
from websockets.exceptions import ConnectionClosed

from bot.core.events import Act
from bot.core.units import SECOND
from bot.twin.faults import STREAM_OF, Fault, FaultKind, Faults
from bot.twin.script import ScriptRefused, read_commands, read_script
from tests.conftest import DAY, KEY, at
from tests.test_cli import invoke
from tests.test_twin import frames_until_silence
from tests.twin_client import frame, playing

GOOD = """
# a bad morning
09:30:00  drop market
09:31     stall market 20s        # then it goes on
09:32     half-open market
09:33     reject "RMS:Margin Exceeds"
09:34     reject modify "RMS:no"
09:35     lose reply CANCEL
09:36     late acceptance 8.5s
09:37     thin_book 5m 65
09:38     unauthorized 1m
"""


def test_a_script_says_when_what_and_how_much():
    faults = read_script(GOOD, "s", DAY)
    assert faults == (
        Fault(at("09:30"), FaultKind.DROP_MARKET),
        Fault(at("09:31"), FaultKind.STALL_MARKET, seconds=20),
        Fault(at("09:32"), FaultKind.HALF_OPEN_MARKET),
        Fault(at("09:33"), FaultKind.REJECT, message="RMS:Margin Exceeds"),
        Fault(at("09:34"), FaultKind.REJECT, act=Act.MODIFY, message="RMS:no"),
        Fault(at("09:35"), FaultKind.LOSE_REPLY, act=Act.CANCEL),
        Fault(at("09:36"), FaultKind.LATE_ACCEPTANCE, seconds=8.5),
        Fault(at("09:37"), FaultKind.THIN_BOOK, seconds=300, quantity=65),
        Fault(at("09:38"), FaultKind.UNAUTHORIZED, seconds=60),
    )


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_can_be_said(kind):
    words = kind.value.replace("_", " ")
    for more in ("", " 5s", " 5s 65"):
        try:
            (fault,) = read_commands(words + more, 0)
        except ScriptRefused:
            continue
        assert fault.kind is kind
        return
    pytest.fail(f"{words} cannot be said")


@pytest.mark.parametrize("kind", sorted(set(FaultKind) - set(STREAM_OF) - {FaultKind.REJECT}))
def test_a_fault_that_lasts_a_while_wants_to_know_how_long(kind):
    faults = Faults()
    faults.arm(Fault(0, kind, 5.0, quantity=65), 5 * SECOND)
    if faults.rages(kind, SECOND):
        with pytest.raises(ScriptRefused, match="for how long"):
            read_commands(kind.value.replace("_", " "), 0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("drop market", "is no time of day"),
        ("25:00 drop market", "is no time of day"),
        ("09:30 drop the market", "no fault is called 'drop the market': there are drop market, "),
        ("09:30", "no fault is called ''"),
        ("09:30 stall market", "for how long? Write it behind, like `stall market 20s`"),
        ("09:30 stall market soon", "does not take 'soon': it takes how long (20s, 5m)"),
        ("09:30 drop market 20s", "it takes nothing"),
        ("09:30 thin book 5m", "of how many units?"),
        ("09:30 lose reply twice", "which call (place, modify, cancel)"),
        ('09:30 reject "open quote', "No closing quotation"),
    ],
)
def test_a_bad_line_is_named_and_says_what_to_write(line, words):
    with pytest.raises(ScriptRefused) as refused:
        read_script(f"09:15 drop market\n{line}\n09:20 nonsense", "day.txt", DAY)
    first, second = refused.value.problems
    assert first.startswith("day.txt:2: ")
    assert words in first
    assert second.startswith("day.txt:3: ")


def test_the_command_line_refuses_a_bad_script(tmp_path):
    script = tmp_path / "day.txt"
    script.write_text("09:30 explode\n")
    assert "day.txt:1: no fault is called 'explode'" in invoke("twin", "--script", str(script), "--port", "0")
    assert "cannot be read" in invoke("twin", "--script", str(tmp_path / "none"), "--port", "0")


async def test_the_control_address_makes_things_go_wrong_and_tells_what_rages():
    async with playing() as stranger:
        http = stranger.http
        async with stranger.market(KEY) as socket:
            await frame(socket)
            answer = await http.post("/twin/faults", content="unauthorized 60s\ndrop market\n")
            assert answer.json()["happened"] == ["unauthorized", "drop market"]
            assert answer.json()["raging"] == ["unauthorized"]
            with pytest.raises(ConnectionClosed):
                await frames_until_silence(socket, 5)
        assert (await http.get("/v2/user/profile")).status_code == 401
        assert (await http.get("/twin/faults")).json() == {"raging": ["unauthorized"], "refused": {}}


@pytest.mark.parametrize("content", [b"", b"explode", b"stall market", b"\xff\xfe", b"09:30 drop market"])
async def test_a_command_that_is_none_is_refused_in_words(content):
    async with playing() as stranger:
        answer = await stranger.http.post("/twin/faults", content=content)
        assert answer.status_code == 400
        assert answer.json()["problems"]


async def test_no_web_page_commands_the_twin():
    async with playing() as stranger:
        for method in ("GET", "POST"):
            answer = await stranger.http.request(
                method, "/twin/faults", headers={"Origin": "http://evil.example"}, content="drop market"
            )
            assert answer.status_code == 403


async def test_a_half_open_socket_answers_nothing_and_does_not_end():
    async with playing(speed=100.0) as stranger, stranger.market(KEY) as socket:
        await frame(socket)
        await stranger.twin.inject(Fault(0, FaultKind.HALF_OPEN_MARKET))
        pong = await socket.ping()
        with pytest.raises(TimeoutError):
            await frames_until_silence(socket, 0.3)  # thirty seconds of the twin's
        assert not pong.done()
        assert socket.state.name == "OPEN"
        socket.transport.abort()  # it would never say goodbye
        async with stranger.market(KEY) as other:  # a new connection is served
            await frame(other)


async def test_a_proxy_in_the_way_answers_with_a_page():
    async with playing() as stranger:
        await stranger.twin.inject(Fault(0, FaultKind.BLOCKED, seconds=3600))
        answer = await stranger.http.get("/v2/user/profile")
        assert answer.status_code == 403
        assert answer.headers["content-type"].startswith("text/html")
        assert "1010" in answer.text


async def test_a_script_is_played_on_the_twins_clock():
    script = read_script("09:16:10 too many 30s", "s", DAY)
    async with playing(faults=script) as stranger:
        assert (await stranger.http.get("/v2/user/profile")).status_code == 200
        await stranger.clock.sleep_until(at("09:16:10") + SECOND // 2)
        assert (await stranger.http.get("/v2/user/profile")).status_code == 429
