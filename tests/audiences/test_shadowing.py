"""A file beside a notebook must not silently replace one of our packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["identity.py", "exporters/__init__.py"])
def test_a_hidden_package_is_explained(tmp_path: Path, name: str) -> None:
    """The error names the file that hides ours, and the way out."""
    hiding = tmp_path / name
    hiding.parent.mkdir(exist_ok=True)
    hiding.touch()
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import audiences"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert str(hiding) in shown.stderr
    assert "rename or move" in shown.stderr
