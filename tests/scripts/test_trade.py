"""`ape run trade` and the page that teaches it, on an anvil that somebody started by hand."""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ape
import pytest
from ape.logging import LogLevel, logger
from click.testing import CliRunner, Result
from web3 import HTTPProvider, Web3

from breakwater import units
from breakwater.artifacts import ROOT
from breakwater.engine.ape import ApeEngine
from breakwater.engine.base import GENESIS_TIMESTAMP
from breakwater.engine.rpc import ANVIL_MISSING
from breakwater.trader import TradeError, Trader
from breakwater.venue import Venue

pytestmark = pytest.mark.skipif(shutil.which("anvil") is None, reason=ANVIL_MISSING)

PAGE = ROOT / "docs" / "trading.md"
ADDRESSES = "out/deploy/ethereum-local-foundry.json"
FOUNDRY = "ethereum:local:foundry"


@contextlib.contextmanager
def anvil(*options: str) -> Iterator[str]:
    """The URL of a node whose clock is some minutes past an hour."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = str(GENESIS_TIMESTAMP + 300)
    process = subprocess.Popen(
        ["anvil", "--quiet", "--port", str(port), "--timestamp", start, *options]
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 15
        while not Web3(HTTPProvider(url)).is_connected() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with anvil() as url:
        monkeypatch.setenv("APE_FOUNDRY_HOST", url)
        yield url


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_script", ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def addresses(node: str, tmp_path: Path) -> Path:
    """The addresses of a venue with one market on the node."""
    path = tmp_path / "venue.json"
    with ape.networks.parse_network_choice(FOUNDRY):
        venue = Venue.deploy(ApeEngine())
        venue.add_market("ATOM", 3, 20, 10_000_000, 4_250)
        path.write_text(json.dumps(venue.addresses()))
    return path


@pytest.fixture
def trade(addresses: Path) -> Any:
    cli = script("trade").cli

    def run(line: str, account: str | None = "TEST::2") -> Result:
        by = ["--account", account] if account else []
        return CliRunner().invoke(cli, ["--venue", str(addresses), *by, *shlex.split(line)])

    return run


def ape_run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    binary = Path(sys.executable).with_name("ape")
    path = f"{binary.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(binary), "run", *args],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


# --- The page ------------------------------------------------------------------------------------


def blocks() -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of the page, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert {language for language, _ in found} == {"console", "pycon"}
    return found


def shell(text: str) -> Iterator[tuple[str, str]]:
    """(command, expected output) of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


