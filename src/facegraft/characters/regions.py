"""The facial regions that identity is made of, and which asset folders feed them."""

IDENTITY_REGIONS = ("face_shape", "eyes", "brows", "nose", "mouth", "ears")
"""Regions that `Identity.mix` can take from another character."""

FOLDER_REGION = {
    "head": "face_shape",
    "cheek": "face_shape",
    "chin": "face_shape",
    "forehead": "face_shape",
    "neck": "face_shape",
    "eyes": "eyes",
    "eyebrows": "brows",
    "nose": "nose",
    "mouth": "mouth",
    "ears": "ears",
}
"""Folder of morph targets -> identity region."""

CODE_GROUPS = {
    "face_shape": ("face_shape", "ears"),
    "eyes": ("eyes",),
    "brows": ("brows",),
    "nose": ("nose",),
    "mouth": ("mouth",),
}
"""Group of the identity code -> regions whose axes it summarises."""

MACROS = ("gender", "age", "african", "asian")
"""Whole-head modes; each region carries its own copy, windowed to that region."""


def region_of(name: str) -> str:
    """The region of an axis name such as "nose/hump"."""
    return name.split("/", 1)[0]
