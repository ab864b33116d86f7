from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fed_assets.comparison.criteria import OF_SANDBOXES
from fed_assets.comparison.draws import draw_values, draw_weights
from fed_assets.comparison.matrix import sandbox_cells
from fed_assets.comparison.profiles import IN_GROUP, profiles_from, shipped_profiles
from fed_assets.comparison.ranking import problem_of
from fed_assets.comparison.spreads import ASSUMED_SPREAD
from fed_assets_tests.comparison.conftest import with_resamples

DRAWS = 20_000
TWO = ("minimal", "eyes_on")


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


def apart(found: dict, name: str, one: str = "minimal", other: str = "eyes_on") -> np.ndarray:
    return found[one, name] - found[other, name]


def same_weights(*records: dict) -> list[dict]:
    for each in records:
        each["model"] = {"weights": f"weights of seed {each['seed']}"}
    return list(records)


def alike_but_in_name(measured, sandbox: str, seed: int = 0) -> dict:
    """Returns a run whose figures are those of minimal."""
    return measured(seed=seed) | {"sandbox": sandbox}


def resampled_auroc(run: dict, values: list[float | None]) -> None:
    """Gives a run resamples of its AUROC, and that their interval."""
    known = [each for each in values if each is not None]
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    run["quality"]["auroc"] = run["quality"]["auroc"] | {"low": low, "high": high}
    run["resampled"] = {"of": "5a", "values": {"auroc": values}}


OF_MODEL = [each.name for each in OF_SANDBOXES if each.of_model]


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
@pytest.mark.parametrize("resampled", [True, False])
def test_the_same_weights_have_one_measurement_and_one_draw(measured, seeds, resampled) -> None:
    runs = [alike_but_in_name(measured, name, seed) for seed in seeds for name in TWO]
    for run in same_weights(*runs):
        run["quality"]["auroc"]["value"] += 0.001 * run["seed"]
        if resampled:
            resampled_auroc(run, [0.96, 0.97, 0.98, 0.99])
    found = drawn(runs)
    for name in OF_MODEL:
        assert not apart(found, name).any(), name
        assert np.ptp(found["minimal", name]) > 0, name
    assert apart(found, "wall_seconds").std() > 1.0  # what a machine does is no model's
    assert apart(found, "setup_seconds").std() > 0.01


def test_other_weights_have_independent_draws_of_what_kept_no_resamples(measured) -> None:
    runs = same_weights(*(alike_but_in_name(measured, name) for name in TWO))
    runs[1]["model"]["weights"] = "others"
    found = drawn(runs)
    for name in OF_MODEL:
        assert abs(stats.pearsonr(found["minimal", name], found["eyes_on", name])[0]) < 0.05
    del runs[0]["model"], runs[1]["model"]  # an earlier version, which recorded no weights
    found = drawn(runs)
    assert abs(stats.pearsonr(found["minimal", "auroc"], found["eyes_on", "auroc"])[0]) < 0.05


def test_the_same_weights_on_other_data_are_two_measurements(measured) -> None:
    runs = same_weights(*(alike_but_in_name(measured, name) for name in TWO))
    runs[1]["data"] = runs[1]["data"] | {"test_digest": "of other images"}
    assert apart(drawn(runs), "auroc").std() > 0.005


def test_models_tested_on_the_same_images_are_drawn_in_pairs_as_far_as_they_go_together(
    measured,
) -> None:
    for alike in (0.9, 0.2):
        runs = [with_resamples(measured(name), alike=alike) for name in TWO]
        found, spread = drawn(runs), {}
        for name in ("auroc", "accuracy", "f1", "calibration_error"):
            by_pairs = np.subtract(*(run["resampled"]["values"][name] for run in runs))
            spread[name] = by_pairs.std()
            assert apart(found, name).std() == pytest.approx(by_pairs.std(), rel=0.03)
            for run in runs:
                ends = np.quantile(found[run["sandbox"], name], [0.025, 0.975])
                told = run["quality"][name]
                assert ends == pytest.approx((told["low"], told["high"]), abs=5e-4)
        # Drawn apart, both would be in the same doubt, and their difference in more.
        runs[1]["resampled"]["of"] = "other images"
        alone = apart(drawn(runs), "auroc").std()
        assert alone > spread["auroc"] * (2.5 if alike == 0.9 else 1.05)


