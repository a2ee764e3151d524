"""Deploys and wires the whole protocol: the one place that knows in which order.

Owns the handles of the deployed contracts and the event decoder they share. Tests, scripts and the
crash driver all get their venue here. It takes no decision of the protocol's and reads no file but
the compiled contracts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from breakwater import artifacts, contract
from breakwater.contract import Contract, EventDecoder, Tx
from breakwater.engine.base import Engine

CLOSE_RULES: Final = {"bankruptcy": 0, "previous_mark": 1, "mark": 2}
TRIGGERS: Final = {"underwater": 0, "unfillable": 1}
SCORES: Final = {
    "hyperliquid_docs": "HyperliquidDocs",
    "return_x_leverage": "ReturnXLeverage",
    "binance": "Binance",
}
ALLOCATIONS: Final = {
    "queue": None,
    "pro_rata_pnl": "ProRataPnl",
    "pro_rata_size": "ProRataSize",
    "capped_pro_rata": "CappedProRata",
    "drain_leverage": "DrainLeverage",
}
"""Allocation to the contract that plans it; the queue is what the ranking engines are."""
ENGINES: Final = {"scan": "scan_ranking", "index": "index_ranking"}
"""Ranking engine to the role of its contract."""
FORMULAS: Final = {"hyperliquid_docs": 1, "return_x_leverage": 2}
"""How the index computes a score's bounds; for others it opens everyone."""

TIME_IN_FORCE: Final = {"gtc": 0, "ioc": 1, "post-only": 2}
VAULT_ACCOUNT: Final = 1
TRANCHE_ACCOUNT: Final = 2
SCALE: Final = 10**9
"""Units of the funding index per micro-USDC."""
_PAGE: Final = 200
_MAX_PLANNED: Final = 4_095
"""Holders of a side beyond which an allocation gives way to the queue."""
UNLIMITED: Final = 2**256 - 1
"""An ERC-20 allowance that never runs out."""


@dataclass(frozen=True)
class VenueConfig:
    """The venue's parameters; the owner may change each of them later.

    `min_interval` and `stale_after` are seconds, `max_step` and `insured_band` parts per million
    of the mark; the rest are names from the tables above. A `max_step` is below the maintenance
    rate of every market, 1 / (2 * its highest leverage): the default fits up to 49x; 0 lifts the
    limit, which only a laboratory should. The index files accounts from the first market on, so
    `engine` may become "index" later only if it was so at first. `largest_share`, parts per million
    of its own position, is the cap of one account under `capped_pro_rata`.
    """

    min_interval: int = 3
    stale_after: int = 3_600
    max_step: int = 10_000
    insured_band: int = 100_000
    score: str = "hyperliquid_docs"
    close: str = "bankruptcy"
    allocation: str = "queue"
    largest_share: int = 250_000
    trigger: str = "underwater"
    engine: str = "scan"


