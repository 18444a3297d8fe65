"""Tiny datasets made with NumPy, for tests that need no renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from facegraft.adapters import store
from facegraft.characters.morphs import Morphs
from facegraft.data.grids import Grid, Readings, image_key
from facegraft.method.landmarks import EXPRESSIONS, LEFT_LIDS, RIGHT_LIDS, face_mesh

LANDMARKS_64 = np.array([[20, 24], [44, 24], [32, 36], [23, 46], [41, 46]], np.float32)


def grid(name: str, *, rows: int = 3, columns: int = 2, size: int = 64, seed: int = 0) -> Grid:
    """Drawn faces: skin disc, two eyes and a mouth; colour by row, ground by column."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    images = np.zeros((rows, columns, 3, size, size), np.uint8)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    for i in range(rows):
        for a in range(columns):
            ground, skin = rng.integers(20, 235, (2, 3))
            cell = np.broadcast_to(ground[:, None, None], (3, size, size)).copy()
            cell[:, (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.16] = skin[:, None]
            for cx, cy in ((0.32, 0.38), (0.68, 0.38), (0.5, 0.72)):
                cell[:, (x - cx) ** 2 + (y - cy) ** 2 < 0.006] = 255 - skin[:, None]
            images[i, a] = cell + rng.integers(0, 8, cell.shape)
    return Grid(
        name=name,
        images=images,
        regions=rng.integers(0, 11, (rows, columns, size, size), np.uint8),
        landmarks=np.broadcast_to(LANDMARKS_64 * (size / 64), (rows, columns, 5, 2)).copy(),
        anchors=_anchors(rng, rows, columns),
        identity_ids=tuple(f"{name}-i{i:02d}" for i in range(rows)),
        attribute_ids=tuple(f"{name}-a{a:02d}" for a in range(columns)),
        identity_code=rng.normal(size=(rows, 6)).astype(np.float32),
        attribute_code=rng.normal(size=(columns, 4)).astype(np.float32),
        keys=np.array(
            [[image_key(name, i, a) for a in range(columns)] for i in range(rows)], object
        ),
        readings=readings(rng, rows, columns),
    )


def readings(rng: np.random.Generator, rows: int, columns: int) -> Readings:
    """Landmarks of the canonical face: bent smoothly by row, turned and placed by column."""
    places = face_mesh().positions * [1, -1, -1]
    eyes = [places[list(lids)].mean(axis=0) for lids in (LEFT_LIDS, RIGHT_LIDS)]
    rim = np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]]) * 0.5
    irises = [eye + rim for eye in eyes]
    face = np.concatenate([places, *irises]) / 12.0  # (478, 3), about 1.4 wide
    landmarks = np.zeros((rows, columns, *face.shape), np.float32)
    waves = rng.normal(scale=2.0, size=(rows, 3, 3)), rng.normal(scale=0.04, size=(rows, 3))
    for i in range(rows):
        bent = face + np.sin(face @ waves[0][i]) * waves[1][i]
        for a in range(columns):
            angle = 0.3 * (a - (columns - 1) / 2)
            turn = np.array(
                [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
            )
            landmarks[i, a] = bent @ turn.T + [0.02 * a, -0.01 * a, 0]
    expression = rng.uniform(0, 0.3, (rows, columns, EXPRESSIONS)).astype(np.float32)
    return Readings(landmarks, expression)


def _anchors(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Nine visible points per cell, anywhere in the picture."""
    anchors = rng.uniform(-1, 1, (rows, columns, 9, 3)).astype(np.float16)
    anchors[..., 2] = 1
    return anchors


def dataset(folder: Path, **options: int) -> pd.DataFrame:
    """Write one grid per split below `folder` and return the manifest."""
    frames = []
    for split in store.SPLITS:
        part = grid(f"{split}-000", **options)
        store.write_grid(folder, part)
        frames.append(
            store.manifest_rows(
                part,
                split,
                identities=[{"nose.width": 0.1 * i} for i in range(len(part.identity_ids))],
                attributes=[{"yaw": float(a)} for a in range(len(part.attribute_ids))],
                licence="CC0-1.0",
            )
        )
    manifest = pd.concat(frames, ignore_index=True)
    store.write_manifest(folder, manifest)
    return manifest


def displacement(morphs: Morphs, item: int, vertices: int) -> np.ndarray:
    """Displacement `item` of packed ones, also where it is 0: float32 (vertices, 3)."""
    field = np.zeros((vertices, 3), np.float32)
    start, stop = morphs.starts[item], morphs.starts[item + 1]
    field[morphs.index[start:stop].numpy()] = morphs.delta[start:stop].numpy()
    return field
