"""Contour landmarks of brows and irises, the last `STROKES` of a rendered picture's anchors.

A point of the surface stays what it is when identity is exchanged; a brow becomes thicker on the
same skin. So their contours are points of their own.
"""

from __future__ import annotations

BROW_ALONG = (0.0, 0.2425, 0.485, 0.7275, 0.97)
"""Where along a brow its lower and its upper edge are known, from the nose outwards; its ends fade
out."""

BROW_STEPS = len(BROW_ALONG)

BROW_POINTS = 2 * 2 * BROW_STEPS
"""Both brows, left as seen in the picture first; of each its lower edge, then its upper one."""

IRIS_POINTS = 2 * 3
"""Both irises, left first: the middle, the rim towards the right, the rim upwards."""

STROKES = BROW_POINTS + IRIS_POINTS

MEANING = f"brows at {BROW_ALONG}, lower then upper; irises: middle, right, up"
"""What the points are: a part of the name of every dataset's points. Change it with them."""
