"""A real venue with the harness in the Deleverager's place: bankrupts are wound up by the real
liquidator, and a planner says who gives up how much.

Owns nothing beyond `tests.vectors.bench`; the model decides what is right.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from breakwater.contract import Event
from breakwater.model import adl
from breakwater.venue import Venue
from tests.vectors.bench import Bench, MarketSpec

PLANNERS: dict[adl.Allocation, str] = {
    "pro_rata_pnl": "ProRataPnl",
    "pro_rata_size": "ProRataSize",
    "capped_pro_rata": "CappedProRata",
    "drain_leverage": "DrainLeverage",
}
SCORES: dict[adl.ScoreRule, str] = {
    "hyperliquid_docs": "HyperliquidDocs",
    "return_x_leverage": "ReturnXLeverage",
    "binance": "Binance",
    "profit": "Template",
}
PPM = 10**6


class HarnessVenue(Venue):
    NAMES = Venue.NAMES | {"deleverager": "AllocationHarness"}


class Planning(Bench):
    """`plan.crash("bankrupt", {0: "80"})`, then `plan.run()`."""

    def __init__(
        self,
        *markets: MarketSpec,
        allocation: adl.Allocation = "pro_rata_size",
        score: adl.ScoreRule = "hyperliquid_docs",
        close: adl.CloseRule = "bankruptcy",
        max_holders: int = 200,
        share: int = PPM,
        **config: Any,
    ) -> None:
        super().__init__(
            *(markets or (MarketSpec("100"),)), venue=HarnessVenue, close=close, **config
        )
        self.allocation, self.score, self.close, self.share = allocation, score, close, share
        if score != "hyperliquid_docs":
            self.score_by(SCORES[score], close)
        cap = [share] if allocation == "capped_pro_rata" else []
        self.planner = self.deploy(
            PLANNERS[allocation], self.venue.clearinghouse, max_holders, *cap
        )

    @property
    def lot(self) -> adl.Lot:
        """The lot that the harness holds."""
        _, is_long, bankrupt, size, worth = self.venue.deleverager.call("lot")
        return adl.Lot(bankrupt, is_long, size, worth)

    def begin(self) -> None:
        self.seen(self.venue.deleverager.send("begin", self.planner, sender=self.keeper))

    def work(self, steps: int) -> tuple[Event, list[Event]]:
        """One call of `next`, and the closes that followed."""
        tx = self.seen(self.venue.deleverager.send("work", self.planner, steps, sender=self.keeper))
        return tx.one("Worked"), tx.all("Picked")

    def run(self, steps: int = 200) -> list[tuple[int, int, int, int]]:
        """The whole plan, closed: account, lots, quote and score of each."""
        self.begin()
        out = []
        for _ in range(100_000):
            worked, picked = self.work(steps)
            assert worked.exact
            for p in picked:
                assert self.venue.clearinghouse.call("equity", p.account) >= 0, "below zero"
                out.append((p.account, p.size, p.quote, p.score))
            if not worked.account and not worked.more:
                return out
        raise AssertionError("a plan without an end")

    def model(self, market: int = 0) -> list[tuple[int, int, int, int]]:
        """The same by the model, from the state as it is."""
        lot = self.lot
        _, mark, previous = self.marks(market)
        fills, _ = adl.close_lot(
            lot,
            self.standings(market, not lot.is_long),
            mark,
            self.close,
            previous,
            score=self.score,
            allocation=self.allocation,
            largest_share=Fraction(self.share, PPM),
        )
        return [(f.winner, f.size, f.quote, f.score) for f in fills]

    def marks(self, market: int = 0) -> tuple[int, int, int]:
        """Epoch, mark and previous mark."""
        oracle = self.venue.oracle
        return (
            int(oracle.call("epoch")),
            int(oracle.call("mark", market)),
            int(oracle.call("previous_mark", market)),
        )

    def lots_of(self, fills: list[tuple[int, int, int, int]]) -> dict[str, int]:
        """Lots by name."""
        names = {account: name for name, account in self.ids.items()}
        return {names[account]: size for account, size, *_ in fills}
