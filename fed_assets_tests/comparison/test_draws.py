from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fed_assets.comparison.criteria import OF_SANDBOXES
from fed_assets.comparison.draws import ASSUMED_SPREAD, draw_values, draw_weights
from fed_assets.comparison.matrix import sandbox_cells
from fed_assets.comparison.profiles import IN_GROUP, profiles_from, shipped_profiles
from fed_assets.comparison.ranking import problem_of

DRAWS = 20_000


def drawn(records: list[dict], *, seed: int = 0, draws: int = DRAWS) -> dict:
    """Returns the draws [draws] by sandbox and criterion."""
    names = list(dict.fromkeys(each["sandbox"] for each in records))
    cells = {
        name: sandbox_cells([each for each in records if each["sandbox"] == name]) for name in names
    }
    problem = problem_of(cells)
    values = draw_values(problem, cells, draws=draws, seed=seed)
    return {
        (sandbox, criterion.name): values[:, row, column]
        for row, sandbox in enumerate(problem.sandboxes)
        for column, criterion in enumerate(problem.criteria)
    }


def test_one_seed_draws_the_same_and_another_draws_otherwise(measured) -> None:
    records = [measured(), measured("eyes_on")]
    once, again, other = (drawn(records, seed=seed, draws=50) for seed in (1, 1, 2))
    assert all((once[key] == again[key]).all() for key in once)
    assert (once["minimal", "auroc"] != other["minimal", "auroc"]).all()


def test_a_sandboxs_draws_do_not_depend_on_the_others_or_their_order(measured) -> None:
    alone = drawn([measured(), measured("eyes_on")], draws=50)
    turned = drawn([measured("eyes_off"), measured("eyes_on"), measured()], draws=50)
    assert all((alone[key] == turned[key]).all() for key in alone)


def test_one_runs_own_interval_is_what_95_of_100_draws_lie_in(measured) -> None:
    attack = {"value": 0.5, "low": 0.3, "high": 0.6}
    found = drawn([measured(security__membership_advantage=attack), measured("eyes_on")])
    low, high = np.quantile(found["minimal", "membership_advantage"], [0.025, 0.975])
    assert (low, high) == (pytest.approx(0.3, abs=0.01), pytest.approx(0.6, abs=0.01))


def test_over_several_runs_the_interval_of_the_matrix_is_that_of_the_draws(measured) -> None:
    runs = [measured(seed=seed) for seed in range(4)]
    for run, auroc, seconds in zip(runs, (0.90, 0.92, 0.91, 0.95), (60, 75, 70, 71), strict=True):
        run["quality"]["auroc"] = {"value": auroc}  # no interval of its own
        run["efficiency"]["wall_seconds"] = seconds
    found = drawn([*runs, measured("eyes_on")])
    for name in ("auroc", "wall_seconds"):
        cell = sandbox_cells(runs)[name]
        low, middle, high = np.quantile(found["minimal", name], [0.025, 0.5, 0.975])
        assert middle == pytest.approx(cell.value, rel=0.005)
        assert low == pytest.approx(cell.low, rel=0.02)
        assert high == pytest.approx(cell.high, rel=0.02)


def test_runs_that_were_slow_in_one_thing_were_slow_in_others(measured) -> None:
    found = drawn([measured(seed=seed) for seed in range(5)] + [measured("eyes_on")])
    seconds = found["minimal", "wall_seconds"], found["minimal", "cpu_seconds"]
    assert stats.spearmanr(*seconds).statistic > 0.99


def test_the_test_images_are_as_few_in_several_runs_as_in_one(measured) -> None:
    alike = [measured(seed=seed) for seed in range(5)]
    for run in alike:
        run["quality"]["auroc"] = {"value": 0.9, "low": 0.85, "high": 0.95}
    found = drawn([*alike, measured("eyes_on")])["minimal", "auroc"]
    assert found.std() == pytest.approx(0.05 / 1.96, rel=0.03)


