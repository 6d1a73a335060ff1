"""Areas of risk and venues, from MQTT to whom it concerns."""

import json

from datanaut import Datanaut, datanaut, wait_for
from journeys import now_ms
from peers import Client, Listener

REGISTRY = """
[[insurer]]
id = "alpina"
name = "Alpina"

[[insurer]]
id = "museum"
name = "The museum's guest service"

[[customer]]
id = "anna"
name = "Anna"
language = "nl"

[[device]]
id = "anna-phone"
kind = "tracker"
owner = [{ customer = "anna", from = "2010-01-01T00:00:00Z" }]

[[policy]]
id = "T-1"
insurer = "alpina"
customer = "anna"
product = "travel"
from = "2010-01-01T00:00:00Z"
home = "NL"

[[policy]]
id = "V-1"
insurer = "museum"
customer = "anna"
product = "venue"
from = "2010-01-01T00:00:00Z"

[[consent]]
customer = "anna"
insurer = "alpina"
purpose = "travel"
given = "2010-01-01T00:00:00Z"
wording = "test-1"

[[consent]]
customer = "anna"
insurer = "museum"
purpose = "venue"
given = "2010-01-01T00:00:00Z"
wording = "test-1"

[[geofence]]
customer = "anna"
name = "home"
kind = "home"
circle = { lat = 52.10, lon = 5.10, radius_m = 150 }

[[geofence]]
name = "Rijksmuseum"
kind = "venue"
circle = { lat = 52.36, lon = 4.885, radius_m = 150 }
"""

HARBOUR = {
    "type": "FeatureCollection",
    "features": [{
        "type": "Feature",
        "properties": {"name": "old harbour", "premium_factor": 1.25},
        "geometry": {"type": "Polygon", "coordinates": [
            [[4.40, 51.90], [4.44, 51.90], [4.44, 51.93], [4.40, 51.93], [4.40, 51.90]]]},
    }],
}

HOME, MUSEUM, IN_HARBOUR, ELSEWHERE = (52.10, 5.10), (52.36, 4.885), (51.915, 4.42), (51.95, 4.60)


def stays(*places):
    """Five minutes at each place, and an hour on the way to the next, that ends now."""
    fixes = [(lat, lon, 3600 * leg + 60 * minute) for leg, (lat, lon) in enumerate(places) for minute in range(5)]
    last = fixes[-1][2]
    return [
        {"ts": now_ms() - (last - second) * 1000, "lat": lat, "lon": lon, "accuracy_m": 8}
        for lat, lon, second in fixes
    ]


def start(folder):
    registry, areas = folder / "registry.toml", folder / "risk-areas.geojson"
    registry.write_text(REGISTRY)
    areas.write_text(json.dumps(HARBOUR))
    # Nobody is left alone at night: this may be run at any hour.
    config = f'[places]\nrisk_areas = "{areas}"\n[relevance]\nquiet_hours = ""\n'
    return Datanaut(folder, registry=registry, config=config)


def test_a_premium_holds_while_inside_an_area_of_risk(tmp_path):
    with start(tmp_path) as server, Listener(server, "triggers/alpina/#") as insurer, Client(server) as phone:
        phone.publish("telemetry/tracker/anna-phone", stays(ELSEWHERE, IN_HARBOUR, ELSEWHERE))
        wait_for("both notices", lambda: len(insurer.events()) >= 2)
        entered, left = insurer.events()
        assert [event["data"]["event"] for event in (entered, left)] == ["risk_area_entered", "risk_area_left"]
        data = entered["data"]
        assert data["rule"]["id"] == "risk-area" and data["offer"]["kind"] == "premium_higher"
        assert data["place"] == {"area": "old harbour", "kind": "risk", "premium_factor": 1.25}
        assert "25 % higher" in data["explanation"]["en"] and "25 % hoger" in data["explanation"]["nl"]
        assert left["data"]["offer"]["kind"] == "premium_usual"
        assert "51.9" not in str([entered, left]), "the area, never the track"
        assert server.triggers(product="venue", insurer="museum") == []


def test_a_guest_is_greeted_at_a_venue_and_left_alone_at_home(tmp_path):
    with start(tmp_path) as server, Listener(server, "triggers/#") as everybody, Client(server) as phone:
        phone.publish("telemetry/tracker/anna-phone", stays(ELSEWHERE, HOME, ELSEWHERE, MUSEUM))
        wait_for("the welcome", everybody.events)
        (welcome,) = everybody.events()
        data = welcome["data"]
        assert data["product"] == "venue" and data["offer"]["kind"] == "welcome"
        assert data["explanation"] == {"en": "Welcome to Rijksmuseum.", "nl": "Welkom in Rijksmuseum."}
        noticed = [event["event"] for event in server.events("anna-phone")]
        assert noticed == ["geofence_entered", "geofence_left", "geofence_entered"]


def test_a_geofence_is_in_the_export_and_moves_with_its_customer(tmp_path):
    with start(tmp_path) as server, Client(server) as phone:
        known = server.get("/v1/customers/anna")["geofences"]
        circle = {"circle": {"lat": 52.10, "lon": 5.10, "radius_m": 150.0}}
        assert known == [{"name": "home", "kind": "home", "shape": circle, "from": None, "to": None}]
        moved = tmp_path / "moved.toml"
        moved.write_text(REGISTRY.replace("lat = 52.10, lon = 5.10", "lat = 52.20, lon = 5.20"))
        at = ["--server", f"http://127.0.0.1:{server.http}"]
        code, out, err = datanaut("registry", "import", moved, *at)
        assert code == 0, out + err
        assert server.get("/v1/customers/anna")["geofences"][0]["shape"]["circle"]["lat"] == 52.2
        phone.publish("telemetry/tracker/anna-phone", stays(ELSEWHERE, HOME, ELSEWHERE, (52.20, 5.20)))
        (home,) = wait_for("the way home", lambda: server.events("anna-phone"))
        assert (home["event"], home["lat"]) == ("geofence_entered", 52.2)
