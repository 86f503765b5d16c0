"""Connected components by others, over the links of the same events; each encodes the same pairs for itself.

None of them knows limits, order, merges or profiles: they answer an easier question.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["RIVALS", "pairs_of"]

from benchmarks.identity_events import Made, uuids


def pairs_of(made: Made) -> pa.Table:
    """Each event's neighbouring identifiers as two columns of text, blocked ones left out.

    Args:
        made: the events.
    """
    row = np.repeat(np.arange(len(made.at)), np.diff(made.offsets))
    kept = made.codes != made.blocked
    codes, row = made.codes[kept], row[kept]
    same = row[:-1] == row[1:]
    ids = uuids(np.arange(len(made.types))).storage
    text = pa.array([each.hex() for each in ids.to_pylist()])
    return pa.table(
        {"left": text.take(pa.array(codes[:-1][same])), "right": text.take(pa.array(codes[1:][same]))}
    )


def _encoded(pairs: pa.Table) -> tuple[np.ndarray, np.ndarray, int]:
    both = pa.chunked_array([*pairs["left"].chunks, *pairs["right"].chunks])
    found = pc.dictionary_encode(both).combine_chunks()
    found = found if isinstance(found, pa.DictionaryArray) else found.chunk(0)
    codes = found.indices.to_numpy()
    return codes[: len(pairs)], codes[len(pairs) :], len(found.dictionary)


def with_scipy(pairs: pa.Table) -> int:
    """Encode with Arrow, then csgraph."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right, size = _encoded(pairs)
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    return int(connected_components(edges, directed=False)[0])


def with_networkx(pairs: pa.Table) -> int:
    """Texts as nodes."""
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    graph.add_edges_from(zip(pairs["left"].to_pylist(), pairs["right"].to_pylist(), strict=True))
    return sum(1 for _ in nx.connected_components(graph))


def with_rustworkx(pairs: pa.Table) -> int:
    """Encode with Arrow, then rustworkx."""
    import rustworkx as rx

    left, right, size = _encoded(pairs)
    graph = rx.PyGraph(multigraph=True)
    graph.add_nodes_from(range(size))
    graph.add_edges_from_no_data(list(zip(left.tolist(), right.tolist(), strict=True)))
    return int(rx.number_connected_components(graph))


def with_igraph(pairs: pa.Table) -> int:
    """Encode with Arrow, then igraph."""
    import igraph

    left, right, size = _encoded(pairs)
    graph = igraph.Graph(n=size, edges=np.column_stack([left, right]), directed=False)
    return len(graph.connected_components())


def with_splink(pairs: pa.Table) -> int:
    """Splink's clustering on DuckDB."""
    import duckdb
    from splink import DuckDBAPI
    from splink.clustering import cluster_pairwise_predictions_at_threshold

    connection = duckdb.connect()
    connection.register("pairs", pairs)
    connection.execute('CREATE TABLE edges AS SELECT "left" AS id_l, "right" AS id_r FROM pairs')
    connection.execute(
        "CREATE TABLE nodes AS SELECT DISTINCT id FROM (SELECT id_l AS id FROM edges UNION ALL "
        "SELECT id_r FROM edges)"
    )
    found = cluster_pairwise_predictions_at_threshold(
        "nodes",
        "edges",
        DuckDBAPI(connection),
        node_id_column_name="id",
        edge_id_column_name_left="id_l",
        edge_id_column_name_right="id_r",
    )
    counted = connection.execute(f"SELECT count(DISTINCT cluster_id) FROM {found.physical_name}").fetchone()
    return int(counted[0]) if counted else 0


def with_duckdb(pairs: pa.Table) -> int:
    """DuckDB's recursive CTE with USING KEY: the least label spreads."""
    import duckdb

    connection = duckdb.connect()
    connection.register("pairs", pairs)
    connection.execute(
        'CREATE TABLE seen AS SELECT "left" AS a, "right" AS b FROM pairs '
        'UNION SELECT "right", "left" FROM pairs'
    )
    counted = connection.execute(
        """WITH RECURSIVE label(node, least) USING KEY (node) AS (
            SELECT a, min(least(a, b)) FROM seen GROUP BY a
            UNION
            SELECT seen.b, min(label.least) FROM label JOIN seen ON seen.a = label.node
            JOIN recurring.label AS known ON known.node = seen.b
            WHERE label.least < known.least GROUP BY seen.b
        ) SELECT count(DISTINCT least) FROM label"""
    ).fetchone()
    return int(counted[0]) if counted else 0


RIVALS: dict[str, Callable[[pa.Table], int]] = {
    "bare encode + scipy": with_scipy,
    "igraph": with_igraph,
    "rustworkx": with_rustworkx,
    "duckdb recursive CTE": with_duckdb,
    "splink clustering": with_splink,
    "networkx": with_networkx,
}
"""Name → the components that it finds in pairs of texts."""
