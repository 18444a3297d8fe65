"""The gate's rules, as Great Expectations' expectations; each carries its name and its meaning."""

from __future__ import annotations

from typing import Any

from facegraft.adapters.store import SPLITS, SUBJECT_KINDS
from facegraft.core.config import ValidateParams


def manifest_rules(params: ValidateParams) -> list[Any]:
    """Rules on the manifest's rows with the columns that `gate_columns.with_counts` adds."""
    return [
        *_presence_rules(),
        *_split_rules(),
        *_consent_rules(),
        *_balance_rules(params),
        *_range_rules(params),
    ]


def _presence_rules() -> list[Any]:
    """There are images, each with a key of its own and with what must be known of it."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1, **_rule("not_empty", "the manifest lists images")
        ),
        *[
            gxe.ExpectColumnValuesToNotBeNull(
                column=column, **_rule(f"{column}_present", f"every image names its {column}")
            )
            for column in ("key", "sha256", "split", "identity_id", "attribute_id", "licence")
        ],
        gxe.ExpectColumnValuesToBeUnique(
            column="key", **_rule("key_unique", "no key names two images")
        ),
    ]


def _split_rules() -> list[Any]:
    """All splits are there, and none shares a picture, identity or attribute set with another."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnDistinctValuesToEqualSet(
            column="split",
            value_set=list(SPLITS),
            **_rule("splits_complete", f"the splits are {', '.join(SPLITS)}, all of them"),
        ),
        *[
            gxe.ExpectColumnValuesToBeBetween(
                column=f"splits_of_{column}", min_value=1, max_value=1, **_rule(rule, meaning)
            )
            for column, rule, meaning in (
                ("sha256", "no_duplicate_across_splits", "no picture lies in two splits"),
                ("identity_id", "identity_in_one_split", "no identity lies in two splits"),
                ("attribute_id", "attributes_in_one_split", "no attribute set lies in two splits"),
            )
        ],
    ]


def _consent_rules() -> list[Any]:
    """Who is shown is known, and a real person's consent is named."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    return [
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
    ]


def _balance_rules(params: ValidateParams) -> list[Any]:
    """Images per identity, and the shares of subject kinds and splits."""
    import great_expectations.expectations as gxe

    return [
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
            column="identity_excess",
            max_value=params.max_identity_imbalance,
            **_rule(
                "identity_balance",
                f"no identity has more than {params.max_identity_imbalance:g} times the images of "
                "the median one of its album, or of its kind",
            ),
        ),
        *[
            gxe.ExpectColumnValuesToBeBetween(
                column=f"share_of_{column}",
                min_value=share,
                **_rule(rule, f"every {what} has {share:.1%} of the images or more"),
            )
            for column, share, rule, what in (
                ("subject_kind", params.min_kind_share, "kind_balance", "subject kind"),
                ("split", params.min_split_share, "split_balance", "split"),
            )
        ],
    ]


def _range_rules(params: ValidateParams) -> list[Any]:
    """Render parameters within their bounds, alignment points within the picture."""
    import great_expectations.expectations as gxe

    return [
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


def picture_rules(params: ValidateParams) -> list[Any]:
    import great_expectations.expectations as gxe

    readable: dict[str, Any] = {"row_condition": _readable()}
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
        *_quality_rules(params, readable),
        *_variety_rules(params),
    ]


def _quality_rules(params: ValidateParams, readable: dict[str, Any]) -> list[Any]:
    """Blur and exposure; up to `max_poor_share` of the pictures may fail each."""
    import great_expectations.expectations as gxe

    most = 1.0 - params.max_poor_share
    tail = f"in {most:.1%} or more"
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="sharpness",
            min_value=params.min_sharpness,
            mostly=most,
            **readable,
            **_rule("sharp_enough", f"sharpness is {params.min_sharpness:g} or more, {tail}"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="brightness",
            min_value=params.min_brightness,
            max_value=params.max_brightness,
            mostly=most,
            **readable,
            **_rule(
                "well_exposed",
                f"the middle's mean level lies between {params.min_brightness:g} and "
                f"{params.max_brightness:g}, {tail}",
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="clipped",
            max_value=params.max_clipped,
            mostly=most,
            **readable,
            **_rule(
                "not_clipped",
                f"{params.max_clipped:.0%} of the middle or less is black or white, {tail}",
            ),
        ),
    ]


def _variety_rules(params: ValidateParams) -> list[Any]:
    """Copies across splits, poses, and whether an identity's images show one person."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="nearest",
            min_value=params.min_hash_distance,
            row_condition=_readable(),
            **_rule(
                "no_near_duplicate_across_splits",
                f"no two splits hold pictures less than {params.min_hash_distance} of 256 bits "
                "apart",
            ),
        ),
        *[
            gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
                column=turn,
                min_value=params.min_pose_share,
                **_rule(
                    f"pose_{turn}",
                    f"{params.min_pose_share:.0%} of the heads or more turn {turn} by {reach:g} "
                    "degrees or more",
                ),
            )
            for turn, reach in (
                ("left", params.min_yaw_reach),
                ("right", params.min_yaw_reach),
                ("up", params.min_pitch_reach),
                ("down", params.min_pitch_reach),
            )
        ],
        gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(
            column="identity_margin",
            min_value=0,
            strict_min=params.min_identities_agree > 0,
            **_rule("identities_judged", "the independent recogniser saw a sample of identities"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="identity_margin",
            min_value=params.min_identity_margin,
            mostly=params.min_identities_agree,
            **_rule(
                "identity_agrees",
                "an identity's images resemble each other by "
                f"{params.min_identity_margin:g} more than other people's, in "
                f"{params.min_identities_agree:.0%} or more of the sample",
            ),
        ),
    ]


def _readable() -> Any:
    """A file that cannot be read breaks one rule, not all of them."""
    from great_expectations.expectations.row_conditions import Column

    return Column("problem") == ""


def _rule(name: str, meaning: str) -> dict[str, Any]:
    return {"meta": {"rule": name, "meaning": meaning}}
