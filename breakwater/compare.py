"""One crash under several policies, from the identical state of the chain.

Owns the combinations, the columns of compare.json, and the proof that the runs began alike. The
set-up is done once; each policy starts from a snapshot of that chain, sets its rules and runs, and
the chain is turned back. Only the ranking engine must be there from the first trade on (an index
has every account filed): there is one set-up for each. A hash of all accounts, positions, orders,
prices and money at the start of the path must be the same for all, else CompareError.

The columns, money in USDC as exact text:

    policy                   score, allocation, close, engine
    needed                   what winners were asked for: haircuts less surplus plus residual
    taken                    haircuts against the mark, gains subtracted
    overshoot_net            taken - needed over all rounds
    overshoot_absolute       the same with each round's sign dropped: too much here does not make up
                             for too little there
    insurance_spent          payments of the vault
    residual                 of rounds: what the close price left open, paid by insurance or nobody
    uninsured                what nobody had paid at the end
    accounts_hit             winners closed
    worst_haircut_of_equity  the largest, as a share of the account's equity before its round
    worst_haircut_of_profit  the same of its unrealised profit in the market
    gini                     of haircuts among winners: 0 all alike, 1 one pays all
    open_interest_kept       share of the open interest at the start that is left, at the last marks
    gas                      of the transactions that worked on a round; null where not measured
    transactions             on the path, all told
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby, product
from pathlib import Path
from typing import Any, Final

from breakwater import artifacts, units
from breakwater import venue as tables
from breakwater.artifacts import Artifact
from breakwater.crash import Crash
from breakwater.engine.base import Engine, Reverted
from breakwater.scenario import Scenario

SCORE_ABI: Final = "HyperliquidDocs"
"""A contract whose `score` has the interface that every score must have."""

COLUMNS: Final = (
    "needed",
    "taken",
    "overshoot_net",
    "overshoot_absolute",
    "insurance_spent",
    "residual",
    "uninsured",
    "accounts_hit",
    "worst_haircut_of_equity",
    "worst_haircut_of_profit",
    "gini",
    "open_interest_kept",
    "gas",
    "transactions",
)


class CompareError(Exception):
    """The comparison cannot be made, or would not be fair."""


@dataclass(frozen=True)
class Policy:
    """One combination. `own` is the score contract if it is not one of the venue's."""

    score: str
    allocation: str
    close: str
    engine: str
    own: Artifact | None = None

    @property
    def names(self) -> dict[str, str]:
        """As in compare.json."""
        return {
            "score": self.score,
            "allocation": self.allocation,
            "close": self.close,
            "engine": self.engine,
        }

    @property
    def label(self) -> str:
        """Short and unique among the policies of a comparison."""
        return "-".join(self.names.values())


@dataclass(frozen=True)
class Outcome:
    """A policy's row of compare.json and its whole result; no result if the venue refused it."""

    row: dict[str, Any]
    result: dict[str, Any] | None


def choices(what: str) -> list[str]:
    """The names that the venue knows: of "score", "allocation", "close" or "engine"."""
    table, only = {
        "score": ("SCORES", "hyperliquid_docs"),
        "allocation": ("ALLOCATIONS", "queue"),
        "close": ("CLOSE_RULES", "bankruptcy"),
        "engine": ("ENGINES", "scan"),
    }[what]
    # A venue with one rule only needs no table of it.
    return list(getattr(tables, table, (only,)))


def policies(
    scores: Sequence[str] = (),
    allocations: Sequence[str] = (),
    closes: Sequence[str] = (),
    engines: Sequence[str] = (),
) -> list[Policy]:
    """Every combination of the names given; an empty list stands for all that the venue has, of
    ranking engines for the first. A score may be the file of a contract (its name ends in .vy).

    Raises CompareError for an unknown name, ArtifactError for a contract that does not compile.
    """
    found = [
        Policy(name, allocation, close, engine, own)
        for engine, (name, own), allocation, close in product(
            # First, so that the policies of one set-up stand together.
            _known("engine", engines) or choices("engine")[:1],
            [_score(name) for name in scores or choices("score")],
            _known("allocation", allocations) or choices("allocation"),
            _known("close", closes) or choices("close"),
        )
    ]
    if len({policy.label for policy in found}) < len(found):
        raise CompareError("a policy is named twice")
    return found


