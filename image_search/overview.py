"""Which pictures stand for a whole collection: what the page shows before anyone has asked."""

from typing import Any

import faiss
import numpy as np

from image_search.encoder import Vectors
from image_search.index.faiss_index import FaissIndex
from image_search.index.protocol import Rows

COUNT = 60

ROUNDS = 20
GOLDEN_RATIO = 0.618034
SEED = 2022
"""Fixed, so that the same collection shows itself in the same way."""


def representative(index: FaissIndex, vectors: Vectors, count: int = COUNT) -> list[int]:
    """Up to `count` rows, spread over the (n, dim) unit vectors of `index`, mixed well.

    Spherical k-means (Dhillon and Modha, 2001) with a cluster for each picture that is wanted;
    the picture nearest to the middle of a cluster stands for it.
    """
    if len(vectors) <= count:
        rows = np.arange(len(vectors))
    else:
        faiss.omp_set_num_threads(1)  # sums in the same order every time
        means = faiss.Kmeans(
            vectors.shape[1], count, niter=ROUNDS, seed=SEED, spherical=True,
            min_points_per_centroid=1,
        )  # fmt: skip
        means.train(np.ascontiguousarray(vectors))
        centroids: Any = means.centroids
        rows = np.unique([index.search(centroid, 1)[0][0] for centroid in centroids])
    return _varied(rows, vectors[rows])


def _varied(rows: Rows, vectors: Vectors) -> list[int]:
    """The rows in another order: neighbours differ, and any beginning of it is a fair sample.

    Steps of the golden ratio along the direction in which the pictures differ most (their first
    principal component): like pictures lie together there, and are far apart afterwards.
    """
    direction = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][0]
    steps = np.arange(len(rows)) * GOLDEN_RATIO % 1
    order = np.argsort(vectors @ direction)[np.argsort(np.argsort(steps))]
    return [int(row) for row in rows[order]]
