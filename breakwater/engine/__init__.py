"""Engines: the machines that execute the venue's bytecode behind one interface.

Only the interface is imported here. The implementations pull in heavy libraries, so each is
imported from its own module: `revm.RevmEngine`, `rpc.RpcEngine`, `ape.ApeEngine`.
"""

from breakwater.engine.base import (
    GENESIS_TIMESTAMP,
    TX_GAS_LIMIT,
    Engine,
    EngineError,
    Log,
    Receipt,
    Reverted,
)

__all__ = [
    "GENESIS_TIMESTAMP",
    "TX_GAS_LIMIT",
    "Engine",
    "EngineError",
    "Log",
    "Receipt",
    "Reverted",
]
