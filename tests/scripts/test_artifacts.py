"""`breakwater.artifacts`: whatever changes in the sources, the bytecode is never a stale one."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from breakwater import artifacts
from breakwater.artifacts import ROOT, Artifact, ArtifactError

PRAGMA = "# pragma version ~=0.4.3\n"
SOURCES = {
    "contracts/Counter.vy": PRAGMA
    + "from .modules import steps\n\n\n@external\n@view\ndef step() -> uint256:\n"
    + "    return steps._step()\n",
    "contracts/Other.vy": PRAGMA + "x: public(uint256)\n",
    "contracts/modules/steps.vy": PRAGMA
    + "from . import deep\n\n\n@internal\n@view\ndef _step() -> uint256:\n    return deep.SIZE\n",
    "contracts/modules/deep.vy": PRAGMA + "SIZE: constant(uint256) = 1\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "ape-config.yaml").write_text((ROOT / "ape-config.yaml").read_text())
    return tmp_path


def anew(project: Path) -> dict[str, Artifact]:
    artifacts._loaded.pop(project.resolve(), None)
    return artifacts.load(project)


def test_a_change_two_imports_away_is_compiled_and_nothing_else(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = anew(project)
    assert sorted(first) == ["Counter", "Other"]
    deep = project / "contracts/modules/deep.vy"
    deep.write_text(deep.read_text().replace("= 1", "= 2"))
    found, compiled = artifacts._up_to_date(project.resolve())
    assert compiled == ["Counter"]
    assert found["Counter"].bytecode != first["Counter"].bytecode
    assert found["Other"] == first["Other"]
    deep.write_text(deep.read_text().replace("= 2", "= 1"))
    assert anew(project)["Counter"].bytecode == first["Counter"].bytecode
    # Nothing changed: nothing is compiled.
    monkeypatch.setattr(artifacts, "_compile", None)
    assert anew(project) == artifacts.load(project)


def test_a_contract_that_is_gone_is_gone(project: Path) -> None:
    anew(project)
    (project / "contracts/Other.vy").unlink()
    assert list(anew(project)) == ["Counter"]


@pytest.mark.parametrize("left", ["", "{", '{"format": 1}', "[]", "null"])
def test_a_damaged_file_is_made_again(project: Path, left: str) -> None:
    stored = project / ".build" / "artifacts.json"
    stored.parent.mkdir()
    stored.write_text(left)
    assert sorted(anew(project)) == ["Counter", "Other"]


def test_a_broken_source_is_an_error_every_time(project: Path) -> None:
    deep = project / "contracts/modules/deep.vy"
    deep.write_text("not Vyper")
    for _ in range(2):
        with pytest.raises(ArtifactError, match="do not compile"):
            anew(project)
    deep.write_text(SOURCES["contracts/modules/deep.vy"])
    assert sorted(anew(project)) == ["Counter", "Other"]


def test_no_contracts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no folder contracts/"):
        anew(tmp_path)


def test_of_several_processes_one_compiles(project: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from breakwater import artifacts; "
        "print(len(artifacts._up_to_date(Path(sys.argv[1]))[1]))"
    )

    def start(_: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, str(project.resolve())],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
        ).stdout.split()[-1]  # fmt: skip

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(start, range(3))) == ["0", "0", "2"]
