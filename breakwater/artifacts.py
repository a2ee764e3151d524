"""Compiled contracts by name.

Owns the way to the compiler (Ape's project) and one file, `.build/artifacts.json`: what was
compiled, with a fingerprint of everything it was compiled from. It changes no source.

The fingerprint is needed because Ape compares a contract with its own file only: it does not see a
change in a module or an interface. So whenever any source differs, all are compiled again, by one
process at a time; the others wait and read what it wrote. The file is replaced in one step, hence
never seen half written, and reading it does not need Ape.

`python -m breakwater.artifacts` brings it up to date and says what it did.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
"""The project's root: the folder with ape-config.yaml and contracts/."""

_FORMAT: Final = 1
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

    Compiles if any source, interface, module or the compiler changed since the last time. Raises
    ArtifactError if there is nothing to load or the compiler fails. The result is kept for the
    life of the process; `forget` drops it.
    """
    where = (root or ROOT).resolve()
    if where not in _loaded:
        _loaded[where], _ = _up_to_date(where)
    return dict(_loaded[where])


def forget() -> None:
    """Drop what this process has loaded, so that the next `load` looks at the sources again."""
    _loaded.clear()


def fingerprint(root: Path | None = None) -> str:
    """A hash of all that decides the bytecode: every .vy and .vyi under contracts/ with its path,
    Ape's settings, and the versions of the compiler and of what the contracts import."""
    where = (root or ROOT).resolve()
    digest = hashlib.sha256()
    for package in ("vyper", "snekmate"):
        digest.update(f"{package} {_version(package)}\0".encode())
    contracts = where / "contracts"
    sources = [path for path in contracts.rglob("*") if path.suffix in (".vy", ".vyi")]
    for path in [where / "ape-config.yaml", *sorted(sources)]:
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(where).as_posix()} {len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _up_to_date(where: Path) -> tuple[dict[str, Artifact], bool]:
    """The artifacts, and whether they had to be compiled."""
    if not (where / "contracts").is_dir():
        raise ArtifactError(f"{where} has no folder contracts/: is it the project's root?")
    stored = where / ".build" / "artifacts.json"
    found = _read(stored, fingerprint(where))
    if found is not None:
        return found, False
    with _lock(where / ".build" / ".lock"):
        # Taken before compiling: a source that is saved meanwhile is compiled again next time.
        wanted = fingerprint(where)
        found = _read(stored, wanted)
        if found is not None:
            return found, False
        found = _compile(where)
        _write(stored, wanted, found)
        return found, True


def _compile(where: Path) -> dict[str, Artifact]:
    _compiler_on_path()
    # Here because importing Ape takes a second, and most of the package does without it.
    import ape
    from ape.exceptions import ApeException
    from ape.logging import LogLevel, logger

    current = ape.project
    project = current if Path(current.path).resolve() == where else ape.Project(where)
    try:
        # Without Ape's cache, which also brings that up to date for those who use it.
        with logger.at_level(LogLevel.WARNING):
            containers = project.load_contracts(use_cache=False)
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


def _read(stored: Path, wanted: str) -> dict[str, Artifact] | None:
    """What is stored, if it was compiled from exactly what is there now."""
    try:
        data = json.loads(stored.read_bytes())
        if data["format"] != _FORMAT or data["fingerprint"] != wanted:
            return None
        return {
            name: Artifact(name, entry["abi"], bytes.fromhex(entry["bytecode"]), entry["size"])
            for name, entry in data["contracts"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(stored: Path, wanted: str, found: dict[str, Artifact]) -> None:
    data = {
        "format": _FORMAT,
        "fingerprint": wanted,
        "contracts": {
            name: {"abi": it.abi, "bytecode": it.bytecode.hex(), "size": it.runtime_size}
            for name, it in found.items()
        },
    }
    with tempfile.NamedTemporaryFile(
        "w", dir=stored.parent, prefix=".artifacts-", delete=False
    ) as file:
        json.dump(data, file)
    os.replace(file.name, stored)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time; the system lets go of it if that process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _compiler_on_path() -> None:
    """Let Ape find the vyper that was installed beside this interpreter."""
    if shutil.which("vyper") is None:
        beside = os.path.dirname(sys.executable)
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])


def _main() -> int:
    # Of the libraries below Ape; nothing that whoever compiles could act on.
    warnings.simplefilter("ignore")
    try:
        found, compiled = _up_to_date(ROOT)
    except ArtifactError as error:
        print(f"compile: {error}", file=sys.stderr)
        return 1
    if compiled:
        print(f"compile: {len(found)} contracts with Vyper {_version('vyper')}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
