"""The data gate: a Great Expectations checkpoint over the manifest and one over the pictures.

Every rule is a GX expectation; what GX cannot say about one row by itself (an identity in two
splits, a parameter out of its range) is first counted into a column. Fails closed: a rule that
cannot be computed is a failed rule.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegraft.adapters.store import SPLITS, SUBJECT_KINDS
from facegraft.atomic import replacing
from facegraft.config import ValidateParams

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.json"

STATISTICS = (
    "key", "decodable", "problem", "channels", "width", "height", "size", "sha256_matches",
    "pixel_std", "face_found", "face_score", "face_fraction",
)  # fmt: skip
"""Columns of the statistics frame; see `stages.statistics`."""

Bounds = Mapping[str, tuple[float, float]]
"""Parameter column -> lowest and highest value allowed."""


@dataclass(frozen=True)
class RuleResult:
    """One rule's verdict.

    Attributes:
        rule: short name, e.g. "consent_present".
        meaning: the rule in words.
        passed: False also if the rule could not be computed.
        checked: rows looked at.
        keys: images that break it (also where the rule as a whole still passes).
        observed: what was seen, in words.
    """

    rule: str
    meaning: str
    passed: bool
    checked: int
    keys: tuple[str, ...]
    observed: str


@dataclass(frozen=True)
class GateReport:
    """All rules' verdicts, in the order they are shown."""

    rules: tuple[RuleResult, ...]

    @property
    def failures(self) -> tuple[RuleResult, ...]:
        return tuple(rule for rule in self.rules if not rule.passed)

    @property
    def passed(self) -> bool:
        """Every rule passed, and there was at least one."""
        return bool(self.rules) and not self.failures

    def message(self) -> str:
        """One line: the first failed rule, its images (five and a count), how many more rules."""
        if not self.failures:
            return "every rule passed" if self.rules else "no rule was run"
        first, *others = self.failures
        shown = ", ".join(first.keys[:5])
        more = f" and {len(first.keys) - 5} more" if len(first.keys) > 5 else ""
        images = f": {shown}{more}" if shown else f" ({first.observed})"
        rest = ", ".join(f"{one.rule} ({_images(len(one.keys))})" for one in others)
        rest = f"; also failed: {rest}" if rest else ""
        return f"rule {first.rule} ({first.meaning}) failed{images}{rest}"


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def run_gate(
    manifest: pd.DataFrame,
    statistics: pd.DataFrame,
    params: ValidateParams,
    out_dir: Path,
    bounds: Bounds | None = None,
) -> GateReport:
    """Check both frames and keep GX's own results in `out_dir`/results.json.

    Args:
        manifest: columns of `store.MANIFEST` and parameters.
        statistics: columns of `STATISTICS`, one row per image.
        bounds: of parameter columns; columns without bounds must only be finite.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    results: dict[str, Any] = {}
    rules: list[RuleResult] = []
    for name, frame, expectations in (
        ("manifest", with_counts(manifest, bounds or {}), _manifest_rules(params)),
        ("pictures", statistics, _picture_rules(params)),
    ):
        validated = _checkpoint(name, frame, expectations)
        results[name] = validated.to_json_dict()
        rules += [_verdict(result, len(frame)) for result in _in_order(validated, expectations)]
    with replacing(out_dir / RESULTS) as temporary:
        temporary.write_text(json.dumps(results, indent=1, default=str), encoding="utf-8")
    return GateReport(tuple(rules))


def with_counts(manifest: pd.DataFrame, bounds: Bounds) -> pd.DataFrame:
    """The manifest's columns that rules read, with what spans rows counted into columns."""
    kept = [c for c in manifest.columns if not c.startswith(("identity.", "attribute."))]
    frame = manifest[kept].drop(columns=["landmarks", "identity_code", "attribute_code"])
    for column in ("sha256", "identity_id", "attribute_id"):
        frame[f"splits_of_{column}"] = _distinct(manifest, column, "split")
    frame["attributes_of_identity"] = _distinct(manifest, "identity_id", "attribute_id")
    frame["parameter_excess"] = _parameter_excess(manifest, bounds)
    frame["landmark_excess"] = _landmark_excess(manifest)
    return frame


