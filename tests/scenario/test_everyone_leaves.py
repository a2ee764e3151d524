"""After a crash everybody leaves, by what users and passers-by may call and nothing else.

No call here is the owner's. Prices are still reported, the keeper works on, traders close at the
mark against each other, withdraw all, and the vault's depositors redeem. What the venue holds then
is named to the micro-USDC: the vault's two accounts, fees, and the remainder of funding.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from breakwater import units
from breakwater.artifacts import ROOT
from breakwater.contract import Tx
from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.scenario import Scenario, load, parse
from tests.leaving import Exit, Trader

# What each trader is paid, in USDC, by hand from the sums in the scenario's file: cash at its end,
# and what a position is worth at the last mark. The maker had a million, and the other side.
CLOSED: Final[dict[str, dict[str, str]]] = {
    "book_absorbs": {"long": "120", "bidder": "5080", "maker": "1000400"},
    "insurance_to_the_cent": {"long": "0", "bidder": "5000", "maker": "1000700"},
    # 40 of the short's 100 closed at 94, 60 at 93.
    "insurance_then_adl": {"long": "0", "short": "3660", "bidder": "5000", "maker": "1000000"},
    "backstop_work_off": {"long": "0", "short": "9000", "bidder": "10080", "maker": "1000000"},
    # 100 of the short's 110 closed at 84, 10 at 80.
    "tranche_exhausted": {"long": "0", "late": "10", "short": "4800", "maker": "1000000"},
    "recovery_before_adl": {"long": "360", "short": "3200", "bidder": "5040", "maker": "1000000"},
    "keeper_asleep_20": {"long": "0", "short": "3600", "bidder": "5000", "maker": "1000000"},
    # holder's position ends in a second round, at the mark that the vault has paid for. The maker
    # sold 100M JELLY at 0.02 that it had at 0.0095, and lost 3,000 on each of 100 BTC.
    "jelly_shared": {
        "attacker_short": "0",
        "attacker_long": "700000",
        "public": "2193000",
        "holder": "4300000",
        "btc_long": "0",
        "btc_short": "1250000",
        "btc_bidder": "4300000",
        "maker": "10750000",
    },
    # 1,000 of the short's 2,000 closed at 87.
    "cascade_200": {"short": "122900", "bidder": "96100", "a_30": "12.5", "a_31": "0"}
    | {"d_30": "5", "d_31": "0", "maker": "1000000"},
    "fees": {"fan": "0", "seller": "1059.3", "maker": "1000000"},
    "funding_day": {"long": "0", "short": "3600", "maker": "1000000"},
    "winner_in_part": {"winner": "0", "second": "5700", "other": "8300", "maker": "999000"},
    "cross_windup": {"loser": "0", "btc_short": "580", "eth_short": "520"},
    "liquidity_pulled": {"long": "0", "short": "3600", "quoter": "100000"},
    "keeper_rewarded": {"long": "102", "short": "3400", "bidder": "5000", "watcher": "60"},
    # 98% of what the depositors brought; the tranche's 200 are worked off at 93, as the mark is.
    "backstop_limited": {"long_a": "0", "long_b": "0", "short": "11600", "saver": "4900"},
}
# What is left of the vault, micro-USDC: gains of a vault without depositors, or what the virtual
# shares keep of a gain.
KEPT: Final = {
    "fees": 700_000,
    "keeper_rewarded": 48 * 10**6,
    "winner_in_part": 500 * 10**6,
    "backstop_work_off": 1,
}

# As above, before the ratio at which an uninsured loss is shared.
CLAIMS: Final[dict[str, dict[str, str]]] = {
    # early has left at the ratio before: its 60 are borne.
    "winners_exhausted": {"loser": "0", "early": "0", "late": "2360", "maker": "2440"},
    "nobody_in_profit": {"loser": "0", "late": "2900", "maker": "1001100"},
    "jelly_fenced": {
        "attacker_short": "0",
        "attacker_long": "700000",
        "public": "2193000",
        "holder": "4300000",
        "btc_long": "0",
        "btc_short": "1300000",
        "btc_bidder": "4300000",
        "maker": "10750000",
    },
}
UNINSURED: Final = {
    "winners_exhausted": 240 * 10**6,
    "nobody_in_profit": 600 * 10**6,
    "jelly_fenced": 2_400_000 * 10**6,
}
VAULT: Final = {"jelly_fenced": 2_350_000 * 10**6}
"""What the vault claims beside the traders."""


class Ownerless(RevmEngine):
    """A chain on which one address, once named, may not send anything."""

    silenced = ""

    def transact(self, sender: str, to: str, data: bytes) -> Any:
        assert sender != self.silenced, "a call of the owner's"
        return super().transact(sender, to, data)


class Insured(Crash):
    """A run in which the vault's money is two depositors', a third and the rest, not a gift."""

    def _insure(self) -> None:
        # The file's own, and two for what it gives to the vault.
        self.depositors = self.scenario.venue.deposits_micro
        self.venue.insure = self._deposit  # type: ignore[method-assign]
        super()._insure()

    def _deposit(self, amount: int) -> Tx:
        vault = self.venue.vault
        for name, part in (("first", amount // 3), ("second", amount - amount // 3)):
            depositor = self.engine.actor(name)
            self.venue.mint(depositor, part, vault)
            tx = vault.send("deposit", part, depositor, sender=depositor)
            self.depositors[name] = part
        return tx


class Left(Exit):
    """Everybody's way out of a crash that has run. Nobody helps: the market maker is one of those
    who leave, and closes what it has."""

    def __init__(self, crash: Insured, backwards: bool = False) -> None:
        self.crash = crash
        names = list(crash.account_ids)[:: -1 if backwards else 1]
        super().__init__(
            crash.ledger,
            {name: Trader(crash.traders[name], crash.account_ids[name]) for name in names},
            {name: crash.engine.actor(name) for name in crash.depositors},
            crash.prices,
            # The run's own recorder hears of it, and checks the identities.
            seen=crash._seen,
        )


def left(scenario: str | Scenario, backwards: bool = False, donated: int = 0) -> Left:
    """The scenario runs and everybody leaves, the owner silent."""
    if isinstance(scenario, str):
        scenario = load(ROOT / "scenarios" / f"{scenario}.yaml", short=True)
    engine = Ownerless()
    crash = Insured(scenario, engine)
    crash.run()
    engine.silenced = crash.venue.owner
    out = Left(crash, backwards)
    if donated:
        usdc, house = out.venue.usdc, out.house.address
        usdc.send("mint", house, donated, sender=crash.traders[out.names[0]])
    out.everybody_out()
    return out


def kept(out: Exit, donated: int = 0) -> int:
    """What the vault's two accounts keep once everybody has left, all else being named."""
    rest = out.remainder()
    assert rest.donated == donated
    return rest.vault + rest.tranche


