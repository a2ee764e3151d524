"""Compiled contracts by name.

Owns the way to the compiler (Ape's project) and one file, `.build/artifacts.json`: what was
compiled, with a fingerprint of everything it was compiled from. It changes no source.

The fingerprint is needed because Ape compares a contract with its own file only: it does not see a
change in a module or an interface. Here a contract is compiled again whenever anything that it
imports, however indirectly, has changed. One process does that at a time; the others wait and read
what it wrote. The file is replaced in one step, hence never seen half written, and reading it does
not need Ape.

`python -m breakwater.artifacts` brings it up to date and says what it did.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from breakwater.files import replace_text

ROOT = Path(__file__).resolve().parent.parent
"""The project's root: the folder with ape-config.yaml and contracts/."""

_FORMAT: Final = 2
_IMPORT = re.compile(r"^(?:from|import)\b(?:\([^)]*\)|\\\n|[^\n])*", re.MULTILINE)
_loaded: dict[Path, dict[str, Artifact]] = {}


class ArtifactError(Exception):
    """The contracts could not be compiled or found."""


@dataclass(frozen=True)
class Artifact:
    """One contract: its ABI, its creation code without constructor arguments, and the size in
    bytes of the code as deployed (None if the compiler did not say). `made_from` is a hash of its
    source and of all that this imports."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime_size: int | None
    made_from: str = ""

    def __hash__(self) -> int:
        return hash((self.name, self.bytecode))


def load(root: Path | None = None) -> dict[str, Artifact]:
    """Every deployable contract of the project at `root` (this one by default), by name.

    Compiles what any change in a source, interface, module, setting or the compiler concerns since
    the last time. Raises ArtifactError if there is nothing to load or the compiler fails. The
    result is kept for the life of the process; `forget` drops it.
    """
    where = (root or ROOT).resolve()
    if where not in _loaded:
        _loaded[where], _ = _up_to_date(where)
    return dict(_loaded[where])


def compile_file(path: Path) -> Artifact:
    """One contract of the user's own, wherever it lies. Its imports are found as if it stood in
    contracts/scores/ of this project, or beside it. Raises ArtifactError."""
    from vyper import compile_code
    from vyper.compiler.input_bundle import FilesystemInputBundle
    from vyper.exceptions import VyperException

    try:
        source = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    packages = [Path(entry) for entry in sys.path if entry.endswith("site-packages")]
    bundle = FilesystemInputBundle([*packages, path.parent, ROOT / "contracts"])
    try:
        # Vyper looks for a relative import from where the file is said to be.
        made = compile_code(
            source,
            contract_path=ROOT / "contracts" / "scores" / path.name,
            resolved_path=ROOT / "contracts" / "scores" / path.name,
            input_bundle=bundle,
            output_formats=["abi", "bytecode", "bytecode_runtime"],
        )
    except VyperException as error:
        raise ArtifactError(f"{path} does not compile: {error}") from None
    return Artifact(
        path.stem,
        made["abi"],
        bytes.fromhex(made["bytecode"].removeprefix("0x")),
        len(made["bytecode_runtime"].removeprefix("0x")) // 2,
    )


def forget() -> None:
    """Drop what this process has loaded, so that the next `load` looks at the sources again."""
    _loaded.clear()


def _up_to_date(where: Path) -> tuple[dict[str, Artifact], list[str]]:
    """The artifacts, and the names of those that had to be compiled."""
    if not (where / "contracts").is_dir():
        raise ArtifactError(f"{where} has no folder contracts/: is it the project's root?")
    stored = where / ".build" / "artifacts.json"
    sources = _Sources(where)
    wanted, found = _read(stored)
    if wanted == sources.fingerprint:
        return found, []
    with _lock(where / ".build" / ".lock"):
        # Read before compiling: a source that is saved meanwhile is compiled again next time.
        sources = _Sources(where)
        wanted, found = _read(stored)
        if wanted == sources.fingerprint:
            return found, []
        found, compiled = _compile(where, sources, found)
        _write(stored, sources.fingerprint, found)
        return found, compiled


class _Sources:
    """The sources as they are now: every .vy and .vyi under contracts/.

    `fingerprint` is a hash of all that decides any bytecode: the sources with their paths, Ape's
    settings, and the versions of the compiler and of what the contracts import from outside.
    """

    def __init__(self, where: Path) -> None:
        folder = where / "contracts"
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".vy", ".vyi"))
        self._content = {path.relative_to(where).as_posix(): path.read_bytes() for path in paths}
        settings = where / "ape-config.yaml"
        self._basis = [f"{package} {_version(package)}" for package in ("vyper", "snekmate")]
        self._basis.append(settings.read_text() if settings.is_file() else "")
        self.fingerprint = self._hash(self._content)

    def fingerprint_of(self, source: str) -> str:
        """As `fingerprint`, of one source and everything that it imports, however indirectly.

        An import is matched by the file's name alone, wherever the file is: one too many costs a
        compilation, one too few would leave stale bytecode.
        """
        needed: set[str] = set()
        more = {source}
        while more:
            needed |= more
            text = "".join(self._content[name].decode() for name in more)
            words = set(re.findall(r"\w+", " ".join(_IMPORT.findall(text))))
            more = {name for name in self._content if Path(name).stem in words} - needed
        return self._hash(needed)

    def _hash(self, names: Iterable[str]) -> str:
        digest = hashlib.sha256(json.dumps(self._basis).encode())
        for name in sorted(names):
            content = self._content[name]
            digest.update(f"{name} {len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()


def _compile(
    where: Path, sources: _Sources, known: Mapping[str, Artifact]
) -> tuple[dict[str, Artifact], list[str]]:
    """The artifacts of all contracts: those of `known` that still hold, the others compiled."""
    _compiler_on_path()
    # Here because importing Ape takes a second, and most of the package does without it.
    import ape
    from ape.exceptions import ApeException
    from ape.logging import LogLevel, logger

    current = ape.project
    project = current if Path(current.path).resolve() == where else ape.Project(where)
    found: dict[str, Artifact] = {}
    stale: dict[str, str] = {}
    for path in project.sources.paths:
        source = Path(path).resolve().relative_to(where).as_posix()
        made_from = sources.fingerprint_of(source)
        # Vyper names a contract after its file.
        before = known.get(Path(source).stem)
        if before is not None and before.made_from == made_from:
            found[before.name] = before
        else:
            stale[source] = made_from
    try:
        # Without Ape's cache, which also brings that up to date for those who use it.
        with logger.at_level(LogLevel.WARNING):
            containers = project.load_contracts(*stale, use_cache=False) if stale else {}
    except ApeException as error:
        raise ArtifactError(f"the contracts in {where} do not compile: {error}") from error
    compiled = []
    for name, container in containers.items():
        kind = container.contract_type
        code = kind.deployment_bytecode.bytecode if kind.deployment_bytecode else None
        if not code:
            continue
        compiled.append(name)
        runtime = kind.runtime_bytecode.bytecode if kind.runtime_bytecode else None
        found[name] = Artifact(
            name=name,
            abi=[entry.model_dump(mode="json", by_alias=True) for entry in kind.abi],
            bytecode=bytes.fromhex(code.removeprefix("0x")),
            runtime_size=len(runtime.removeprefix("0x")) // 2 if runtime else None,
            made_from=stale.get(str(kind.source_id), ""),
        )
    if not found:
        raise ArtifactError(f"no contracts were found in {where / 'contracts'}")
    return dict(sorted(found.items())), sorted(compiled)


def _read(stored: Path) -> tuple[str, dict[str, Artifact]]:
    """The fingerprint of what is stored, and that; nothing if there is none, or none readable."""
    try:
        data = json.loads(stored.read_bytes())
        if data["format"] != _FORMAT:
            return "", {}
        return str(data["fingerprint"]), {
            name: Artifact(
                name,
                entry["abi"],
                bytes.fromhex(entry["bytecode"]),
                entry["runtime_size"],
                entry["made_from"],
            )
            for name, entry in data["contracts"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", {}


def _write(stored: Path, wanted: str, found: Mapping[str, Artifact]) -> None:
    data = {
        "format": _FORMAT,
        "fingerprint": wanted,
        "contracts": {
            name: {
                "abi": it.abi,
                "bytecode": it.bytecode.hex(),
                "runtime_size": it.runtime_size,
                "made_from": it.made_from,
            }
            for name, it in found.items()
        },
    }
    replace_text(stored, json.dumps(data))


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
        _, compiled = _up_to_date(ROOT)
    except ArtifactError as error:
        print(f"compile: {error}", file=sys.stderr)
        return 1
    if compiled:
        print(f"compile: {', '.join(compiled)} with Vyper {_version('vyper')}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
