"""Every contract fits the limit that mainnet sets on deployed code (EIP-170)."""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.venue import Venue

LIMIT = 24_576


@pytest.mark.parametrize("role", Venue.NAMES)
def test_the_deployed_code_is_within_the_limit(chain: Any, venue: Venue, role: str) -> None:
    size = len(chain.provider.get_code(venue.contracts[role].address))
    assert 0 < size < LIMIT, f"{Venue.NAMES[role]} has {size} bytes"
