"""How long audiences of all kinds take, side by side on the same events.

    python -m benchmarks.audiences --events 5000000 --audiences 1 10 100 500 [--rivals NAME ...] [--data DIR]

Every contender runs in a process of its own for every number of audiences, with two threads, and once on a
little first, so that loading libraries is not counted; peak memory is that process's. What it loads into
memory before it computes is `load`; what it keeps on disk in a form of its own is made once and timed apart.
The clock runs while members are computed and handed over (`cpu` is the processor's time, of both threads,
for machines that do other things too); then each set is checked against the answer of `duckdb-where`, the
plain query an audience. Contenders that can't say a rule leave it out: `said` tells how many they did, and
`per where` compares with the time that `duckdb-where` took for those alone. The first audience is the
plainest (who ordered in 30 days?): one scan of everything. Events, stores and answers stay in the data
folder. Rivals come with the extra `bench`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.audience_cases import Case, cases
from benchmarks.audience_contender import THREADS, Contender, digest
from benchmarks.audience_events import Data, make
from benchmarks.audience_ours import OURS
from benchmarks.audience_rivals import RIVALS

CONTENDERS: dict[str, Contender] = {**RIVALS, "ours": OURS}
REFERENCE = "duckdb-where"
LITTLE = 10_000
HEAD = (
    f"{'audiences':>9}  {'':<15}{'said':>5}{'equal':>7}{'seconds':>9}{'cpu s':>9}{'each ms':>9}"
    f"{'per where':>11}{'load s':>8}{'peak MB':>9}"
)
LIMITS = {name: str(THREADS) for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMEXPR_MAX_THREADS")}


def store(contender: Contender, data: Data) -> dict[str, Any]:
    """Make what a contender keeps on disk, unless it is there; how long it took, how much it is."""
    if contender.store is None or contender.stored is None:
        return {}
    kept = data.folder / contender.stored
    done = kept.with_suffix(".json")
    if not done.exists():
        start = time.perf_counter()
        contender.store(data)
        seconds = time.perf_counter() - start
        files = [kept] if kept.is_file() else [each for each in kept.rglob("*") if each.is_file()]
        size = sum(each.stat().st_size for each in files)
        done.write_text(json.dumps({"seconds": seconds, "peak": peak(), "bytes": size}))
    found: dict[str, Any] = json.loads(done.read_text())
    return found


def compute(contender: Contender, little: Data, data: Data, asked: list[Case]) -> dict[str, Any]:
    """Let a contender find the members; seconds of each audience, digests of the sets, peak memory."""
    said = [case for case in asked if contender.says(case.rule)]
    with contender.open(little) as opened:
        for _ in contender.members(opened, said[:20]):
            pass
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    found: dict[str, tuple[int, int]] = {}
    with contender.open(data) as opened:
        load = time.perf_counter() - start
        start, busy, cpu = time.perf_counter(), time.process_time(), 0.0
        for key, members in contender.members(opened, said):
            seconds[key] = time.perf_counter() - start
            cpu += time.process_time() - busy
            found[key] = digest(contender.numbers(members))
            start, busy = time.perf_counter(), time.process_time()
    return {"load": load, "seconds": seconds, "cpu": cpu, "found": found, "peak": peak()}


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Answers:
    """What `duckdb-where` answered on this data, by the text of the rule, kept in a file."""

    def __init__(self, data: Data) -> None:
        self.path = data.folder / "answers.json"
        self.known: dict[str, list[int]] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def learn(self, asked: list[Case], found: dict[str, list[int]]) -> None:
        """Keep the reference's answers."""
        self.known.update({_text(case): found[case.key] for case in asked if case.key in found})
        self.path.write_text(json.dumps(self.known))

    def missing(self, asked: list[Case]) -> bool:
        """Whether one of the audiences has no answer yet."""
        return any(_text(case) not in self.known for case in asked)

    def different(self, asked: list[Case], found: dict[str, list[int]]) -> list[str]:
        """The keys of audiences that a contender found other members for."""
        return [
            case.key for case in asked if case.key in found and self.known[_text(case)] != found[case.key]
        ]


