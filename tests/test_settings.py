"""Settings: every error at once with its key, secrets never printed, the old names still work."""

from pathlib import Path

import pytest

from bot.settings import RiskSettings, SettingsRefused, load

GOOD = """
[broker]
product = "D"
[[instruments]]
key = "NSE_FO|45450"
quantity = 75
lot = 75
freeze_quantity = 1800
[risk]
daily_loss_rupees = 5000
accept_no_edge = true
"""
TOKEN = {"BOT_LIVE_ACCESS_TOKEN": "canary-token"}


def write(folder: Path, text: str) -> Path:
    path = folder / "bot.toml"
    path.write_text(text)
    return path


def test_a_good_file_becomes_rules_in_paise(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD), TOKEN)
    assert settings.rules.risk.stop_loss == 5_000
    assert settings.rules.risk.daily_loss == 500_000
    assert settings.rules.risk.charges_per_day == 250_000
    assert settings.contracts[0].exchange == "NSE"
    assert settings.contracts[0].tick == 5
    assert settings.broker.live_access_token.get_secret_value() == "canary-token"


def test_all_errors_are_listed_at_once_each_with_its_key(tmp_path: Path) -> None:
    text = """
[broker]
product = "X"
[[instruments]]
key = "NSE_FO|45450"
quantity = 70
lot = 75
freeze_quantity = 1800
[strategy]
threshold = 1.5
treshold = 0.6
[session]
flatten = "15:45"
"""
    with pytest.raises(SettingsRefused) as refused:
        load(write(tmp_path, text), {"BOT_RISKY": "1"})
    said = "\n".join(refused.value.problems)
    for key in (
        "broker.product",
        "instruments.0",
        "strategy.threshold",
        "strategy.treshold",
        "session",
        "BOT_RISKY",
    ):
        assert key in said, said
    assert "multiple of the lot 75" in said


def test_the_guards_have_the_policys_defaults(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD), TOKEN)
    risk = settings.rules.risk
    assert (risk.entries_per_day, risk.entries_per_minute, risk.stops_per_day) == (20, 6, 3)
    assert (risk.cooldown_seconds, risk.spread_max_bps) == (300, 100)
    assert (risk.premium_min, risk.premium_max, risk.capital) == (60_00, None, None)
    seconds = (risk.tick_lag_max_seconds, risk.last_trade_max_seconds, risk.clock_skew_max_seconds)
    assert seconds == (2, 60, 5)
    assert settings.kill_file == settings.data_folder / "KILL"
    assert risk.funds_wanted, "live: what the broker says may be spent counts"
    assert not load(write(tmp_path, GOOD), TOKEN, mode="paper").rules.risk.funds_wanted


def test_wrong_guards_are_all_listed_at_once(tmp_path: Path) -> None:
    wrong = {
        "tick_lag_max_seconds": 0, "last_trade_max_seconds": -1, "clock_skew_max_seconds": 1,
        "premium_min_rupees": 50, "spread_max_bps": 0, "entries_per_day": 0, "stops_per_day": 0,
        "cooldown_seconds": -1, "capital_rupees": 0, "kill_file": 7,
    }  # fmt: skip
    text = "\n".join(f"{key} = {value}" for key, value in wrong.items())
    with pytest.raises(SettingsRefused) as refused:
        load(write(tmp_path, GOOD.replace("[risk]", f"[risk]\n{text}")), TOKEN)
    assert [p.partition(":")[0] for p in refused.value.problems] == [
        f"risk.{key}" for key in sorted(wrong, key=list(RiskSettings.model_fields).index)
    ]


@pytest.mark.parametrize(
    ("flatten", "refused"), [("15:17:00", False), ("15:17:01", True), ("15:29:00", True)]
)
def test_an_intraday_product_is_sold_before_the_broker_squares_it_off(
    tmp_path: Path, flatten: str, refused: bool
) -> None:
    environ = TOKEN | {"BOT_BROKER__PRODUCT": "I", "BOT_SESSION__FLATTEN": flatten}
    if not refused:
        load(write(tmp_path, GOOD), environ)
        return
    with pytest.raises(SettingsRefused, match=r"3 minutes before broker.square_off \(15:20\)"):
        load(write(tmp_path, GOOD), environ)


def test_live_wants_a_limit_a_token_and_the_words(tmp_path: Path) -> None:
    text = GOOD.replace("daily_loss_rupees = 5000", "").replace("accept_no_edge = true", "")
    with pytest.raises(SettingsRefused) as refused:
        load(write(tmp_path, text), {})
    said = "\n".join(refused.value.problems)
    assert all(key in said for key in ("daily_loss_rupees", "accept_no_edge", "BOT_LIVE_ACCESS_TOKEN"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broker\n", "not valid TOML"),
        (GOOD.replace("[broker]", '[broker]\nlive_access_token = "canary"'), "must not stand"),
    ],
)
def test_a_damaged_file_and_a_secret_in_it_are_refused_in_words(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(SettingsRefused) as refused:
        load(write(tmp_path, text), TOKEN)
    assert words in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=r"bot\.example\.toml"):
        load(tmp_path / "none.toml", {})


