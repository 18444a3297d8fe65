"""The parametric game characters: who they are, how they look, and how they are drawn."""

from facegraft.characters.assets import Assets, load_assets
from facegraft.characters.attributes import (
    EXPRESSION_NAMES,
    Attributes,
    attribute_code,
    attribute_code_groups,
    attribute_values,
    sample_attributes,
)
from facegraft.characters.camera import canonical_landmarks
from facegraft.characters.deform import neutral_head
from facegraft.characters.errors import CharacterError
from facegraft.characters.expressions import EXPRESSIONS
from facegraft.characters.grids import GridSpec, draw_split, render_grid
from facegraft.characters.identity import (
    IDENTITY_CODE_GROUPS,
    Identity,
    identity_code,
    identity_values,
    sample_identity,
)
from facegraft.characters.regions import IDENTITY_REGIONS
from facegraft.characters.render import Rendering, render, render_head, timed_render

RENDERING = 1
"""Number of the renderer's pictures: one more with each change that shows in them.

Of one number and the same params, two renderings differ by the processor's rounding alone.
"""

__all__ = [
    "EXPRESSIONS",
    "EXPRESSION_NAMES",
    "IDENTITY_CODE_GROUPS",
    "IDENTITY_REGIONS",
    "RENDERING",
    "Assets",
    "Attributes",
    "CharacterError",
    "GridSpec",
    "Identity",
    "Rendering",
    "attribute_code",
    "attribute_code_groups",
    "attribute_values",
    "canonical_landmarks",
    "draw_split",
    "identity_code",
    "identity_values",
    "load_assets",
    "neutral_head",
    "render",
    "render_grid",
    "render_head",
    "sample_attributes",
    "sample_identity",
    "timed_render",
]
