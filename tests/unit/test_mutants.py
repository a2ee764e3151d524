"""The patches in tests/mutants still fit the code, and the tests they name are there.

Whether each is noticed takes half an hour (`make mutants`); that they rot is seen here at once.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted((ROOT / "tests" / "mutants").glob("*.patch"))


@pytest.mark.skipif(shutil.which("git") is None, reason="git applies patches")
@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_a_patch_applies(patch: Path) -> None:
    done = subprocess.run(
        ["git", "apply", "--check", str(patch)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_tests_they_name_exist(request: pytest.FixtureRequest) -> None:
    """Of the files that were collected whole: all of them in a run of everything."""
    if request.config.option.keyword or request.config.option.markexpr:
        pytest.skip("only part of the tests was chosen")
    whole = {ROOT / arg for arg in request.config.args if "::" not in arg}
    found = {item.nodeid for item in request.session.items}
    found |= {node.partition("[")[0] for node in found}
    for patch in PATCHES:
        named = re.search(r"^Killed by: +(\S.*)$", patch.read_text(), re.MULTILINE)
        assert named, patch
        test = named[1].strip()
        file = ROOT / test.partition("::")[0]
        if any(file.is_relative_to(place) for place in whole):
            assert test in found, f"{patch.name}: there is no {test}"