def _known(what: str, names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in choices(what):
            there = ", ".join(choices(what))
            raise CompareError(f"there is no {what} {name}. There are: {there}")
    return list(names)


def _score(name: str) -> tuple[str, Artifact | None]:
    if not name.endswith(".vy"):
        if name not in choices("score"):
            there = ", ".join(choices("score"))
            raise CompareError(
                f"there is no score {name}. There are: {there}; or name a file that ends in .vy"
            )
        return name, None
    made = artifacts.compile_file(Path(name))
    if _interface(made) != _interface(artifacts.load()[SCORE_ABI]):
        raise CompareError(
            f"{name} is no score: it needs `def score(standing: IScore.Standing) -> uint256`, "
            "pure, external, and no arguments in its constructor"
        )
    return made.name, made


def _interface(made: Artifact) -> tuple[Any, ...] | None:
    """The types of `score`, its mutability, and the constructor's arguments; None without it."""
    arguments = [len(entry["inputs"]) for entry in made.abi if entry["type"] == "constructor"] or [
        0
    ]
    for entry in made.abi:
        if entry.get("name") == "score" and entry["type"] == "function":
            inputs = [
                [part["type"] for part in one.get("components", ())] for one in entry["inputs"]
            ]
            outputs = [one["type"] for one in entry["outputs"]]
            return (inputs, outputs, entry["stateMutability"], arguments)
    return None


def run(
    scenario: Scenario,
    chosen: Iterable[Policy],
    chain: Callable[[], AbstractContextManager[Engine]],
    progress: Callable[[Policy], None] = lambda policy: None,
) -> Iterator[Outcome]:
    """The outcomes one by one. `chain` gives a fresh chain for each set-up: one for all policies
    in a row that have the same ranking engine.

    A combination that the venue refuses has a row with the reason and without figures. Raises
    CompareError if two runs did not begin alike, and what a run raises.
    """
    begun = ""
    for _, alike in groupby(chosen, lambda policy: policy.engine):
        group = list(alike)
        with chain() as engine:
            base = Crash(_under(scenario, group[0]), engine)
            try:
                base.prepare()
            except Reverted as error:
                raise CompareError(f"the venue refused the set-up: {error.reason}") from error
            for policy in group:
                progress(policy)
                result, reason = _from_here(base, _under(scenario, policy), policy)
                if result is None:
                    yield Outcome(_refused(scenario, policy, reason), None)
                    continue
                begun = begun or result["start_state"]
                if result["start_state"] != begun:
                    words = "did not begin where the others did"
                    raise CompareError(f"the run of {policy.label} {words}")
                result["policy"] |= policy.names
                yield Outcome(row(policy, result), result)


def _from_here(
    base: Crash, scenario: Scenario, policy: Policy
) -> tuple[dict[str, Any] | None, str]:
    """One run from the state that was prepared, which stands again after it; or why it was
    refused."""
    before = base.engine.snapshot()
    try:
        return base.under(scenario, policy.own).run(), ""
    except Reverted as error:
        return None, error.reason
    finally:
        base.engine.revert(before)


def _under(scenario: Scenario, policy: Policy) -> Scenario:
    names: dict[str, Any] = dict(policy.names)
    if policy.own is not None:
        # The scenario's own stays: the contract takes its place once the venue is deployed.
        del names["score"]
    rules = scenario.venue.model_copy(update=names)
    return scenario.model_copy(update={"venue": rules})


def _refused(scenario: Scenario, policy: Policy, reason: str) -> dict[str, Any]:
    blank = dict.fromkeys(COLUMNS)
    return {"scenario": scenario.name, "policy": policy.names, "refused": reason, **blank}


def row(policy: Policy, result: Mapping[str, Any]) -> dict[str, Any]:
    """A policy's row, from its result alone."""
    adl = result["adl"]
    haircuts = sum(units.usdc(fill["haircut"]) for fill in adl["fills"])
    overshoots = [units.usdc(r["surplus"]) - units.usdc(r["residual"]) for r in adl["rounds"]]
    text = units.format_usdc
    return {
        "scenario": result["scenario"],
        "policy": policy.names,
        "refused": None,
        "needed": text(haircuts - sum(overshoots)),
        "taken": text(haircuts),
        "overshoot_net": text(sum(overshoots)),
        "overshoot_absolute": text(sum(abs(one) for one in overshoots)),
        "insurance_spent": result["waterfall"]["insurance_paid"],
        "residual": text(sum(units.usdc(r["residual"]) for r in adl["rounds"])),
        "uninsured": result["waterfall"]["uninsured"],
        "accounts_hit": len(adl["hit"]),
        "worst_haircut_of_equity": _worst(adl["hit"], "of_equity"),
        "worst_haircut_of_profit": _worst(adl["hit"], "of_profit"),
        "gini": adl["gini"],
        "open_interest_kept": _kept(result["series"]["markets"]),
        "gas": result["gas"].get("adl_total"),
        "transactions": result["transactions"]["path"],
        "start_state": result["start_state"],
        "solvency_difference": result["solvency"]["difference"],
    }


def _worst(hit: Sequence[Mapping[str, Any]], key: str) -> str:
    shares = [one[key] for one in hit if one[key] is not None]
    return max(shares, key=Decimal, default="0")


def _kept(markets: Mapping[str, Any]) -> str | None:
    before = after = Decimal(0)
    for columns in markets.values():
        mark = Decimal(columns["mark"][-1])
        before += Decimal(columns["open_interest"][0]) * mark
        after += Decimal(columns["open_interest"][-1]) * mark
    if not before:
        return None
    share = (after / before).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    return units.format_scaled(int(share.scaleb(6)), 6)
