"""The documentation is true: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from audiences.cli import app

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
)
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> dict[str, str]:
    """Every command's full name → its help."""
    group = typer.main.get_command(app)
    found: dict[str, str] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            found |= {f"{name} {inner}": each.help or "" for inner, each in command.commands.items()}
        else:
            found[name] = command.help or ""
    return found


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block, in one folder, as a reader would."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "page"}
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(code, str(page), "exec"), space)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_command_on_a_page_exists(page: Path) -> None:
    """With the words that follow it."""
    known = set(commands()) | {name.split()[0] for name in commands()}
    for name in re.findall(
        r"(?:^|`|&& |/)audiences ([a-z]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert name in known, name


def test_every_command_is_described_and_stands_on_the_page_of_commands() -> None:
    """`docs/cli.md` leaves none out."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").replace("\\|", " ")
    for name, help_text in commands().items():
        assert help_text, name
        assert all(word in text for word in name.split()), name
        assert f"audiences {name.split()[0]}" in text, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    """Relative ones."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readmes_lines_need_no_tool_that_a_newcomer_lacks() -> None:
    """Python alone; both lines make the environment that they use."""
    lines = [
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv")
    ]
    assert len(lines) == 2
    assert "audiences demo" in lines[0]
    assert "-m pytest" in lines[1]
    assert not any(word in line for line in lines for word in ("uv ", "make ", "just "))


def test_words_that_are_untrue_of_hashed_lists_are_not_said() -> None:
    """A hashed e-mail address is personal data; only the page that forbids the words names them."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").lower()
        if page.name != "glossary.md":
            assert not re.search(r"anonymi[sz]ed|de-identified", text), page
