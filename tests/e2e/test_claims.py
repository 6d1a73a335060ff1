"""A claim, from the insurer's MQTT packet to what was known around it."""

from datanaut import wait_for
from peers import Client

REGISTRY = """
[[insurer]]
id = "alpina"
name = "Alpina"

[[fleet]]
prefix = "car-"
kind = "car"
first = 1
count = 2
insurer = "alpina"
products = ["winter_tyres"]
since = "2010-01-01T00:00:00Z"
wording = "test-1"
"""

# Slovenia asks for winter tyres from 15 November to 15 March, whatever the road.
LJUBLJANA = {"lat": 46.05, "lon": 14.51, "accuracy_m": 5}
THEN = "2025-12-01T09:55:00Z"


def braking():
    """The minute before: 20 m/s, then hard on the brakes."""
    second = lambda at: f"2025-12-01T09:54:{at:02}Z"
    return [{"ts": second(at), "speed_mps": 20 if at < 57 else 20 - 6 * (at - 56), **LJUBLJANA} for at in range(60)]


def test_a_claim_is_answered_with_its_context(tmp_path, serving):
    registry = tmp_path / "registry.toml"
    registry.write_text(REGISTRY)
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
