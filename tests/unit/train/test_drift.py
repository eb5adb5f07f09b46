from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stile.data.profiling import add_profiles, build_profile, window_profile
from stile.data.table import table_of
from stile.kernel.errors import Invalid
from stile.train.drift import drift, ks_from_counts, ks_from_grid, psi


def test_psi_agrees_with_its_definition_when_no_bin_is_empty() -> None:
    expected, actual = [10, 20, 30, 40], [20, 20, 30, 10]
    e, a = np.array(expected) / 100, np.array(actual) / 80
    found = psi(expected, actual)
    assert found is not None
    value, null, p = found
    assert value == pytest.approx(float(np.sum((a - e) * np.log(a / e))))
    assert null == pytest.approx(3 * (1 / 100 + 1 / 80))
    assert p == pytest.approx(stats.chi2.sf(value / (1 / 100 + 1 / 80), 3))


def test_psi_noise_floor_and_p_value_hold_when_nothing_moved() -> None:
    rng = np.random.default_rng(3)
    shares = np.full(10, 0.1)
    values, nulls, small = [], [], 0
    for _ in range(1500):
        found = psi(rng.multinomial(500, shares).tolist(), rng.multinomial(500, shares).tolist())
        assert found is not None
        values.append(found[0])
        nulls.append(found[1])
        small += found[2] < 0.05
    assert nulls[0] == pytest.approx(9 * 2 / 500)
    assert np.mean(values) == pytest.approx(nulls[0], rel=0.06)
    assert 0.03 < small / 1500 < 0.08


def test_psi_stays_finite_when_a_bin_is_empty() -> None:
    found = psi([50, 50, 0], [0, 50, 50])
    assert found is not None
    assert 1 < found[0] < 10
    assert psi([50, 50, 0], [25, 25, 0]) == pytest.approx((0.0, 1 / 100 + 1 / 50, 1.0))
    assert psi([1, 2], [0, 0]) is None


def test_ks_agrees_with_scipy_up_to_the_grid_when_samples_differ() -> None:
    rng = np.random.default_rng(5)
    before, after = rng.normal(size=5000), rng.normal(0.3, 1.2, 800)
    exact = stats.ks_2samp(before, after).statistic
    for grid, error in ((256, 1 / 256), (1024, 1 / 1024)):
        profile = build_profile(table_of({"x": before}), grid=grid)
        assert ks_from_grid(profile.columns[0].quantiles, after) == pytest.approx(exact, abs=error)
    profile = build_profile(table_of({"x": before}))
    now = window_profile(profile, table_of({"x": after}))
    coarse = ks_from_counts(profile.columns[0].counts, now.columns[0].counts)
    assert coarse is not None
    assert exact - 0.06 < coarse <= exact + 1e-12


def frame(rng: np.random.Generator, n: int, shift: float = 0.0, site: float = 0.5) -> object:
    x = rng.normal(shift, 1, n)
    x[: n // 20] = np.nan
    return table_of({"x": x, "site": np.where(rng.random(n) < site, "VA", "VB"), "still": np.full(n, 7.0)})


def test_drift_is_found_in_the_column_that_moved_and_only_there() -> None:
    rng = np.random.default_rng(6)
    reference = build_profile(frame(rng, 2000))  # type: ignore[arg-type]
    quiet = {d.column: d for d in drift(reference, frame(rng, 500))}  # type: ignore[arg-type]
    moved = {d.column: d for d in drift(reference, frame(rng, 500, shift=0.8))}  # type: ignore[arg-type]
    assert quiet["x"].psi < 0.1  # type: ignore[operator]
    assert moved["x"].psi > 0.25  # type: ignore[operator]
    assert quiet["x"].psi_p > 0.001 > moved["x"].psi_p  # type: ignore[operator]
    assert moved["x"].ks > 0.25 > quiet["x"].ks  # type: ignore[operator]
    assert moved["site"].psi < 0.05  # type: ignore[operator]
    assert moved["site"].ks is None
    assert moved["still"].psi == 0
    assert moved["x"].missing_ratio == pytest.approx(0.05)
    assert moved["x"].n == 475


def test_unseen_category_and_a_constant_that_changes_are_drift() -> None:
    reference = build_profile(table_of({"c": ["a"] * 90 + ["b"] * 10, "k": np.full(100, 2.0)}))
    found = {d.column: d for d in drift(reference, table_of({"c": ["a"] * 50 + ["new"] * 50, "k": np.full(100, 2.1)}))}
    assert found["c"].psi > 1  # type: ignore[operator]
    assert found["k"].psi > 1  # type: ignore[operator]
    assert found["k"].ks == 1


def test_drift_is_the_same_when_windows_are_counted_apart_and_added() -> None:
    rng = np.random.default_rng(7)
    reference = build_profile(frame(rng, 1000))  # type: ignore[arg-type]
    one, two = frame(rng, 200, 0.2), frame(rng, 300, 0.4)
    both = table_of({k: [*one.columns[k].tolist(), *two.columns[k].tolist()] for k in one.names})  # type: ignore[attr-defined]
    added = add_profiles(window_profile(reference, one), window_profile(reference, two))  # type: ignore[arg-type]
    for a, b in zip(drift(reference, added), drift(reference, both), strict=True):
        assert (a.column, a.n, a.missing_ratio) == (b.column, b.n, b.missing_ratio)
        assert a.psi == pytest.approx(b.psi)
        if a.ks is not None:
            assert a.ks <= b.ks + 1e-9  # type: ignore[operator]


def test_columns_absent_from_the_window_are_left_out_and_text_for_numbers_is_refused() -> None:
    reference = build_profile(table_of({"x": [1.0, 2.0], "y": [1.0, 2.0]}))
    assert [d.column for d in drift(reference, table_of({"y": [1.0]}))] == ["y"]
    with pytest.raises(Invalid, match="must hold numbers"):
        drift(reference, table_of({"x": ["wide"]}))


def test_nothing_is_claimed_when_the_window_has_no_values() -> None:
    reference = build_profile(table_of({"x": [1.0, 2.0]}))
    found = drift(reference, table_of({"x": np.array([np.nan])}))[0]
    assert (found.psi, found.ks, found.missing_ratio) == (None, None, 1.0)
