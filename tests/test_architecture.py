"""The shape of the house: direction, size, surface, and the wall that plain personal values don't cross."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("identity", "exporters", "audiences")
LEVEL = {name: level for level, name in enumerate(PACKAGES)}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

DRIVERS = {
    "duckdb": {"identity/store/duckdb.py"},
    "psycopg": {"identity/store/postgres.py"},
    "pyspark": set(),
    "sqlite3": {"identity/store/ledger.py"},
    "httpx2": {"exporters/http.py"},
    "phonenumbers": {"identity/canonical.py"},
    "cryptography": {"identity/privacy/vault.py"},
    "scipy": {"identity/graph.py"},
    "numpy": {
        "identity/assign.py",
        "identity/batches.py",
        "identity/bulk.py",
        "identity/columnar.py",
        "identity/columns.py",
        "identity/graph.py",
        "identity/ingest.py",
        "identity/link_log.py",
        "identity/links.py",
        "identity/privacy/vault.py",
        "identity/replay.py",
        "identity/resolve.py",
    },
    "networkx": {"identity/component.py", "identity/explanation.py", "identity/picture.py"},
    "pandas": set(),
    "altair": set(),
    "subprocess": set(),
}
HEAVY = (
    "duckdb",
    "psycopg",
    "sqlglot",
    "pandas",
    "pyarrow",
    "phonenumbers",
    "httpx2",
    "cryptography",
    "numpy",
    "scipy",
    "networkx",
)
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "time_ns"}
MAY_READ_THE_CLOCK = {"audiences/cli_options.py", "exporters/testing.py"}
MAY_PRINT = {"exporters/testing.py"}
MAY_IMPORT_BY_NAME = {"identity/store/warehouse.py"}
SQL_VERBS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "DROP ", "ALTER ", "PRAGMA ", "WITH ")
PLAIN = {
    "identity.canonical",
    "identity.component",
    "identity.events",
    "identity.explanation",
    "identity.ingest",
    "identity.masking",
    "identity.picture",
    "identity.privacy.vault",
    "identity.profiles",
    "identity.reading",
    "identity.resolve",
    "identity.scope",
    "identity.shown",
    "identity.suspects",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    # a finaliser that runs inside the parser confuses CPython 3.11 (gh-106905)
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        gc.enable()


def imports(path: Path, *, typing_too: bool = True) -> Iterator[str]:
    """Every module that a file imports, also late; those for types only on request."""
    for_types = {
        id(inner)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree(path)):
        if id(node) in for_types and not typing_too:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{short(path)}:{node.lineno} imports relatively"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reads_clock(node: ast.AST) -> bool:
    """A clock's reading or handing on, such as `datetime.now(UTC)`, `time.monotonic`, `dt.date.today`."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in CLOCKS
        and ast.unparse(node.value).split(".")[-1] in ("datetime", "date", "time")
    )


def is_pasted(node: ast.AST) -> bool:
    """Text put together where it stands: an f-string, `+`, `%`, `.format(…)`."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (ast.Add, ast.Mod))
    formatted = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".format")
    return formatted or isinstance(node, ast.JoinedStr)


def reached(path: Path) -> set[str]:
    """Every one of our modules that a file imports, or that they import in turn."""
    ours = {name_of(each): each for each in FILES}
    found: set[str] = set()
    ahead = [path]
    while ahead:
        fresh = {each for each in imports(ahead.pop()) if each in ours} - found
        found |= fresh
        ahead += [ours[each] for each in fresh]
    return found


@pytest.mark.parametrize("path", FILES, ids=short)
def test_imports_go_down_only(path: Path) -> None:
    """identity ← exporters ← audiences; also for types."""
    own = LEVEL[name_of(path).split(".")[0]]
    for module in imports(path):
        top = module.split(".")[0]
        assert LEVEL.get(top, -1) <= own, f"{short(path)} imports {module}"


def test_no_module_imports_itself_through_others() -> None:
    """Not even late: a cycle hidden in a function is a cycle."""
    names = {name_of(path): path for path in FILES}
    graph = {
        name: {each for each in imports(path, typing_too=False) if each in names and each != name}
        for name, path in names.items()
    }
    # a package's own __init__ only gathers what its modules offer
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name in done:
            return
        for each in graph[name]:
            if each not in PACKAGES:
                visit(each, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=short)
def test_a_module_has_at_most_500_lines(path: Path) -> None:
    """A longer one holds two thoughts."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


