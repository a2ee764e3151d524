"""Writes a file in one step, so that nobody ever reads half of it.

Owns that one way of writing; what is written, and where, is its callers' business.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Puts `text` at `path`, whole, readable for all; makes the folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem}-"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=prefix, delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    os.replace(file.name, path)
