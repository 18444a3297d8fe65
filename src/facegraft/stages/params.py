"""Stage `params`: every knob as aligned text, from the models that check params.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from facegraft.core.config import Params, Section

ABSENT = "-"
"""A key that only one of the two has."""

CHANGED = "*"
"""Before a key whose value in use is not the default."""

SIGNS = ((Gt, "gt", ">"), (Ge, "ge", ">="), (Lt, "lt", "<"), (Le, "le", "<="))


class Knob(NamedTuple):
    """One knob as it is shown; all are texts."""

    key: str
    used: str
    default: str
    bounds: str
    meaning: str

    @property
    def mark(self) -> str:
        return CHANGED if self.used != self.default else " "


HEAD = Knob("key", "in use", "default", "bounds", "meaning")


def table(params: Params, section: str | None = None) -> str:
    """Key, value in use, default, bounds and meaning of every knob, a line each.

    Args:
        section: its name in params.yaml; None shows all.
    """
    shown = [
        knob
        for knob in knobs(params, Params())
        if section is None or knob.key.startswith(f"{section}.")
    ]
    rows = [HEAD, *shown]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD) - 1)]
    lines = [
        f"{' ' if row is HEAD else row.mark} "
        + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        + f"  {row.meaning}"
        for row in rows
    ]
    changed = sum(knob.mark == CHANGED for knob in shown)
    return "\n".join([*lines, f"{len(shown)} knobs; {CHANGED} {changed} differ from the default"])


def knobs(used: Section, default: Section, prefix: str = "") -> Iterator[Knob]:
    """Those of a section and of all sections in it, in the order of their definition."""
    for name, field in type(used).model_fields.items():
        mine, standard = getattr(used, name), getattr(default, name)
        key = f"{prefix}{field.alias or name}"
        if isinstance(mine, Section):
            yield from knobs(mine, standard, f"{key}.")
            continue
        bounds, meaning = _bounds(field), field.description or ""
        if not isinstance(mine, dict) or not (mine or standard):
            yield Knob(key, _text(mine), _text(standard), bounds, meaning)
            continue
        for one in {**standard, **mine}:
            now, then = (_text(x[one]) if one in x else ABSENT for x in (mine, standard))
            yield Knob(f"{key}.{one}", now, then, bounds, meaning)


def _text(value: Any) -> str:
    """As params.yaml holds it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return np.format_float_positional(value, trim="0")
    return str(value)


def _bounds(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " | ".join(map(str, get_args(field.annotation)))
    if field.annotation is bool:
        return "true | false"
    return ", ".join(
        f"{sign} {getattr(one, attribute):g}"
        for one in field.metadata
        for kind, attribute, sign in SIGNS
        if isinstance(one, kind)
    )
