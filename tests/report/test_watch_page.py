"""The live page in a real browser, beside a real anvil: its figures are the chain's, what happens
there appears, and it neither asks anybody else for anything nor lets others read it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakwater import units, watch, watch_page
from breakwater.artifacts import ROOT
from breakwater.engine.read import ReadEngine
from breakwater.venue import VAULT_ACCOUNT, Venue
from tests.report.test_browser import FOUND, Tab, browser
from tests.report.test_watch import Market, Node, node

__all__ = ["node"]

pytestmark = pytest.mark.skipif(
    shutil.which("anvil") is None, reason="anvil is not on PATH: npm install @foundry-rs/anvil"
)
in_a_browser = pytest.mark.skipif(
    FOUND is None, reason="no Chromium on PATH (Debian: apt-get install chromium)"
)

EVIL = "<img src=x onerror=console.error(1)>"


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as found:
        yield found


@contextlib.contextmanager
def served(node: Node, market: Market, names: dict[int, str] | None = None) -> Iterator[str]:
    """The page of this venue, looked at every 0.1 s."""
    engine = ReadEngine(node.url, timeout=10)
    venue = Venue.at(engine, market.venue.addresses())
    looking = watch.Watcher(engine, venue, names or {}, watch_page.LEVELS)
    ended = threading.Event()
    with watch_page.PageServer(0) as server:
        reader = threading.Thread(
            target=watch_page.run, args=(looking, server, 0.1, lambda: not ended.is_set())
        )
        reader.start()
        try:
            yield server.url
        finally:
            ended.set()
            reader.join()


def figures(tab: Tab) -> dict[str, str]:
    """Path to value of every figure on the page."""
    script = (
        "Object.fromEntries([...document.querySelectorAll('data')]"
        ".map(e => [e.dataset.path, e.value]))"
    )
    return dict(tab.value(script))


def until(tab: Tab, path: str, value: str | None) -> dict[str, str]:
    """The figures as soon as this one is there (None: as soon as it is gone)."""
    deadline = time.monotonic() + 30
    while (found := figures(tab)).get(path) != value:
        assert time.monotonic() < deadline, f"{path} is {found.get(path)}, not {value}"
        time.sleep(0.05)
    return found


def text(tab: Tab, selector: str) -> str:
    return str(tab.value(f"document.querySelector('{selector}').innerText"))


def expected(market: Market) -> dict[str, str]:
    """The same figures, from the chain by the devnet's own engine."""
    venue, house = market.venue, market.venue.clearinghouse
    price = venue.oracle.call("price", 0)
    out = {
        "block": str(market.engine.block_number),
        "epoch": str(venue.oracle.call("epoch")),
        "held": units.format_usdc(house.call("held")),
        "vault": units.format_usdc(house.call("cash", VAULT_ACCOUNT)),
        "uninsured": units.format_usdc(house.call("uninsured")),
        "markets[0].mark": units.format_ticks(house.call("mark", 0), 2),
        "markets[0].previous_mark": units.format_ticks(price.previous, 2),
        "markets[0].oracle": units.format_ticks(price.oracle, 2),
        "markets[0].open_interest": units.format_lots(house.call("open_interest", 0), 2),
    }
    for side, is_buy in (("bids", True), ("asks", False)):
        levels = venue.order_book.call("depth", 0, is_buy, watch_page.LEVELS)
        for place, level in enumerate(levels):
            out[f"markets[0].{side}[{place}][0]"] = units.format_ticks(level.price, 2)
            out[f"markets[0].{side}[{place}][1]"] = units.format_lots(level.size, 2)
    return out


def accounts_of(market: Market, found: dict[str, str]) -> set[tuple[str, str, str]]:
    """(equity, cash, size) of who has a position, from the chain; checked to be on the page."""
    house = market.venue.clearinghouse
    out = set()
    for account in market.ids.values():
        if size := house.call("position", account, 0).size:
            cash = units.format_usdc(house.call("cash", account))
            equity = units.format_usdc(house.call("margin", account).equity)
            out.add((equity, cash, units.format_lots(size, 2)))
    shown = {
        (found[f"accounts[{at}].equity"], found[f"accounts[{at}].cash"], size)
        for at in range(len(found))
        if (size := found.get(f"accounts[{at}].positions[0][1]")) is not None
    }
    assert shown == out
    return out


