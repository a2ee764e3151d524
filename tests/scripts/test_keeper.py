"""`ape run keeper` on a real devnet: a crash, a keeper that is killed, and a node that goes away;
and the order of its work, in process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ape
import pytest
from web3 import HTTPProvider, Web3

from breakwater.artifacts import ROOT
from breakwater.contract import Tx
from breakwater.engine.ape import ApeEngine
from breakwater.engine.base import EngineError
from breakwater.engine.rpc import ANVIL_MISSING
from breakwater.keeper import BACKOFF, Keeper, Watch, Watched
from breakwater.ledger import Ledger
from breakwater.venue import Venue
from tests.tranche import fund
from tests.unit.liquidator.test_backstop import own
from tests.vectors.bench import Bench, MarketSpec

USDC = 10**6
FOUNDRY = "ethereum:local:foundry"
needs_anvil = pytest.mark.skipif(shutil.which("anvil") is None, reason=ANVIL_MISSING)


# --- In process: what is due, in which order -----------------------------------------------------


def kept(bench: Bench, reward: str | None = None) -> tuple[Keeper, list[str]]:
    """A keeper of the bench's venue, and what it has done."""
    done: list[str] = []

    def sent(action: str, tx: Tx) -> None:
        done.append(action)
        bench.seen(tx)

    account = bench.ids[reward] if reward else 0
    return Keeper(bench.ledger, bench.keeper, sent, account), done


def test_a_whole_crash_in_order() -> None:
    """One is taken over, one is wound up; the tranche's position goes to the book."""
    bench = Bench(MarketSpec("100"))
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    own(bench, "set_work_off", 10**6, 0, 1, 5_000)
    own(bench, "set_fees", 1_000, USDC, 0)
    fund(bench.venue, 5_000 * USDC)
    for name, money in (("bankrupt", "500"), ("weak", "700"), ("caller", "1"), ("buyer", "9999")):
        bench.account(name, money)
    bench.hold("bankrupt", 0, "100", "100")
    bench.hold("weak", 0, "100", "100")
    bench.mark({0: "94"})
    keeper, done = kept(bench, "caller")
    keeper.run()
    # The weakest first: that one leaves nothing, so no reward.
    assert done == ["liquidate", "liquidate"]
    assert bench.cash("bankrupt") == bench.cash("weak") == 0
    bench.bid("buyer", 0, "40", "93.6")
    keeper.run()
    assert done[2:] == ["work_off"]
    assert bench.position("buyer", 0)[0] == 4_000
    assert bench.cash("caller") == 2 * USDC
    assert not bench.busy() and keeper.stuck == set()
    assert keeper.run() == 0


def test_void_orders_do_not_keep_the_tranche_from_the_book() -> None:
    """More of them than a call has steps, in front of somebody who would buy: a call sells nothing,
    so the keeper deletes them first."""
    bench = Bench(MarketSpec("100"))
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    own(bench, "set_work_off", 10**6, 0, 1, 5_000)
    fund(bench.venue, 5_000 * USDC)
    for name, money in (("bankrupt", "700"), ("mocker", "99999"), ("buyer", "9999")):
        bench.account(name, money)
    bench.hold("bankrupt", 0, "100", "100")
    bench.mark({0: "94"})
    keeper, done = kept(bench)
    keeper.run()
    assert done == ["liquidate"]
    # At most 64 of an account rest at once.
    for _ in range(45):
        bench.bid("mocker", 0, "1", "93.7")
    bench.bid("buyer", 0, "40", "93.6")
    bench.send("order_book", "cancel_all", "mocker", bench.ids["mocker"])
    keeper.run()
    assert done[1:] == ["purge", "work_off"]
    assert bench.position("buyer", 0)[0] == 4_000
    assert keeper.run() == 0


def test_a_tranche_below_zero_is_wound_up() -> None:
    bench = Bench(MarketSpec("100"))
    own(bench, "set_backstop_limit", 0, 10**6 * USDC)
    fund(bench.venue, 1_000 * USDC)
    bench.account("weak", "500")
    bench.hold("weak", 0, "100", "100")
    bench.mark({0: "96"})
    keeper, done = kept(bench)
    keeper.run()
    bench.mark({0: "80"})
    keeper.run()
    assert done == ["liquidate", "wind_up_tranche"]
    (row,) = bench.venue.rows([keeper.tranche])
    assert (row.cash, row.active_markets) == (0, 0)


def test_who_can_not_be_helped_is_not_tried_for_ever() -> None:
    bench = Bench(MarketSpec("100"))
    bench.account("weak", "500")
    bench.hold("weak", 0, "100", "100")
    bench.mark({0: "96"})
    watched = Watched(bench.venue, bench.keeper)
    lines: list[str] = []
    watch = Watch(lambda: watched, lines.append, sample_every=0)
    counts = [watch.step() for _ in range(3)]
    assert counts == [1, 0, 0]
    assert "nothing to be had in the book" in lines[-1]
    # A new epoch, or half a minute, is a reason to try again.
    bench.epoch()
    assert [watch.step(), watch.step()] == [1, 0]
    bench.engine.wait(30)
    bench.sample()
    assert watch.step() == 1


