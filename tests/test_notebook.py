"""The tour runs from the first cell to the last, equals its text, and gives nobody away."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
NAMES = ["tour"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with this Python."""
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "600 profiles" in shown
    assert "image/png" in shown
    assert not re.search(r"[\w.]+@example\.com", shown)
    if os.environ.get("UPDATE_NOTEBOOKS"):
        nbformat.write(_portable(notebook), NOTEBOOKS / f"{name}.ipynb")


@pytest.mark.parametrize("name", NAMES)
def test_the_executed_notebook_is_the_one_of_the_text(name: str) -> None:
    """`UPDATE_NOTEBOOKS=1 pytest tests/test_notebook.py` writes it anew."""
    text = jupytext.read(NOTEBOOKS / f"{name}.py")
    executed = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert [cell.source for cell in executed.cells] == [cell.source for cell in text.cells]
    assert all(cell.outputs or cell.execution_count for cell in executed.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.iterdir()), ids=lambda path: path.name)
def test_a_saved_notebook_gives_nobody_away(path: Path) -> None:
    """No address, no telephone number, no whole digest, no place on somebody's machine."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"[\w.]+@example\.com|\(415\) 555-\d{4}|\b[0-9a-f]{64}\b", text)
    assert sys.prefix not in text
    assert "/tmp/tour-" not in text


def _portable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave out what differs from run to run."""
    notebook.metadata.pop("language_info", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell.metadata.pop("execution", None)
    return notebook