def _distinct(manifest: pd.DataFrame, by: str, of: str) -> pd.Series:
    """Per row, how many values of column `of` its value of column `by` is seen with."""
    pairs = manifest[[by, of]].dropna().drop_duplicates()
    return manifest[by].map(pairs[by].value_counts())


def _parameter_excess(manifest: pd.DataFrame, bounds: Bounds) -> np.ndarray:
    """Largest distance of a row's parameters from their bounds; 0 inside, infinite if NaN.

    A row without any parameter (an imported picture) has none to be wrong.
    """
    worst = np.zeros(len(manifest))
    has_none = np.ones(len(manifest), bool)
    for column in manifest.columns:
        if column.startswith(("identity.", "attribute.")):
            values = manifest[column].to_numpy(np.float64)
            low, high = bounds.get(column, (-np.inf, np.inf))
            excess = np.maximum(low - values, values - high)
            worst = np.maximum(worst, np.where(np.isfinite(values), excess, np.inf))
            has_none &= np.isnan(values)
    return np.where(has_none, 0.0, worst)


def _landmark_excess(manifest: pd.DataFrame) -> np.ndarray:
    """How far the farthest landmark lies outside the picture, over its side; infinite if NaN."""
    unknown = np.full(10, np.nan)
    points = np.array(
        [p if p is not None and np.shape(p) == (10,) else unknown for p in manifest["landmarks"]],
        np.float64,
    ).reshape(-1, 10)
    place = points / manifest["size"].to_numpy(np.float64).clip(1)[:, None]
    excess = np.maximum(-place.min(axis=1), place.max(axis=1) - 1.0).clip(0.0)
    return np.where(np.isfinite(points).all(axis=1), excess, np.inf)


