"""How many venue transactions an engine does in a second, and where the time goes.

Owns the mix: 50% fills, 25% resting orders, 15% cancels, 10% oracle epochs, in a fixed order that a
seed decides, from as many traders as are asked for. A transaction here is what it is in a run:
encoded, executed, its events decoded, on a venue that files its accounts for the ranking index. It
has a block of its own, or shares one with what came since the last oracle epoch (`by_block`). The
set-up (accounts, deposits, the makers' orders) is timed by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from breakwater.contract import Send, Tx, send_all
from breakwater.engine.base import BATCH, Engine
from breakwater.seeds import generator
from breakwater.venue import TIME_IN_FORCE, UNLIMITED, Venue, VenueConfig
from breakwater.watchman import Watchman

MIX: Final = {"fill": 50, "place": 25, "cancel": 15, "oracle": 10}
PRICE: Final = 1_000_000
"""Ticks: 100 USDC."""
LOT: Final = 100
"""A trade: one unit, 100 USDC."""


@dataclass(frozen=True)
class Speed:
    """One measurement. `checked`: every transaction was followed by the check from events;
    `filing`: accounts are filed for the index; `blocks` that the transactions took."""

    engine: str
    traders: int
    transactions: int
    checked: bool
    filing: bool
    blocks: int
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
    """The mix in a shuffled order; exact for every hundred, of which the last may be cut short."""
    hundred = [kind for kind, share in MIX.items() for _ in range(share)]
    draws = generator(seed, "bench").random(count + -count % 100).tolist()
    out: list[str] = []
    while len(out) < count:
        part = draws[len(out) : len(out) + 100]
        out += [hundred[i] for i in sorted(range(100), key=part.__getitem__)]
    return out[:count]


def measure(
    engine: Engine,
    traders: int,
    count: int,
    checked: bool = False,
    filing: bool = True,
    by_block: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Speed:
    """Sets a venue up with so many traders and times `count` transactions of the mix. `progress`
    hears how many are done."""
    config = VenueConfig(
        min_interval=1, max_step=0, stale_after=86_400, engine="index" if filing else "scan"
    )
    venue = Venue.deploy(engine, config)
    venue.add_market("X", 2, 20, 10**7, PRICE)
    house, book, oracle = venue.clearinghouse, venue.order_book, venue.oracle
    maker = engine.actor("bench maker")
    pending: list[Send] = []
    began = time.perf_counter()
    maker_id = venue.open_account(maker, 10**15)
    people = [(engine.actor(f"bench {i}"), 0) for i in range(traders)]
    opened = send_all([Send(house, "open_account", (), who) for who, _ in people])
    people = [
        (who, tx.one("AccountOpened").account) for (who, _), tx in zip(people, opened, strict=True)
    ]
    for who, account in people:
        pending += [
            Send(venue.usdc, "mint", (who, 10**10), who),
            Send(venue.usdc, "approve", (house, UNLIMITED), who),
            Send(house, "deposit", (account, 10**10), who),
        ]
    send_all(pending)
    pending.clear()
    # A wall on each side that no fill of the mix can eat through.
    for is_buy in (True, False):
        venue.place(maker, maker_id, 0, is_buy, 10**9, PRICE - 100 if is_buy else PRICE + 100)

    def order(place: int, rests: bool) -> Send:
        who, account = people[place % traders]
        if rests:
            # Behind the wall, at one of 50 prices.
            is_buy, away, tif = place % 2 == 0, 200 + 100 * (place % 50), "gtc"
        else:
            # Away from what it has and back again, so that positions stay small.
            is_buy, away, tif = (place // traders) % 2 == 0, -100, "ioc"
        price = PRICE - away if is_buy else PRICE + away
        return Send(book, "place", (account, 0, is_buy, LOT, price, TIME_IN_FORCE[tif]), who)

    resting: list[tuple[str, int]] = []

    def rest(send: Send, tx: Tx) -> None:
        if send.method == "place" and send.args[-1] == TIME_IN_FORCE["gtc"]:
            resting.append((send.sender, tx.one("OrderPlaced").order_id))

    # Some orders to cancel, so that the mix is what it says from the first transaction on.
    first = [order(place, True) for place in range(BATCH)]
    for send, tx in zip(first, send_all(first), strict=True):
        rest(send, tx)
    set_up = time.perf_counter() - began
    watch: Watchman | None = None
    if checked:
        # What was set up is not timed, and so not yet played.
        watch = Watchman(venue)
        watch.observe(venue.decoder.decode(engine.logs(venue.decoder.addresses)))
    events = blocks = done = 0

    def flush() -> None:
        nonlocal events, blocks, done
        if not pending:
            return
        if by_block:
            sent = send_all(pending)
        else:
            sent = [s.contract.send(s.method, *s.args, sender=s.sender) for s in pending]
        blocks += len({tx.receipt.block_number for tx in sent})
        for send, tx in zip(pending, sent, strict=True):
            events += len(tx.events)
            rest(send, tx)
            if watch is not None:
                watch.observe(tx.events)
        if watch is not None:
            watch.check()
        done += len(pending)
        pending.clear()
        progress(done)

    began = time.perf_counter()
    for place, kind in enumerate(actions(count)):
        if kind == "cancel":
            owner, order_id = resting.pop(0)
            pending.append(Send(book, "cancel", (order_id,), owner))
        elif kind == "oracle":
            # An epoch needs a later block than the one before it.
            flush()
            pending.append(Send(oracle, "update", ([PRICE + place % 7],), venue.reporter))
        else:
            pending.append(order(place, kind == "place"))
        if not by_block or len(pending) == BATCH or not resting:
            flush()
    flush()
    return Speed(
        engine=engine.name,
        traders=traders,
        transactions=count,
        checked=checked,
        filing=filing,
        blocks=blocks,
        setup_transactions=4 * (traders + 1) + 2 + BATCH,
        setup_seconds=round(set_up, 3),
        seconds=round(time.perf_counter() - began, 3),
        events=events,
    )
