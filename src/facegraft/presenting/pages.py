"""HTML pages from plain data: one file each, readable without a network.

Every text that a template is given is escaped (autoescape); nothing here is marked as safe.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image


@dataclass(frozen=True)
class Verdict:
    """What a gate decided, in one line."""

    passed: bool
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture with its caption.

    Attributes:
        address: a data URI or a file beside the page; "" where it cannot be shown.
    """

    address: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A drawing as a data URI (an SVG in an `img` runs nothing); "" where nothing was measured."""

    address: str
    label: str


@dataclass(frozen=True)
class Table:
    """Cells as text; a cell `passed` or `failed` is coloured, columns in `figures` stand right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Rule:
    """A rule of the gate, with the first of the `count` pictures that break it."""

    name: str
    meaning: str
    observed: str
    passed: bool
    pictures: Sequence[Picture]
    count: int


@dataclass(frozen=True)
class GatePage:
    """The data gate.

    Attributes:
        splits: a row per split.
        samples: split -> pictures.
    """

    verdict: Verdict
    version: str
    images: int
    splits: Table
    charts: Sequence[Chart]
    rules: Sequence[Rule]
    samples: Mapping[str, Sequence[Picture]]


@dataclass(frozen=True)
class DriftPage:
    """The data against the champion's; without a reference there is no table and no chart."""

    verdict: Verdict
    version: str
    champion: str
    reference: str
    shifts: Table
    charts: Sequence[Chart]


@dataclass(frozen=True)
class BenchmarkPage:
    """One model on the standing benchmark.

    Attributes:
        summary: what the figures belong to, and what a swap costs; sentences.
        objections: where a latent's name and what it moves disagree.
    """

    model: str
    summary: Sequence[str]
    figures: Table
    objections: Sequence[str]
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class ImportPage:
    """What became of every file of an import.

    Attributes:
        sheet: of the crops; None where no picture was taken.
        refused, taken: the first of them.
        omitted: files that neither table names.
    """

    album: str
    terms: str
    counts: Table
    notes: Sequence[str]
    sheet: Picture | None
    refused: Table
    taken: Table
    omitted: int


@dataclass(frozen=True)
class Swap:
    """A finished swap; `warning` is "" where there is none."""

    picture: Picture
    passed: bool
    text: str
    warning: str


@dataclass(frozen=True)
class ReportPage:
    """What the whole pipeline led to.

    Attributes:
        links: text -> address.
        promotion: the decision as a heading; its reasons and the champions below.
    """

    title: str
    links: Mapping[str, str]
    swaps: Sequence[Swap]
    held_out: Picture
    pairs: str
    benchmark: Table
    promotion: str
    reasons: Sequence[str]
    champions: str
    calibration: Table
    gate: str
    rules: Table
    versions: Table


Page = GatePage | DriftPage | BenchmarkPage | ImportPage | ReportPage


def html(page: Page) -> str:
    """The page as a whole document; its template is named after its class."""
    name = type(page).__name__.removesuffix("Page").lower()
    return _environment().get_template(f"{name}.html.j2").render(page=page)


def embedded(picture: np.ndarray | Path) -> str:
    """A data URI of uint8 (H, W, 3), or of a PNG file as it is."""
    if isinstance(picture, Path):
        data = picture.read_bytes()
    else:
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(stream, format="PNG")
        data = stream.getvalue()
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("facegraft.presenting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