def test_a_time_measured_once_gets_the_assumed_spread_and_bytes_get_none(measured) -> None:
    found = drawn([measured(), measured("eyes_on")])
    logs = np.log(found["minimal", "wall_seconds"] / 70.0)
    assert logs.std() == pytest.approx(ASSUMED_SPREAD, rel=0.03)
    assert np.ptp(found["minimal", "bytes_up"]) == 0
    assert np.ptp(found["minimal", "at_rest"]) == 0


def test_two_runs_never_draw_what_cannot_be(measured) -> None:
    # Student's t of one degree of freedom has no variance.
    runs = [measured(seed=0), measured(seed=1, efficiency__wall_seconds=700.0)]
    found = drawn([*runs, measured("eyes_on")])
    for (_, name), values in found.items():
        (criterion,) = (each for each in OF_SANDBOXES if each.name == name)
        assert np.isfinite(values).all()
        assert values.min() >= criterion.least and values.max() <= criterion.most
    assert found["minimal", "wall_seconds"].min() == pytest.approx(385.7 / 10, rel=0.01)


def test_what_was_not_measured_is_drawn_from_between_the_worst_and_the_best(measured) -> None:
    gap = measured("eyes_off", efficiency__cpu_seconds=None)
    found = drawn([measured(), measured("configurable"), gap])["eyes_off", "cpu_seconds"]
    assert 140.0 <= found.min() < 200.0 and 1540.0 < found.max() <= 1600.0
    assert found.mean() == pytest.approx((140 + 1600) / 2, rel=0.03)


def test_drawn_weights_have_the_profiles_mean_and_the_stated_spread() -> None:
    profile = shipped_profiles()["clinician"]
    weights = draw_weights(profile, OF_SANDBOXES, draws=DRAWS, seed=0, concentration=20)
    assert weights.sum(axis=1) == pytest.approx(np.ones(DRAWS))
    assert (weights >= 0).all()
    plain = profile.weights_of(OF_SANDBOXES)
    means = dict(zip((each.name for each in OF_SANDBOXES), weights.mean(axis=0), strict=True))
    assert means == {name: pytest.approx(weight, abs=0.003) for name, weight in plain.items()}
    columns = [column for column, each in enumerate(OF_SANDBOXES) if each.group == "quality"]
    of_quality = weights[:, columns].sum(axis=1)
    assert of_quality.var() == pytest.approx(0.55 * 0.45 / 21, rel=0.05)


def test_a_quarter_lies_where_the_concentration_says() -> None:
    weights = draw_weights(shipped_profiles()["equal"], OF_SANDBOXES, draws=DRAWS, seed=0)
    columns = [column for column, each in enumerate(OF_SANDBOXES) if each.group == "effort"]
    low, high = np.quantile(weights[:, columns].sum(axis=1), [0.025, 0.975])
    assert (low, high) == (pytest.approx(0.09, abs=0.01), pytest.approx(0.46, abs=0.01))


def test_what_weighs_nothing_weighs_nothing_in_any_draw() -> None:
    entries = {"mine": {"groups": {"quality": 3, "effort": 1}, "criteria": {"quality": {"f1": 1}}}}
    mine = profiles_from(entries, where="mine.yaml")["mine"]
    weights = draw_weights(mine, OF_SANDBOXES, draws=100, seed=0)
    weighs = {each.name for each, of in zip(OF_SANDBOXES, weights.T, strict=True) if of.any()}
    assert weighs == {"f1", *IN_GROUP["effort"]}


def test_weights_of_nothing_that_was_measured_are_0() -> None:
    mine = profiles_from({"mine": {"groups": {"quality": 1}}}, where="mine.yaml")["mine"]
    of_effort = [each for each in OF_SANDBOXES if each.group == "effort"]
    assert not draw_weights(mine, of_effort, draws=5, seed=0).any()
