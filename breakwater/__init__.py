"""Breakwater: an on-chain perpetuals venue that can be crashed on purpose.

The package behind `scripts/`: it deploys the venue, drives it through a scenario on an in-process
EVM or on a devnet, and accounts for every micro-USDC from chain state. This module owns only the
version; it imports nothing, so that `import breakwater` is cheap.
"""

__version__ = "0.1.0.dev0"