def _text(case: Case) -> str:
    return hashlib.sha256(repr(case.rule).encode()).hexdigest()


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--audiences", type=int, nargs="+", default=[1, 10, 100, 500])
    parser.add_argument("--rivals", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--data", type=Path, default=Path("benchmark-data"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", choices=["make", "store", "compute"], help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def child(asked: argparse.Namespace) -> dict[str, Any]:
    """What a process of its own does for one contender."""
    data, little = (make(asked.data, events, asked.seed) for events in (asked.events, LITTLE))
    contender = CONTENDERS[asked.rivals[0]]
    match asked.child:
        case "make":
            found: dict[str, Any] = json.loads((data.folder / "made.json").read_text())
            return found
        case "store":
            store(contender, little)
            return store(contender, data)
        case _:
            return compute(contender, little, data, cases(asked.audiences[0], asked.seed))


def main() -> None:
    """Measure, check and print."""
    asked = parsed()
    if asked.child:
        print(json.dumps(child(asked)))
        return
    # in a process of its own: a child's peak is never below what its parent has had
    made = run("make", REFERENCE, 1, asked)
    data = Data.at(asked.data, asked.events, asked.seed)
    print(f"{data.events:,} events of {data.profiles:,} profiles, made in {sum(made.values()):.0f} s")
    answers = Answers(data)
    most = cases(max(asked.audiences), asked.seed)
    chosen = [name for name in CONTENDERS if name in asked.rivals]
    if REFERENCE not in chosen and answers.missing(most):
        answers.learn(most, run("compute", REFERENCE, len(most), asked)["found"])
    for name in chosen:
        tell_stored(name, run("store", name, 1, asked), data)
    print(HEAD, flush=True)
    said: dict[str, Counter[str]] = {}
    for count in asked.audiences:
        plain: dict[str, float] = {}
        for name in chosen:
            try:
                done = run("compute", name, count, asked)
            except subprocess.CalledProcessError as error:
                print(f"{name} failed ({error.returncode}): {error.stderr.strip()[-500:]}", flush=True)
                continue
            if name == REFERENCE:
                plain = done["seconds"]
                answers.learn(most[:count], done["found"])
            different = answers.different(most[:count], done["found"])
            tell_computed(count, name, done, different, plain)
            said[name] = Counter(case.kind for case in most[:count] if case.key in done["found"])
        if plain:
            cheapest = min(plain, key=lambda key: plain[key])
            print(f"{'':>11}the cheapest of {REFERENCE}: {cheapest}, {1000 * plain[cheapest]:.1f} ms")
    for name, kinds in said.items():
        tell_said(name, kinds, Counter(case.kind for case in most))


def run(what: str, name: str, count: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Run a contender in a process of its own.

    Raises:
        CalledProcessError: it failed, or had no memory left.
    """
    arguments = ["--events", str(asked.events), "--audiences", str(count), "--rivals", name]
    arguments += ["--data", str(asked.data), "--seed", str(asked.seed), "--child", what]
    command = [sys.executable, "-m", "benchmarks.audiences", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **LIMITS})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def tell_stored(name: str, done: dict[str, Any], data: Data) -> None:
    """Print what a contender keeps on disk, if anything."""
    if done:
        rate, peak_, size = data.events / done["seconds"], done["peak"] / 1e6, done["bytes"] / 1e6
        print(f"{name} stored them in {done['seconds']:.0f} s: {rate:,.0f} events/s, ", end="")
        print(f"peak {peak_:,.0f} MB, {size:,.0f} MB on disk", flush=True)


def tell_computed(
    count: int, name: str, done: dict[str, Any], different: list[str], plain: dict[str, float]
) -> None:
    """Print a row of the table."""
    said, seconds = len(done["seconds"]), sum(done["seconds"].values())
    each = 1000 * seconds / max(said, 1)
    compared = f"{seconds / sum(plain[key] for key in done['seconds']):.2f}" if plain and said else ""
    print(
        f"{count:>9}  {name:<15}{said:>5}{said - len(different):>7}{seconds:>9.2f}{done['cpu']:>9.2f}"
        f"{each:>9.1f}{compared:>11}{done['load']:>8.1f}{done['peak'] / 1e6:>9,.0f}",
        flush=True,
    )
    if different:
        print(f"{'':>11}other members than {REFERENCE}: {', '.join(different[:20])}", flush=True)


def tell_said(name: str, kinds: Counter[str], everything: Counter[str]) -> None:
    """Print which kinds a contender left out, if any."""
    if kinds != everything:
        print(
            f"{name} said " + ", ".join(f"{kinds[each]}/{count} {each}" for each, count in everything.items())
        )


if __name__ == "__main__":
    main()
