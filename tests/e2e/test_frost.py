"""A house that cools, from its thermostat's MQTT packets to its insurer."""

import math
from datetime import datetime, timedelta, timezone

from datanaut import wait_for
from peers import Client

HOUSES = """
[[insurer]]
id = "alpina"
name = "Alpina"

[[fleet]]
prefix = "home-"
kind = "thermostat"
first = 1
count = 2
insurer = "alpina"
products = ["home"]
since = "2010-01-01T00:00:00Z"
wording = "test-1"
"""

START = datetime(2026, 1, 20, tzinfo=timezone.utc)
PLACE = {"lat": 47.04, "lon": 11.49, "accuracy_m": 1000}


def test_a_house_is_told_before_and_when_its_pipes_may_freeze(tmp_path, serving):
    """Its boiler fails at midnight, at 10 degrees of frost; what it cools by is known: 15 hours."""
    registry, rows = tmp_path / "registry.toml", ["time,lat,lon,elevation_m,temperature_c"]
    registry.write_text(HOUSES)
    hours = [START + timedelta(hours=hour) for hour in range(-2, 60)]
    rows += [f"{hour.isoformat()},{PLACE['lat']},{PLACE['lon']},1000,-10" for hour in hours]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    options = {"registry": registry, "config": '[[weather.feed]]\nkind = "file"\nname = "ours"\npath = "rows.csv"\n'}
    flags = ["--clock-start", "2026-01-20T10:00:00Z"]
    told = lambda: [event for event in alpina.events() if event["data"]["event"] == "frost_risk"]
    with serving(tmp_path, *flags, **options) as server, Client(server) as home, Client(server) as alpina:
        alpina.subscribe("triggers/alpina/home/#")
        for step in range(60):
            at = START + timedelta(minutes=10 * step)
            reading = {"ts": at.isoformat(), "setpoint_c": 20, "heating_demand_pct": 100, "power_w": 0, **PLACE}
            cools = -10 + 30 * math.exp(-step / 6 / 15)
            home.publish("telemetry/thermostat/home-01", {**reading, "indoor_c": round(cools, 2)})
            # Next door the heating holds what is set at night.
            home.publish("telemetry/thermostat/home-02", {**reading, "setpoint_c": 15, "indoor_c": max(15, round(20 - step / 6, 2))})
        ahead, near = wait_for("the warning and the danger", lambda: len(told()) == 2 and told())
        data = ahead["data"]
        assert (data["stage"], data["heating"], data["offer"]["kind"]) == ("ahead", "failing", "frost_ahead")
        assert abs(data["time_constant_h"] - 15) < 1 and abs(data["near_in_h"] - 5.3) < 0.5
        assert data["happened_at"][:15] == "2026-01-20T04:1"
        assert data["evidence"]["weather"]["temperature_c"] == -10
        assert "does not keep the house warm" in data["explanation"]["en"] and "nakijken" in data["explanation"]["nl"]
        data = near["data"]
        assert (data["stage"], data["offer"]["kind"], data["outdoor_c"]) == ("near", "frost_near", -10)
        assert 5.5 <= data["indoor_c"] <= 6 and data["happened_at"][:15] == "2026-01-20T09:3"
        assert "47.0" not in str(told()) and "home-01" not in str(told())
        server.settle()
        assert server.events("home-02") == [] and len(told()) == 2