class Venue:
    """Handles of one deployed venue. `owner` may change parameters, `reporter` reports prices."""

    NAMES: ClassVar[dict[str, str]] = {
        "usdc": "USDC",
        "oracle": "Oracle",
        "clearinghouse": "Clearinghouse",
        "governor": "Governor",
        "order_book": "OrderBook",
        "vault": "InsuranceVault",
        "score": "HyperliquidDocs",
        "scan_ranking": "ScanRanking",
        "index_ranking": "IndexRanking",
        "deleverager": "Deleverager",
        "liquidator": "Liquidator",
        "lens": "Lens",
        "adl_lens": "AdlLens",
    }

    def __init__(
        self, engine: Engine, contracts: Mapping[str, Contract], owner: str, reporter: str
    ) -> None:
        self.engine = engine
        self.owner = owner
        self.reporter = reporter
        self.contracts = dict(contracts)
        self.usdc = contracts["usdc"]
        self.oracle = contracts["oracle"]
        self.clearinghouse = contracts["clearinghouse"]
        self.governor = contracts["governor"]
        self.order_book = contracts["order_book"]
        self.vault = contracts["vault"]
        self.score = contracts["score"]
        self.deleverager = contracts["deleverager"]
        self.liquidator = contracts["liquidator"]
        self.lens = contracts["lens"]
        self.adl_lens = contracts["adl_lens"]
        self.decoder = self.clearinghouse.decoder
        self._adopted: artifacts.Artifact | None = None

    @classmethod
    def deploy(cls, engine: Engine, config: VenueConfig | None = None) -> Venue:
        """Deploys every contract, test USDC included, and wires them; no market yet."""
        config = config or VenueConfig()
        compiled = artifacts.load()
        decoder = EventDecoder()
        owner = engine.actor("owner")
        reporter = engine.actor("reporter")

        def deployed(name: str, *args: object) -> Contract:
            made = compiled[name]
            return contract.deploy(
                engine, made.name, made.abi, made.bytecode, args, sender=owner, decoder=decoder
            )

        def new(role: str, *args: object) -> Contract:
            return deployed(cls.NAMES[role], *args)

        usdc = new("usdc")
        oracle = new("oracle", config.min_interval, config.stale_after, config.max_step)
        clearinghouse = new("clearinghouse", usdc, oracle)
        order_book = new("order_book", clearinghouse)
        vault = new("vault", clearinghouse, usdc)
        score = deployed(SCORES[config.score])
        deleverager = new("deleverager", clearinghouse, oracle, vault, score)
        liquidator = new("liquidator", clearinghouse, order_book, vault, deleverager)
        governor = new("governor", clearinghouse)
        scan_ranking = new("scan_ranking", clearinghouse)
        index_ranking = new("index_ranking", clearinghouse, oracle)
        lens = new("lens", clearinghouse)
        adl_lens = new("adl_lens", clearinghouse)
        clearinghouse.send(
            "wire", order_book, liquidator, deleverager, vault, governor, sender=owner
        )
        if config.engine == "index":
            clearinghouse.send("wire_index", index_ranking, sender=owner)
        oracle.send("wire", deleverager, order_book, clearinghouse, sender=owner)
        oracle.send("set_reporter", reporter, True, sender=owner)
        venue = cls(
            engine,
            {
                "usdc": usdc,
                "oracle": oracle,
                "clearinghouse": clearinghouse,
                "governor": governor,
                "order_book": order_book,
                "vault": vault,
                "score": score,
                "scan_ranking": scan_ranking,
                "index_ranking": index_ranking,
                "deleverager": deleverager,
                "liquidator": liquidator,
                "lens": lens,
                "adl_lens": adl_lens,
            },
            owner,
            reporter,
        )
        venue.configure(config)
        return venue

    @classmethod
    def at(cls, engine: Engine, addresses: Mapping[str, str]) -> Venue:
        """A venue deployed earlier, from what `addresses` gave then."""
        compiled = artifacts.load()
        decoder = EventDecoder()
        contracts = {
            role: Contract(engine, addresses[role], compiled[name].abi, name, decoder)
            for role, name in cls.NAMES.items()
        }
        return cls(engine, contracts, addresses["owner"], addresses["reporter"])

    def addresses(self) -> dict[str, str]:
        """Role to address, of the contracts and of owner and reporter: all that `at` needs."""
        known = {role: handle.address for role, handle in self.contracts.items()}
        known.pop("planner", None)
        return known | {"owner": self.owner, "reporter": self.reporter}

    def configure(self, config: VenueConfig) -> None:
        """Sets every parameter of a running venue. No ADL round may be open."""
        self.oracle.send(
            "set_parameters",
            config.min_interval,
            config.stale_after,
            config.max_step,
            sender=self.owner,
        )
        self.liquidator.send(
            "set_policy", TRIGGERS[config.trigger], config.insured_band, sender=self.owner
        )
        if self._adopted is None and self.score.name != SCORES[config.score]:
            self._rank_by(self._deploy(SCORES[config.score]))
        self.deleverager.send(
            "set_policy", self.score, CLOSE_RULES[config.close], sender=self.owner
        )
        ranking = self.contracts[ENGINES[config.engine]]
        if config.engine == "index":
            if int(self.clearinghouse.call("ranking_index"), 16) == 0:
                raise ValueError(
                    "this venue files no accounts, so there is no index to rank by: deploy it with "
                    'engine="index"'
                )
            formula = FORMULAS.get(config.score, 0) if self._adopted is None else 0
            ranking.send("set_formula", self.score, formula, sender=self.owner)
        planner = ALLOCATIONS[config.allocation]
        first = ranking
        if planner is not None:
            limits: list[object] = [self.clearinghouse, _MAX_PLANNED]
            if config.allocation == "capped_pro_rata":
                limits.append(config.largest_share)
            first = self.contracts["planner"] = self._deploy(planner, *limits)
        self.deleverager.send("set_engine", first, ranking, sender=self.owner)

    def adopt_score(self, made: artifacts.Artifact) -> None:
        """Deploys a score contract that is not the project's; the next `configure` ranks by it."""
        self._adopted = made
        self._rank_by(self._deploy_made(made))

    def _rank_by(self, score: Contract) -> None:
        self.score = self.contracts["score"] = score

    def _deploy(self, name: str, *args: object) -> Contract:
        return self._deploy_made(artifacts.load()[name], *args)

    def _deploy_made(self, made: artifacts.Artifact, *args: object) -> Contract:
        return contract.deploy(
            self.engine,
            made.name,
            made.abi,
            made.bytecode,
            args,
            sender=self.owner,
            decoder=self.decoder,
        )

    def add_market(
        self, symbol: str, size_decimals: int, max_leverage: int, min_notional: int, price: int
    ) -> int:
        """Adds a market with its first price (ticks; `min_notional` micro-USDC). Returns its id."""
        self.oracle.send("add_market", price, sender=self.owner)
        tx = self.governor.send(
            "add_market", symbol, size_decimals, max_leverage, min_notional, sender=self.owner
        )
        return int(tx.one("MarketAdded").market)

    def open_account(self, trader: str, collateral: int = 0) -> int:
        """Opens an account for the address and funds it with freshly minted test USDC."""
        opened = self.clearinghouse.send("open_account", sender=trader).one("AccountOpened")
        if collateral:
            self.deposit(trader, int(opened.account), collateral)
        return int(opened.account)

    def mint(self, to: str, amount: int, spender: Contract) -> None:
        """Test USDC for an address, and an allowance of it for one of the venue's contracts."""
        self.usdc.send("mint", to, amount, sender=to)
        self.usdc.send("approve", spender, UNLIMITED, sender=to)

    def deposit(self, trader: str, account: int, amount: int) -> Tx:
        """Mints `amount` micro-USDC for the address and deposits it."""
        self.mint(trader, amount, self.clearinghouse)
        return self.clearinghouse.send("deposit", account, amount, sender=trader)

    def insure(self, amount: int) -> Tx:
        """Mints `amount` micro-USDC and contributes it to the insurance vault."""
        self.mint(self.owner, amount, self.vault)
        return self.vault.send("contribute", amount, sender=self.owner)

    def rows(self, accounts: Sequence[int]) -> list[Any]:
        """Money and margin of any number of accounts, in order, as `Lens.accounts` gives them."""
        return self._paged("accounts", accounts)

    def balances(self, accounts: Sequence[int]) -> list[Any]:
        """Cash and markets of any number of accounts, in order: `rows` at a tenth of its cost."""
        return self._paged("balances", accounts)

    def equities(self, accounts: Sequence[int]) -> list[int]:
        """Equity of any number of accounts, in order, micro-USDC."""
        return self._paged("equities", accounts)

    def positions(self, market: int, accounts: Sequence[int]) -> list[Any]:
        """Positions of any number of accounts in one market, in order."""
        return self._paged("positions", accounts, market)

    def _paged(self, method: str, accounts: Sequence[int], *before: Any) -> list[Any]:
        calls = [(self.lens, method, (*before, page)) for page in _pages(accounts)]
        return [row for rows in contract.call_many(calls) for row in rows]

    def set_prices(self, prices: list[int]) -> Tx:
        """One oracle epoch: a price in ticks for every market, in order of market id."""
        return self.oracle.send("update", prices, sender=self.reporter)

    def place(
        self,
        trader: str,
        account: int,
        market: int,
        is_buy: bool,
        size: int,
        price: int,
        tif: str = "gtc",
    ) -> Tx:
        """An order of `size` lots at `price` ticks; `tif` is a key of TIME_IN_FORCE."""
        return self.order_book.send(
            "place", account, market, is_buy, size, price, TIME_IN_FORCE[tif], sender=trader
        )


def _pages(accounts: Sequence[int]) -> Iterator[Sequence[int]]:
    """As many ids at a time as one read of the Lens takes."""
    for start in range(0, len(accounts), _PAGE):
        yield accounts[start : start + _PAGE]
