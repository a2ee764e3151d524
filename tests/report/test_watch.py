"""The live view and the trader's risk, on a real anvil: what they show, and what happens when the
node goes away, is replaced, or is turned back."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from web3 import HTTPProvider, Web3

from breakwater import risk, units, watch
from breakwater.artifacts import ROOT
from breakwater.engine.base import EngineError, Reverted
from breakwater.engine.read import NodeAwayError, ReadEngine
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import RpcEngine
from breakwater.keeper import Keeper
from breakwater.ledger import Ledger
from breakwater.venue import Venue, VenueConfig

pytestmark = pytest.mark.skipif(
    shutil.which("anvil") is None, reason="anvil is not on PATH: npm install @foundry-rs/anvil"
)


class Node:
    """An anvil on a port of its own, which can be ended and started again there."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RpcEngine:
        fees = ["--block-base-fee-per-gas", "0", "--gas-price", "0", "--hardfork", "prague"]
        self._process = subprocess.Popen(
            ["anvil", "--quiet", "--port", str(self.port), *fees],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        web3 = Web3(HTTPProvider(self.url, request_kwargs={"timeout": 60}))
        deadline = time.monotonic() + 20
        while not web3.is_connected():
            assert time.monotonic() < deadline, "anvil did not come up"
            time.sleep(0.05)
        return RpcEngine(web3)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def node() -> Iterator[Node]:
    found = Node()
    yield found
    found.stop()


class Market:
    """A venue with one market X (lots of 0.01, $100, 20x) and three shorts against one long.

    In profit once X falls: first (60 X, 600 USDC), second (60 X, 6,000 USDC), third (10 X, 900).
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        config = VenueConfig(min_interval=1, max_step=0)
        self.venue = Venue.deploy(engine, config)
        self.venue.add_market("X", 2, 20, units.usdc("10"), 1_000_000)
        self.ids: dict[str, int] = {}
        for name, usdc in (
            ("loser", "1300"),
            ("first", "600"),
            ("second", "6000"),
            ("third", "900"),
        ):
            self.ids[name] = self.venue.open_account(engine.actor(name), units.usdc(usdc))
        self.prices("100", "100")
        for name, lots in (("first", 6_000), ("second", 6_000), ("third", 1_000)):
            self.place(name, False, lots, "100")
            self.place("loser", True, lots, "100")

    def prices(self, *texts: str) -> None:
        for text in texts:
            self.engine.wait(3)
            self.venue.set_prices([units.ticks(text, 2)])

    def place(self, name: str, is_buy: bool, lots: int, price: str) -> None:
        actor, ticks = self.engine.actor(name), units.ticks(price, 2)
        self.venue.place(actor, self.ids[name], 0, is_buy, lots, ticks)

    def keeper(self) -> Keeper:
        ledger = Ledger(self.venue)
        ledger.enumerate()
        return Keeper(ledger, self.engine.actor("keeper"))


def watcher(node: Node, market: Market) -> watch.Watcher:
    engine = ReadEngine(node.url, timeout=10)
    return watch.Watcher(engine, Venue.at(engine, market.venue.addresses()))


def shown(view: watch.View, note: str = "") -> str:
    console = Console(file=StringIO(), width=140, highlight=False)
    console.print(watch.render(view, note))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_view_follows_the_chain(node: Node) -> None:
    market = Market(node.start())
    market.place("second", True, 500, "91")
    market.place("third", False, 300, "104")
    looking = watcher(node, market)
    assert looking.is_new()
    view = looking.look()
    assert not looking.is_new()
    (x,) = view.markets
    assert (x.symbol, x.mark, x.fresh, x.frozen) == ("X", "100", True, False)
    assert (x.bids, x.asks) == ((("91", "5"),), (("104", "3"),))
    assert x.open_interest == "130"
    assert (view.held, view.vault, view.uninsured) == ("8800", "0", "0")
    assert (view.round, view.waiting) == (None, False)
    # Weakest first: 600 / 150 of maintenance, 1,300 / 325, then 6,000 and 900 with less at risk.
    assert [(one.account, one.health) for one in view.accounts] == [
        (market.ids["loser"], "4"),
        (market.ids["first"], "4"),
        (market.ids["third"], "36"),
        (market.ids["second"], "40"),
    ]
    assert all(not one.lights for one in view.accounts)
    market.prices("95")
    assert looking.is_new()
    view = looking.look()
    lights = {one.account: dict(one.lights) for one in view.accounts}
    # Scores 6000/900, 1000/950 and 6000/6300.
    assert lights[market.ids["first"]] == {"X": 5}
    assert lights[market.ids["third"]] == {"X": 4}
    assert lights[market.ids["second"]] == {"X": 2}
    assert lights[market.ids["loser"]] == {}
    assert view.markets[0].previous_mark == "100"
    assert view.news[-1] == "X mark 100 -> 95"
    text = shown(view)
    assert "●●●●●" in text and "5 at 91" in text and "X mark 100 -> 95" in text


def test_an_open_round_and_its_news_are_shown(node: Node) -> None:
    market = Market(node.start())
    looking = watcher(node, market)
    assert looking.look().round is None
    # 1,300 - 130 * 12 is below zero; nothing is on the book. One step opens a round, no more.
    market.prices("88")
    keeper = market.engine.actor("keeper")
    market.venue.liquidator.send("liquidate", market.ids["loser"], 2, sender=keeper)
    view = looking.look()
    assert str(view.round) == "round 1: 0 of 130 X of bankrupt longs taken"
    assert view.waiting and view.markets[0].frozen
    assert "ADL round 1: 130 X of bankrupt longs need takers" in view.news
    market.keeper().advance()
    view = looking.look()
    assert (view.round, view.waiting, view.uninsured) == (None, False, "0")
    assert view.news[-1] == "ADL round 1 closes: 130 of 130 X taken"
    assert len(view.news) <= watch.NEWS_SHOWN
    assert "no ADL round" in shown(view)


def test_a_node_that_goes_away_is_waited_for(node: Node) -> None:
    market = Market(node.start())
    looking = watcher(node, market)
    devnets: list[RpcEngine] = []

    def after(looks: int) -> bool:
        """What happens before the next look."""
        if looks == 1:
            node.stop()
        elif looks == 3:
            # Back, but empty.
            devnets.append(node.start())
        elif looks == 5:
            # The same venue at the same addresses, on a new chain.
            Market(devnets[0])
        return looks < 7

    looks = iter(range(8))
    console = Console(file=StringIO(), width=140, highlight=False, force_terminal=False)
    written: list[str] = []
    live_update = watch.Live.update

    def update(self: Any, renderable: Any, *, refresh: bool = False) -> None:
        plain = Console(file=StringIO(), width=140, highlight=False)
        plain.print(renderable)
        written.append(plain.file.getvalue())  # type: ignore[attr-defined]
        live_update(self, renderable, refresh=refresh)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch.Live, "update", update)
        watch.run(looking, console, 0.05, lambda: after(next(looks)))
    assert len(written) == 7
    assert "does not answer" not in written[0] and "X" in written[0]
    # The last view stays, under a line that says what is wrong.
    for text in written[1:3]:
        assert "does not answer" in text and "trying again every 0.05 s" in text
        assert "health" in text
    for text in written[3:5]:
        assert "there is no venue at" in text and "was the node started anew?" in text
    assert "health" in written[5] and "there is no venue" not in written[5]
    assert "health" in written[6]


def test_a_chain_that_was_turned_back_is_read_again(node: Node) -> None:
    market = Market(node.start())
    snap = market.engine.snapshot()
    looking = watcher(node, market)
    market.prices("96")
    assert looking.look().news[-1] == "X mark 100 -> 96"
    market.engine.revert(snap)
    # As many blocks as before, but other ones.
    market.prices("97")
    assert looking.is_new()
    view = looking.look()
    assert view.markets[0].mark == "97"
    assert "X mark 100 -> 97" in view.news and "X mark 100 -> 96" not in view.news


def test_the_reading_engine_touches_nothing(node: Node) -> None:
    market = Market(node.start())
    before = market.engine.block_number
    engine = ReadEngine(node.url)
    venue = Venue.at(engine, market.venue.addresses())
    assert engine.refresh() == before
    # RpcEngine pins its own clock; a reader that set the node's would show here.
    market.prices("100")
    assert market.engine.block_number == before + 1
    # It stays at its block until it is told to go on.
    assert venue.oracle.call("epoch") + 1 == market.venue.oracle.call("epoch")
    with pytest.raises(EngineError, match="only reads"):
        venue.usdc.send("mint", market.venue.owner, 1, sender=market.venue.owner)
    with pytest.raises(Reverted, match="clearinghouse: unknown market"):
        venue.governor.call("market", 9)
    with pytest.raises(NodeAwayError, match="does not answer"):
        ReadEngine("http://127.0.0.1:9").refresh()


# ---------------------------------------------------------------- risk


def looked(node: Node, market: Market) -> tuple[Venue, ReadEngine]:
    engine = ReadEngine(node.url, timeout=10)
    engine.refresh()
    return Venue.at(engine, market.venue.addresses()), engine


def test_rank_light_and_points_by_hand(node: Node) -> None:
    market = Market(node.start())
    market.prices("95")
    venue, engine = looked(node, market)
    (first,) = risk.of_account(venue, engine, market.ids["first"])
    assert (first.market, first.side, first.size, first.profit) == ("X", "short", "-60", "300")
    assert (first.rank, first.winners, first.light) == (1, 3, 5)
    assert first.score == "6.666666666666666666"
    found = [(point.found, point.points) for point in first.points]
    # Notional 5,700 over equity 900; 300 of profit on 5,700.
    assert found[0] == ("6.33x", 0)
    assert found[1] == ("5.26%", 2)
    assert found[2][1] == 0
    # The book is empty.
    assert found[3][1] == 2
    assert found[4] == ("5 of 5", 2)
    assert first.total == 6
    (second,) = risk.of_account(venue, engine, market.ids["second"])
    assert (second.rank, second.light, second.total) == (3, 2, 4)
    (loser,) = risk.of_account(venue, engine, market.ids["loser"])
    assert (loser.rank, loser.light, loser.score) == (None, 0, None)
    # 130 * 95 over 1,300 - 650: 19 times.
    assert (loser.points[0].found, loser.points[0].points) == ("19x", 2)
    assert loser.points[1].found == "-5.26%"


def test_what_it_says_lowers_the_points_does(node: Node) -> None:
    market = Market(node.start())
    market.prices("95")
    venue, engine = looked(node, market)
    (loser,) = risk.of_account(venue, engine, market.ids["loser"])
    # 12,350 / 15 is 823.333...: equity of 823.333334 is needed, 650 are there.
    assert loser.points[0].lower.startswith("deposit 173.333334 USDC, ")
    (first,) = risk.of_account(venue, engine, market.ids["first"])
    words = first.points[4].lower
    deposit = units.usdc(words.split()[1])
    actor = market.engine.actor("first")
    # One micro-USDC less leaves it where it was, all of it takes it down.
    market.venue.deposit(actor, market.ids["first"], deposit - 1)
    market.prices("95")
    venue, engine = looked(node, market)
    assert risk.of_account(venue, engine, market.ids["first"])[0].light > risk.MIDDLE
    market.venue.deposit(actor, market.ids["first"], 1)
    # It lowers no score before the next epoch.
    venue, engine = looked(node, market)
    assert risk.of_account(venue, engine, market.ids["first"])[0].light > risk.MIDDLE
    market.prices("95")
    venue, engine = looked(node, market)
    after = risk.of_account(venue, engine, market.ids["first"])[0]
    assert after.light <= risk.MIDDLE and after.points[4].points == 0


def test_a_full_book_and_a_quiet_hour_score_nothing(node: Node) -> None:
    market = Market(node.start())
    market.prices("98")
    # Bankrupt longs would sell to bids: 5% of 130 is 6.5, within 1% of 98.
    market.place("second", True, 650, "97.5")
    venue, engine = looked(node, market)
    point = risk.of_account(venue, engine, market.ids["first"])[0].points[3]
    assert point.points == 0
    assert point.found.startswith("0 liquidated within the hour, 6.5 on the book within 1%")
    # One lot less near the mark, and it is thin; what rests further away does not help.
    market.venue.order_book.send(
        "cancel_all", market.ids["second"], sender=market.engine.actor("second")
    )
    market.place("second", True, 649, "97.5")
    market.place("second", True, 100, "97")
    venue, engine = looked(node, market)
    assert risk.of_account(venue, engine, market.ids["first"])[0].points[3].points == 2


def test_liquidations_count_for_an_hour(node: Node) -> None:
    market = Market(node.start())
    for price in ("91.5", "91"):
        market.place("second", True, 3_000, price)
    market.prices("91.8")
    market.keeper().run()
    # What is left of the open interest is deep in bids again.
    market.place("second", True, 2_000, "91.4")
    venue, engine = looked(node, market)
    stress = risk.of_account(venue, engine, market.ids["third"])[0].points[3]
    assert not stress.found.startswith("0 liquidated")
    assert stress.points == 2
    market.engine.wait(3_700)
    market.venue.set_prices([units.ticks("91.8", 2)])
    venue, engine = looked(node, market)
    stress = risk.of_account(venue, engine, market.ids["third"])[0].points[3]
    assert stress.found.startswith("0 liquidated")


def test_accounts_of_which_there_is_nothing_to_say(node: Node) -> None:
    market = Market(node.start())
    venue, engine = looked(node, market)
    flat = market.venue.open_account(market.engine.actor("idle"))
    venue, engine = looked(node, market)
    for account, words in (
        (99, "there is no account 99"),
        (1, "never deleveraged by rank"),
        (flat, "no position"),
    ):
        with pytest.raises(risk.RiskError, match=words):
            risk.of_account(venue, engine, account)


def test_the_ranking_is_the_order_of_the_chain() -> None:
    market = Market(RevmEngine())
    market.prices("88")
    order = risk.ranking(market.venue, 0, False)
    # 6000 / 1320, 1000 / 1020, 6000 / 6720.
    names = [market.ids[name] for name in ("first", "third", "second")]
    assert [place.account for place in order] == names
    sender = market.engine.actor("keeper")
    tx = market.venue.liquidator.send("liquidate", market.ids["loser"], 200, sender=sender)
    fills = tx.all("Deleveraged")
    assert [(fill.winner, fill.score) for fill in fills] == [
        (place.account, place.score) for place in order[: len(fills)]
    ]


# ---------------------------------------------------------------- the commands


def command(name: str) -> Any:
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_script", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.cli


@pytest.fixture
def listening(node: Node, tmp_path: Path) -> tuple[Market, list[str]]:
    market = Market(node.start())
    market.prices("95")
    path = tmp_path / "venue.json"
    path.write_text(json.dumps(market.venue.addresses()))
    return market, ["--rpc", node.url, "--venue", str(path)]


def test_the_commands_on_a_running_node(listening: tuple[Market, list[str]], node: Node) -> None:
    market, where = listening
    done = CliRunner().invoke(command("watch"), ["--once", *where])
    assert done.exit_code == 0, done.output
    assert "no ADL round" in done.output and "X mark 100 -> 95" in done.output
    risky = command("adl-risk")
    done = CliRunner().invoke(risky, [str(market.ids["first"]), *where])
    assert done.exit_code == 0, done.output
    assert "rank 1 of 3 winners, lights ●●●●●, score 6.666666666666666666" in done.output
    assert "6 of 10 points:" in done.output
    done = CliRunner().invoke(risky, ["99", *where])
    assert done.exit_code == 1 and "there is no account 99" in done.output
    node.stop()
    for cli, more in ((command("watch"), ["--once"]), (risky, ["1"])):
        done = CliRunner().invoke(cli, [*more, *where])
        assert done.exit_code == 1
        assert "does not answer" in done.output and "Traceback" not in done.output
    node.start()
    for cli, more in ((command("watch"), ["--once"]), (risky, ["1"])):
        done = CliRunner().invoke(cli, [*more, *where])
        assert done.exit_code == 1 and "there is no venue" in done.output