def test_the_environment_overrides_the_file_under_new_and_old_names(tmp_path: Path) -> None:
    environ = TOKEN | {
        "BOT_INSTRUMENT_KEY": "BSE_FO|843110",
        "BOT_TRADE_QTY": "150",
        "BOT_STRATEGY__THRESHOLD": "0.7",
        "BOT_TELEMETRY__PORT": "0",
    }
    settings = load(write(tmp_path, GOOD), environ)
    assert (settings.contracts[0].key, settings.contracts[0].quantity) == ("BSE_FO|843110", 150)
    assert settings.contracts[0].exchange == "BSE"
    assert settings.rules.strategy.threshold == 0.7
    assert settings.telemetry.port == 0


def test_secrets_are_in_no_text_of_the_settings(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD), TOKEN)
    assert "canary" not in repr(settings)
    assert "canary" not in str(settings.public)


@pytest.mark.parametrize(
    "line",
    [
        'api_host = "https://"',
        'api_host = "https://api.upstox.com:port"',
        'order_host = "https://me:secret@api.upstox.com"',
        'order_host = "https://äpi.upstox.com"',
        'order_host = "https://api..upstox.com"',
        'api_host = "https://api upstox.com"',
        'api_host = "https://api.upstox.com?x=1"',
        'api_host = "https://api.upstox.com/v 2"',
        'api_host = "http://localhost.example.com"',
        'algo_name = "one\\nX-Injected: two"',
    ],
)
def test_what_no_request_could_carry_is_refused_by_its_key(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        load(write(tmp_path, GOOD.replace("[broker]", f"[broker]\n{line}")), TOKEN)
    (problem,) = refused.value.problems
    assert f"broker.{line.split(maxsplit=1)[0]}" in problem
    assert "secret" not in problem


def test_plain_http_goes_to_the_twin_alone(tmp_path: Path) -> None:
    text = GOOD.replace("[broker]", '[broker]\napi_host = "http://example.com"')
    with pytest.raises(SettingsRefused, match="https"):
        load(write(tmp_path, text), TOKEN)


KEY_ALONE = GOOD.replace("quantity = 75\nlot = 75\nfreeze_quantity = 1800\n", "")
WISH = KEY_ALONE.replace('key = "NSE_FO|45450"', 'underlying = "NIFTY"\noption_type = "CE"\nlots = 2')


def test_each_mode_says_what_it_wants(tmp_path: Path) -> None:
    """Paper needs a token that may read; sandbox its own as well; demo nothing at all."""
    bare = "[[instruments]]\n" + KEY_ALONE.partition("[[instruments]]\n")[2].partition("[risk]")[0]
    path = write(tmp_path, bare)
    assert load(path, TOKEN, mode="paper").broker.mode == "paper"
    with pytest.raises(SettingsRefused, match="read-only analytics token"):
        load(path, {}, mode="paper")
    with pytest.raises(SettingsRefused, match="BOT_SANDBOX_ACCESS_TOKEN") as refused:
        load(path, TOKEN, mode="sandbox")
    assert len(refused.value.problems) == 1
    assert load(path, TOKEN | {"BOT_SANDBOX_ACCESS_TOKEN": "canary-2"}, mode="sandbox").contracts == ()
    assert load(write(tmp_path, ""), {}, mode="demo").instruments == ()
    with pytest.raises(SettingsRefused, match=r"broker\.mode"):
        load(path, TOKEN, mode="dream")


def test_a_contract_is_named_by_key_or_wished_for(tmp_path: Path) -> None:
    by_key = load(write(tmp_path, KEY_ALONE), TOKEN)
    assert (by_key.contracts, by_key.instruments[0].title) == ((), "NSE_FO|45450")
    (wish,) = load(write(tmp_path, WISH), TOKEN).instruments
    assert (wish.title, wish.strike, wish.expiry, wish.lots) == (
        "NIFTY ATM CE, expiry nearest", "ATM", "nearest", 2,
    )  # fmt: skip
    exact = WISH.replace("lots = 2", "strike = 25000\nexpiry = 2026-09-22")
    assert load(write(tmp_path, exact), TOKEN).instruments[0].title == "NIFTY 25000 CE, expiry 2026-09-22"


@pytest.mark.parametrize(
    ("instrument", "words"),
    [
        ("", "give either key"),
        ('key = "NSE_FO|1"\nunderlying = "NIFTY"', "give either key"),
        ('underlying = "NIFTY"', "option_type: is missing"),
        ('underlying = "NIFTY"\noption_type = "CE"\nlot = 65', "comes from the instrument master"),
        ('key = "NSE_FO|1"\nquantity = 65\nlots = 1', "quantity (units) or lots"),
        ('key = "NSE_FO|1"\nlot = 65', "lot and freeze_quantity together"),
        ('key = "NSE_FO|1"\noption_type = "CE"', "belongs to underlying"),
        ('underlying = "NIFTY"\noption_type = "CE"\nstrike = "OTM"', "strike"),
    ],
)
def test_each_slip_in_an_instrument_is_a_sentence(tmp_path: Path, instrument: str, words: str) -> None:
    text = f"[[instruments]]\n{instrument}\n"
    with pytest.raises(SettingsRefused) as refused:
        load(write(tmp_path, text), TOKEN, mode="paper")
    assert words in "\n".join(refused.value.problems)
