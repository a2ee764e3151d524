"""From the logs alone the whole state can be rebuilt, whatever happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from breakwater.crash import Crash
from breakwater.engine.revm import RevmEngine
from breakwater.rebuild import differences, rebuild
from breakwater.scenario import load

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
