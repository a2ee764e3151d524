"""Breaks the venue on purpose, one way at a time, and sees that the named test notices.

    python tests/mutants/run.py [--processes N] [NAME ...]      (make mutants: all of them)

Owns the patches in this folder. Each is a unified diff below two lines:

    Breaks: what is wrong with the venue then, in one sentence
    Killed by: the one test, as pytest names it, that must fail

For each, the working tree as git knows it is copied to a folder of its own, patched and compiled
there, and the named test is run there with this interpreter. The checkout is not touched. First
of all, every named test must pass in a copy without a patch: one that fails anyway kills nothing.

Exit status: 0 all killed; 1 one survived, did not apply or did not compile; 2 a patch is malformed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TIMEOUT = 300
"""Seconds for one compilation or one test, and for every further one of a run."""

PASSED, FAILED = 0, 1
"""What pytest returns; anything else is neither, and proves nothing."""


@dataclass(frozen=True)
class Mutant:
    """One patch, and what it claims."""

    path: Path
    breaks: str
    test: str

    @property
    def name(self) -> str:
        return self.path.stem

    @classmethod
    def read(cls, path: Path) -> Mutant:
        """Raises ValueError if one of the two lines is missing."""
        head, _, _ = path.read_text().partition("\n--- ")
        found = dict(re.findall(r"^(Breaks|Killed by): +(\S.*)$", head, re.MULTILINE))
        for key in ("Breaks", "Killed by"):
            if key not in found:
                raise ValueError(f"{path.name} has no line '{key}: ...' above its diff")
        return cls(path, found["Breaks"], found["Killed by"].strip())


@dataclass(frozen=True)
class Verdict:
    """`problem` is empty for a mutant that was killed."""

    mutant: Mutant
    problem: str
    seconds: float


@contextmanager
def copy_of_the_project() -> Iterator[Path]:
    """The files that git knows or would take, as they are now, in a folder that is gone after."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    with tempfile.TemporaryDirectory(prefix="breakwater-mutant-") as folder:
        place = Path(folder).resolve()
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, place / name)
        # Only what the patch concerns has to be compiled: this says itself what it was made from.
        artifacts = ROOT / ".build" / "artifacts.json"
        if artifacts.is_file():
            (place / ".build").mkdir()
            shutil.copy2(artifacts, place / ".build")
        yield place


def run(place: Path, *command: str, timeout: int = TIMEOUT) -> subprocess.CompletedProcess[str]:
    """A command in the copy, which shadows this checkout for Python."""
    beside = os.path.dirname(sys.executable)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([beside, os.environ.get("PATH", "")]),
        "PYTHONPATH": str(place),
        "PYTHONDONTWRITEBYTECODE": "1",
        # A folder for temporary files may lie in some repository: git apply is not to see it.
        "GIT_CEILING_DIRECTORIES": str(place.parent),
    }
    return subprocess.run(
        command,
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )


def pytest(place: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    options = ("-x", "-q", "-rf", "--no-header", "--tb=line", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", *options, *tests)
    return run(place, *command, timeout=TIMEOUT * len(tests))


def prepare(place: Path) -> str:
    """Compiles the copy; says what is wrong, if anything."""
    where = run(place, sys.executable, "-c", "import breakwater; print(breakwater.__file__)")
    if Path(where.stdout.strip()).parent.parent != place:
        return f"the copy is not what Python imports: {tail(where.stdout)}"
    compiled = run(place, sys.executable, "-m", "breakwater.artifacts")
    return "" if compiled.returncode == 0 else f"does not compile: {tail(compiled.stdout)}"


def tail(text: str) -> str:
    """The last lines of an output, on one."""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-4:])


def try_baseline(mutants: Sequence[Mutant]) -> str:
    """Whether all named tests pass without a patch; what is wrong, if not."""
    tests = list(dict.fromkeys(mutant.test for mutant in mutants))
    with copy_of_the_project() as place:
        if problem := prepare(place):
            return problem
        done = pytest(place, tests)
        return "" if done.returncode == PASSED else tail(done.stdout)


def try_mutant(mutant: Mutant) -> Verdict:
    start = time.monotonic()
    try:
        problem = _try(mutant)
    except subprocess.TimeoutExpired as error:
        problem = f"took more than {TIMEOUT} seconds: {error.cmd}"
    return Verdict(mutant, problem, time.monotonic() - start)


def _try(mutant: Mutant) -> str:
    with copy_of_the_project() as place:
        applied = run(place, "git", "apply", "--verbose", str(mutant.path))
        # Without a word about a file it has passed over all of them.
        if applied.returncode != 0 or "Applied patch" not in applied.stdout:
            return f"does not apply: {tail(applied.stdout)}"
        if problem := prepare(place):
            return problem
        done = pytest(place, [mutant.test])
        if done.returncode == PASSED:
            return "SURVIVED"
        if done.returncode != FAILED or f"FAILED {mutant.test}" not in done.stdout:
            return f"the test could not be run: {tail(done.stdout)}"
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the venue and see that tests notice.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 8))
    options = parser.parse_args()
    try:
        mutants = [Mutant.read(path) for path in sorted(HERE.glob("*.patch"))]
    except ValueError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    if unknown := set(options.names) - {mutant.name for mutant in mutants}:
        print(f"mutants: there is no {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    if options.names:
        mutants = [mutant for mutant in mutants if mutant.name in options.names]

    start = time.monotonic()
    print(f"mutants: {len(mutants)}, {options.processes} at a time", flush=True)
    with ThreadPoolExecutor(max(1, options.processes)) as pool:
        baseline = pool.submit(try_baseline, mutants)
        verdicts = [pool.submit(try_mutant, mutant) for mutant in mutants]
        try:
            problem = baseline.result()
        except subprocess.TimeoutExpired as error:
            problem = f"they took more than {error.timeout} seconds"
        if problem:
            pool.shutdown(cancel_futures=True)
            print(f"mutants: without any patch, the tests fail: {problem}", file=sys.stderr)
            return 1
        print("mutants: without a patch all named tests pass", flush=True)
        width = max(len(mutant.name) for mutant in mutants)
        alive = 0
        for verdict in (future.result() for future in verdicts):
            alive += bool(verdict.problem)
            test = verdict.mutant.test.rpartition("::")[2]
            what = verdict.problem or f"killed by {test}"
            print(f"  {verdict.mutant.name:{width}}  {verdict.seconds:5.1f} s  {what}", flush=True)
            if verdict.problem:
                print(f"  {'':{width}}           {verdict.mutant.breaks}", flush=True)
    seconds = time.monotonic() - start
    print(f"mutants: {len(mutants) - alive} of {len(mutants)} killed in {seconds:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