def test_lots_without_takers_are_tried_again() -> None:
    """Bankrupt at $95, and the only short has sold at $94.90: it would lose. Once the lots have
    been written down to a lower mark it takes them."""
    bench = Bench(MarketSpec("100"))
    bench.account("bankrupt", "500")
    bench.account("short", "1000")
    bench.hold("bankrupt", 0, "100", "100")
    bench.mark({0: "96"})
    bench.trade("short", 0, -10_000, bench.ticks(0, "94.9"))
    watch = Watch(lambda: Watched(bench.venue, bench.keeper), lambda line: None, sample_every=0)
    adl = bench.venue.deleverager

    def left() -> bool:
        return adl.call("first_lot", 0, True) != adl.call("lot_count", 0, True)

    bench.mark({0: "94.95"})
    assert watch.step() == 1 and left()
    # Not twice in an epoch.
    assert watch.step() == 0 and left()
    bench.mark({0: "94"})
    assert watch.step() == 1 and left()
    bench.epoch()
    assert watch.step() == 1 and not left()
    assert bench.position("short", 0)[0] == 0
    bench.check()


def test_a_node_that_goes_away_is_waited_for_ever_more_slowly() -> None:
    bench = Bench(MarketSpec("100"))
    lines: list[str] = []
    slept: list[float] = []
    left = [OSError("connection refused")] * 8

    def connect() -> Watched:
        if left:
            raise left.pop()
        return Watched(bench.venue, bench.keeper)

    Watch(connect, lines.append, sleep=slept.append).run(every=3, passes=2)
    assert slept == [*BACKOFF, BACKOFF[-1], BACKOFF[-1], 3]
    assert lines[0] == "no answer from the node (OSError: connection refused): again in 1 s"
    assert lines[8].startswith("keeping 5 accounts as ")
    assert "the node answers again" in lines


def test_what_is_no_fault_of_the_node_is_not_swallowed() -> None:
    def connect() -> Watched:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        Watch(connect, print, sleep=lambda _: None).run(every=0, passes=1)


def test_a_price_that_is_stale_is_said_once() -> None:
    bench = Bench(MarketSpec("100"))
    lines: list[str] = []
    watch = Watch(lambda: Watched(bench.venue, bench.keeper), lines.append, sample_every=0)
    watch.step()
    bench.engine.wait(3_700)
    # Somebody's transaction: the chain's clock is its last block's.
    bench.venue.mint(bench.keeper, 1, bench.venue.clearinghouse)
    for _ in range(2):
        watch.step()
    bench.epoch()
    for _ in range(2):
        watch.step()
    assert [line for line in lines if line.startswith("the price")] == [
        "the price of M0 is stale: nothing can be liquidated there",
        "the price of M0 is fresh again",
    ]


def test_news_begins_an_epoch_and_books_are_sampled() -> None:
    bench = Bench(MarketSpec("100"))
    lines: list[str] = []
    watch = Watch(lambda: Watched(bench.venue, bench.keeper), lines.append, sample_every=30)
    oracle = bench.venue.oracle
    oracle.send("report", [990_000], sender=bench.venue.reporter)
    assert watch.step() == 2
    assert oracle.call("mark", 0) == 990_000
    assert oracle.call("last_sample", 0).at != 0
    assert lines[-1] == "poke: M0 at 99"
    assert watch.step() == 0
    bench.engine.wait(30)
    bench.venue.mint(bench.keeper, 1, bench.venue.clearinghouse)
    assert watch.step() == 1


def test_what_it_earned_is_read_from_the_chain() -> None:
    bench = Bench(MarketSpec("100"))
    own(bench, "set_fees", 1_000, USDC, 0)
    for name in ("one", "two"):
        bench.account(name, "500")
        bench.hold(name, 0, "100", "100")
    bench.account("caller", "1")
    bench.account("buyer", "99999")
    bench.bid("buyer", 0, "200", "97")
    bench.mark({0: "97"})
    lines: list[str] = []

    def watch() -> Watch:
        there = Watched(bench.venue, bench.keeper, bench.ids["caller"])
        return Watch(lambda: there, lines.append, sample_every=0)

    watch().step()
    assert "earned in all 2 USDC" in lines[-1]
    lines.clear()
    # Another one, as after a restart.
    watch().step()
    assert lines[0].endswith("earned so far 2 USDC")


# --- On anvil ------------------------------------------------------------------------------------


