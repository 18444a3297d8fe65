"""The summary that drift is measured by: made by `validate`, kept with the model by `train`."""

from __future__ import annotations

import pandas as pd

from facegraft.data.summary import RANGES, DataSummary, KindSummary, counted


def summarise(manifest: pd.DataFrame, statistics: pd.DataFrame, version: str) -> DataSummary:
    """Of the training split, per subject kind; both frames in one order.

    Args:
        version: of the data, as DVC names it.
    """
    chosen = (manifest["split"] == "train").fillna(False).to_numpy(bool)
    rows, figures = manifest[chosen].reset_index(drop=True), statistics[chosen]
    figures = figures.reset_index(drop=True)
    kinds = {
        str(kind): _kind(rows.loc[places], figures.loc[places])
        for kind, places in rows.groupby("subject_kind").groups.items()
    }
    return DataSummary(data_version=version, kinds=kinds)


def _kind(rows: pd.DataFrame, figures: pd.DataFrame) -> KindSummary:
    distinct = [rows[column].nunique() for column in ("identity_id", "attribute_id")]
    return KindSummary(
        images=len(rows),
        independent=min([count for count in distinct if count] or [len(rows)]),
        counts={
            statistic: counted(statistic, figures[statistic].astype(float).to_numpy())
            for statistic in RANGES
        },
    )
