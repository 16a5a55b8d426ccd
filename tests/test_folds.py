"""Folds of the user's recordings: stable if they follow from names, even if balanced."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from conftest import invoke

from sedmtl.data.folds import balanced_folds, folds_by_name, groups_of

RARE, COMMON = 8, 90


def corpus(seed=0, n_groups=60):
    """Target (n, 2) of a rare and a common class, and groups of one to four rows."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"g{n}" for n in range(n_groups)], rng.integers(1, 5, n_groups)).tolist()
    target = np.zeros((len(groups), 2), np.uint8)
    target[rng.choice(len(groups), RARE, replace=False), 0] = 1
    target[rng.choice(len(groups), COMMON, replace=False), 1] = 1
    return target, groups


def none_of(groups):
    return np.zeros(len(groups), np.uint8)


def test_added_recordings_move_none_of_the_old_ones():
    names = [f"{n}.wav" for n in range(200)]
    before = dict(zip(names[:50], folds_by_name(names[:50], 4, 0), strict=True))
    after = dict(zip(names[::-1], folds_by_name(names[::-1], 4, 0), strict=True))
    assert {name: after[name] for name in before} == before


def test_folds_by_name_are_about_even_and_of_the_seed():
    names = [f"{n}.wav" for n in range(4_000)]
    first, second = (folds_by_name(names, 4, seed) for seed in (0, 1))
    assert np.bincount(first)[1:] == pytest.approx([1_000] * 4, abs=110)  # four standard deviations
    assert not np.array_equal(first, second)


def test_a_group_has_one_fold_under_either_rule():
    target, groups = corpus()
    for fold in (folds_by_name(groups, 4, 0), balanced_folds(target, groups, 4, none_of(groups))):
        pairs = set(zip(groups, fold.tolist(), strict=True))
        assert len(pairs) == len(set(groups))
        assert set(fold.tolist()) == {1, 2, 3, 4}


@pytest.mark.parametrize("seed", range(5))
def test_balanced_folds_share_out_every_class(seed):
    target, groups = corpus(seed)
    fold = balanced_folds(target, groups, 4, none_of(groups))
    for column, n_positive in enumerate((RARE, COMMON)):
        counts = np.bincount(fold, target[:, column], 5)[1:]
        assert np.abs(counts - n_positive / 4).max() <= 2  # a group has up to four clips
    assert np.ptp(np.bincount(fold)[1:]) <= 6


def test_balanced_folds_leave_known_ones_and_fill_what_they_lack():
    target, groups = corpus()
    known = none_of(groups)
    known[[group in {f"g{n}" for n in range(20)} for group in groups]] = 1
    fold = balanced_folds(target, groups, 4, known)
    assert (fold[known == 1] == 1).all()
    assert np.ptp(np.bincount(fold)[2:]) <= 4


def test_the_order_of_rows_does_not_matter():
    target, groups = corpus()
    forth = balanced_folds(target, groups, 4, none_of(groups))
    back = balanced_folds(target[::-1], groups[::-1], 4, none_of(groups))
    assert np.array_equal(forth, back[::-1])


def test_a_recording_goes_before_a_group_and_a_file_is_its_own():
    rows = [{"filename": "a"}, {"filename": "b", "group": "g"}]
    rows.append({"filename": "c", "group": "g", "recording": "r"})
    assert groups_of(rows) == ["a", "g", "r"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "clips.csv"
    rows = [f"{n}.wav,{'Cat;Dog' if n % 3 else ''},{n // 2},r{n}" for n in range(24)]
    path.write_text("\n".join(["filename,labels,group,place", *rows, ""]))
    return path


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_copy_has_all_columns_and_a_fold_for_each_row(table):
    before = table.read_bytes()
    result = invoke(["folds", str(table), "--folds", "3"])
    assert result.exit_code == 0, result.output
    copy = table.with_name("clips_folds.csv")
    assert result.stdout.strip() == str(copy)
    assert "8 in fold 1, 8 in fold 2, 8 in fold 3" in result.stderr
    assert table.read_bytes() == before
    assert [{k: row[k] for k in row if k != "fold"} for row in read(copy)] == read(table)
    assert "recording" not in read(copy)[0]  # it has groups
    by_group = {(row["group"], row["fold"]) for row in read(copy)}
    assert len(by_group) == 12


def test_added_rows_get_folds_and_the_others_keep_theirs(table):
    assert invoke(["folds", str(table)]).exit_code == 0
    copy = table.with_name("clips_folds.csv")
    old = {row["filename"]: row["fold"] for row in read(copy)}
    with table.open("a") as file:
        file.writelines(f"new{n}.wav,Cat,n{n},x\n" for n in range(8))
    assert invoke(["folds", str(table)]).exit_code == 0
    new = {row["filename"]: row["fold"] for row in read(copy)}
    assert {name: new[name] for name in old} == old
    assert sorted(new[f"new{n}.wav"] for n in range(8)) == sorted("1234" * 2)


def test_files_without_groups_are_named_as_recordings(table):
    """Otherwise inner validation would be a whole fold, as clips might share recordings."""
    table.write_text("filename,labels\n" + "".join(f"{n}.wav,Cat\n" for n in range(40)))
    assert invoke(["folds", str(table)]).exit_code == 0
    rows = read(table.with_name("clips_folds.csv"))
    assert [row["recording"] for row in rows] == [row["filename"] for row in rows]


@pytest.mark.parametrize(
    ("rows", "options", "parts"),
    [
        ("filename,labels\na.wav,Dog", (), ("a recording for each of 4 folds, found 1", "--folds")),
        ("filename,labels,fold\na.wav,Dog,7\nb.wav,,", ("--folds", "2"), ("fold 7", "--folds 7")),
        ("filename,labels,fold\na.wav,Dog,x\nb.wav,,", ("--folds", "2"), ("1 to 255, found 'x'",)),
        ("name,labels\na.wav,Dog", (), ("missing: filename",)),
        (f"filename,labels,fold\na.wav,Dog,{'9' * 5000}\nb.wav,,", ("--folds", "2"), ("1 to 255",)),
    ],
)
def test_a_table_that_cannot_have_folds_is_one_sentence(table, one_sentence, rows, options, parts):
    table.write_text(rows)
    one_sentence(invoke(["folds", str(table), *options]), *parts)


def test_a_table_of_the_user_is_not_overwritten(table, one_sentence):
    before = table.read_bytes()
    one_sentence(invoke(["folds", str(table), "--out", str(table)]), "not written by sedmtl")
    assert table.read_bytes() == before