@pytest.mark.skipif(
    not (ROOT / "scripts" / "deploy.py").exists(), reason="there is no scripts/deploy.py"
)
def test_the_page_is_true_from_top_to_bottom(
    node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = {name: script(name) for name in ("deploy", "trade")}
    # The scripts write and read below the project's root: theirs is another for this test.
    for module in scripts.values():
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    check = doctest.OutputChecker()
    typed = 0
    globs: dict[str, Any] = {
        "accounts": ape.accounts,
        "chain": ape.chain,
        "networks": ape.networks,
    }
    for language, text in blocks():
        if language == "console":
            for command, expected in shell(text):
                typed += 1
                if command.startswith("export "):
                    continue
                _, _, name, *args = shlex.split(command)
                done = CliRunner().invoke(scripts[name].cli, args)
                assert check.check_output(expected, done.output, doctest.ELLIPSIS), (
                    f"$ {command}\n{done.output}\n{done.exception!r}"
                )
        else:
            test = doctest.DocTestParser().get_doctest(text, globs, "trading", str(PAGE), 0)
            typed += len(test.examples)
            said: list[str] = []
            # As `ape console --verbosity WARNING`.
            with ape.networks.parse_network_choice(FOUNDRY), logger.at_level(LogLevel.WARNING):
                runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
                failed = runner.run(test, out=said.append, clear_globs=False).failed
            globs = test.globs
            assert not failed, "".join(said)
    assert typed > 50
    assert (tmp_path / ADDRESSES).exists()


# --- The command line ----------------------------------------------------------------------------


def test_a_trade_from_deposit_to_withdrawal(trade: Any, addresses: Path) -> None:
    """All of it as separate commands, each with a connection of its own; the ledger adds up."""

    def say(line: str, account: str = "TEST::2") -> list[str]:
        done = trade(line, account)
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    maker, taker = "TEST::2", "TEST::3"
    for account in (maker, taker):
        say("open", account)
        assert say("mint 1000", account) == ["1000 USDC outside the venue"]
        say("deposit 900", account)
    assert say("sell ATOM 100 4.26", maker) == ["order 1 rests: sell 100 ATOM"]
    assert say("sell ATOM 100 4.27 --tif post-only", maker) == ["order 2 rests: sell 100 ATOM"]
    assert say("depth ATOM --levels 1", taker) == [
        "           100 at 4.26",
        "--- ATOM, mark 4.25",
        "no bids",
    ]
    assert say("buy ATOM 150.5 4.27 --tif ioc", taker) == [
        "bought 100 ATOM at 4.26 from account 5",
        "bought 50.5 ATOM at 4.27 from account 5",
        "fee 0, position now 150.5 ATOM",
    ]
    assert say("market-buy ATOM 100 --slippage 0.02", taker) == [
        "bought 49.5 ATOM at 4.27 from account 5",
        "not filled: 50.5 ATOM (nothing more at this price)",
        "fee 0, position now 200 ATOM",
    ]
    assert say("buy ATOM 300 4.2", maker) == ["order 3 rests: buy 300 ATOM"]
    assert say("cancel 3", maker) == ["order 3 cancelled: 300 had not filled"]
    say("buy ATOM 300 4.2", maker)
    assert say("market-sell ATOM 500 --slippage 0.02 --reduce-only", taker) == [
        "sold 200 ATOM at 4.2 to account 5",
        "fee 0, position now 0 ATOM",
    ]
    assert say("show", maker) == [
        "account 5: cash 913, equity 913, initial margin 0, maintenance margin 0",
        "no position",
        "order 4: buy 100 ATOM at 4.2",
        "100 USDC outside the venue",
    ]
    assert say("cancel-all", maker) == ["1 order cancelled"]
    assert say("open --isolated ATOM", maker) == ["account 7 opened"]
    assert say("--id 5 transfer 13 7", maker) == ["moved 13: account 5 has cash 900, account 7 13"]
    assert say("--id 7 set-leverage ATOM 3", maker) == ["account 7 may use 3x in ATOM"]
    assert "isolated: for ATOM only" in say("--id 7 show", maker)
    assert say("--id 5 withdraw 900", maker) == ["withdrawn, 900 paid: account 5 has cash 0"]
    assert say("withdraw 887", taker) == ["withdrawn, 887 paid: account 6 has cash 0"]


REFUSED = {
    "not enough margin": (
        "buy ATOM 9000 4.3",
        "refused by the venue: margin: below initial margin",
    ),
    "too small": ("buy ATOM 1 4.2", "refused by the venue: book: below minimum notional"),
    "post only": ("buy ATOM 10 4.3 --tif post-only", "book: post only would trade"),
    "too much": ("withdraw 101", "margin: withdrawal beyond free margin"),
    "not a reporter": ("report ATOM=4.2", "oracle: not a reporter"),
    "unknown order": ("cancel 99", "book: unknown order"),
    "somebody else's order": ("cancel 1", "book: not your account"),
    "somebody else's account": ("--id 6 withdraw 1", "clearinghouse: not your account"),
    "leverage": ("set-leverage ATOM 21", "clearinghouse: leverage out of range"),
    "unknown market": ("buy DOGE 1 1", "there is no market DOGE. There are: ATOM"),
    "off lot": ("buy ATOM 1.0001 4.3", "size 1.0001 is off lot: ATOM lots are 0.001"),
    "off tick": ("buy ATOM 1 4.3333", "off tick: ATOM ticks are 0.001"),
    "zero": ("buy ATOM 0 4.3", "size 0: a size is above zero"),
    "no number": ("deposit all", 'amount "all" is not plain decimal text'),
    "no money": ("deposit 5000", "mint test USDC first"),
    "slippage": ("market-buy ATOM 1 --slippage 2", "fraction 2 is out of range"),
    "a price without a name": ("report 4.25", "write MARKET=PRICE"),
}


def test_what_is_refused_gets_one_line_with_the_reason(trade: Any) -> None:
    for account in ("TEST::2", "TEST::3"):
        for line in ("open", "mint 100", "deposit 100"):
            assert trade(line, account).exit_code == 0
    assert trade("sell ATOM 9000 4.3", "TEST::3").exit_code == 0
    for what, (line, words) in REFUSED.items():
        done = trade(line)
        assert done.exit_code in (1, 2), f"{what}: {done.output}"
        (error,) = [text for text in done.output.splitlines() if text.startswith("Error: ")]
        assert words in error, what
        assert "Traceback" not in done.output
    assert "has no account here yet: open one" in trade("show", "TEST::4").output
    assert trade("open").exit_code == 0
    assert "has the accounts 5, 7: say which" in trade("show").output
    assert "say who trades: --account TEST::2" in trade("show", None).output
    assert "there is no account nobody-at-all" in trade("show", "nobody-at-all").output


def test_a_file_that_is_no_venue_s_is_named(trade: Any, addresses: Path, tmp_path: Path) -> None:
    for text, words in (
        ("{}", "names no usdc: not of this venue"),
        ("nothing", "is not a file of addresses"),
        (
            re.sub("0x[0-9a-fA-F]{4}", "0x1234", addresses.read_text()),
            "there is no venue at the addresses of",
        ),
    ):
        path = tmp_path / "other.json"
        path.write_text(text)
        done = trade(f"--venue {path} show")
        assert done.exit_code == 1
        assert words in done.output
    done = trade(f"--venue {tmp_path / 'none.json'} show")
    assert "none.json: `ape run deploy` writes it" in done.output


def test_fees_are_shown(trade: Any, addresses: Path) -> None:
    with ape.networks.parse_network_choice(FOUNDRY):
        venue = Venue.at(
            ApeEngine(ape.accounts.test_accounts[0]), json.loads(addresses.read_text())
        )
        owner = venue.engine.actor("owner")
        terms = (450, 150, 0, 10_000_000, 10**12)
        venue.governor.send("set_trading_terms", 0, *terms, sender=owner)
    for account in ("TEST::2", "TEST::3"):
        for line in ("open", "mint 1000", "deposit 1000"):
            assert trade(line, account).exit_code == 0
    trade("sell ATOM 100 4.25", "TEST::3")
    done = trade("buy ATOM 100 4.25")
    assert done.output.splitlines()[-1] == "fee 0.19125, position now 100 ATOM"


def test_ape_run_trade_on_both_forms_of_a_node_started_by_hand(tmp_path: Path) -> None:
    """As foundry's host, named in the environment; by its address, with Ape's local chain id."""
    path = tmp_path / "venue.json"
    common = ("--venue", str(path), "--account", "TEST::2")
    for chain_id in ("31337", "1337"):
        with anvil("--chain-id", chain_id) as url:
            address = f"ethereum:local:{url}"
            named: tuple[str, ...] = () if chain_id == "31337" else ("--network", address)
            environment = {"APE_FOUNDRY_HOST": url} if chain_id == "31337" else {}
            _deploy(url, path)
            done = ape_run("trade", *common, "open", *named, **environment)
            assert (done.stdout, done.returncode) == ("account 5 opened\n", 0), done.stderr
            done = ape_run("trade", *named, *common, "mint", "5", **environment)
            assert (done.stdout, done.returncode) == ("5 USDC outside the venue\n", 0), done.stderr
            if chain_id == "31337":
                done = ape_run("trade", *common, "open", "--network", address)
                assert "the node says chain id 31337, but Ape signs for 1337" in done.stderr
            assert "\x1b" not in done.stdout + done.stderr


def _deploy(url: str, path: Path) -> None:
    before = os.environ.get("APE_FOUNDRY_HOST")
    os.environ["APE_FOUNDRY_HOST"] = url
    try:
        with ape.networks.parse_network_choice(FOUNDRY):
            venue = Venue.deploy(ApeEngine())
            venue.add_market("ATOM", 3, 20, 10_000_000, 4_250)
            path.write_text(json.dumps(venue.addresses()))
    finally:
        os.environ.pop("APE_FOUNDRY_HOST")
        if before is not None:
            os.environ["APE_FOUNDRY_HOST"] = before


# --- The trader itself ---------------------------------------------------------------------------


def test_a_trader_on_ape_s_own_chain_within_one_process(tmp_path: Path) -> None:
    path = tmp_path / "venue.json"
    with ape.networks.parse_network_choice("ethereum:local:test"):
        venue = Venue.deploy(ApeEngine())
        venue.add_market("ATOM", 3, 20, 10_000_000, 4_250)
        path.write_text(json.dumps(venue.addresses()))
        trader = Trader.connect(path, ape.accounts.test_accounts[5])
        assert trader.open() == trader.account() == 5
        trader.mint("10")
        assert trader.deposit("10") == "10"
        assert trader.show().equity == "10"
        with pytest.raises(TradeError, match="time in force 'forever'"):
            trader.buy("ATOM", "3", "4.2", tif="forever")
        with pytest.raises(units.UnitError, match="off lot"):
            trader.buy("ATOM", "3.0001", "4.2")
        with pytest.raises(TradeError, match="there is no account 99"):
            trader.show(99)
