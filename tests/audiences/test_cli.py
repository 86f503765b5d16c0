"""The command line, as a user runs it: one project, real files, a platform on loopback."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audiences.cli import EXIT_BUSY, EXIT_FAILED, EXIT_PARTIAL, EXIT_USAGE, main
from audiences.ledger import open_ledger
from audiences.sample_shop import PEOPLE
from audiences.start import create_project
from exporters.testing import PracticePlatform

# the command line's clock is real, so the project is made as of the real instant
NOW = datetime.now(UTC)


_HEAD = "from audiences import Audience, Project, did, in_audience\np = Project()\n"


@dataclass(slots=True)
class Shell:
    """Runs commands in a project and keeps what they print."""

    folder: Path
    platform: PracticePlatform
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str, code: int = 0) -> str:
        argv = sys.argv
        sys.argv = ["audiences", *arguments]
        try:
            main()
            left = 0
        except SystemExit as end:
            left = end.code if isinstance(end.code, int) else 0
        finally:
            sys.argv = argv
        shown = self.capture.readouterr()
        assert left == code, (arguments, shown.out, shown.err)
        return shown.out + shown.err


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    """A new project beside a running practice platform."""
    monkeypatch.setenv("META_ACCESS_TOKEN", "secret-token-m")
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN", "secret-token-g")
    with PracticePlatform() as platform:
        create_project(tmp_path, NOW, platform_url=platform.url)
        monkeypatch.chdir(tmp_path)
        yield Shell(tmp_path, platform, capsys)


def everybody() -> list[int]:
    return list(range(1, PEOPLE + 1))


def big_spender(n: int) -> bool:
    """What the template's rule means, from the sample's own formulas."""
    spent = 3 * (150 + n % 100) if n % 2 else 0
    return spent >= 500 and n % 4 != 0 and n % 25 != 0


def sendable(n: int) -> bool:
    return n % 10 not in (3, 7) and n % 20 != 11


def test_the_way_from_events_to_a_platform(shell: Shell) -> None:
    """Ingest, plan, apply, again, revoke: the platform holds exactly whom it should."""
    read = json.loads(shell.run("ingest", "events/sample.ndjson", "--json"))[0]
    assert sum(read["refused"].values()) == 5
    assert read["duplicates"] == 3

    planned = json.loads(shell.run("plan", "--json"))
    syncs = {(s["audience"], s["destination"]): s["preview"] for s in planned["steps"] if s["step"] == "sync"}
    assert shell.platform.audiences() == {}

    applied = json.loads(shell.run("apply", "--yes", "--json"))
    sizes = {change["audience"]: change["size"] for change in applied["changes"]}
    assert sizes["big_spenders"] == sum(map(big_spender, everybody()))
    sent = {(s["audience"], s["destination"]): s for s in applied["syncs"]}
    people = sum(big_spender(n) and sendable(n) for n in everybody())
    meta = sent["big_spenders", "meta:act_42"]
    assert (meta["eligible"], meta["added"]) == (people, 2 * people)
    assert meta["added"] == syncs["big_spenders", "meta:act_42"]["added"]
    assert sent["checkout_without_order", "meta:act_42"]["held_back"]["below_floor"] > 0
    held = {name: size for _, (platform, name, size) in shell.platform.audiences().items()}
    assert sorted(held.values()) == [people, 2 * people]
    assert not any("spender" in name for name in held)

    again = json.loads(shell.run("apply", "--yes", "--json"))
    assert all((sync["added"], sync["removed"]) == (0, 0) for sync in again["syncs"])

    someone = next(n for n in everybody() if big_spender(n) and sendable(n))
    shell.run("consent", "revoke", f"user_id:u{someone:04}", "advertising", "--note", "letter")
    gone = json.loads(shell.run("apply", "--yes", "--json"))
    removed = {(sync["audience"], sync["destination"]): sync["removed"] for sync in gone["syncs"]}
    assert removed["big_spenders", "meta:act_42"] == 2
    assert removed["big_spenders", "google:1234567890"] == 1
    assert sum(size for _, _, size in shell.platform.audiences().values()) == 3 * (people - 1)


def test_a_stale_audience_says_so_wherever_it_is_shown_or_sent(shell: Shell) -> None:
    """Its last version stays where it was sent; apply, status, the audience itself and plan say which."""
    definitions = shell.folder / "project.py"
    written = definitions.read_text()
    good = "SELECT profile_id FROM profile_events WHERE name = 'Order Completed'"
    bad = good.replace("name = 'Order Completed'", "CAST(message_id AS INTEGER) > 0")
    asked = '\nasked = Audience("asked", query("{}"), sync=[files])\n'
    started = written.replace("from audiences import ", "from audiences import query, ")
    definitions.write_text(started + asked.format(good))
    shell.run("ingest", "events/sample.ndjson")
    shell.run("apply", "asked", "--yes")
    definitions.write_text(started + asked.format(bad))
    shown = shell.run("apply", "asked", "--yes", code=EXIT_PARTIAL)
    assert re.search(r"asked +\d+ .*stale since 20", shown)
    assert re.search(r"asked \(stale\) +file:outbox", shown)
    assert "failed  asked: it could not be computed" in shown
    assert re.search(r"asked +20\S+ \S+ +stale since 20", shell.run("status"))
    assert json.loads(shell.run("status", "--json"))["runs"][0]["stale_since"].startswith("20")
    assert "stale since 20" in shell.run("audience", "asked").replace("  ", " ")
    assert "stale since 20" in shell.run("plan", "asked")


def test_an_audience_that_left_the_project_is_emptied(shell: Shell) -> None:
    """A removal is not lost by deleting the definition, while anything still names the destination."""
    shell.run("ingest", "events/sample.ndjson", "--json")
    shell.run("apply", "--yes", "--json")
    assert len(shell.platform.everybody()) > 0
    project = shell.folder / "project.py"
    text = project.read_text()
    project.write_text(text.replace('"big_spenders"', '"better_spenders"'))
    planned = json.loads(shell.run("plan", "--json"))
    retired = [step for step in planned["steps"] if step["step"] == "retire"]
    assert {step["destination"] for step in retired} == {"meta:act_42", "google:1234567890"}
    shell.run("apply", "--yes")
    sizes = sorted(size for _, _, size in shell.platform.audiences().values())
    assert sizes[:2] == [0, 0]
    assert sizes[2] > 0


def test_plan_and_preview_write_nothing(shell: Shell) -> None:
    """The next command finds everything as it was."""
    shell.run("ingest", "events/sample.ndjson", "--json")
    shell.run("plan")
    shell.run("resolve", "--json")
    shell.run("preview", "big_spenders")
    listed = json.loads(shell.run("audience", "--json"))
    assert [row["members"] for row in listed] == [None, None, None, None]
    assert json.loads(shell.run("status", "--json")) == {"held": [], "runs": []}


def test_no_plain_value_is_printed_sent_or_kept(shell: Shell) -> None:
    """Canaries: the sample's addresses, numbers, names, birth dates; and the access tokens."""
    shell.run("ingest", "events/sample.ndjson")
    printed = shell.run("plan") + shell.run("apply", "--yes") + shell.run("rejects") + shell.run("doctor")
    for command in (
        ("profile", "user_id:u0019"),
        ("preview", "big_spenders"),
        ("status",),
        ("audience",),
        ("sql", "big_spenders"),
        ("explain",),
        ("profile", "user_id:u0019", "--json"),
    ):
        printed += shell.run(*command)
    sample = (shell.folder / "events" / "sample.ndjson").read_text()
    canaries = {*re.findall(r"[\w.]+@example\.com", sample), *re.findall(r"\(415\) 555-\d{4}", sample)}
    canaries |= {
        "+14155550019",
        "+1415555",
        "203.0.113.7",
        "secret-token-m",
        "secret-token-g",
        "Brandt",
        "1969-0",
    }
    assert len(canaries) > PEOPLE
    kept = b"".join(
        path.read_bytes()
        for path in shell.folder.rglob("*")
        if path.is_file() and path.name != "sample.ndjson" and "__pycache__" not in path.parts
    )
    sent = b"".join(request.body + repr(request.headers).encode() for request in shell.platform.seen)
    assert len(sent) > 10_000
    for canary in canaries:
        for spelling in {canary, canary.lower()}:
            assert spelling not in printed
            assert spelling.encode() not in kept
            assert spelling.encode() not in sent


