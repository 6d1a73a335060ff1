"""A claim, from the insurer's MQTT packet to what was known around it."""

import json
import time

from datanaut import Datanaut, datanaut, wait_for
from journeys import TYRE_POLICIES
from peers import Client
from weather import OpenMeteo

# Slovenia asks for winter tyres from 15 November to 15 March, whatever the road.
LJUBLJANA = {"lat": 46.05, "lon": 14.51, "accuracy_m": 5}
THEN = "2025-12-01T09:55:00Z"


def braking():
    """The minute before: 20 m/s, then hard on the brakes."""
    second = lambda at: f"2025-12-01T09:54:{at:02}Z"
    return [{"ts": second(at), "speed_mps": 20 if at < 57 else 20 - 6 * (at - 56), **LJUBLJANA} for at in range(60)]


def test_a_claim_is_answered_with_its_context(tmp_path, serving):
    registry = tmp_path / "registry.toml"
    registry.write_text(TYRE_POLICIES)
    clock = ["--clock-start", "2025-12-01T10:00:00Z"]
    with serving(tmp_path, *clock, registry=registry) as server, Client(server) as car, Client(server) as alpina:
        told = lambda: [event for event in alpina.events() if event["data"]["event"] == "claim_reported"]
        alpina.subscribe("triggers/alpina/winter_tyres/#")
        car.publish("telemetry/car/car-01", braking())
        car.publish("telemetry/car/car-01", {"ts": "2025-12-01T09:55:05Z", "speed_mps": 0, **LJUBLJANA})
        server.settle()
        claim = {"id": "C-1", "device": "car-01", "time": THEN, "kind": "collision"}
        for _ in range(2):
            alpina.publish("claims/alpina", claim)
        (answer,) = wait_for("the answer", told)
        data = answer["data"]
        assert data["claim"] == {"id": "C-1", "kind": "collision"} and data["legal_basis"] == "contract"
        assert data["place"]["country"] == "SI" and data["place"]["certainty"] == "certain"
        assert (data["tyres"]["certainty"], data["tyres"]["reason"]) == ("unknown", "never_said")
        assert data["speed"]["speed_mps"] == 2 and data["speed"]["certainty"] == "certain"
        (event,) = data["harsh"]["events"]
        assert event["kind"] == "braking" and event["mps2"] == -6 and data["harsh"]["certainty"] == "certain"
        assert data["law"]["demand"] == "required" and "met" in data["law"]
        assert data["road"]["certainty"] in ("certain", "likely") and data["evidence"]["weather"]["status"] == "known"
        assert "car-01" not in str(answer) and "46.0" not in str(answer)

        # Which tyres it had comes late.
        late = {"ts": "2025-12-01T09:53:00Z", "tyre": "summer", "tread_mm": 5, **LJUBLJANA}
        car.publish("telemetry/car/car-01", late)
        revised = wait_for("the revision", lambda: told()[1:])[0]
        assert revised["id"] == answer["id"] and (revised["revision"], revised["sequence"] > answer["sequence"]) == (1, True)
        assert revised["data"]["tyres"]["fitted"] == "summer" and revised["data"]["law"]["met"] is False
        counts = server.counts()
        assert counts["reports"] == {"claim": 1} and counts["duplicate"] == 1


def test_a_claim_whose_weather_comes_late_is_answered_and_revised(tmp_path):
    """The feed is away for longer than the answer waits; the place is known by its name only."""
    registry = tmp_path / "registry.toml"
    registry.write_text(TYRE_POLICIES)
    feed = OpenMeteo(temperature_c=-6.5)
    config = f'''
[journal]
claim_wait = "1s"
[[weather.feed]]
kind = "open-meteo"
url = "{feed.url}"
timeout = "2s"
'''
    then = int(time.time() * 1000) - 3_600_000
    with Datanaut(tmp_path, registry=registry, config=config) as server, Client(server) as alpina:
        told = lambda: [event for event in alpina.events() if event["data"]["event"] == "claim_reported"]
        alpina.subscribe("triggers/alpina/winter_tyres/#")
        alpina.publish("claims/alpina", {"id": "C-1", "device": "car-01", "time": then, "kind": "collision", "place": "Vaals, NL"})
        (answer,) = wait_for("the answer", told, 60)
        place = answer["data"]["place"]
        assert (place["town"], place["certainty"], place["reason"]) == ("Vaals", "likely", "looked_up_by_name")
        assert answer["data"]["weather"]["reason"] == "weather_missing"
        assert answer["data"]["evidence"]["weather"] == {"status": "missing"}
        with feed:
            revised = wait_for("the revision", lambda: told()[1:], 90)[0]
        assert (revised["id"], revised["revision"]) == (answer["id"], 1)
        assert revised["data"]["evidence"]["weather"]["temperature_c"] == -6.5
        assert revised["data"]["road"]["condition"] == "snow" and revised["data"]["weather"]["certainty"] == "likely"


def test_the_study_counts_what_was_driven_and_claimed(tmp_path, serving):
    registry = tmp_path / "registry.toml"
    registry.write_text(TYRE_POLICIES)
    clock = ["--clock-start", "2025-12-01T12:00:00Z"]
    # 10 km north at 20 m/s, a position every ten seconds; the second car brakes hard once.
    moment = lambda at: f"2025-12-01T10:{at // 60:02}:{at % 60:02}Z"
    along = lambda at: {"ts": moment(at), "lat": 52 + at * 20 / 111195, "lon": 5.1, "accuracy_m": 5}
    with serving(tmp_path, *clock, registry=registry) as server, Client(server) as client:
        for car, tyre in (("car-01", "winter"), ("car-02", "summer")):
            way = [{**along(at), "speed_mps": 20, "tyre": tyre} for at in range(0, 501, 10)]
            client.publish(f"telemetry/car/{car}", way)
        client.publish("telemetry/car/car-02", {**along(501), "speed_mps": 10})
        for claim, car in (("C-1", "car-01"), ("C-2", "car-02"), ("C-3", "car-02")):
            time = moment(300) if claim != "C-3" else "2025-12-01T05:00:00Z"
            client.publish("claims/alpina", {"id": claim, "device": car, "time": time, "kind": "collision"})
        assert server.counts()["reports"] == {"claim": 3}
        code, out, err = datanaut("study", "winter-tyres", "--data", server.data, "--json")
        assert code == 0, err
        study = json.loads(out)
        km = {tyre: sum(row["km"] for row in study["groups"] if row["tyre"] == tyre) for tyre in ("winter", "summer")}
        assert abs(km["winter"] - 10) < 0.1 and abs(km["summer"] - 10.02) < 0.1
        claims = sum(row["claims"]["claims"] for row in study["by_tyre_and_road"])
        assert claims == 2 and study["left_out"]["claims_without_readings"] == 1
        assert sum(row["harsh"] for row in study["groups"]) == 1
        assert {(row["country"], row["month"]) for row in study["groups"]} == {("NL", "2025-12")}
        assert study["winter_to_summer"]["low"] < 1 < study["winter_to_summer"]["high"]
        since = ("--since", "2026-01-01T00:00:00Z")
        code, out, _ = datanaut("study", "winter-tyres", "--data", server.data, *since)
        assert code == 0 and "too few claims" in out, "nothing since then"
