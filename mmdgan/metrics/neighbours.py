"""Nearest neighbours, and which pairs are nearer than a radius: exact, in tiles of pairs.

Squared distances come from float32 products |x|^2 + |y|^2 - 2 x.y of centred samples, which cancel for near duplicates;
wherever their rounding could change a result, the distance is computed again in float64 from the differences of the
samples as they are. Only where a tile has very many such pairs (a collapsed generator) do products in float64 come
first, for which distances below about 1e-7 of the samples' norm are 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.features.cache import release

ROWS, COLUMNS = 2048, 2048
"""Pairs in a tile: 16 MB of float32."""
_GATHERED = 2048  # pairs whose differences are held at once
_MANY = 16  # unsure pairs per sample of a tile, beyond which products in float64 are cheaper than differences
_SPARE = 8  # candidates beyond k that such products leave


def nearest_neighbours(
    queries: np.ndarray, blocks: Iterable[np.ndarray], k: int = 1, exclude: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest members of a reference set, in one pass over it.

    Args:
        queries: Samples (N, D), integers or floats.
        blocks: Arrays (M_i, D) that together are the reference set in its order.
        k: Number of neighbours.
        exclude: Index (N,) in the reference set of each query itself, which is not one of its neighbours; -1 for none.

    Returns:
        Euclidean distances (N, k) float64, the nearest first, and indices (N, k) int64 into the reference set; of
        equal distances the lowest index comes first.

    Raises:
        MetricError: The arrays do not fit together, or there are fewer members than neighbours.
    """
    queries = np.asanyarray(queries)
    if queries.ndim != 2 or not len(queries) or k < 1:
        raise MetricError(f"Nearest neighbours need queries (N, D) and k >= 1, not {queries.shape} and k = {k}.")
    if exclude is not None and np.shape(exclude) != (len(queries),):
        raise MetricError(f"`exclude` holds one index per query ({len(queries)}), not {np.shape(exclude)}.")
    squares, indices = nearest_squares(queries, blocks, k, exclude)
    return np.sqrt(squares), indices


