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

from facegraft.adapters.gate_columns import Bounds, rule_inputs, with_counts
from facegraft.adapters.gate_rules import manifest_rules, picture_rules
from facegraft.core.atomic import replacing
from facegraft.core.config import ValidateParams

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.json"

STATISTICS = (
    "key", "decodable", "problem", "channels", "width", "height", "size", "sha256_matches",
    "pixel_std", "brightness", "clipped", "sharpness", "face_found", "face_score", "face_fraction",
    "yaw", "pitch", "roll", "nearest", "nearest_key", "identity_margin",
)  # fmt: skip
"""Columns of the statistics frame.

`stages/validating/statistics.py` measures those of single pictures, `comparisons.py` beside it the
last three: bits to the nearest picture of another split, and which that is; and how much more an
identity's images resemble each other than other people, on the sampled ones.
"""


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
        ("manifest", with_counts(manifest, bounds or {}), manifest_rules(params)),
        ("pictures", rule_inputs(statistics, params), picture_rules(params)),
    ):
        validated = _checkpoint(name, frame, expectations)
        results[name] = validated.to_json_dict()
        rules += [_verdict(result, len(frame)) for result in _in_order(validated, expectations)]
    with replacing(out_dir / RESULTS) as temporary:
        temporary.write_text(json.dumps(results, indent=1, default=str), encoding="utf-8")
    return GateReport(tuple(rules))


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
        value = found.get("observed_value")
        observed = f"observed {value:.4g}" if isinstance(value, float) else f"observed {value}"
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
