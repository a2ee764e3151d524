"""Compiled contracts by name.

Owns the way to the compiler: Ape's project and its cache on disk, and one more cache in this
process. It compiles nothing by itself and changes no source.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
"""The project's root: the folder with ape-config.yaml and contracts/."""

_loaded: dict[Path, dict[str, Artifact]] = {}


class ArtifactError(Exception):
    """The contracts could not be compiled or found."""


@dataclass(frozen=True)
class Artifact:
    """One contract: its ABI, its creation code without constructor arguments, and the size in
    bytes of the code as deployed (None if the compiler did not say)."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime_size: int | None

    def __hash__(self) -> int:
        return hash((self.name, self.bytecode))


def load(root: Path | None = None) -> dict[str, Artifact]:
    """Every deployable contract of the project at `root` (this one by default), by name.

    Compiles what changed since the last time. Raises ArtifactError if there is nothing to load or
    the compiler fails. The result is kept for the life of the process; `forget` drops it.
    """
    where = (root or ROOT).resolve()
    if where not in _loaded:
        _loaded[where] = _compile(where)
    return dict(_loaded[where])


def forget() -> None:
    """Drop what this process has loaded, so that the next `load` looks at the sources again."""
    _loaded.clear()


def _compile(where: Path) -> dict[str, Artifact]:
    if not (where / "contracts").is_dir():
        raise ArtifactError(f"{where} has no folder contracts/: is it the project's root?")
    _compiler_on_path()
    # Here because importing Ape takes a second, and most of the package does without it.
    import ape
    from ape.exceptions import ApeException

    current = ape.project
    project = current if Path(current.path).resolve() == where else ape.Project(where)
    try:
        containers = project.load_contracts()
    except ApeException as error:
        raise ArtifactError(f"the contracts in {where} do not compile: {error}") from error
    found = {}
    for name, container in sorted(containers.items()):
        kind = container.contract_type
        code = kind.deployment_bytecode.bytecode if kind.deployment_bytecode else None
        if not code:
            continue
        runtime = kind.runtime_bytecode.bytecode if kind.runtime_bytecode else None
        found[name] = Artifact(
            name=name,
            abi=[entry.model_dump(mode="json", by_alias=True) for entry in kind.abi],
            bytecode=bytes.fromhex(code.removeprefix("0x")),
            runtime_size=len(runtime.removeprefix("0x")) // 2 if runtime else None,
        )
    if not found:
        raise ArtifactError(f"no contracts were found in {where / 'contracts'}")
    return found


def _compiler_on_path() -> None:
    """Let Ape find the vyper that was installed beside this interpreter."""
    if shutil.which("vyper") is None:
        beside = os.path.dirname(sys.executable)
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])