@pytest.mark.parametrize(
    ("name", "group"), [("worst_sensitivity", "quality"), ("membership_advantage", "security")]
)
def test_what_is_measured_on_other_images_goes_in_pairs_where_those_are_the_same(
    measured, name, group
) -> None:
    runs = same_weights(*(with_resamples(measured(sandbox)) for sandbox in TWO))
    runs[1]["model"]["weights"] = "others"
    values = [run["resampled_elsewhere"][name]["values"] for run in runs]
    found = drawn(runs)
    assert apart(found, name).std() == pytest.approx(np.subtract(*values).std(), rel=0.03)
    for run in runs:
        ends = np.quantile(found[run["sandbox"], name], [0.025, 0.975])
        told = run[group][name]
        assert ends == pytest.approx((told["low"], told["high"]), abs=5e-4)
    # The worst of the other is another hospital: other images, and no pairs.
    runs[1]["resampled_elsewhere"][name]["of"] = "of another hospital"
    alone = apart(drawn(runs), name).std()
    assert alone > 2.5 * np.subtract(*values).std()
    del runs[1]["resampled_elsewhere"][name]  # as an earlier version left it
    assert apart(drawn(runs), name).std() == pytest.approx(alone, rel=0.1)


def test_more_runs_on_the_same_images_do_not_shrink_the_doubt_and_on_others_do(measured) -> None:
    runs = [measured(name, seed) for seed in (0, 1) for name in TWO]
    for run in runs:
        run["quality"]["auroc"] = measured(run["sandbox"])["quality"]["auroc"]
        with_resamples(run, alike=1.0)
    assert drawn(runs)["minimal", "auroc"].std() == pytest.approx(0.005, rel=0.05)
    for run in runs:
        run["resampled"]["of"] += str(run["seed"])
    assert drawn(runs)["minimal", "auroc"].std() == pytest.approx(0.005 / np.sqrt(2), rel=0.05)


def test_runs_of_one_seed_go_together_as_far_as_their_differences_show(measured) -> None:
    # Both vary by 0.02 from seed to seed, their difference by a tenth of that.
    by_seed = {"minimal": (0.90, 0.92, 0.94, 0.91), "eyes_on": (0.881, 0.899, 0.921, 0.889)}
    runs = []
    for sandbox, values in by_seed.items():
        for seed, value in enumerate(values):
            run = measured(sandbox, seed, quality__worst_sensitivity={"value": value})
            runs.append(run)
    differences = np.subtract(*by_seed.values())
    half = stats.t.ppf(0.975, 3) * differences.std(ddof=1) / 2
    low, high = np.quantile(apart(drawn(runs), "worst_sensitivity"), [0.025, 0.975])
    assert low == pytest.approx(differences.mean() - half, abs=0.0003)
    assert high == pytest.approx(differences.mean() + half, abs=0.0003)
    for run in runs:  # runs of other seeds are no pairs
        run["seed"] += 10 * (run["sandbox"] == "eyes_on")
    low, high = np.quantile(apart(drawn(runs), "worst_sensitivity"), [0.025, 0.975])
    assert high - low > 10 * half


def test_a_resample_in_which_a_figure_is_not_defined_counts_as_the_next(measured) -> None:
    runs = [measured(name) for name in TWO]
    for run in runs:
        resampled_auroc(run, [0.97, None, 0.99, None])
    values, counts = np.unique(drawn(runs)["minimal", "auroc"], return_counts=True)
    assert values.tolist() == [0.97, 0.99]
    assert counts / DRAWS == pytest.approx([0.5, 0.5], abs=0.02)
    runs[0]["resampled"] = {"of": "5a", "values": {"auroc": [None, None]}}  # as if there were none
    assert len(np.unique(drawn(runs)["minimal", "auroc"])) > 1000


