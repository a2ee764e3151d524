"""`ape run bench`: the mix is what it says, and every transaction of it does its work."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator

import ape
import pytest

from breakwater.bench import MIX, actions, measure
from breakwater.engine.ape import ApeEngine
from breakwater.engine.base import Engine
from breakwater.engine.revm import RevmEngine
from breakwater.engine.rpc import start_anvil


def test_every_hundred_transactions_have_the_stated_mix() -> None:
    order = actions(500)
    for start in range(0, 500, 100):
        assert Counter(order[start : start + 100]) == MIX
    assert order == actions(500) and order != actions(500, seed=1)
    # A short run has the mix too, not the beginning of the list.
    assert actions(250) == order[:250]


@pytest.mark.parametrize("how", [{}, {"checked": True}, {"filing": False}, {"by_block": True}])
def test_a_small_measurement_counts_what_it_did(how: dict[str, bool]) -> None:
    heard: list[int] = []
    speed = measure(RevmEngine(), traders=7, count=300, progress=heard.append, **how)
    row = speed.row()
    assert row["transactions"] == 300 and row["checked"] is how.get("checked", False)
    assert row["filing"] is how.get("filing", True)
    assert row["per_second"] == round(300 / speed.seconds, 1)
    # A fill logs two positions and the fill itself, all others at least one event.
    assert speed.events >= 300 + 2 * 150
    assert heard[-1] == 300 and heard == sorted(heard)
    # An epoch needs a block after that of the epoch before it.
    assert speed.blocks == 300 if "by_block" not in how else 30 <= speed.blocks <= 40


def test_the_blocks_of_a_measurement_change_only_the_clock() -> None:
    one, many = (measure(RevmEngine(), 7, 300, by_block=by_block) for by_block in (False, True))
    assert one.events == many.events


@pytest.fixture(params=["revm", "ape", "anvil"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine that `ape run bench` measures, made as it makes it."""
    if request.param == "revm":
        yield RevmEngine()
    elif request.param == "ape":
        with ape.networks.ethereum.local.use_provider("test"):
            yield ApeEngine()
    elif shutil.which("anvil") is None:
        pytest.skip("anvil is not on PATH")
    else:
        with start_anvil() as devnet:
            yield devnet


def test_the_mix_runs_on_each_engine_alike(engine: Engine) -> None:
    # As many as it takes to have two epochs in a row: the second one is too soon for the last block
    # and not for its own.
    count = 83
    assert actions(count)[-2:] == ["oracle", "oracle"]
    there, here = measure(engine, 3, count), measure(RevmEngine(), 3, count)
    assert there.blocks == here.blocks == count
    if engine.name == "ape":
        # Its clock is the wall's: an hour that ends meanwhile adds the events of its funding.
        assert there.events >= here.events
    else:
        assert there.events == here.events


@pytest.mark.skipif(shutil.which("anvil") is None, reason="anvil is not on PATH")
def test_a_devnet_does_what_the_engine_in_process_does() -> None:
    with start_anvil() as devnet:
        there = measure(devnet, 7, 300, by_block=True)
    here = measure(RevmEngine(), 7, 300, by_block=True)
    assert (there.events, there.blocks) == (here.events, here.blocks)
