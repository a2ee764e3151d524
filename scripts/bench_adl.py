"""`ape run bench_adl`: gas of whole ADL rounds by ranking engine, score, side, holders and victims.

Writes out/bench/adl.json. Every figure is from receipts of an anvil of its own, so each transaction
meets cold storage; a row counts all transactions from the liquidation that opens the round to the
last fill: wind-up, estate, ranking, closes and receipts. Positions are real trades, many to a
transaction. A small round is played in the market first: the first one ever creates the words that
all later ones change, about 150,000 gas once. The scan is measured as far as `--scan-up-to` holders
and extrapolated beyond: such rows say `measured: false`.

In the file: `rows`; `ratios`, the scan's gas over the index's at each size; `growth`, the index's
gas at each size over that at 1,000 holders (at the fewest, if it was not measured there); `filing`,
gas of the index alone when an account is touched.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import click

from breakwater.artifacts import ROOT
from breakwater.bulk import LARGE_PAGE, Crowd, Row
from breakwater.engine import EngineError
from breakwater.engine.rpc import RpcEngine, start_anvil
from breakwater.files import replace_text
from breakwater.model import ranking

OUT: Final = ROOT / "out" / "bench" / "adl.json"
PRICE: Final = 1_000_000
MARKET: Final = 0
SCORES: Final[tuple[ranking.ScoreRule, ...]] = ("hyperliquid_docs", "return_x_leverage")


class Population:
    """`count` holders of one side around the price, entries normal within 15%, leverage 1 to 25."""

    def __init__(
        self,
        crowd: Crowd,
        count: int,
        is_long: bool,
        seed: int,
        progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        draw = random.Random(seed)
        self.crowd = crowd
        self.is_long = is_long
        self.rows = []
        for _ in range(count):
            entry = round(PRICE * min(2.5, max(0.3, draw.gauss(1, 0.15))))
            size = draw.randint(20, 2_000)
            cash = max(1, round(size * entry / draw.uniform(1, 25)))
            self.rows.append(Row(0, MARKET, is_long, size, entry, cash))
        self.accounts = crowd.trade(self.rows, LARGE_PAGE, progress)

    def sizes(self, mark: int, price: int, score: ranking.ScoreRule) -> list[int]:
        """Lots of everyone who is eligible, in the order in which they are closed."""
        side = 1 if self.is_long else -1
        holders = [
            ranking.Holder(
                account,
                side * row.size,
                -side * row.size * row.price,
                row.cash + side * row.size * (mark - row.price),
            )
            for account, row in zip(self.accounts, self.rows, strict=True)
        ]
        demand = ranking.Demand(not self.is_long, 1, Fraction(price), mark)
        return [abs(holder.size) for holder, _, _ in ranking.order(holders, demand, score)]


def rounds(
    crowd: Crowd, people: Population, engine: str, victims: Sequence[int], scores: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    """One row for each score and number of victims; the chain is as before after each."""
    bankrupt_long = not people.is_long
    mark = PRICE * 9 // 10 if bankrupt_long else PRICE * 11 // 10
    close = PRICE * 98 // 100 if bankrupt_long else PRICE * 102 // 100
    sizes = {score: people.sizes(mark, close, score) for score in scores}
    for score, count in itertools.product(scores, victims):
        first = sizes[score][:count]
        if len(first) < count:
            continue
        snap = crowd.engine.snapshot()
        crowd.configure(engine, score, 0)
        # As many lots as they have between them.
        account = _bankrupt(crowd, bankrupt_long, sum(first))
        crowd.set_mark(mark)
        fills = crowd.liquidate(account, itertools.repeat(256))
        used = [tx.receipt.gas_used or 0 for tx in crowd.txs]
        crowd.engine.revert(snap)
        # Within the slack others of another size may go first; an exact order has no such excuse.
        exact = all(fill.exact for fill in fills)
        if exact and len(fills) != count:
            raise click.ClickException(f"{len(fills)} fills where {count} were due")
        yield {
            "engine": engine,
            "score": score,
            "side": "long" if people.is_long else "short",
            "accounts": len(people.rows),
            "victims": count,
            "gas_total": sum(used),
            "gas_max_tx": max(used),
            "transactions": len(used),
            "fills": len(fills),
            "exact": exact,
            "measured": True,
        }


def filing(crowd: Crowd, people: Population, tries: int) -> dict[str, Any]:
    """Gas of the index alone when an account is touched: each a trade by itself, from its trace."""
    draw = random.Random(7)
    changed: list[int] = []
    stayed: list[int] = []
    snap = crowd.engine.snapshot()
    for _ in range(tries):
        place = draw.randrange(len(people.rows))
        account, row = people.accounts[place], people.rows[place]
        size = draw.choice([1, row.size])
        before = crowd.index.call("bucket_of", account)
        crowd.trade([Row(account, MARKET, row.is_buy, size, PRICE, 0)])
        after = crowd.index.call("bucket_of", account)
        (stayed if before == after else changed).append(crowd.filing_gas(account))
    crowd.engine.revert(snap)
    return {
        "changed": {"max": max(changed), "mean": sum(changed) // len(changed)},
        "stayed": {"max": max(stayed), "mean": sum(stayed) // len(stayed)},
        "note": "first access to the index's address, 2,600, is not in these",
    }


def extrapolated(rows: Sequence[dict[str, Any]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The scan at sizes that were not measured: a straight line through its two largest ones."""
    out = []
    for kind in sorted({_kind(row) for row in rows}):
        seen = {r["accounts"]: r for r in rows if r["engine"] == "scan" and _kind(r) == kind}
        if len(seen) < 2:
            continue
        low, high = (seen[size] for size in sorted(seen)[-2:])
        slope = (high["gas_total"] - low["gas_total"]) / (high["accounts"] - low["accounts"])
        for size in sizes:
            if size > high["accounts"]:
                total = round(high["gas_total"] + slope * (size - high["accounts"]))
                used = -(-total // high["gas_max_tx"])
                out.append(
                    high
                    | {"accounts": size, "gas_total": total, "transactions": used}
                    | {"measured": False}
                )
    return out


def ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scan's gas over the index's, wherever there are both."""
    index = {(_kind(r), r["accounts"]): r["gas_total"] for r in rows if r["engine"] == "index"}
    return [
        {
            **{key: row[key] for key in ("score", "side", "victims", "accounts", "measured")},
            "scan_to_index": round(row["gas_total"] / index[_kind(row), row["accounts"]], 2),
        }
        for row in rows
        if row["engine"] == "scan" and (_kind(row), row["accounts"]) in index
    ]


def growth(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The index's gas at each size over that at 1,000 holders, or else at the fewest."""
    out = []
    for kind in sorted({_kind(row) for row in rows}):
        used = {
            row["accounts"]: row["gas_total"]
            for row in rows
            if row["engine"] == "index" and _kind(row) == kind
        }
        base = 1_000 if 1_000 in used else min(used, default=0)
        score, side, victims = kind
        out += [
            {"score": score, "side": side, "victims": victims}
            | {"from": base, "to": size, "ratio": round(used[size] / used[base], 3)}
            for size in sorted(used)
            if size > base
        ]
    return out


def _kind(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["score"], row["side"], row["victims"]


def _one_population(
    engine: RpcEngine, count: int, is_long: bool, scan_up_to: int, victims: Sequence[int]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    crowd = Crowd(engine, [PRICE])
    for bankrupt_long in (True, False):
        _small_round(crowd, bankrupt_long)
    crowd.set_mark(PRICE)
    with click.progressbar(
        length=count, label=f"{count:,} {'longs' if is_long else 'shorts'}", file=sys.stderr
    ) as bar:
        people = Population(crowd, count, is_long, count, bar.update)
    rows = []
    for name in ("index", "scan") if count <= scan_up_to else ("index",):
        for row in rounds(crowd, people, name, victims, SCORES):
            _say(row)
            rows.append(row)
    return rows, filing(crowd, people, 60)


def _say(row: dict[str, Any]) -> None:
    click.echo(
        f"{row['engine']:5} {row['score']:17} {row['side']:5} "
        f"{row['accounts']:>7,} holders {row['victims']:>3} victims "
        f"{row['gas_total']:>13,} gas in {row['transactions']:>3}, "
        f"largest {row['gas_max_tx']:>10,}"
        + ("" if row["exact"] else ", not exact")
        + ("" if row["measured"] else ", extrapolated")
    )


def _small_round(crowd: Crowd, bankrupt_long: bool) -> None:
    """One lot of a bankrupt against the maker, who took the other side."""
    crowd.set_mark(PRICE)
    account = _bankrupt(crowd, bankrupt_long, 1)
    crowd.set_mark(PRICE * 9 // 10 if bankrupt_long else PRICE * 11 // 10)
    crowd.liquidate(account, itertools.repeat(256))


def _bankrupt(crowd: Crowd, is_long: bool, lots: int) -> int:
    """The only account of its owner, at 50 times: its further ones would be looked at first."""
    account = crowd.venue.open_account(
        crowd.engine.actor(f"bankrupt {crowd.house.call('account_count')}"), lots * PRICE // 50
    )
    crowd.trade([Row(account, MARKET, is_long, lots, PRICE, 0)])
    return account


@click.command()
@click.option("--sizes", default="100,1000,10000", help="Holders of the winners' side.")
@click.option("--victims", default="1,10,100", help="Winners that each round closes.")
@click.option("--scan-up-to", default=10_000, help="Holders up to which the scan is measured.")
@click.option("--side", "sides", type=click.Choice(["both", "long", "short"]), default="both")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=OUT, help="File.")
def cli(sizes: str, victims: str, scan_up_to: int, sides: str, out: Path) -> None:
    """Measure whole ADL rounds and write out/bench/adl.json."""
    counts = [int(word) for word in sizes.split(",")]
    many = [int(word) for word in victims.split(",")]
    rows: list[dict[str, Any]] = []
    filed: list[dict[str, Any]] = []
    for count in counts:
        for is_long in (False, True) if sides == "both" else (sides == "long",):
            began = time.monotonic()
            try:
                # A node for each: anvil grows slower with its chain.
                with start_anvil() as engine:
                    found, gas = _one_population(engine, count, is_long, scan_up_to, many)
            except EngineError as error:
                raise click.ClickException(str(error)) from None
            rows += found
            filed.append({"side": "long" if is_long else "short", "accounts": count, **gas})
            click.echo(f"  {time.monotonic() - began:.0f} s; filing {json.dumps(gas)}")
    beyond = extrapolated(rows, counts)
    for row in beyond:
        _say(row)
    rows += beyond
    result = {"rows": rows, "ratios": ratios(rows), "growth": growth(rows), "filing": filed}
    for each in result["ratios"]:
        click.echo(
            f"scan : index {each['score']:17} {each['side']:5} {each['accounts']:>7,} holders "
            f"{each['victims']:>3} victims {each['scan_to_index']:>10,.2f} : 1"
            + ("" if each["measured"] else ", extrapolated")
        )
    for each in result["growth"]:
        click.echo(
            f"index {each['score']:17} {each['side']:5} {each['victims']:>3} victims "
            f"{each['from']:,} -> {each['to']:,} holders: {each['ratio']:.3f} times the gas"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_text(out, json.dumps(result, indent=2) + "\n")
    click.echo(f"written: {out}")