def test_run_due_does_what_is_due_and_nothing_else(shell: Shell) -> None:
    """`every` counts from the last success; audiences without it run by hand only."""
    shell.run("ingest", "events/sample.ndjson", "--json")

    def done(hours: float) -> set[str]:
        at = (NOW + timedelta(hours=hours)).isoformat()
        shown = json.loads(shell.run("run", "--due", "--json", "--as-of", at))
        return {sync["audience"] for sync in shown.get("syncs", [])}

    assert done(0) == {"big_spenders", "repeat_buyers", "checkout_without_order"}
    assert done(0.5) == set()
    assert done(1) == {"checkout_without_order"}
    assert done(6) == {"big_spenders", "checkout_without_order"}


def test_one_destination_that_fails_keeps_no_other_waiting(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code says that something is left to do, and the next run does it."""
    monkeypatch.delenv("META_ACCESS_TOKEN")
    shell.run("ingest", "events/sample.ndjson", "--json")
    shown = shell.run("apply", "--yes", code=EXIT_PARTIAL)
    assert "set META_ACCESS_TOKEN" in shown
    (audience,) = shell.platform.audiences().values()
    assert audience[0] == "google"
    due = shell.run("run", "--due", code=EXIT_PARTIAL)
    assert "big_spenders" in due
    monkeypatch.setenv("META_ACCESS_TOKEN", "renewed")
    shell.run("run", "--due")
    assert {platform for platform, _, _ in shell.platform.audiences().values()} == {"google", "meta"}


def test_a_second_runner_leaves_and_a_dead_one_is_followed(shell: Shell) -> None:
    """The lease of a living process holds; that of a dead one does not."""
    shell.run("ingest", "events/sample.ndjson", "--json")
    shell.run("status")
    expires = (NOW + timedelta(minutes=20)).isoformat()
    alive = os.getppid()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for process, code in ((alive, EXIT_BUSY), (ended.pid, 0)):
        with open_ledger(shell.folder / "ledger.sqlite") as ledger, ledger.transaction() as cursor:
            cursor.execute("DELETE FROM runner")
            cursor.execute(
                "INSERT INTO runner (only, machine, process, expires_at) VALUES (1, ?, ?, ?)",
                (os.uname().nodename, process, expires),
            )
        shell.run("run", code=code)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ingest", "missing.ndjson"), EXIT_FAILED, "no such file"),
        (("ingest", "events"), EXIT_FAILED, "is a directory"),
        (("ingest", "empty.ndjson"), EXIT_FAILED, "is empty"),
        (("ingest", "wrong.parquet"), EXIT_FAILED, "no readable Parquet"),
        (("ingest", "cut.ndjson.gz"), EXIT_PARTIAL, "ends before its end"),
        (("ingest", "--map", "missing.toml", "events/sample.ndjson"), EXIT_USAGE, "can't be read"),
        (("plan", "big_spender"), EXIT_FAILED, "Did you mean 'big_spenders'"),
        (("sql", "nothing"), EXIT_FAILED, "No audience"),
        (("profile", "user_id:nobody"), EXIT_FAILED, "No profile"),
        (("profile", "emial:x"), EXIT_FAILED, "Did you mean 'email'"),
        (("plan", "--as-of", "yesterday"), EXIT_USAGE, "ISO 8601"),
        (("plan", "--project", "nowhere"), EXIT_USAGE, "audiences init"),
        (("apply",), EXIT_USAGE, "--yes"),
        (("aply",), EXIT_USAGE, "No such command"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_gets_a_sentence_and_an_exit_code(
    shell: Shell, arguments: tuple[str, ...], code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a traceback."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    (shell.folder / "empty.ndjson").touch()
    (shell.folder / "wrong.parquet").write_text("{}")
    lines = b"".join(b'{"type":"track","event":"A","userId":"u%d"}\n' % n for n in range(20_000))
    (shell.folder / "cut.ndjson.gz").write_bytes(gzip.compress(lines)[:-4_000])
    shown = shell.run(*arguments, code=code)
    assert says in shown
    assert "Traceback" not in shown


def test_every_reading_command_speaks_json(shell: Shell) -> None:
    """For programs."""
    shell.run("ingest", "events/sample.ndjson", "--json")
    shell.run("apply", "--yes", "--json")
    for command in (
        ("rejects",),
        ("plan",),
        ("status",),
        ("audience", "big_spenders"),
        ("preview", "big_spenders"),
        ("explain",),
        ("profile", "user_id:u0019"),
    ):
        assert json.loads(shell.run(*command, "--json"))


@pytest.mark.parametrize("name", ["identity", "audiences.py", "exporters"])
def test_a_folder_that_would_hide_our_packages_is_refused(shell: Shell, name: str) -> None:
    """A notebook's folder comes first on the import path."""
    place = shell.folder / name
    place.mkdir() if "." not in name else place.touch()
    assert "would hide it" in shell.run("plan", code=EXIT_USAGE)
    assert "rename" in shell.run("doctor", code=EXIT_FAILED)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from audiences import *\nx = 1 +\n", r"project\.py:2: not valid Python"),
        ("from audiences import Project\nproject = Project()\n1 / 0\n", r"project\.py:3: ZeroDivisionError"),
        ("from audiences import Project, did\nProject()\ndid('A') and did('B')\n", r"project\.py:3: .*&"),
        ("from audiences import did\n", "no Project"),
        (f"{_HEAD}a = Audience('x', did('A'))\nb = Audience('x', did('B'))\n", "used twice"),
        (
            f"{_HEAD}a = Audience('a', in_audience('b'))\nb = Audience('b', in_audience('a'))\n",
            "in a circle: ",
        ),
    ],
)
def test_an_error_in_a_project_names_file_and_line(shell: Shell, text: str, says: str) -> None:
    """Whatever is wrong with it."""
    (shell.folder / "project.py").write_text(text)
    assert re.search(says, shell.run("plan", code=EXIT_USAGE))