def _manifest_rules(params: ValidateParams) -> list[Any]:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    present = [
        gxe.ExpectColumnValuesToNotBeNull(
            column=column, **_rule(f"{column}_present", f"every image names its {column}")
        )
        for column in ("key", "sha256", "split", "identity_id", "attribute_id", "licence")
    ]
    once = [
        gxe.ExpectColumnValuesToBeBetween(
            column=f"splits_of_{column}", min_value=1, max_value=1, **_rule(rule, meaning)
        )
        for column, rule, meaning in (
            ("sha256", "no_duplicate_across_splits", "no picture lies in two splits"),
            ("identity_id", "identity_in_one_split", "no identity lies in two splits"),
            ("attribute_id", "attributes_in_one_split", "no attribute set lies in two splits"),
        )
    ]
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1, **_rule("not_empty", "the manifest lists images")
        ),
        *present,
        gxe.ExpectColumnValuesToBeUnique(
            column="key", **_rule("key_unique", "no key names two images")
        ),
        gxe.ExpectColumnDistinctValuesToEqualSet(
            column="split",
            value_set=list(SPLITS),
            **_rule("splits_complete", f"the splits are {', '.join(SPLITS)}, all of them"),
        ),
        *once,
        gxe.ExpectColumnValuesToBeInSet(
            column="subject_kind",
            value_set=list(SUBJECT_KINDS),
            **_rule("subject_kind_known", f"subject_kind is {', '.join(SUBJECT_KINDS)}"),
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="subject_kind", **_rule("subject_kind_present", "every image has a kind")
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="consent",
            row_condition=Column("subject_kind") == "real_person",
            **_rule("consent_present", "every picture of a real person names a consent"),
        ),
        gxe.ExpectColumnValuesToMatchRegex(
            column="consent",
            regex=r"\S",
            row_condition=Column("subject_kind") == "real_person",
            **_rule("consent_not_blank", "a consent reference of a real person is not blank"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="attributes_of_identity",
            min_value=params.min_attributes_per_identity,
            **_rule(
                "enough_attributes",
                f"every identity is seen under {params.min_attributes_per_identity} or more "
                "attribute sets",
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="parameter_excess",
            min_value=0,
            max_value=1e-6,
            **_rule("parameters_in_range", "every parameter lies within its bounds"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="landmark_excess",
            min_value=0,
            max_value=params.max_landmark_outside,
            **_rule(
                "landmarks_in_picture",
                f"no landmark lies more than {params.max_landmark_outside:g} of the side outside",
            ),
        ),
    ]


def _picture_rules(params: ValidateParams) -> list[Any]:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    # A file that cannot be read breaks one rule, not all of them.
    readable: dict[str, Any] = {"row_condition": Column("problem") == ""}
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1, **_rule("pictures_seen", "pictures were looked at")
        ),
        *[
            gxe.ExpectColumnValuesToNotBeNull(
                column=column, **_rule(f"{column}_measured", f"{column} was measured")
            )
            for column in ("problem", "decodable", "sha256_matches", "pixel_std", "face_found")
        ],
        gxe.ExpectColumnValuesToBeInSet(
            column="decodable", value_set=[True], **_rule("decodable", "every picture can be read")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="sha256_matches",
            value_set=[True],
            **readable,
            **_rule("bytes_match_manifest", "every picture has the manifest's sha256"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="channels",
            value_set=[3],
            **readable,
            **_rule("rgb", "every picture has three channels"),
        ),
        *[
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A=side,
                column_B="size",
                **readable,
                **_rule(f"exact_{side}", f"every picture has the {side} that the manifest says"),
            )
            for side in ("width", "height")
        ],
        gxe.ExpectColumnValuesToBeBetween(
            column="pixel_std",
            min_value=params.min_pixel_std,
            **readable,
            **_rule("not_blank", f"grey levels deviate by {params.min_pixel_std:g} or more"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="face_found",
            value_set=[True],
            mostly=params.min_face_detected,
            **readable,
            **_rule(
                "face_present",
                f"the detector finds a face in {params.min_face_detected:.1%} or more",
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="face_fraction",
            min_value=params.min_face_fraction,
            mostly=params.min_face_detected,
            **readable,
            **_rule(
                "face_large_enough",
                f"found faces are {params.min_face_fraction:.0%} of the height or more, in "
                f"{params.min_face_detected:.1%} or more",
            ),
        ),
    ]


def _rule(name: str, meaning: str) -> dict[str, Any]:
    return {"meta": {"rule": name, "meaning": meaning}}


def _checkpoint(name: str, frame: pd.DataFrame, expectations: list[Any]) -> Any:
    """Run one GX checkpoint over one frame; its suite's validation result."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("facegraft")
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[],
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": ["key"],
                "return_unexpected_index_query": False,
            },
        )
    )
    (validated,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
    return validated


def _in_order(validated: Any, expectations: list[Any]) -> list[Any]:
    """GX's results in the order of the rules; a rule without a result is a fault of ours."""
    by_rule = {result.expectation_config.meta["rule"]: result for result in validated.results}
    return [by_rule[expectation.meta["rule"]] for expectation in expectations]


def _verdict(result: Any, rows: int) -> RuleResult:
    meta, found = result.expectation_config.meta, result.result
    raised = [str(fault) for fault in _exceptions(result.exception_info)]
    places = found.get("unexpected_index_list") or []
    unexpected = found.get("unexpected_count")
    if raised:
        observed = f"could not be computed: {' '.join(raised[0].split())[:200]}"
    elif unexpected is not None:
        total = found.get("element_count", rows) - found.get("missing_count", 0)
        observed = f"{unexpected:,} of {total:,} break it" if unexpected else f"all {total:,} hold"
        observed = observed if total else "nothing to check"
    else:
        observed = f"observed {found.get('observed_value')}"
    return RuleResult(
        rule=meta["rule"],
        meaning=meta["meaning"],
        passed=bool(result.success) and not raised,
        checked=int(found.get("element_count", rows)),
        keys=tuple(dict.fromkeys(str(place["key"]) for place in places)),
        observed=observed,
    )


def _exceptions(info: Mapping[str, Any]) -> list[Any]:
    """GX puts one exception flat, several under the ids of their metrics."""
    if "raised_exception" in info:
        return [info["exception_message"]] if info["raised_exception"] else []
    return [one["exception_message"] for one in info.values() if one.get("raised_exception")]
