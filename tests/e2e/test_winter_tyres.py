"""A car on the wrong tyres, from MQTT to its insurer."""

from datanaut import Datanaut, wait_for
from journeys import TYRE_POLICIES
from peers import Client

# Slovenia asks for winter tyres from 15 November to 15 March, whatever the road.
LJUBLJANA = {"lat": 46.05, "lon": 14.51, "accuracy_m": 5, "speed_mps": 20}


def test_summer_tyres_in_slovenia_in_december(tmp_path):
    registry = tmp_path / "registry.toml"
    registry.write_text(TYRE_POLICIES)
    clock = ["--clock-start", "2025-12-01T10:00:00Z"]
    told = lambda: server.triggers(product="winter_tyres")
    with Datanaut(tmp_path, *clock, registry=registry) as server, Client(server) as car:
        for device, tyre in (("car-01", "winter"), ("car-02", "summer")):
            for minute in range(5):
                reading = {"ts": f"2025-12-01T09:5{minute}:00Z", "tyre": tyre, "tread_mm": 5.5, **LJUBLJANA}
                car.publish(f"telemetry/car/{device}", reading)
        (message,) = wait_for("the advice", told)
        data = message["data"]
        assert data["offer"]["kind"] == "winter_tyres_required" and data["why"] == "law"
        assert data["place"] == {"country": "SI", "name": "Slovenia"}
        assert data["tyres"] == {"fitted": "summer", "tread_mm": 5.5}
        assert "Slovenia asks for winter tyres" in data["explanation"]["en"]
        assert "Slovenië" in data["explanation"]["nl"]
        assert "46.0" not in str(message) and "14.5" not in str(message), "the country, never the track"
        assert [event["event"] for event in server.events("car-02")] == ["tyres_unfit"]

        # An odometer that cannot be, found in what came late, is named; the advice stands.
        late = {"ts": "2025-12-01T09:49:00Z", "odometer_m": 5000, "tyre": "winter", **LJUBLJANA}
        again = {"ts": "2025-12-01T09:48:00Z", "odometer_m": 9000000, **LJUBLJANA}
        car.publish("telemetry/car/car-02", [again, late])
        wait_for("the odometer", lambda: "odometer_doubted" in str(server.events("car-02")))
        assert len(told()) == 1
