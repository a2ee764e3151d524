"""From the logs alone the whole state can be rebuilt, whatever happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.rebuild import State, differences, rebuild
from breakwater.scenario import load
from breakwater.venue import Venue
from tests.stateful.test_random_crashes import Episode, chain
from tests.stateful.traders import Report, Traders
from tests.vectors.bench import Bench, MarketSpec

__all__ = ["chain"]

SCENARIOS = sorted((Path(__file__).resolve().parents[2] / "scenarios").glob("*.yaml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_state_after_a_crash_is_in_its_logs(path: Path) -> None:
    engine = RevmEngine()
    crash = Crash(load(path, short=True), engine)
    crash.run()
    venue = crash.venue
    events = venue.decoder.decode(engine.logs(venue.decoder.addresses))
    state = rebuild(events)
    assert differences(state, venue) == []
    # And the comparison can fail: one micro-dollar is enough.
    state.held += 1
    assert len(differences(state, venue)) == 1


def rebuilt(venue: Venue) -> State:
    """From all logs of its contracts, and nothing else."""
    return rebuild(venue.decoder.decode(venue.engine.logs(venue.decoder.addresses)))


@pytest.fixture(scope="module")
def traded() -> Venue:
    """Random traders over three markets: fees, funding, tiers, halts, samples, several reporters,
    and a market that is settled at the end."""
    traders = Traders(4, Report())
    traders.run(1_800)
    return traders.twin.venue


def test_the_state_after_random_trading_is_in_its_logs(traded: Venue) -> None:
    state = rebuilt(traded)
    assert differences(state, traded) == []
    # Nothing of it is empty, or the comparison would say little.
    assert len(state.settled) == 1 and len(state.reporters) > 1
    assert any(len(tiers) > 1 for tiers in state.tiers.values())
    assert any(state.indices.values()) and any(sample.seconds for sample in state.samples.values())
    assert any(len(queue) > 1 for queue in state.queues.values())
    assert any(order.reduce_only for order in state.orders.values())


def test_the_state_in_the_middle_of_a_crash_is_in_its_logs(chain: tuple[Any, Venue]) -> None:
    """With a tranche at work, lots taken and depositors."""
    engine, venue = chain
    seen = set()
    for seed in range(8):
        snap = engine.snapshot()
        episode = Episode(engine, venue, seed)
        episode.run()
        state = rebuilt(venue)
        assert differences(state, venue) == []
        seen |= {name for name in ("shares", "uninsured") if getattr(state, name)}
        episode.leave()
        assert differences(rebuilt(venue), venue) == []
        engine.revert(snap)
    assert seen == {"shares", "uninsured"}


def test_the_state_in_an_open_round_is_in_its_logs() -> None:
    bench = Bench(MarketSpec("100"))
    bench.account("bankrupt", "50")
    bench.hold("bankrupt", 0, "10", "100")
    for number in range(20):
        bench.account(f"winner{number}", "1000")
        bench.hold(f"winner{number}", 0, "-1", "100")
    bench.mark({0: "80"})
    bench.liquidate("bankrupt", 1)
    state = rebuilt(bench.venue)
    assert state.frozen and bench.busy()
    assert differences(state, bench.venue) == []
    bench.finish(1)
    assert not rebuilt(bench.venue).frozen
    assert differences(rebuilt(bench.venue), bench.venue) == []


def spoilt(state: State) -> dict[str, Any]:
    """One wrong figure for each kind of thing that a state has, and what puts it there."""
    market = next(iter(state.prices))
    first, second = next(queue[:2] for queue in state.queues.values() if len(queue) > 1)
    orders = state.orders
    swapped = {first: orders[second], second: orders[first]}
    account = next(iter(state.accounts))
    shown = next(iter(state.parameters))
    return {
        "uninsured": lambda: setattr(state, "uninsured", state.uninsured + 1),
        "funding index": lambda: state.indices.update({market: 7}),
        "sample": lambda: setattr(state.samples[market], "ema", 10**9),
        "last trade": lambda: state.last_trades.update({market: 0}),
        "terms": lambda: state.terms[market].update(band=1),
        "halted": lambda: state.halted.update({market: not state.halted.get(market)}),
        "tiers": lambda: state.tiers[market].append((1, 1)),
        "settlement": lambda: state.settled.clear(),
        "frozen": lambda: state.frozen.add(market),
        "pinned": lambda: state.pinned.add(market),
        "fence": lambda: state.fences.update({market: 1}),
        "reporters": lambda: state.reporters.reverse(),
        "parameter": lambda: state.parameters.update({shown: -1}),
        "last fifth": lambda: state.partial_at.update({account: 1}),
        "queue": lambda: orders.update(swapped),
        "reduce only": lambda: setattr(orders[first], "reduce_only", not orders[first].reduce_only),
        "leverage": lambda: setattr(next(iter(state.positions.values())), "leverage", 99),
        "tokens": lambda: state.tokens.update(dict.fromkeys(state.tokens, 1)),
    }


def test_every_part_of_the_comparison_can_fail(traded: Venue) -> None:
    for what in spoilt(rebuilt(traded)):
        state = rebuilt(traded)
        spoilt(state)[what]()
        assert differences(state, traded), what
