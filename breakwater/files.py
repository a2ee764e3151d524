"""Writes a file in one step, so that nobody ever reads half of it.

Owns that one way of writing; what is written, and where, is its callers' business.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace_text(path: Path, text: str) -> None:
    """Puts `text` at `path`, whole, readable for all; makes the folder if there is none."""
    _replace(path, text.encode())


def replace_bytes(path: Path, write: Callable[[io.BytesIO], Any]) -> None:
    """As `replace_text`, with what `write` puts into the buffer that it is given."""
    buffer = io.BytesIO()
    write(buffer)
    _replace(path, buffer.getvalue())


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem}-"
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=prefix, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    os.replace(file.name, path)