class Node:
    """An anvil that may be ended and started again on the same port with the same chain."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._state = folder / "chain.json"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--quiet", "--port", str(self.port), "--state", str(self._state)]
        self._process = subprocess.Popen(["anvil", *options, "--preserve-historical-states"])
        deadline = time.monotonic() + 30
        while not Web3(HTTPProvider(self.url)).is_connected():
            assert time.monotonic() < deadline, "anvil did not come up"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            # It writes its chain down on this signal.
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None


class Kept:
    """`ape run keeper` as a process of its own."""

    def __init__(self, node: Node, venue: Path, reward_account: int) -> None:
        binary = Path(sys.executable).with_name("ape")
        path = f"{binary.parent}{os.pathsep}{os.environ['PATH']}"
        self.lines: list[str] = []
        self._queue: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [
                str(binary), "run", "keeper", "--network", FOUNDRY, "--venue", str(venue),
                "--account", "TEST::5", "--reward-account", str(reward_account),
                "--every", "0.2", "--sample-every", "0",
            ],
            cwd=ROOT,
            env={**os.environ, "PATH": path, "APE_FOUNDRY_HOST": node.url, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip())

    def until(self, words: str, seconds: float = 120) -> str:
        """The next line with these words. Fails with all that was said if none comes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self.lines.append(self._queue.get(timeout=0.2))
                if words in self.lines[-1]:
                    return self.lines[-1]
            assert self.process.poll() is None or not self._queue.empty(), self.said()
        raise AssertionError(f"{words!r} was never said:\n{self.said()}")

    def said(self) -> str:
        return "\n".join(self.lines)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    node = Node(tmp_path)
    node.start()
    monkeypatch.setenv("APE_FOUNDRY_HOST", node.url)
    try:
        yield node
    finally:
        node.stop()


@needs_anvil
def test_a_crash_a_killed_keeper_and_a_node_that_goes_away(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "venue.json"
    with ape.networks.parse_network_choice(FOUNDRY):
        engine = ApeEngine()
        venue = Venue.deploy(engine)
        venue.add_market("ATOM", 3, 20, 10 * USDC, 10_000)
        path.write_text(json.dumps(venue.addresses() | {"block": str(engine.first_block)}))
        owner = venue.owner
        venue.oracle.send("set_parameters", 3, 86_400, 0, sender=owner)
        venue.liquidator.send("set_fees", 1_000, USDC, 0, sender=owner)
        maker, weak, other, caller = (engine.actor(n) for n in ("maker", "weak", "other", "caller"))
        deep = venue.open_account(maker, 10**6 * USDC)
        ids = [venue.open_account(trader, 600 * USDC) for trader in (weak, other)]
        mine = venue.open_account(caller)

        def hold(trader: str, account: int, price: int) -> None:
            venue.place(maker, deep, 0, False, 1_000_000, price)
            venue.place(trader, account, 0, True, 1_000_000, price, "ioc")

        def crash(price: int) -> None:
            venue.oracle.send("report", [price], sender=venue.reporter)
            venue.place(maker, deep, 0, True, 1_000_000, price)

        def cash(account: int) -> int:
            return int(venue.clearinghouse.call("cash", account))

        hold(weak, ids[0], 10_000)
        keeper = Kept(node, path, mine)
        try:
            keeper.until(f"rewards go to account {mine}; earned so far 0 USDC")
            # Reported and not poked: the keeper begins the epoch, and sees who is weak then.
            crash(9_600)
            keeper.until("poke")
            keeper.until(f"account {ids[0]}: 1000 ATOM sold at 9.6")
            keeper.until("earned in all 1 USDC")
            assert cash(mine) == USDC

            # The node is gone, and comes back with its chain.
            node.stop()
            keeper.until("no answer from the node")
            node.start()
            keeper.until("the node answers again")
            assert cash(mine) == USDC

            # The keeper is killed in between; the next one needs nothing of it.
            keeper.kill()
            hold(other, ids[1], 9_600)
            # An epoch, and the news at once behind it: too soon in the node's last block, and no
            # block comes by itself.
            engine.wait(5)
            venue.oracle.send("update", [9_600], sender=venue.reporter)
            crash(9_200)
            keeper = Kept(node, path, mine)
            keeper.until("earned so far 1 USDC")
            keeper.until(f"account {ids[1]}: 1000 ATOM sold at 9.2")
            keeper.until("earned in all 2 USDC")
        finally:
            keeper.kill()
        assert cash(mine) == 2 * USDC
        assert all(cash(account) > 0 for account in ids)
        Ledger(Venue.at(ApeEngine(first_block=0), venue.addresses())).check(anew=True)


def test_a_venue_that_is_not_there_is_a_reason_to_wait() -> None:
    """A node that came back with another chain is not the venue's."""
    lines: list[str] = []

    def connect() -> Any:
        raise EngineError("there is no venue on this node")

    class Enough(Exception):
        pass

    def sleep(seconds: float) -> None:
        if len(lines) == 3:
            raise Enough

    with pytest.raises(Enough):
        Watch(connect, lines.append, sleep=sleep).run(every=1)
    assert all("there is no venue on this node" in line for line in lines)