@pytest.mark.parametrize("scenario", CLOSED)
def test_everybody_leaves(scenario: str) -> None:
    """In full, and the vault's depositors with what the crash has left of their money."""
    out = left(scenario)
    assert kept(out) == KEPT.get(scenario, 0)
    assert out.house.call("uninsured") == 0
    paid = {name: units.format_usdc(out.paid[name]) for name in CLOSED[scenario]}
    assert paid == CLOSED[scenario]


@pytest.mark.parametrize("scenario", CLAIMS)
def test_everybody_leaves_at_the_ratio_of_an_uninsured_loss(scenario: str) -> None:
    """By the rule, to the micro-USDC: each is paid the ratio of the moment, rounded down, so nobody
    gets less than the ratio of the beginning, and what rounding leaves is for those who stay."""
    out = left(scenario)
    claims = {name: units.usdc(amount) for name, amount in CLAIMS[scenario].items()}
    assert set(claims) == set(out.names)
    loss, owed = UNINSURED[scenario], sum(claims.values()) + VAULT.get(scenario, 0)
    first_loss, first_owed, leavers = loss, owed, 0
    for name in out.names:
        claim = claims[name]
        if not claim:
            assert out.paid[name] == 0
            continue
        paid = max(claim * (owed - loss) // owed, claim - min(claim, loss))
        assert out.paid[name] == paid, name
        least = claim * (first_owed - first_loss) // first_owed
        assert least <= paid <= least + leavers + 1, name
        owed, loss, leavers = owed - claim, loss - (claim - paid), leavers + 1
    keeps = kept(out)
    assert out.house.call("uninsured") == 0
    early = units.usdc("1140") if scenario == "winners_exhausted" else 0
    deposited = sum(out.crash.scenario.deposits.values()) + sum(out.crash.depositors.values())
    assert sum(out.paid.values()) + early + keeps == deposited
    assert keeps <= 2, "what the virtual shares and rounding keep"


def test_the_order_of_leaving_does_not_matter() -> None:
    """95% for everybody, to the micro-USDC, whoever goes first."""
    there, back = left("winners_exhausted"), left("winners_exhausted", backwards=True)
    assert there.names == back.names[::-1]
    assert there.paid == back.paid
    assert (there.paid["late"], there.paid["maker"]) == (2_242 * 10**6, 2_318 * 10**6)


def test_a_donation_is_what_remains_and_nobodys() -> None:
    assert kept(left("book_absorbs", donated=7), donated=7) == 0


def test_everybody_leaves_while_the_tranche_holds_what_it_took() -> None:
    """The dip of backstop_work_off without the bids and the recovery: the short closes against the
    work-off, 105 units an interval, at the mark of 95."""
    text = (ROOT / "scenarios" / "backstop_work_off.yaml").read_text()
    text = text[: text.index("path:")] + (
        'path: [{set_price: {X: "95"}}]\nexpect: {accounts.tranche.positions.X.size: "400"}\n'
    )
    out = left(parse(text, "backstop_work_off.yaml"))
    assert kept(out) == 1
    assert out.paid["short"] == 11_000 * 10**6
    # 300 + 5,000, and the 400 that came with the position.
    assert out.paid["first"] + out.paid["second"] == 5_700 * 10**6 - 1
    sold = [e for e in out.venue.liquidator.events() if e.name == "WorkedOff"]
    # 10,000 USDC at 95, in lots of 0.01, rounded down; then what is left.
    assert [e.size for e in sold] == [10_526, 10_526, 10_526, 8_422]


def test_the_owner_is_silent() -> None:
    """The check above can fail."""
    out = left("book_absorbs")
    with pytest.raises(AssertionError, match="a call of the owner's"):
        out.venue.usdc.send("mint", out.venue.owner, 1, sender=out.venue.owner)


def test_everybody_leaves_though_no_round_closes_the_estate() -> None:
    """The short takes the estate's lots at the mark of 80 and closes; 90% for everybody."""
    out = left("estate_without_takers")
    assert kept(out) == 0
    assert out.house.call("uninsured") == 0
    assert out.paid == {
        "loser": 0,
        "short": 2_250 * 10**6,
        "maker": 4_050 * 10**6,
        "first": 0,
        "second": 0,
    }