@in_a_browser
def test_the_page_shows_the_chain_and_what_happens_on_it(node: Node, tab: Tab) -> None:
    market = Market(node.start())
    for lots, price in ((500, "91"), (200, "90.5")):
        market.place("second", True, lots, price)
    market.place("third", False, 300, "104")
    names = {number: name for name, number in market.ids.items()} | {market.ids["third"]: EVIL}
    tab.heard.clear()
    with served(node, market, names) as url:
        tab.open(url, 390)
        found = until(tab, "block", str(market.engine.block_number))
        assert expected(market).items() <= found.items()
        assert len(accounts_of(market, found)) == 4
        assert text(tab, "#round") == "no ADL round"
        assert tab.value("document.documentElement.scrollWidth") <= 390
        # A name is text, whatever is in it.
        assert EVIL in text(tab, "#people")
        assert not tab.value("document.querySelectorAll('img').length")

        # A trade appears, without anybody's touching the page: 2 of the bid at 91 are gone.
        market.place("first", False, 200, "91")
        found = until(tab, "markets[0].bids[0][1]", "3")
        assert expected(market).items() <= found.items()
        accounts_of(market, found)
        assert tab.value("document.querySelectorAll('data.new').length") > 0

        # A gap: first the bids are met, then a call of two steps opens the round and no more.
        market.prices("88")
        keeper = market.engine.actor("keeper")
        while not market.venue.deleverager.call("round").id:
            market.venue.liquidator.send("liquidate", market.ids["loser"], 2, sender=keeper)
        until(tab, "block", str(market.engine.block_number))
        assert text(tab, "#round").startswith("round 1: 0 of ")
        assert "frozen" in text(tab, "#books")
        market.keeper().advance()
        found = until(tab, "block", str(market.engine.block_number))
        assert expected(market).items() <= found.items()
        events = market.venue.deleverager.events()
        fills = [event for event in events if event.name == "Deleveraged"]
        assert fills and [units.format_usdc(fill.haircut) for fill in fills] == [
            found[f"receipts[{at}].haircut"] for at in range(len(fills))
        ]
        assert "loser is bankrupt" in text(tab, "#said")

        # The node goes away: the last figures stay, under a line that says so.
        node.stop()
        deadline = time.monotonic() + 30
        while "does not answer" not in text(tab, "#note"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert figures(tab) == found
    complaints = [said for said in tab.complaints() if f"asks for {url}" not in said]
    assert complaints == []


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_says_when_its_server_ended(node: Node, tab: Tab, scheme: str) -> None:
    market = Market(node.start())
    with served(node, market) as url:
        tab.open(url, 1200, scheme)
        until(tab, "markets[0].mark", "100")
        red = tab.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        assert (int(red) < 60) is (scheme == "dark")
    deadline = time.monotonic() + 30
    while "has ended" not in text(tab, "#note"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert figures(tab)["markets[0].mark"] == "100"


def test_the_command_serves_it_and_ends_quietly(node: Node, tmp_path: Path) -> None:
    market = Market(node.start())
    venue = tmp_path / "venue.json"
    names = {"accounts": market.ids, "block": "0"}
    venue.write_text(json.dumps(market.venue.addresses() | names))
    script = "import runpy; runpy.run_path('scripts/watch.py')['cli']()"
    words = ["--page", "--port", "0", "--every", "0.1", "--rpc", node.url, "--venue", str(venue)]
    with subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"page: (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", line)
        assert match, line
        deadline = time.monotonic() + 30
        while (view := _json(match[1] + "view")["view"]) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert {one["name"] for one in view["accounts"]} == {*market.ids}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


def test_only_who_sits_here_may_read_it(node: Node) -> None:
    market = Market(node.start())
    with served(node, market) as url:
        # A page of evil.example whose name points here would be this visitor's browser asking.
        for path in ("", "view"):
            request = urllib.request.Request(url + path, headers={"Host": "evil.example:80"})
            with pytest.raises(urllib.error.HTTPError) as refused:
                _opener().open(request, timeout=10)
            assert refused.value.code == 403
        with pytest.raises(urllib.error.HTTPError) as missing:
            _opener().open(url + "../pyproject.toml", timeout=10)
        assert missing.value.code == 404
        port = int(url.rstrip("/").rpartition(":")[2])
        with pytest.raises(watch_page.PageError, match=f"port {port} cannot be used .* --port"):
            watch_page.PageServer(port)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _json(url: str) -> Any:
    with _opener().open(url, timeout=10) as answer:
        return json.load(answer)
