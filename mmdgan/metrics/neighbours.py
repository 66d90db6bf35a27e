"""Nearest neighbours, and which pairs are nearer than a radius: exact, in tiles of pairs.

Squared distances come from float32 products |x|^2 + |y|^2 - 2 x.y of centred samples, which cancel for near duplicates;
wherever their rounding could change a result, the distance is computed again in float64 from the differences of the
samples as they are. Only where a tile has very many such pairs (a collapsed generator) do products in float64 come
first, for which distances below about 1e-7 of the samples' norm are 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.features.cache import release

ROWS = 2048
"""Samples on each side of a tile, whose pairs take 16 MB of float32."""
_GATHERED = 2**19  # numbers in the differences that are held at once: they stay in the processor's cache
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
    squares, indices = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1, np.int64)
    origin = mean_of(queries)
    before = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != queries.shape[1]:
            raise MetricError(f"The reference set needs blocks (M, {queries.shape[1]}), not {block.shape}.")
        for columns, others in tiles(block, origin):
            first = before + columns.start
            for rows, x in tiles(queries, origin):
                own = None if exclude is None else np.asarray(exclude[rows]) - first
                _merge(x, others, _distances(x, others), own, first, squares[rows], indices[rows])
        before += len(block)
    return np.sqrt(_all_found(squares, k, before)), indices


def own_squares(samples: np.ndarray, k: int) -> np.ndarray:
    """Squared distances (N, k) of the nearest other members of the same set; each pair is computed once."""
    count, origin = len(samples), mean_of(samples)
    squares, indices = np.full((count, k), np.inf), np.full((count, k), -1, np.int64)
    for rows, x in tiles(samples, origin):
        _merge(x, x, _distances(x, x), np.arange(len(x)), rows.start, squares[rows], indices[rows])
        for columns, y in tiles(samples, origin, rows.stop):
            distances = _distances(x, y)
            _merge(x, y, distances, None, columns.start, squares[rows], indices[rows])
            _merge(y, x, distances.T, None, rows.start, squares[columns], indices[columns])
    return _all_found(squares, k, count)


def _all_found(squares: np.ndarray, k: int, before: int) -> np.ndarray:
    if not np.isfinite(squares).all():
        raise MetricError(
            f"Not every sample has {k} neighbours: the reference set has {before:,} members, and its values must be "
            "finite; give more of them, or fewer neighbours."
        )
    return squares


def tiles(samples: np.ndarray, origin: np.ndarray, start: int = 0) -> Iterator[tuple[slice, Samples]]:
    """The places and the samples of a set, (N, D), around an origin (D,), tile by tile from the start on."""
    for rows, part in _slices(samples[start:]):
        yield slice(rows.start + start, rows.stop + start), Samples(part, origin)


def within(
    x: Samples, y: Samples, radii_x: np.ndarray, radii_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of two tiles that are nearer than the first one's squared radius, or than the second one's.

    Args:
        x, y: Samples (n) and (m).
        radii_x, radii_y: Their squared radii, (n,) and (m,).

    Returns:
        Places of the first and of the second one, (p,), and whether each radius holds the pair.
    """
    distances = _distances(x, y)
    # The slack of one sample, and the largest one of the other set: thresholds are vectors, not matrices.
    most_x, most_y = ((r * (1 + 1e-6) + s.slack + o.slack.max()) for r, s, o in ((radii_x, x, y), (radii_y, y, x)))
    rows, columns = np.nonzero(
        (distances <= most_x.astype(np.float32)[:, None]) | (distances <= most_y.astype(np.float32))
    )
    radii, slack = (radii_x[rows], radii_y[columns]), x.slack[rows] + y.slack[columns]
    least = distances[rows, columns] - slack
    found = [least + 2 * slack < radius for radius in radii]
    unsure = np.flatnonzero(((least < radii[0]) & ~found[0]) | ((least < radii[1]) & ~found[1]))
    if len(unsure) > _MANY * (len(x) + len(y)):
        exact = _distances_of_many(x, y)[rows[unsure], columns[unsure]]
    else:
        exact = _distances_of_pairs(x, y, rows[unsure], columns[unsure])
    for holds, radius in zip(found, radii, strict=True):
        holds[unsure] = exact < radius[unsure]
    return rows, columns, *found


