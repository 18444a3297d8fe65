"""What the gate's page shows: its rules, with pictures and histograms of what they read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from facegraft.adapters import store
from facegraft.adapters.gate import GateReport, RuleResult
from facegraft.adapters.store import DataError
from facegraft.core.config import ValidateParams
from facegraft.presenting.pages import GatePage, Picture, Rule, Table, Verdict, embedded
from facegraft.stages.validating.gate_charts import charts

OFFENDERS = 12
"""Pictures shown per rule."""

SAMPLES = 10
"""Pictures shown per split."""

NEAR_DUPLICATES = "no_near_duplicate_across_splits"

DISAGREEING = "identity_agrees"

NOTES = {
    "not_blank": "deviation {pixel_std:.1f}",
    "sharp_enough": "sharpness {sharpness:.2f}",
    "well_exposed": "mean level {brightness:.0f}",
    "not_clipped": "{clipped:.0%} clipped",
    DISAGREEING: "{identity_id}, likeness {identity_margin:.2f} above others",
    "face_large_enough": "face {face_fraction:.0%} of the height",
    NEAR_DUPLICATES: "{nearest:.0f} bits from {nearest_key}",
}
"""What stands below an offender of a rule; elsewhere face and deviation."""


def gate_page(
    report: GateReport,
    manifest: pd.DataFrame,
    statistics: pd.DataFrame,
    data_dir: Path,
    version: str,
    params: ValidateParams,
) -> GatePage:
    """The page's contents.

    Args:
        version: of the data, as DVC names it.
        params: the bounds that the histograms show.
    """
    pictures = _Pictures(data_dir, manifest, statistics)
    text = f"all {len(report.rules)} rules hold." if report.passed else report.message()
    return GatePage(
        verdict=Verdict(report.passed, text),
        version=version,
        images=len(manifest),
        splits=_splits(manifest, statistics),
        charts=charts(manifest, statistics, params),
        rules=[
            Rule(
                name=rule.rule,
                meaning=rule.meaning,
                observed=rule.observed,
                passed=rule.passed,
                pictures=[pictures(key, rule.rule) for key in pictures.offenders(rule)],
                count=len(rule.keys),
            )
            for rule in report.rules
        ],
        samples={
            str(split): [pictures(key) for key in _evenly(rows["key"])]
            for split, rows in manifest.groupby("split", sort=False)
        },
    )


class _Pictures:
    """Single pictures of the dataset, by key."""

    def __init__(self, data_dir: Path, manifest: pd.DataFrame, statistics: pd.DataFrame) -> None:
        self._data_dir = data_dir
        self._places = manifest.drop_duplicates("key").set_index("key")
        self._statistics = statistics.drop_duplicates("key").set_index("key")

    def __call__(self, key: str, rule: str = "") -> Picture:
        seen = self._statistics.loc[key] if key in self._statistics.index else None
        note = "" if seen is None else self._note(seen, self._places.loc[key], rule)
        return Picture(self._address(key), key, note)

    def _address(self, key: str) -> str:
        try:
            place = self._places.loc[key]
            shard = store.open_shard(self._data_dir / str(place["shard"]))
            cell = store.cell_at(shard, int(place["row"]), int(place["column"]))
        except (KeyError, IndexError, DataError, TypeError, ValueError):
            return ""
        if cell.ndim != 3 or cell.shape[0] != 3:
            return ""
        return embedded(cell.transpose(1, 2, 0))

    def offenders(self, rule: RuleResult) -> list[str]:
        """The keys to show: a near-duplicate with the picture that it resembles beside it, an
        identity's images together, the worst identity first.
        """
        if rule.rule == DISAGREEING:
            seen = self._statistics.loc[self._statistics.index.isin(rule.keys)]
            worst = seen.sort_values("identity_margin", kind="stable").index
            return [str(key) for key in worst[:OFFENDERS]]
        if rule.rule != NEAR_DUPLICATES:
            return list(rule.keys[:OFFENDERS])
        known = [key for key in rule.keys if key in self._statistics.index]
        twins = [(key, str(self._statistics.loc[key, "nearest_key"])) for key in known]
        return list(dict.fromkeys(key for pair in twins for key in pair))[:OFFENDERS]

    @staticmethod
    def _note(seen: pd.Series, place: pd.Series, rule: str) -> str:
        if seen["problem"]:
            return str(seen["problem"])
        if rule in NOTES:
            return NOTES[rule].format(**{**seen, "identity_id": place["identity_id"]})
        face = f"face {seen['face_fraction']:.0%}" if seen["face_found"] else "no face"
        return f"{face}, deviation {seen['pixel_std']:.0f}"


def _splits(manifest: pd.DataFrame, statistics: pd.DataFrame) -> Table:
    joined = manifest.merge(
        statistics[["key", "face_found", "face_fraction"]], on="key", how="left"
    )
    rows = []
    for split, some in joined.groupby("split", sort=False, dropna=False):
        kinds = ", ".join(f"{n} {kind}" for kind, n in some["subject_kind"].value_counts().items())
        rows.append(
            (
                str(split),
                f"{len(some):,}",
                f"{some['identity_id'].nunique():,}",
                f"{some['attribute_id'].nunique():,}",
                f"{some['face_found'].astype(float).mean():.2%}",
                f"{some['face_fraction'].median():.2f}",
                kinds,
            )
        )
    head = ("split", "images", "identities", "attribute sets", "faces found", "median face height",
            "subjects")  # fmt: skip
    return Table(head, rows, figures=frozenset(range(1, 6)))


def _evenly(keys: pd.Series) -> Sequence[str]:
    places = np.linspace(0, len(keys) - 1, min(SAMPLES, len(keys))).astype(int)
    return [str(key) for key in keys.iloc[places]]