def test_definitions_may_be_a_folder_of_files(shell: Shell) -> None:
    """Loaded by path, in any order."""
    text = (shell.folder / "project.py").read_text()
    (shell.folder / "definitions").mkdir()
    (shell.folder / "project.py").rename(shell.folder / "definitions" / "shop.py")
    (shell.folder / "definitions" / "more.py").write_text(
        "from audiences import Audience, did\nmore = Audience('more', did('Signed In'))\n"
    )
    assert len(json.loads(shell.run("explain", "--json"))) == 5
    assert "big_spenders" in text


def test_help_is_quick_and_loads_no_driver() -> None:
    """Every command says what it does."""
    script = (
        "import sys; sys.argv = ['audiences', '--help']\nfrom audiences.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'duckdb', 'sqlglot', 'pyarrow', 'numpy', 'httpx2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    commands = "init demo doctor ingest rejects resolve plan apply run status audience preview sql explain"
    for command in f"{commands} profile consent".split():
        assert re.search(rf"^  {command} +\S", shown, re.MULTILINE), command


WAREHOUSE = "duckdb:///warehouse.duckdb"
RULES = """

from audiences import ComputedTrait

orders_90d = ComputedTrait("orders_90d", did("Order Completed").within(days(90)).count())
regulars = Audience("regulars", trait("orders_90d") >= 3)
"""


def test_what_rules_mean_for_somebody_is_shown(shell: Shell) -> None:
    """A computed trait on the profile, why somebody is in, the shared scans, and a check from scratch."""
    project = shell.folder / "project.py"
    project.write_text(project.read_text() + RULES)
    shell.run("ingest", "events/sample.ndjson", "--json")
    shell.run("apply", "--yes", "--json")
    shown = shell.run("profile", "user_id:u0113")
    assert re.search(r"orders_90d\s+3 +since", shown)
    assert re.search(r"regulars\s+since", shown)
    why = json.loads(shell.run("why", "user_id:u0113", "regulars", "--json"))
    assert (why["member"], why["reason"]["figure"], why["reason"]["count"]) == (True, "3", 3)
    assert why["changes_at"] is not None
    in_words = shell.run("why", "user_id:u0113", "big_spenders")
    assert "✗ has a sum of revenue of at least 500" in in_words
    assert "m0113-order0" in in_words
    scans = json.loads(shell.run("explain", "--plan", "--json"))
    assert {scan["reads"] for scan in scans} >= {"events “Order Completed”", "traits"}
    checked = json.loads(shell.run("check", "--full", "--json"))
    assert checked["differences"] == []
    assert checked["compared"]["regulars"] > 0


def test_a_setting_bounds_the_memory_of_the_warehouse(shell: Shell) -> None:
    """`doctor` says how much; what a project can't have is an error with the way out."""
    project = shell.folder / "project.py"
    text = project.read_text()
    project.write_text(text.replace(WAREHOUSE, WAREHOUSE + "?memory_limit=500MB"))
    assert "at most 476.8 MiB of memory" in shell.run("doctor")
    project.write_text(text.replace(WAREHOUSE, WAREHOUSE + "?memory_limt=1GB"))
    assert "Did you mean 'memory_limit'" in shell.run("doctor", code=EXIT_FAILED)
    project.write_text(text.replace(WAREHOUSE, "postgresql://me:secret@host/shop"))
    refused = shell.run("doctor", code=EXIT_FAILED)
    assert "duckdb:/// file" in refused
    assert "secret" not in refused
