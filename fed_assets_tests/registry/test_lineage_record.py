from __future__ import annotations

from fed_assets_tests.lineages import RUN, THREE, data_digest, lineage, round_of

EARLIER = "9f8e7d6c-0000-4000-8000-000000000009"


def test_it_says_who_took_part_in_each_round_with_update_and_weight() -> None:
    record = lineage()
    first, second = record["rounds"]
    assert (first["round"], second["round"]) == (1, 2)
    assert {name: sent["weight"] for name, sent in first["participants"].items()} == {
        "north": 0.1667,
        "east": 0.3333,
        "south": 0.5,
    }
    assert first["participants"]["north"]["update_digest"].startswith("10a")
    assert second["global_digest"] == record["weights_digest"]
    assert {each["run"] for each in record["rounds"]} == {RUN}


def test_it_says_the_version_of_each_hospitals_data_and_how_many_images() -> None:
    north = lineage()["hospitals"]["north"]
    assert north["data_digests"] == [data_digest("north")]
    assert (north["rounds"], north["training_images"]) == ([1, 2], 100)
    assert (north["epsilon"], north["chose_threshold"]) == (None, False)


def test_who_was_missing_is_said_with_the_reason() -> None:
    rounds = [round_of(1, THREE), round_of(2, THREE[:2], missing={"south": "it was revoked"})]
    record = lineage(rounds=rounds)
    assert record["rounds"][1]["missing"] == {"south": "it was revoked"}
    assert record["hospitals"]["south"]["rounds"] == [1]
    assert record["degraded"]


def test_masked_updates_were_summed_unseen() -> None:
    rounds = [round_of(1, THREE, examples=None)]
    record = lineage(rounds=rounds, hides_updates=True)
    (only,) = record["rounds"]
    assert only["participants"]["east"] == {
        "update_digest": None,
        "weight": None,
        "said": "summed unseen",
    }
    assert record["hospitals"]["east"]["training_images"] is None
    assert record["hospitals"]["east"]["data_digests"] == [data_digest("east")]


def test_a_rule_that_compares_updates_gives_no_weights() -> None:
    record = lineage(controls={"aggregation": "trimmed_mean"})
    sent = record["rounds"][0]["participants"]["north"]
    assert sent["update_digest"] and sent["weight"] is None
    assert sent["said"] == "weighed by the rule trimmed mean"


def test_rounds_that_were_taken_over_count_with_their_hospitals_and_data() -> None:
    old = {"dataset_digest": data_digest("south", 9)}
    rounds = [round_of(1, ["south"], **old), round_of(2, THREE)]
    record = lineage(rounds=rounds, resumed_from={"run": EARLIER, "round": 1})
    assert [each["run"] for each in record["rounds"]] == [EARLIER, RUN]
    assert record["hospitals"]["south"]["rounds"] == [1, 2]
    assert record["hospitals"]["south"]["data_digests"] == [
        data_digest("south", 9),
        data_digest("south"),
    ]


def test_a_run_of_which_every_round_was_taken_over_has_no_job_of_its_own() -> None:
    assert lineage()["job"] == "job-1"
    record = lineage(commands=[], resumed_from={"run": EARLIER, "round": 2})
    assert record["job"] is None
    assert {each["run"] for each in record["rounds"]} == {EARLIER}


def test_a_report_that_was_made_again_names_the_run_that_trained() -> None:
    record = lineage(trained_by="5e5e5e5e")
    assert (record["run_id"], record["trained_by"]) == (RUN, "5e5e5e5e")
    assert {each["run"] for each in record["rounds"]} == {"5e5e5e5e"}


def test_who_withdrew_is_named_and_not_missed() -> None:
    record = lineage(hospitals=THREE[:2], withdrawn={"south": "it withdrew"})
    assert record["withdrawn"] == ["south"]
    assert record["excluded"] == {"south": "it withdrew"}
    assert "south" not in record["hospitals"]
    assert not record["degraded"]


def test_epsilon_is_the_last_that_a_hospital_told() -> None:
    rounds = [round_of(1, THREE, epsilon=1.5, delta=1e-5), round_of(2, THREE, epsilon=2.5)]
    assert lineage(rounds=rounds)["hospitals"]["north"]["epsilon"] == 2.5


def test_hospitals_that_chose_the_threshold_are_said() -> None:
    record = lineage(rounds=[round_of(1, THREE[:2])], threshold={"value": 0.4, "hospitals": 3})
    assert record["hospitals"]["south"]["rounds"] == []
    assert record["hospitals"]["south"]["chose_threshold"]