def nearest_squares(
    queries: np.ndarray, blocks: Iterable[np.ndarray], k: int, exclude: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances (N, k) and indices (N, k) of the nearest members; arguments as for `nearest_neighbours`."""
    squares, indices = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1, np.int64)
    origin = _mean(queries)
    before = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != queries.shape[1]:
            raise MetricError(f"The reference set needs blocks (M, {queries.shape[1]}), not {block.shape}.")
        for columns, members in _slices(block, COLUMNS):
            others, first = Samples(members, origin), before + columns.start
            for rows, part in _slices(queries, ROWS):
                own = None if exclude is None else np.asarray(exclude[rows]) - first
                x = Samples(part, origin)
                _merge(x, others, _distances(x, others), own, first, squares[rows], indices[rows])
        before += len(block)
    return _all_found(squares, k, before), indices


def own_squares(samples: np.ndarray, k: int) -> np.ndarray:
    """Squared distances (N, k) of the nearest other members of the same set; each pair is computed once."""
    squares, indices = np.full((len(samples), k), np.inf), np.full((len(samples), k), -1, np.int64)
    origin, parts = _mean(samples), list(_slices(samples, ROWS))
    for number, (rows, part) in enumerate(parts):
        x = Samples(part, origin)
        tile = _distances(x, x)
        _merge(x, x, tile, np.arange(len(x)), rows.start, squares[rows], indices[rows])
        for columns, other in parts[number + 1 :]:
            y = Samples(other, origin)
            distances, slack = _distances(x, y)
            _merge(x, y, (distances, slack), None, columns.start, squares[rows], indices[rows])
            _merge(y, x, (distances.T, slack[::-1]), None, rows.start, squares[columns], indices[columns])
    return _all_found(squares, k, len(samples))


def _all_found(squares: np.ndarray, k: int, before: int) -> np.ndarray:
    if not np.isfinite(squares).all():
        raise MetricError(
            f"Not every sample has {k} neighbours: the reference set has {before:,} members, and its values must be "
            "finite; give more of them, or fewer neighbours."
        )
    return squares


def tiles(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, Samples, slice, Samples]]:
    """All pairs of two sets, (N, D) and (M, D), in tiles: places and samples of the first set, and of the second."""
    origin = _mean(a)
    for rows, part in _slices(a, ROWS):
        x = Samples(part, origin)
        for columns, other in _slices(b, COLUMNS):
            yield rows, x, columns, Samples(other, origin)


def within(x: Samples, y: Samples, radii_x: np.ndarray, radii_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs (n, m) are nearer than the first one's squared radius (n, 1), and than the second one's (1, m)."""
    distances, slack = _distances(x, y)
    within_x, within_y = distances < radii_x, distances < radii_y
    # The slack of one sample, and the largest one of the other set: thresholds are vectors, not matrices.
    unsure = _unsure(distances, radii_x, slack[0][:, None] + slack[1].max())
    rows, columns = np.nonzero(unsure | _unsure(distances, radii_y, slack[1][None] + slack[0].max()))
    if len(rows) > _MANY * (len(x) + len(y)):
        distances = _distances_of_many(x, y)
        return distances < radii_x, distances < radii_y
    exact = _distances_of_pairs(x, y, rows, columns)
    within_x[rows, columns] = exact < radii_x[rows, 0]
    within_y[rows, columns] = exact < radii_y[0, columns]
    return within_x, within_y


class Samples:
    """Samples of a tile.

    Attributes:
        exact: The samples in float64, (n, D).
        centred: The same around the common origin; near: the same in float32.
        squares: Squared norms (n,) around the origin, float64.
        slack: Error bounds (n,): a pair's squared distance in float32 is off by no more than the sum of theirs, eps
            (sqrt(D) + 8) times the squared norm, since the errors of a dot product grow like the root of its length
            (Higham and Mary 2019), with 8 for the rounding of the samples themselves.
    """

    def __init__(self, samples: np.ndarray, origin: np.ndarray):
        self.exact = samples.astype(np.float64)
        self.centred = self.exact - origin
        self.near = self.centred.astype(np.float32)
        self.squares = np.einsum("nd,nd->n", self.centred, self.centred)
        self.slack = np.finfo(np.float32).eps * (np.sqrt(samples.shape[1]) + 8) * self.squares

    def __len__(self) -> int:
        return len(self.exact)


Tile: TypeAlias = "tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]"


def _distances(x: Samples, y: Samples) -> Tile:
    """Squared distances (n, m) from float32 products; they may be off by the sum of the slacks (n,) and (m,)."""
    products = (-2 * x.near) @ y.near.T
    products += x.squares.astype(np.float32)[:, None]
    products += y.squares.astype(np.float32)[None]
    return products, (x.slack, y.slack)


def _distances_of_many(x: Samples, y: Samples) -> np.ndarray:
    """Squared distances (n, m) from float64 products; what rounding hides is 0."""
    products = x.squares[:, None] + y.squares[None] - 2 * (x.centred @ y.centred.T)
    hidden = (x.slack[:, None] + y.slack[None]) * (np.finfo(np.float64).eps / np.finfo(np.float32).eps)
    return np.where(products <= hidden, 0.0, products)


def _distances_of_pairs(x: Samples, y: Samples, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared distances of single pairs from differences in float64."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), _GATHERED):
        part = slice(start, start + _GATHERED)
        difference = x.exact[rows[part]] - y.exact[columns[part]]
        found[part] = np.square(difference, out=difference).sum(axis=1)
    return found


def _unsure(distances: np.ndarray, radii: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """Which pairs may be on either side of a radius, itself rounded to float32 here."""
    margin = slack + 2e-7 * radii
    return (distances >= (radii - margin).astype(np.float32)) & (distances <= (radii + margin).astype(np.float32))


def _merge(
    x: Samples, y: Samples, tile: Tile, own: np.ndarray | None, first: int, squares: np.ndarray, indices: np.ndarray
) -> None:
    """Updates `squares` and `indices` in place by the members of a tile that are nearer.

    Args:
        x, y: Queries (n) and members (m).
        tile: Their `_distances`, which may be changed.
        own: Place (n,) of each query itself in the tile, which may be outside it.
        first: Index of the first member.
        squares, indices: The nearest so far, (n, k).
    """
    k = squares.shape[1]
    rows, columns = _candidates(x, y, tile, own, squares[:, -1], k)
    exact = _distances_of_pairs(x, y, rows, columns)
    # Of equal distances the lower index wins, which came before.
    nearer = exact < squares[rows, -1]
    rows, columns, exact = rows[nearer], columns[nearer], exact[nearer]
    # Together with those so far, in the order of query, distance and index; then the first k of each query.
    rows = np.concatenate([np.repeat(np.arange(len(squares)), k), rows])
    exact = np.concatenate([squares.ravel(), exact])
    found = np.concatenate([indices.ravel(), columns + first])
    order = np.lexsort((found, exact, rows))
    starts = np.searchsorted(rows[order], np.arange(len(squares)))
    best = order[starts[:, None] + np.arange(k)]
    squares[:], indices[:] = exact[best], found[best]


def _candidates(
    x: Samples, y: Samples, tile: Tile, own: np.ndarray | None, limit: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (rows, columns) that may be nearer than the limit (n,); without a limit, the k nearest of the tile."""
    distances, (slack, others) = tile
    slack = slack[:, None] + others.max()
    if own is not None:
        inside = np.flatnonzero((own >= 0) & (own < len(y)))
        distances[inside, own[inside]] = np.inf
    if k < len(y) and not np.isfinite(limit).all():
        limit = np.minimum(limit, np.partition(distances, k - 1, axis=1)[:, k - 1] + slack[:, 0])
    limit = limit[:, None] * (1 + 1e-6) + slack
    chosen = distances <= np.minimum(limit, np.finfo(np.float32).max).astype(np.float32)
    if np.count_nonzero(chosen) > _MANY * (len(x) + len(y)):
        distances = np.where(chosen, _distances_of_many(x, y), np.inf)
        columns = np.argsort(distances, axis=1, kind="stable")[:, : k + _SPARE]
        rows = np.broadcast_to(np.arange(len(x))[:, None], columns.shape)
        kept = chosen[rows, columns]
        return rows[kept], columns[kept]
    rows, columns = np.nonzero(chosen)
    return rows, columns


def _slices(samples: np.ndarray, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Consecutive parts with their places."""
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        yield slice(start, start + len(part)), part
        release(samples)


def _mean(samples: np.ndarray) -> np.ndarray:
    """The mean (D,) in float64, in blocks; of integers to the next whole number, so that their products stay exact."""
    mean = sum(part.sum(axis=0, dtype=np.float64) for _, part in _slices(samples, COLUMNS)) / len(samples)
    return np.rint(mean) if np.issubdtype(samples.dtype, np.integer) else mean
