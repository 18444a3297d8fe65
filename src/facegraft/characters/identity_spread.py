"""How widely `sample_identity` spreads each axis."""

from __future__ import annotations

import numpy as np

AXIS_DEVIATION = 0.42
"""Characters, not caricatures."""

BOLDEST = 1.0
"""For the proportions by which an independent recogniser tells faces apart; clipped at 1."""

BOLD = 0.7
"""For further proportions that stay pleasant when pushed."""

MILD = 0.25
"""For axes that crease skin, hood the eyes or make a mask of the face."""

BOLDEST_AXES = (
    "face_shape/head_scale_vert", "face_shape/head_scale_horiz", "face_shape/head_angle_out",
    "face_shape/head_fat",
    "brows/eyebrows_angle_up", "brows/eyebrows_trans_up",
    "eyes/eye_trans_out", "eyes/eye_trans_up", "eyes/eye_scale", "eyes/eye_epicanthus_out",
    "nose/nose_scale_vert", "nose/nose_scale_horiz", "nose/nose_base_up", "nose/nose_width3",
    "nose/nose_width2", "nose/nose_nostrils_width",
    "mouth/mouth_trans_up", "mouth/mouth_scale_horiz",
)  # fmt: skip

BOLD_AXES = (
    "face_shape/chin_height", "face_shape/chin_width", "face_shape/cheek_volume",
    "face_shape/cheek_bones", "face_shape/forehead_temple",
    "eyes/eye_corner1_up", "eyes/eye_corner2_up", "eyes/eye_height2",
    "nose/nose_trans_up", "nose/nose_nostrils_angle_up", "nose/nose_curve",
    "nose/nose_scale_depth", "nose/nose_hump", "nose/nose_greek", "nose/nose_flaring",
    "mouth/mouth_scale_vert", "mouth/mouth_angles_up", "mouth/mouth_trans_forward",
    "mouth/mouth_upperlip_height", "mouth/mouth_lowerlip_height",
)  # fmt: skip

MILD_AXES = (
    "face_shape/head_age", "face_shape/cheek_inner", "face_shape/forehead_nubian",
    "face_shape/head_back_scale_depth", "face_shape/forehead_scale_vert",
    "face_shape/chin_prognathism", "face_shape/neck_double", "face_shape/measure_neck_circ",
    "face_shape/head_square", "face_shape/head_rectangular", "brows/eyebrows_trans_forward",
    "eyes/eye_push1_out", "eyes/eye_push2_out", "eyes/eye_bag", "eyes/eye_bag_out",
    "eyes/eye_bag_height", "eyes/eye_eyefold", "eyes/eye_eyefold_up",
    "nose/nose_point_up", "nose/nose_trans_forward",
    "mouth/mouth_laugh_lines_out", "mouth/mouth_dimples_out",
)  # fmt: skip

ONE_SIDED = ("_diamond", "_oval", "_rectangular", "_round", "_square", "_triangular", "_triangle",
             "_invertedtriangular", "_pointed")  # fmt: skip
"""Stems of axes that mean something in one direction only."""


def axis_spread(names: tuple[str, ...]) -> np.ndarray:
    """Standard deviation of each axis, float64 (P,)."""
    return np.array([_spread(name) for name in names])


def _spread(name: str) -> float:
    if name in BOLDEST_AXES:
        return BOLDEST
    if name in BOLD_AXES or "/macro_" in name:
        return BOLD
    return MILD if name in MILD_AXES else AXIS_DEVIATION