class Samples:
    """Samples of a tile.

    Attributes:
        exact: The samples as they are, (n, D).
        near: The same around the common origin, float32.
        squares: Squared norms (n,) around the origin, float64.
        slack: Error bounds (n,): a pair's squared distance in float32 is off by no more than the sum of theirs, eps
            (sqrt(D) + 8) times the squared norm, since the errors of a dot product grow like the root of its length
            (Higham and Mary 2019), with 8 for the rounding of the samples themselves.
    """

    def __init__(self, samples: np.ndarray, origin: np.ndarray):
        self.exact, self._origin = samples, origin
        self.near = (samples - origin).astype(np.float32, copy=False)
        self.squares = np.einsum("nd,nd->n", self.near, self.near, dtype=np.float64)
        self.slack = np.finfo(np.float32).eps * (np.sqrt(samples.shape[1]) + 8) * self.squares

    def __len__(self) -> int:
        return len(self.exact)

    def centred(self) -> np.ndarray:
        """The samples around the common origin, float64 (n, D)."""
        return self.exact.astype(np.float64) - self._origin


def _distances(x: Samples, y: Samples) -> np.ndarray:
    """Squared distances (n, m) from float32 products; they may be off by the sum of the slacks."""
    products = (-2 * x.near) @ y.near.T
    products += x.squares.astype(np.float32)[:, None]
    products += y.squares.astype(np.float32)[None]
    return products


def _distances_of_many(x: Samples, y: Samples) -> np.ndarray:
    """Squared distances (n, m) from float64 products; what rounding hides is 0."""
    centred = x.centred(), y.centred()
    squares = [np.einsum("nd,nd->n", part, part) for part in centred]
    products = squares[0][:, None] + squares[1][None] - 2 * (centred[0] @ centred[1].T)
    hidden = (x.slack[:, None] + y.slack[None]) * (np.finfo(np.float64).eps / np.finfo(np.float32).eps)
    return np.where(products <= hidden, 0.0, products)


def _distances_of_pairs(x: Samples, y: Samples, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared distances of single pairs from differences in float64."""
    found = np.empty(len(rows))
    size = max(1, _GATHERED // x.exact.shape[1])
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        difference = x.exact[rows[part]].astype(np.float64)
        difference -= y.exact[columns[part]]
        found[part] = np.einsum("nd,nd->n", difference, difference)
    return found


def _merge(
    x: Samples,
    y: Samples,
    distances: np.ndarray,
    own: np.ndarray | None,
    first: int,
    squares: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Updates `squares` and `indices` in place by the members of a tile that are nearer.

    Args:
        x, y: Queries (n) and members (m).
        distances: Their `_distances`, which may be changed.
        own: Place (n,) of each query itself in the tile, which may be outside it.
        first: Index of the first member.
        squares, indices: The nearest so far, (n, k).
    """
    k = squares.shape[1]
    rows, columns = _candidates(x, y, distances, own, squares[:, -1], k)
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
    x: Samples, y: Samples, distances: np.ndarray, own: np.ndarray | None, limit: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (rows, columns) that may be nearer than the limit (n,); without a limit, the k nearest of the tile."""
    slack = x.slack + y.slack.max()
    if own is not None:
        inside = np.flatnonzero((own >= 0) & (own < len(y)))
        distances[inside, own[inside]] = np.inf
    if k < len(y) and not np.isfinite(limit).all():
        limit = np.minimum(limit, np.partition(distances, k - 1, axis=1)[:, k - 1] + slack)
    limit = limit * (1 + 1e-6) + slack
    chosen = distances <= np.minimum(limit, np.finfo(np.float32).max).astype(np.float32)[:, None]
    if np.count_nonzero(chosen) > _MANY * (len(x) + len(y)):
        distances = np.where(chosen, _distances_of_many(x, y), np.inf)
        columns = np.argsort(distances, axis=1, kind="stable")[:, : k + _SPARE]
        rows = np.broadcast_to(np.arange(len(x))[:, None], columns.shape)
        kept = chosen[rows, columns]
        return rows[kept], columns[kept]
    # A transposed tile is searched in the order in which it lies in memory.
    rows, columns = np.nonzero(chosen) if chosen.flags.c_contiguous else np.nonzero(chosen.T)[::-1]
    return rows, columns


def _slices(samples: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Consecutive parts with their places."""
    for start in range(0, len(samples), ROWS):
        part = samples[start : start + ROWS]
        yield slice(start, start + len(part)), part
        release(samples)


def mean_of(samples: np.ndarray) -> np.ndarray:
    """About the mean (D,), in blocks; of integers the next whole number, so that their products stay exact.

    Its type is such that float32 samples stay in float32 around it, and others lose nothing.
    """
    mean = sum(part.sum(axis=0, dtype=np.float64) for _, part in _slices(samples)) / len(samples)
    mean = np.rint(mean) if np.issubdtype(samples.dtype, np.integer) else mean
    return mean.astype(np.result_type(samples.dtype, np.float32))
