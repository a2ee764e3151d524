"""Was the right one deleveraged? Every ADL receipt, judged from the logs alone.

Owns the verdict. The logs are played up to just before a fill; everybody who held the other side
then is scored by the reference rule (`breakwater.model.adl`: exact fractions, none of the venue's
code), put in order, and compared with the receipt: who, rank, score, size, quote, haircut. No call
is made and no figure of the venue's is believed but what its logs add up to.

What it cannot know: the code of the score contract. The rule is named by whoever asks; where the
venue ranks by another one the scores in the receipts are not those computed here, and each says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from breakwater.contract import Event
from breakwater.model import adl
from breakwater.replay import Replay
from breakwater.story import score_text
from breakwater.venue import CLOSE_RULES


class AuditError(Exception):
    """There is no verdict, because the logs are not whole; the message says where that shows."""


@dataclass(frozen=True)
class Place:
    """One eligible account just before a fill: score in 10^-18, money in micro-USDC, lots."""

    account: int
    score: int
    profit: int
    equity: int
    size: int
    bearable: int


@dataclass(frozen=True)
class Verdict:
    """One fill: its receipt, the queue as it stood (best first), and what is wrong with it.

    `doubts` are no faults: what the receipt itself says is not proved.
    """

    receipt: Event
    close: adl.CloseRule
    queue: tuple[Place, ...]
    served: tuple[int, ...]
    faults: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether everything in the receipt is as the rule has it."""
        return not self.faults


def judge(
    events: Sequence[Event],
    score: adl.ScoreRule = "hyperliquid_docs",
    planners: Iterable[str] = (),
) -> list[Verdict]:
    """A verdict on every fill, in order. `events` are all of the venue's, from its first log on.

    `planners`: addresses of ranking engines that are no queue, but share by weight; of their fills
    the amounts are judged and not the order. Raises AuditError if logs are missing so that the rest
    makes no sense; what is missing otherwise makes verdicts wrong.
    """
    sharing = {address.lower() for address in planners}
    starts = _starts(events)
    replay = Replay()
    verdicts: list[Verdict] = []
    # Who was closed in the turn of this lot, and its last rank.
    served: list[int] = []
    rank = 0
    at, event = 0, None
    try:
        for at, event in enumerate(events):
            if at in starts:
                receipt = events[starts[at]]
                rank = rank + 1 if receipt.rank else rank
                shared = (
                    str(replay.state.parameters.get(("deleverager", "engine"))).lower() in sharing
                )
                verdicts.append(_verdict(replay, receipt, score, tuple(served), rank, shared))
                if receipt.rank:
                    served.append(receipt.winner)
            if event.name in ("LotSettled", "RoundClosed", "RoundOpened"):
                served = []
            if event.name == "RoundOpened":
                rank = 0
            replay.play(event)
    except (KeyError, StopIteration) as error:
        where = f"{event.contract}.{event.name}" if event is not None else "the first"
        raise AuditError(
            f"the logs are not whole: number {at} ({where}) speaks of what no log before it made "
            f"({error})"
        ) from None
    return verdicts


def _starts(events: Sequence[Event]) -> dict[int, int]:
    """Where each fill begins, to where its receipt stands: an exchange is logged before it, first
    the winner's side or first the estate's."""
    out = {}
    for at, event in enumerate(events):
        if event.name != "Deleveraged":
            continue
        begin = at
        while begin and not (
            events[begin].name == "PositionChanged" and events[begin].account == event.winner
        ):
            begin -= 1
        # What belongs to the same fill and was logged before: the estate's change, settled funding.
        while begin and events[begin - 1].name in (
            "PositionChanged",
            "FundingSettled",
            "NonceRaised",
        ):
            begin -= 1
        out[begin] = at
    return out


def _verdict(
    replay: Replay,
    receipt: Event,
    score: adl.ScoreRule,
    served: tuple[int, ...],
    rank: int,
    shared: bool,
) -> Verdict:
    state, market = replay.state, receipt.market
    rule = next(
        name
        for name, number in CLOSE_RULES.items()
        if number == state.parameters["deleverager", "close_rule"]
    )
    close: adl.CloseRule = rule  # type: ignore[assignment]
    lot = adl.Lot(receipt.bankrupt, receipt.is_long, receipt.lot_size, receipt.lot_worth)
    mark, previous = receipt.mark, receipt.previous_mark
    standings = {
        account: adl.Standing(
            account,
            held.size,
            held.quote,
            replay.equity(account),
            state.accounts[account].cash,
            replay.maintenance(account),
            state.inflow(account),
        )
        for account, held, _ in replay.holders(market, not receipt.is_long)
    }
    order = adl.ranked(standings.values(), lot, mark, close, previous, score)
    queue = tuple(
        Place(
            one.account,
            adl.written_score(one, mark, score),
            int(one.profit(mark)),
            one.equity,
            one.size,
            adl.bearable(one, lot, mark, close, previous),
        )
        for one in order
    )
    faults = [*_money(replay, receipt, lot, close)]
    doubts = []
    mine = next((place for place in queue if place.account == receipt.winner), None)
    if mine is None:
        faults.append(f"account {receipt.winner} was not eligible")
    else:
        if mine.score != receipt.score:
            ours, theirs = score_text(mine.score), score_text(receipt.score)
            faults.append(f"the score is {theirs}, by {score} it is {ours}")
        if not shared and receipt.size != mine.bearable:
            faults.append(f"{receipt.size} lots were closed, it could bear {mine.bearable}")
    if shared:
        doubts.append("shared by weight: the order is not judged here")
    elif not receipt.rank:
        winner, bankrupt = (state.accounts[a].owner for a in (receipt.winner, receipt.bankrupt))
        if winner != bankrupt:
            faults.append("rank 0, but it is not the bankrupt's own owner's")
    else:
        ahead = [place.account for place in queue if place.account not in served]
        if ahead and ahead[0] != receipt.winner and receipt.exact:
            faults.append(f"account {ahead[0]} stood before it")
        elif ahead and ahead[0] != receipt.winner:
            doubts.append(f"account {ahead[0]} stood before it, and the receipt says: not proved")
        if receipt.rank != rank:
            faults.append(f"the rank is {receipt.rank}, it was number {rank}")
    return Verdict(receipt, close, queue, served, tuple(faults), tuple(doubts))


def _money(replay: Replay, receipt: Event, lot: adl.Lot, close: adl.CloseRule) -> Iterable[str]:
    """What is wrong with prices and amounts."""
    _, mark, previous = replay.state.prices[receipt.market]
    if (mark, previous) != (receipt.mark, receipt.previous_mark):
        yield f"marks {receipt.mark}, {receipt.previous_mark} were {mark}, {previous}"
    quote = adl.quote_of(lot, receipt.size, close, receipt.previous_mark, receipt.mark)
    if quote != receipt.quote:
        yield f"{receipt.quote} was paid, at the close price it is {quote}"
    worth = receipt.size * receipt.mark
    haircut = receipt.quote - worth if receipt.is_long else worth - receipt.quote
    if haircut != receipt.haircut:
        yield f"the haircut is {receipt.haircut}, against the mark it is {haircut}"
