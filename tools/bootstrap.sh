#!/usr/bin/env bash
# Sets this checkout up: .venv/ from requirements.lock, node_modules/ (anvil) from package-lock.json.
# Owns those two folders and touches nothing else. Does nothing when both are up to date: each
# carries a stamp made of its lock file, this script and the place of the checkout.
#
# PYTHON=/path/to/python chooses the interpreter. Exit status: 0 ready (perhaps without anvil),
# 1 something is missing, said in one sentence.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# stamp_of FILE...: changes when a file does, or when the checkout is moved (a venv cannot move).
stamp_of() { { pwd; cat "$@" tools/bootstrap.sh; } | cksum; }
up_to_date() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# --- Python --------------------------------------------------------------------------------------

version_of() { "$1" -c 'import sys; print("%d %d" % sys.version_info[:2])' 2>/dev/null; }

# Sets `python`. 3.11 and 3.12 have ready-made packages; a newer one has to build pyrevm with Rust.
find_python() {
    local candidate found major minor newer="" old=""
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null 2>&1 || die "PYTHON is set to '$PYTHON', which is not there."
    fi
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.12 python3.11 python3.13 python3.14 python; do
        found=$(version_of "$candidate") || continue
        read -r major minor <<<"$found"
        if [ "$major" -eq 3 ] && { [ "$minor" -eq 11 ] || [ "$minor" -eq 12 ]; }; then
            python=$candidate
            return
        elif [ "$major" -eq 3 ] && [ "$minor" -gt 12 ]; then
            newer=${newer:-$candidate}
        else
            old="$major.$minor"
        fi
        # A chosen interpreter is never silently replaced by another.
        [ "$candidate" = "${PYTHON:-}" ] && break
    done
    if [ -n "$newer" ]; then
        command -v cargo >/dev/null 2>&1 || die "only $("$newer" --version) was found, for which" \
            "pyrevm has no ready-made package: install Python 3.12 or 3.11 (or Rust, to build it)."
        python=$newer
    elif [ -n "$old" ]; then
        die "Python $old is too old: install Python 3.12 or 3.11, or name one with PYTHON=..."
    else
        die "Python is not installed: install Python 3.12 or 3.11, or name one with PYTHON=..."
    fi
}

setup_python() {
    local stamp log
    stamp=$(stamp_of requirements.lock)
    if up_to_date .venv/.stamp "$stamp" && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    find_python
    "$python" -c 'import venv, ensurepip' 2>/dev/null || die "$("$python" --version) has no venv" \
        "module: install it (Debian and Ubuntu: the package python3-venv)."
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv || die "$("$python" --version) could not make .venv (see above)."
    say "installing $(grep -c '^[a-z0-9].*==' requirements.lock) packages from requirements.lock" \
        "(about a minute)"
    log=.venv/pip.log
    .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes \
        -r requirements.lock >"$log" 2>&1 || {
        cat "$log" >&2
        die "pip could not install requirements.lock (its message is above); is the network there?"
    }
    .venv/bin/python -m pip check >"$log" 2>&1 || { cat "$log" >&2; die "the packages disagree."; }
    # The checkout itself on the import path: what `pip install -e` does, without a build.
    .venv/bin/python - <<'PY'
import pathlib, sysconfig

pathlib.Path(sysconfig.get_path("purelib"), "breakwater.pth").write_text(f"{pathlib.Path.cwd()}\n")
PY
    printf '%s\n' "$stamp" >.venv/.stamp
    say "Python packages are ready in .venv"
}

# --- anvil ---------------------------------------------------------------------------------------

without_anvil() {
    say "$1, so anvil is not there: crashes run on the in-process EVM, tests that need anvil skip."
}

# The platform's own package holds the binary; no install script has to run. Linked into .venv/bin,
# so that one folder on PATH brings every tool, and no node process stands between us and anvil.
link_anvil() {
    local binary
    for binary in node_modules/@foundry-rs/anvil-*/bin/anvil; do
        if "$binary" --version >/dev/null 2>&1; then
            ln -sf "../../$binary" .venv/bin/anvil
            return 0
        fi
    done
    return 1
}

setup_anvil() {
    local stamp log=.venv/npm.log
    stamp=$(stamp_of package.json package-lock.json)
    if up_to_date node_modules/.stamp "$stamp" && [ -x .venv/bin/anvil ]; then
        return
    fi
    rm -f .venv/bin/anvil
    if up_to_date node_modules/.stamp "$stamp" && link_anvil; then
        return
    fi
    if ! command -v npm >/dev/null 2>&1; then
        if command -v anvil >/dev/null 2>&1; then
            say "npm is not installed; using the anvil on PATH: $(anvil --version | head -n 1)"
        else
            without_anvil "npm is not installed"
        fi
        return
    fi
    say "installing anvil from package-lock.json with npm"
    if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
        cat "$log" >&2
        without_anvil "npm could not install package-lock.json (its message is above)"
    elif ! link_anvil; then
        without_anvil "anvil's package has no binary that runs on $(uname -sm)"
    else
        printf '%s\n' "$stamp" >node_modules/.stamp
        say "$(.venv/bin/anvil --version | head -n 1) is ready"
    fi
}

setup_python
setup_anvil
