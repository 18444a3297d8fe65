"""The benchmark's table, in a terminal and as Markdown."""

from __future__ import annotations

from facegraft.evaluation.bootstrap import Figure
from facegraft.evaluation.tables import as_markdown, as_text, metric_table, metrics_of

FIGURES = {
    "model/psnr": Figure(mean=20.123, low=19.9, high=20.3, pairs=9),
    "copy_target/psnr": Figure(mean=18.0, low=17.0, high=19.0, pairs=9),
    "model/pose_error": Figure(mean=None, low=None, high=None, pairs=0),
}


def test_every_row_has_its_cell_and_a_missing_figure_says_so() -> None:
    table = metric_table(FIGURES, {"second_judge": "not installed"})
    assert table[0] == ["metric", "model", "true_swap", "copy_target", "copy_source"]
    assert table[1] == ["psnr ↑", "20.12 [19.90, 20.30]", "-", "18.00 [17.00, 19.00]", "-"]
    assert table[2][:2] == ["pose_error ↓", "not measured"]
    assert table[3] == ["second_judge", *["not installed"] * 4]


def test_the_judge_comes_first_and_the_models_own_losses_last() -> None:
    one = FIGURES["model/psnr"]
    keys = ("identity_loss", "pose_error", "psnr_changed_gain", "psnr", "judge_detected")
    assert metrics_of({f"model/{key}": one for key in keys}) == (
        "judge_detected", "psnr_changed_gain", "psnr", "pose_error", "identity_loss"
    )  # fmt: skip


def test_a_terminal_sees_columns_and_markdown_a_table() -> None:
    table = metric_table(FIGURES, {})
    shown = as_text(table).splitlines()
    ends = (("model", "20.30]"), ("true_swap", "-"), ("copy_target", "19.00]"))
    for head, cell in ends:
        assert shown[0].index(head) + len(head) == shown[1].index(cell) + len(cell)
    assert shown[1].startswith("psnr ↑")
    written = as_markdown(table).splitlines()
    assert written[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert all(line.count("|") == 6 for line in written)
