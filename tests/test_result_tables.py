from __future__ import annotations

import io
import re
from functools import cache

import pytest
from rich.console import Console
from test_results import PAPER_DATA, scored

from sedmtl.cli.output import show
from sedmtl.evaluation import paper, tables
from sedmtl.evaluation.aggregate import as_json, tabulate
from sedmtl.evaluation.paper_tables import paper_tables

pytestmark = pytest.mark.slow


def rows_of(*runs):
    return tabulate(runs)


def crossvalidated(**changes):
    return [scored(fold, **changes) for fold in (1, 2, 3, 4)]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Use few bootstrap draws: the layout of tables does not depend on their number."""
    monkeypatch.setattr("sedmtl.evaluation.aggregate.N_DRAWS", 50)


@cache
def table_iv():
    """Rows of all networks at 20, 10 and 0 dB."""
    runs = [
        run
        for snr in paper.SNRS_DB
        for model in paper.TABLE_IV
        for run in crossvalidated(
            data=f"snr_{snr}",
            model=model,
            **PAPER_DATA,
            alpha=0.001 if model == "2apae" else 0.0,
        )
    ]
    return rows_of(*runs)


def cells(table):
    return [cell for row in table.rows for cell in row]


def test_a_network_has_a_line_per_selection_an_interval_and_a_baseline():
    (table,) = tables.result_tables(rows_of(*crossvalidated()))
    kinds = [row[1].strip() for row in table.rows]
    assert kinds == ["validation", "95 %", "test (paper's)", "frequencies"]
    assert table.rows[-1][0] == "baseline"
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_metrics_are_shown_with_their_deviation_over_folds():
    rows = rows_of(*crossvalidated())
    (table,) = tables.result_tables(rows)
    mean, std = map(float, table.rows[0][2].split("±"))
    assert mean == pytest.approx(rows[0].metrics["micro_p"].mean, abs=5e-4)
    assert std == pytest.approx(rows[0].metrics["micro_p"].std, abs=5e-4)
    low, high = map(float, table.rows[1][2].split("-"))
    assert (low, high) == pytest.approx(rows[0].metrics["micro_p"].interval, abs=5e-4)


def test_each_store_has_its_table_and_the_last_explains_all():
    made = tables.result_tables(
        rows_of(scored(1), scored(1, data="snr_0"), scored(1, data="clips"))
    )
    names = ("snr_0", "snr_10", "clips")
    assert [table.title for table in made] == [f"{name}, fold 1 (30 clips)" for name in names]
    assert not made[0].notes
    legend = " ".join(made[-1].notes)
    for word in (
        "validation:",
        "test (paper's):",
        "baseline:",
        "2apae/8 1,234",
    ):
        assert word in legend


def test_differences_have_columns_or_lines_if_columns_would_be_too_wide():
    runs = [scored(1), scored(1, attention="equations"), scored(1, epochs=9), scored(1, width=32)]
    (table,) = tables.result_tables(rows_of(*runs))
    assert table.columns[:3] == ("network", "attention", "epochs")
    assert [row[:3] for row in table.rows if row[0]] == [
        ["2apae/8", "released", "5"], ["2apae/8", "released", "9"], ["2apae/32", "released", "5"],
        ["2apae/8", "equations", "5"], ["baseline", "", ""],
    ]  # fmt: skip
    narrow = table.narrow()
    assert narrow.columns == ["network", *tables.COLUMNS]
    assert [row[0] for row in narrow.rows[:3]] == ["2apae/8", "  attention released", "  epochs 5"]
    assert [row[1:] for row in narrow.rows] == [row[3:] for row in table.rows]


def test_networks_that_know_more_than_weak_labels_are_marked_in_every_table():
    told = {"supervision": "strong", "tasks": {"count": 0.1}}
    rows = rows_of(scored(1), scored(1, **told), scored(1, tasks={"scene": 0.1}))
    (table,) = tables.result_tables(rows)
    supervision, tasks = (table.columns.index(name) for name in ("supervision", "tasks"))
    lines = {(row[0], row[supervision], row[tasks]) for row in table.rows if "/" in row[0]}
    assert lines == {
        ("2apae/8", "weak labels", "none"),
        ("2apae/8†", "known frames, known times", "count 0.1"),
        ("2apae/8", "weak labels", "scene 0.1"),
    }
    (note,) = (note for note in table.notes if note.startswith("†"))
    assert "2apae/8†: frames, times" in note
    assert any("†" in each.title for each in tables.class_tables(rows))
    known = {tuple(row["tasks"]): row["known"] for row in as_json(rows)["rows"]}
    assert known[("reconstruct", "count")] == ["frames", "times"]
    assert known[("reconstruct", "scene")] == known[("reconstruct",)] == []
    (alone,) = tables.result_tables(rows_of(scored(1)))
    assert not any("†" in note for note in alone.notes)


def test_networks_of_one_name_that_know_different_things_are_told_apart_by_a_run():
    timed, separated = scored(1, tasks={"count": 0.1}), scored(1, tasks={"separate": 0.1})
    (table,) = tables.result_tables(rows_of(timed, separated))
    (note,) = (note for note in table.notes if note.startswith("†"))
    assert f"2apae/8† ({timed.name}): times" in note
    assert f"2apae/8† ({separated.name}): stems" in note


def test_in_a_narrow_table_differences_get_lines():
    lines = [["x", "1", "2", "3"], ["y", "", "5", "6"]]
    table = tables.Table("", ("network", "a", "b", "c"), lines, n_left=3, n_apart=2)
    assert [list(row) for row in table.narrow().rows] == [
        ["x", "3"], ["  a 1", ""], ["  b 2", ""], ["y", "6"], ["  b 5", ""]
    ]  # fmt: skip


def test_each_table_has_the_baseline_of_its_own_clips():
    made = tables.result_tables(rows_of(scored(1), scored(2, epochs=9), scored(1, epochs=7)))
    assert [table.title for table in made] == [f"snr_10, fold {n} (30 clips)" for n in (1, 2)]
    rows = rows_of(scored(1), scored(2, epochs=9))
    for table, row in zip(made, rows[::2], strict=True):
        (baseline,) = (cells for cells in table.rows if cells[0] == "baseline")
        assert tables.short(row.prior_micro_p) in baseline


def test_fixed_and_random_onsets_of_one_store_have_tables_of_their_own():
    rows = rows_of(*(scored(1, onsets=rule, model=model)
                     for model in ("gap", "2apae") for rule in ("random", "fixed")))  # fmt: skip
    titles = [f"snr_10, {rule} onsets, fold 1 (30 clips)" for rule in ("fixed", "random")]
    assert [table.title for table in tables.result_tables(rows)] == titles
    made = tables.localisation_tables(rows)
    assert [table.title for table in made] == [f"{title}: localisation" for title in titles]


def test_the_papers_tables_stand_beside_ours_with_the_difference():
    rows = table_iv()
    made = {table.title: table for table in paper_tables(rows)}
    assert set(made) == {f"Table {n}, {snr} dB" for n in ("IV", "V") for snr in paper.SNRS_DB}
    table = made["Table IV, 0 dB"]
    assert [row[0] for row in table.rows[::2]] == ["2apae", "gap", "gmp", "gwrp", "atrous"]
    gwrp = next(row for row in rows if row.recipe["model"] == "gwrp" and row.runs[0].snr_db == 0)
    line = table.rows[6]
    assert line[:3] == ["gwrp", "validation", ".528"]  # 0.5285 is slightly less in binary
    assert float(line[3]) == pytest.approx(gwrp.metrics["micro_p"].mean, abs=5e-4)
    assert float(line[4]) == pytest.approx(gwrp.metrics["micro_p"].mean - 0.5285, abs=5e-4)


def test_table_v_is_about_2apae_at_the_papers_weights():
    runs = [scored(1, alpha=alpha, **PAPER_DATA) for alpha in (0.0, 0.001, 0.01, 0.1, "auto")]
    made = [s for s in paper_tables(rows_of(*runs)) if s.title == "Table V, 10 dB"]
    assert [row[0] for row in made[0].rows[::2]] == ["α 0", "α 0.001", "α 0.01"]


@pytest.mark.parametrize(
    "changes",
    [{"event_corpus": "folder"}, {"data": "snr_5"}, {"attention": "equations"},
     {"reconstruction": "linear"}],
)  # fmt: skip
def test_settings_that_the_paper_lacks_are_not_compared_with_it(changes):
    assert paper_tables(rows_of(scored(1, **{**PAPER_DATA, **changes}))) == []


def test_a_comparison_of_unlike_things_says_so():
    (table, _) = paper_tables(rows_of(*crossvalidated(**PAPER_DATA)))
    notes = " ".join(table.notes)
    assert "Ours: width 8, 4 classes, 4 of the folds. The paper's: width 32, 41 classes" in notes
    assert "differ in size" in notes
    assert paper.MISPRINT in notes


def test_every_table_fits_80_columns():
    rows = table_iv()
    out = io.StringIO()
    show([*tables.result_tables(rows), *paper_tables(rows)], Console(width=80, file=out))
    assert "…" not in out.getvalue()
    assert "Table V, 20 dB" in out.getvalue()


def test_markdown_has_the_same_number_of_cells_in_every_line_of_a_table():
    made = tables.result_tables(rows_of(*crossvalidated(), *crossvalidated(data="snr_0")))
    text = tables.to_markdown(made)
    titles = [f"{name}, folds 1-4 (120 clips)" for name in ("snr_0", "snr_10")]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == titles
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {len(tables.COLUMNS) + 2}
    assert "- Epoch chosen by validation:" in text


def test_the_papers_tables_agree_with_each_other():
    assert paper.TABLE_V[paper.ALPHA] == paper.TABLE_IV["2apae"]
    for table in (paper.TABLE_IV, paper.TABLE_V):
        for by_snr in table.values():
            assert tuple(by_snr) == paper.SNRS_DB
            assert all(0 < value < 1 for reported in by_snr.values() for value in reported)


@pytest.mark.parametrize(
    ("folds", "text"), [((1, 2, 3, 4), "1-4"), ((1, 3, 4), "1,3,4"), ((1, 2), "1,2"), ((2,), "2")]
)
def test_folds_in_a_row_are_written_short(folds, text):
    (table,) = tables.result_tables(rows_of(*(scored(fold) for fold in folds)))
    assert f"fold{'s' * (len(folds) > 1)} {text} (" in table.title


def test_the_papers_tables_say_where_networks_were_scored_on_other_clips():
    rows = rows_of(scored(1, **PAPER_DATA), scored(2, model="gap", alpha=0.0, **PAPER_DATA))
    (table,) = (each for each in paper_tables(rows) if "IV" in each.title)
    assert any("Not all of these were scored on the same clips" in note for note in table.notes)


def test_classes_show_their_clips_and_recordings_and_fit_80_columns():
    made = tables.class_tables(rows_of(*crossvalidated()))
    assert [table.title.rpartition(": ")[2] for table in made] == [
        "classes", "classes, localisation"
    ]  # fmt: skip
    assert made[0].columns == ("class", "positives", "recordings", "AP", "AUC")
    assert all(int(cells[1]) >= int(cells[2]) > 0 for cells in made[0].rows)
    out = io.StringIO()
    show(made, Console(width=80, file=out))
    assert max(map(len, out.getvalue().splitlines())) <= 80
