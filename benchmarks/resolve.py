"""How long resolving takes, beside networkx on the same links in the same run.

    python benchmarks/resolve.py [--lists 1000000] [--shared 0.02] [--rounds 3]

People have a user id, two e-mail addresses and four devices; each list names the person's user id or one of
their addresses, and one of their devices. `--shared` is the part of devices that a second person uses too, so
that a limit binds and the component is replayed. networkx only finds connected components: no limits, no
merges, no order.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import networkx as nx
import numpy as np

from identity.graph import Graph, GraphRules, Ints, Links, resolve_graph

USER, EMAIL, DEVICE = 0, 1, 2
RULES = GraphRules(
    limits=(1, 5, 5), windows=(None, None, None), priorities=(1, 2, 3), unique=(True, False, False)
)
EACH = 7  # identifiers a person has: one user id, two addresses, four devices
PER_PERSON = 5  # lists a person


def people(lists: int, shared: float, seed: int = 20_240_301) -> tuple[Links, Ints]:
    """Make the identifier lists of as many people as it takes, and their types.

    Args:
        lists: identifier lists in all.
        shared: part of the people one of whose devices is also used by the next person.
        seed: of the random choices.
    """
    random = np.random.default_rng(seed)
    persons = max(lists // PER_PERSON, 2)
    types = np.tile([USER, EMAIL, EMAIL, DEVICE, DEVICE, DEVICE, DEVICE], persons)
    who = np.arange(lists) % persons
    left = who * EACH + random.integers(0, 3, lists)
    owner = np.where(random.random(lists) < shared / PER_PERSON, (who + 1) % persons, who)
    right = owner * EACH + 3 + random.integers(0, 4, lists)
    at = random.permutation(lists)
    return (
        Links(
            offsets=np.arange(0, 2 * lists + 1, 2, dtype=np.int64),
            codes=np.column_stack([left, right]).ravel().astype(np.int64),
            occurred_at=at.astype(np.int64),
            message_ids=[f"m{number}" for number in range(lists)],
            last_occurred_at=at.astype(np.int64),
        ),
        types.astype(np.int64),
    )


def components(links: Links) -> int:
    """Count connected components with networkx."""
    graph = nx.Graph()
    graph.add_edges_from(links.codes.reshape(-1, 2).tolist())
    return sum(1 for _ in nx.connected_components(graph))


def timed(work: Callable[[], object], rounds: int) -> tuple[float, object]:
    """Run a few times; give the median of the seconds, and the last answer."""
    seconds = []
    answer: object = None
    for _ in range(rounds):
        start = time.perf_counter()
        answer = work()
        seconds.append(time.perf_counter() - start)
    return median(seconds), answer


def main() -> None:
    """Print one row a workload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lists", type=int, default=1_000_000)
    parser.add_argument("--shared", type=float, default=0.02)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{chosen.lists:,} identifier lists, median of {chosen.rounds}")
    print(f"{'workload':<34}{'seconds':>9}{'profiles':>11}{'replayed':>10}{'networkx':>10}{'ratio':>7}")
    for name, shared in (("no limit binds", 0.0), (f"{chosen.shared:.0%} share a device", chosen.shared)):
        links, types = people(chosen.lists, shared)
        ours, graph = timed(
            lambda links=links, types=types: resolve_graph(links, types, RULES), chosen.rounds
        )
        theirs, found = timed(lambda links=links: components(links), chosen.rounds)
        assert isinstance(graph, Graph)
        if not shared:
            assert len(graph.founders) == found
        print(
            f"{name:<34}{ours:>9.2f}{len(graph.founders):>11,}{graph.replayed:>10,}"
            f"{theirs:>10.2f}{theirs / ours:>6.1f}x"
        )


if __name__ == "__main__":
    main()
