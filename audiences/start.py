"""Starting a project: the files that `audiences init` writes."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from audiences.project import shadowing
from audiences.sample_shop import write_sample
from identity.errors import ConfigurationError
from identity.privacy.vault import create_key_file

__all__ = ["create_project"]

_TEMPLATES = {
    "project.py": "project.py.template",
    "README.md": "README.md.template",
    ".gitignore": "gitignore.template",
}


def create_project(folder: Path, as_of: datetime, *, platform_url: str | None = None) -> tuple[Path, ...]:
    """Write a small project with sample events and a new key.

    Args:
        folder: where; made when missing. Nothing that exists is overwritten.
        as_of: the instant that the sample events look back from, UTC.
        platform_url: a practice platform to send to instead of the real ones.

    Returns:
        The files written.

    Raises:
        ConfigurationError: a file that would be written exists, or the folder's content would hide ours.
    """
    for name in shadowing(folder):
        raise ConfigurationError(
            f"{folder / name} has the name of one of our packages and would hide it in notebooks; rename it."
        )
    targets = [*_TEMPLATES, "events/sample.ndjson", "audiences.key"]
    for name in targets:
        if (folder / name).exists():
            raise ConfigurationError(f"{folder / name} exists already; choose another folder.")
    (folder / "events").mkdir(parents=True, exist_ok=True)
    option = f', base_url="{platform_url}"' if platform_url else ""
    values = {
        "meta_account": "act_42",
        "google_account": "1234567890",
        "meta_options": option,
        "google_options": option,
    }
    for name, template in _TEMPLATES.items():
        text = files("audiences").joinpath("templates", template).read_text(encoding="utf-8")
        (folder / name).write_text(Template(text).substitute(values), encoding="utf-8")
    write_sample(folder / "events" / "sample.ndjson", as_of)
    create_key_file(folder / "audiences.key")
    return tuple(folder / name for name in targets)
