"""`ape run deploy`: the venue on a network, its file of addresses, and what it refuses."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
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
from click.testing import CliRunner
from web3 import HTTPProvider, Web3

from breakwater.artifacts import ROOT
from breakwater.engine.ape import ApeEngine
from breakwater.ledger import Ledger
from breakwater.venue import Venue

needs_anvil = pytest.mark.skipif(
    shutil.which("anvil") is None, reason="anvil is not on PATH: npm install @foundry-rs/anvil"
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_script", ROOT / "scripts" / "deploy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def deploy(script: ModuleType) -> Any:
    return lambda *args: CliRunner().invoke(script.cli, [str(arg) for arg in args])


@contextlib.contextmanager
def anvil(chain_id: int) -> Iterator[str]:
    """The URL of an anvil that somebody started by hand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["anvil", "--quiet", "--port", str(port), "--chain-id", str(chain_id)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 15
        while not Web3(HTTPProvider(url)).is_connected() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


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


def test_a_venue_on_the_test_chain_can_be_loaded_from_its_addresses(
    deploy: Any, tmp_path: Path
) -> None:
    out = tmp_path / "folder" / "addresses.json"
    with ape.networks.ethereum.local.use_provider("test") as provider:
        done = deploy(
            *("--market", "ATOM:3:20:4.25", "--market", "BTC:5:40:121000"),
            *("--insurance", "12.5", "--out", out),
        )
        assert done.exit_code == 0, done.output
        addresses = json.loads(out.read_text())
        engine = ApeEngine(provider=provider, first_block=int(addresses.pop("block")))
        venue = Venue.at(engine, addresses)
        assert venue.addresses() == addresses
        # The logs of the deployment are there for whoever reads them later.
        assert Ledger(venue).check(anew=True).accounts == venue.clearinghouse.call("account_count")
        house = venue.clearinghouse
        assert house.call("market_count") == 2
        market = venue.governor.call("market", 1)
        assert (market.symbol, market.size_decimals, market.max_leverage) == ("BTC", 5, 40)
        assert venue.oracle.call("mark", 0) == 4_250
        assert venue.oracle.call("mark", 1) == 1_210_000
        assert venue.vault.call("available") == 12_500_000
        assert house.call("held") == 12_500_000
        # In the order of the table: every contract with the size of its code, below the limit.
        for handle in venue.contracts.values():
            size = len(provider.web3.eth.get_code(handle.address))
            assert 0 < size <= 24_576
            (line,) = [row for row in done.output.splitlines() if handle.address in row]
            assert line.split()[:3] == [handle.name, handle.address, f"{size:,}"]
    assert os.listdir(out.parent) == ["addresses.json"]
    # A chain of Ape's own is gone with the command, and the command says so.
    assert "this chain ends now. To keep a venue: run anvil" in done.output


BAD = {
    "too few parts": (["--market", "ATOM:3:20"], "write SYMBOL:decimals:leverage:price"),
    "decimals": (["--market", "ATOM:7:20:4.25"], "size decimals '7'"),
    "leverage": (["--market", "ATOM:3:101:4.25"], "leverage '101'"),
    "zero leverage": (["--market", "ATOM:3:0:4.25"], "leverage '0'"),
    "off tick": (["--market", "ATOM:3:20:4.2555"], "off tick: ATOM ticks are 0.001"),
    "symbol": (["--market", "A T:3:20:4.25"], "the symbol 'A T'"),
    "twice": (["--market", "A:3:20:4", "--market", "A:3:20:4"], "A is there twice"),
    "insurance": (["--insurance", "lots"], "is not plain decimal text"),
    "negative": (["--insurance", "-1"], "zero or more"),
    "account": (["--account", "nobody-at-all"], "there is no account nobody-at-all"),
}


@pytest.mark.parametrize(("args", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_before_anything_is_sent(
    deploy: Any, tmp_path: Path, args: list[str], words: str
) -> None:
    out = tmp_path / "addresses.json"
    with ape.networks.ethereum.local.use_provider("test") as provider:
        before = provider.web3.eth.block_number
        done = deploy(*args, "--out", out)
        assert done.exit_code == 2
        assert words in done.output
        assert provider.web3.eth.block_number == before
    assert not out.exists()


@needs_anvil
def test_a_venue_on_an_anvil_started_by_hand(tmp_path: Path) -> None:
    """Through its address, if it has the chain id of Ape's local network, or as foundry's host."""
    out = tmp_path / "addresses.json"
    with anvil(1337) as url:
        done = ape_run("deploy", "--network", f"ethereum:local:{url}", "--out", str(out))
        assert done.returncode == 0, done.stderr
        house = json.loads(out.read_text())["clearinghouse"]
        assert len(Web3(HTTPProvider(url)).eth.get_code(house)) > 10_000
    out.unlink()
    with anvil(31337) as url:
        done = ape_run("deploy", "--network", f"ethereum:local:{url}", "--out", str(out))
        assert done.returncode == 2
        assert "chain id 31337, but Ape signs for 1337" in done.stderr
        assert not out.exists()
        done = ape_run(
            *("deploy", "--network", "ethereum:local:foundry", "--out", str(out)),
            APE_FOUNDRY_HOST=url,
        )
        assert done.returncode == 0, done.stderr
        house = json.loads(out.read_text())["clearinghouse"]
        assert len(Web3(HTTPProvider(url)).eth.get_code(house)) > 10_000


@needs_anvil
def test_a_public_network_needs_a_word_and_an_account(tmp_path: Path) -> None:
    out = str(tmp_path / "addresses.json")
    with anvil(1) as url:
        to_mainnet = ("deploy", "--network", f"ethereum:mainnet:{url}", "--out", out)
        done = ape_run(*to_mainnet)
        assert done.returncode == 2
        assert "is a public mainnet" in done.stderr and "--yes" in done.stderr
        done = ape_run(*to_mainnet, "--yes")
        assert done.returncode == 2
        assert "--account" in done.stderr
        assert Web3(HTTPProvider(url)).eth.block_number == 0
    with anvil(11155111) as url:
        done = ape_run("deploy", "--network", f"ethereum:sepolia:{url}", "--out", out)
        assert done.returncode == 2
        assert "has no test accounts" in done.stderr and "--account" in done.stderr
        assert Web3(HTTPProvider(url)).eth.block_number == 0
    assert os.listdir(tmp_path) == []
