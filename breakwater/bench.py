"""How many venue transactions an engine does in a second, and where the time goes.

Owns the mix: 50% fills, 25% resting orders, 15% cancels, 10% oracle epochs, in a fixed order that a
seed decides, from as many traders as are asked for. A transaction here is what it is in a run:
encoded, executed in a block of its own, its events decoded. The set-up (accounts, deposits, the
makers' orders) is timed by itself.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Final

from breakwater.engine.base import Engine
from breakwater.seeds import generator
from breakwater.venue import Venue, VenueConfig
from breakwater.watchman import Watchman

MIX: Final = {"fill": 50, "place": 25, "cancel": 15, "oracle": 10}
PRICE: Final = 1_000_000
"""Ticks: 100 USDC."""
LOT: Final = 100
"""A trade: one unit, 100 USDC."""


@dataclass(frozen=True)
class Speed:
    """One measurement. `checked`: every transaction was followed by the check from events."""

    engine: str
    traders: int
    transactions: int
    checked: bool
    setup_transactions: int
    setup_seconds: float
    seconds: float
    events: int

    @property
    def per_second(self) -> float:
        """Transactions of the mix in a second."""
        return self.transactions / self.seconds

    def row(self) -> dict[str, Any]:
        """As it stands in speed.json."""
        return {
            **asdict(self),
            "per_second": round(self.per_second, 1),
            "setup_per_second": round(self.setup_transactions / self.setup_seconds, 1),
            "mix_percent": MIX,
        }


def actions(count: int, seed: int = 0) -> list[str]:
    """The mix in a shuffled order; exact for every hundred."""
    hundred = [kind for kind, share in MIX.items() for _ in range(share)]
    draws = generator(seed, "bench").random(count).tolist()
    out: list[str] = []
    while len(out) < count:
        part = draws[len(out) : len(out) + 100]
        order = sorted(range(len(part)), key=part.__getitem__)
        out += [hundred[i] for i in order]
    return out[:count]


def measure(engine: Engine, traders: int, count: int, checked: bool = False) -> Speed:
    """Sets a venue up with so many traders and times `count` transactions of the mix."""
    venue = Venue.deploy(engine, VenueConfig(min_interval=1, max_step=0, stale_after=86_400))
    venue.add_market("X", 2, 20, 10**7, PRICE)
    watch = Watchman(venue) if checked else None
    if watch is not None:
        watch.observe(venue.clearinghouse.events())
    maker = engine.actor("bench maker")
    began = time.perf_counter()
    maker_id = venue.open_account(maker, 10**15)
    people = [(engine.actor(f"bench {i}"), 0) for i in range(traders)]
    people = [(who, venue.open_account(who, 10**10)) for who, _ in people]
    # A wall on each side that no fill of the mix can eat through.
    for is_buy in (True, False):
        venue.place(maker, maker_id, 0, is_buy, 10**9, PRICE - 100 if is_buy else PRICE + 100)
    set_up = time.perf_counter() - began
    if watch is not None:
        # What was set up is not timed, and so not yet played.
        watch = Watchman(venue)
        watch.observe(venue.decoder.decode(engine.logs(venue.decoder.addresses)))
    resting: list[tuple[str, int]] = []
    events = 0
    began = time.perf_counter()
    for place, kind in enumerate(actions(count)):
        who, account = people[place % traders]
        if kind == "cancel" and not resting:
            kind = "place"
        if kind == "fill":
            # Away from what it has and back again, so that positions stay small.
            is_buy = (place // traders) % 2 == 0
            price = PRICE + 100 if is_buy else PRICE - 100
            tx = venue.place(who, account, 0, is_buy, LOT, price, "ioc")
        elif kind == "place":
            # Behind the wall, at one of 50 prices.
            is_buy = place % 2 == 0
            away = 200 + 100 * (place % 50)
            price = PRICE - away if is_buy else PRICE + away
            tx = venue.place(who, account, 0, is_buy, LOT, price)
            resting.append((who, tx.one("OrderPlaced").order_id))
        elif kind == "cancel":
            owner, order_id = resting.pop(0)
            tx = venue.order_book.send("cancel", order_id, sender=owner)
        else:
            engine.wait(1)
            tx = venue.set_prices([PRICE + place % 7])
        events += len(tx.events)
        if watch is not None:
            watch.observe(tx.events)
            watch.check()
    return Speed(
        engine=engine.name,
        traders=traders,
        transactions=count,
        checked=checked,
        setup_transactions=4 * (traders + 1) + 2,
        setup_seconds=round(set_up, 3),
        seconds=round(time.perf_counter() - began, 3),
        events=events,
    )
