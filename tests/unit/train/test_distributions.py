from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from stile.train.distributions import chi2_sf, gamma_q, normal_cdf, z_for


@given(x=st.floats(0, 2000), df=st.integers(1, 400))
def test_chi2_sf_agrees_with_scipy_when_given_any_value(x: float, df: int) -> None:
    assert chi2_sf(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-9, abs=1e-13)


@given(a=st.floats(0.01, 500), x=st.floats(0, 1000))
def test_gamma_q_agrees_with_scipy_when_given_any_value(a: float, x: float) -> None:
    assert gamma_q(a, x) == pytest.approx(special.gammaincc(a, x), rel=1e-8, abs=1e-12)


def test_chi2_sf_is_certain_at_zero_and_impossible_at_infinity() -> None:
    assert chi2_sf(0, 3) == 1.0
    assert chi2_sf(math.inf, 3) == 0.0
    assert chi2_sf(0.0, 0) == 1.0


def test_normal_quantiles_agree_with_scipy_when_the_level_is_usual() -> None:
    for level in (0.8, 0.9, 0.95, 0.99):
        assert z_for(level) == pytest.approx(stats.norm.ppf(0.5 + level / 2))
    assert normal_cdf(1.3) == pytest.approx(stats.norm.cdf(1.3))