@pytest.mark.parametrize("path", FILES, ids=short)
def test_a_module_says_what_it_offers(path: Path) -> None:
    """`__all__` is literal and equals the public names that the module defines."""
    defined: set[str] = set()
    offered: set[str] | None = None
    for node in tree(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "__all__":
                offered = set(ast.literal_eval(node.value))
            else:
                defined.add(node.targets[0].id)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
    private_file = path.name.startswith("__")
    if offered is None:
        assert private_file, f"{short(path)} has no __all__"
        return
    if path.name == "__init__.py":
        return
    assert offered == {name for name in defined if not name.startswith("_")}


@pytest.mark.parametrize("path", FILES, ids=short)
def test_everything_public_is_described(path: Path) -> None:
    """Module, class, function, method: one sentence at least."""
    assert ast.get_docstring(tree(path))
    for node in tree(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{short(path)}:{node.lineno} {node.name}"
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    assert ast.get_docstring(inner), f"{short(path)}:{inner.lineno} {node.name}.{inner.name}"


@pytest.mark.parametrize("path", FILES, ids=short)
def test_a_driver_has_one_home(path: Path) -> None:
    """Changing a library touches one file."""
    for module in imports(path, typing_too=False):
        homes = DRIVERS.get(module.split(".")[0])
        assert homes is None or short(path) in homes, f"{short(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=short)
def test_imports_can_be_read(path: Path) -> None:
    """A computed name would slip past every test here; one module chooses an engine that way."""
    for node in ast.walk(tree(path)):
        called = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
        if called in ("import_module", "__import__", "exec", "eval"):
            assert short(path) in MAY_IMPORT_BY_NAME, f"{short(path)} calls {called}"


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_no_driver(package: str) -> None:
    """So that a project file and `--help` cost nothing."""
    script = f"import sys, {package}; print([name for name in {HEAVY!r} if name in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=short)
def test_time_is_an_argument(path: Path) -> None:
    """Only the command line looks at the clock; SQL never does."""
    for node in ast.walk(tree(path)):
        assert not reads_clock(node) or short(path) in MAY_READ_THE_CLOCK, f"{short(path)}:{node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            pytest.fail(f"{short(path)}:{node.lineno} hides a clock behind a short name")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "SELECT" in node.value:
            lowered = node.value.lower()
            assert not any(word in lowered for word in ("now()", "current_date", "current_timestamp"))
    text = path.read_text(encoding="utf-8")
    assert not any(each in text for each in ("exp.CurrentTimestamp", "exp.CurrentDate"))


@pytest.mark.parametrize("path", FILES, ids=short)
def test_sql_is_never_pasted_together(path: Path) -> None:
    """Nothing but constants and expressions is handed to an engine."""
    pasted_names = {
        target.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Assign) and is_pasted(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.JoinedStr, ast.BinOp)) and is_pasted(node):
            text = ast.unparse(node).lstrip("frFR('\" \\n")
            assert not text.startswith(SQL_VERBS), f"{short(path)}:{node.lineno} pastes SQL"
        if not (isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name))):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        if called in ("execute", "executemany", "executescript", "parse_one", "sql") and node.args:
            first = node.args[0]
            by_name = isinstance(first, ast.Name) and first.id in pasted_names
            if by_name or is_pasted(first):
                pytest.fail(f"{short(path)}:{node.lineno}")


@pytest.mark.parametrize("path", FILES, ids=short)
def test_a_library_does_not_print(path: Path) -> None:
    """The command line prints through one console."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert short(path) in MAY_PRINT, f"{short(path)}:{node.lineno}"


@pytest.mark.parametrize("path", [path for path in FILES if "exporters" in path.parts], ids=short)
def test_an_exporter_can_receive_no_plain_value(path: Path) -> None:
    """It reaches no module that holds one, makes no hash, and touches no warehouse."""
    for module in reached(path):
        assert module not in PLAIN, f"{short(path)} reaches {module}"
        assert not module.startswith("identity.store.warehouse"), f"{short(path)} reaches {module}"
    for module in imports(path):
        assert not module.endswith("hashing.hash_value"), f"{short(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=short)
def test_hashed_identifiers_are_made_in_one_place(path: Path) -> None:
    """From plain values only in `identity`, and only where match keys are taken."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            if called == "HashedIdentifier":
                assert short(path) == "identity/privacy/hashing.py"
            if called == "hash_value":
                assert short(path) in ("identity/privacy/hashing.py", "identity/profiles.py")
