"""Whether an identity's images show one person, by a recogniser's embeddings."""

from __future__ import annotations

import numpy as np

UNKNOWN = -2.0
"""The margin of an identity that cannot be judged: below any cosine difference but the largest."""


def identity_margins(embeddings: np.ndarray, identities: np.ndarray) -> dict[str, float]:
    """Identity -> mean cosine of its images to each other minus that to other identities' images.

    The subtraction matters: pictures of one style, or under one hood, resemble each other whoever
    is in them. `UNKNOWN` where an identity has fewer than two images with a face, or is alone.

    Args:
        embeddings: float (N, D), unit length; a row of NaN has no face.
        identities: (N,) names.
    """
    seen = np.isfinite(embeddings).all(axis=1)
    margins = {}
    for identity in dict.fromkeys(identities.tolist()):
        ours = embeddings[seen & (identities == identity)].astype(np.float64)
        theirs = embeddings[seen & (identities != identity)].astype(np.float64)
        if len(ours) < 2 or not len(theirs):
            margins[str(identity)] = UNKNOWN
            continue
        within = (ours @ ours.T)[~np.eye(len(ours), dtype=bool)]
        margins[str(identity)] = float(within.mean() - (ours @ theirs.T).mean())
    return margins