@pytest.mark.parametrize("bounds", [{"low": 1.0, "high": 1.0}, {}])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_models_figure_without_an_interval_is_not_drawn_as_if_it_were_certain(
    measured, bounds, seeds
) -> None:
    runs = [
        measured(name, seed, quality__worst_sensitivity={"value": 1.0} | bounds)
        for name in TWO
        for seed in seeds
    ]
    low, high = np.quantile(drawn(runs)["minimal", "worst_sensitivity"], [0.025, 1.0])
    assert low == pytest.approx(0.9, abs=0.003)  # what the criterion prefers wholly
    assert high == 1.0
    runs[-1]["quality"]["worst_sensitivity"] = {"value": 0.6, "low": 0.3, "high": 0.8}
    low = np.quantile(drawn(runs)["minimal", "worst_sensitivity"], 0.025)
    assert low == pytest.approx(0.7, abs=0.01)  # the widest known


def test_what_is_counted_or_declared_is_exact_and_nothing_else_is(measured) -> None:
    exact = {each.name for each in OF_SANDBOXES if each.exact}
    assert exact == {
        *("bytes_up", "bytes_down", "at_rest", "in_transit", "in_use", "probes_passed"),
        *("membership_bound", "manual_steps"),
    }
    runs = [measured(name, seed) for name in TWO for seed in (0, 1)]
    for run in runs:
        run["efficiency"] = measured(run["sandbox"])["efficiency"]  # always alike
        run["quality"] = measured(run["sandbox"])["quality"]
    found = drawn(runs)
    for (sandbox, name), values in found.items():
        assert (np.ptp(values) == 0) == (name in exact), (sandbox, name)


def test_an_advantage_below_zero_is_drawn_from_where_it_was_measured(measured) -> None:
    attack = {"value": -0.06, "low": -0.08, "high": -0.04}
    runs = [measured(name, security__membership_advantage=attack) for name in TWO]
    assert not drawn(runs)["minimal", "membership_advantage"].any()
    for run in runs:
        run["security"]["membership_advantage"] = attack | {"value": -0.01, "high": 0.03}
    found = drawn(runs)["minimal", "membership_advantage"]
    assert found.min() == 0.0 and np.quantile(found, 0.975) == pytest.approx(0.03, abs=0.002)


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
    for sandbox in TWO:  # the one measured once too, as it is known from those runs
        seconds = found[sandbox, "wall_seconds"], found[sandbox, "cpu_seconds"]
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


def test_a_time_measured_once_varies_as_those_of_several_seeds_do(measured) -> None:
    seconds = {"minimal": (60.0, 66.0, 63.0), "eyes_off": (100.0, 94.0)}
    runs = [
        measured(name, seed, efficiency__wall_seconds=value)
        for name, values in seconds.items()
        for seed, value in enumerate(values)
    ]
    alone = [measured(name, efficiency__wall_seconds=80.0) for name in ("eyes_on", "configurable")]
    off = [np.divide(values, np.mean(values)) - 1 for values in seconds.values()]
    spread = np.sqrt(sum(np.square(each).sum() for each in off) / 3)
    found = drawn([*runs, *alone])
    logs = np.log(found["eyes_on", "wall_seconds"] / 80.0)
    low, high = np.quantile(logs, [0.025, 0.975])
    half = stats.t.ppf(0.975, 3) * spread
    assert (low, high) == (pytest.approx(-half, rel=0.04), pytest.approx(half, rel=0.04))
    # Two of them are two runs: by one and the same estimate of the spread, and chance of its own.
    other = np.log(found["configurable", "wall_seconds"] / 80.0)
    assert abs(stats.spearmanr(logs, other).statistic) < 0.05
    low, high = np.quantile(logs - other, [0.025, 0.975])
    assert high == pytest.approx(half * np.sqrt(2), rel=0.04)
    # One that is alike every time is not known to vary by nothing.
    alike = [measured("eyes_on", seed, efficiency__wall_seconds=80.0) for seed in (0, 1)]
    again = np.log(drawn([*runs, *alike])["eyes_on", "wall_seconds"] / 80.0)
    assert np.quantile(again, 0.975) == pytest.approx(half, rel=0.04)


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
