"""Vertex normals, added up in a fixed order: the same sums whatever the number of threads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Fans:
    """Which triangles meet at each vertex of a mesh, in rounds: the k-th triangle of every vertex.

    Attributes:
        corners: three int64 (T,).
        rounds: int64 arrays that grow shorter; entry i of round k is the k-th triangle of the
            vertex of rank i, ranks being by the number of triangles, most first.
        rank: int64 (N,), the rank of each vertex.
    """

    corners: tuple[torch.Tensor, ...]
    rounds: tuple[np.ndarray, ...]
    rank: np.ndarray


def find_fans(triangles: torch.Tensor, vertices: int) -> Fans:
    """The fans of a mesh of `vertices` with triangles int64 (T, 3)."""
    corners = tuple(triangles[:, k].contiguous() for k in range(3))
    every = torch.cat(corners).numpy()
    count = np.bincount(every, minlength=vertices)
    ranked = np.argsort(-count, kind="stable")
    rank = np.empty(vertices, np.int64)
    rank[ranked] = np.arange(vertices)
    meeting = np.argsort(every, kind="stable") % len(triangles)
    begin = (np.cumsum(count) - count)[ranked]
    most = count[ranked]
    rounds = tuple(meeting[begin[most > k] + k] for k in range(int(most[0])))
    return Fans(corners, rounds, rank)


def vertex_normals(fans: Fans, vertices: torch.Tensor) -> torch.Tensor:
    """Unit normals float32 (N, 3) of vertices (N, 3), weighted by triangle area."""
    u, v = [], []
    for place in vertices.t().contiguous():
        a, b, c = (place.index_select(0, corner) for corner in fans.corners)
        u.append(b - a)
        v.append(c - a)
    face = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
    total = torch.stack([_added(fans, part.double().numpy()) for part in face])
    length = (total[0] * total[0] + total[1] * total[1] + total[2] * total[2]).sqrt()
    return (total / length.clamp_min(1e-12)).t().contiguous()


def area_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """`vertex_normals` of one shape of any mesh, slower: float (V, 3); 0 off the triangles."""
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], face)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def _added(fans: Fans, values: np.ndarray) -> torch.Tensor:
    """Sums float32 (N,) over the triangles that meet at each vertex of values float64 (T,)."""
    sums = np.zeros(len(fans.rank))
    for meeting in fans.rounds:
        sums[: len(meeting)] += values.take(meeting)
    return torch.from_numpy(sums.take(fans.rank)).float()
