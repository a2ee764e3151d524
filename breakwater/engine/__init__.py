"""Engines: the machines that execute the venue's bytecode behind one interface.

Only the interface is imported here. The implementations pull in heavy libraries, so each is
imported from its own module: `revm.RevmEngine`, `rpc.RpcEngine`, `ape.ApeEngine`.
"""

from breakwater.engine.base import (
    BATCH,
    GENESIS_TIMESTAMP,
    TX_GAS_LIMIT,
    Engine,
    EngineError,
    Log,
    Receipt,
    Reverted,
    Sending,
)

__all__ = [
    "BATCH",
    "GENESIS_TIMESTAMP",
    "TX_GAS_LIMIT",
    "Engine",
    "EngineError",
    "Log",
    "Receipt",
    "Reverted",
    "Sending",
]
