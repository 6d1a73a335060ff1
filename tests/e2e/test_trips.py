"""Booked trips, from the insurer's MQTT packet to what is said before them."""

import time

from datanaut import ROOT, Datanaut, datanaut, wait_for
from journeys import drive
from peers import Client
from weather import OpenMeteo


def test_a_trip_is_said_two_days_before_and_withdrawn_when_cancelled(tmp_path, serving):
    """The customers live by UTC: a trip on the 20th is said at nine on the 18th."""
    trip = {"id": "T-1", "customer": "car-01-owner", "lat": 47.27, "lon": 11.39, "activities": ["skiing"],
            "from": "2026-01-20T12:00:00Z", "to": "2026-01-27T12:00:00Z"}
    clock = ["--clock-start", "2026-01-18T08:50:00Z", "--clock-speed", "60"]
    with serving(tmp_path, *clock) as server, Client(server) as alpina:
        alpina.subscribe("triggers/alpina/travel/#")
        alpina.publish("trips/alpina", trip)
        assert alpina.events() == []
        (told,) = wait_for("the morning", alpina.events, 60)
        data = told["data"]
        assert told["time"][:16] >= "2026-01-18T09:00" and told["type"].endswith(".fired")
        assert (data["event"], data["offer"]["kind"]) == ("trip_ahead", "winter_sports_cover")
        assert data["trip"] == {
            "id": "T-1", "begins": "2026-01-20", "activity": "skiing", "cover": "winter_sports",
            "from": "2026-01-20T12:00:00Z", "to": "2026-01-27T12:00:00Z",
        }
        assert data["evidence"]["weather"]["status"] == "known" and "°C" in data["explanation"]["en"]
        # What the rule would have said is what it said; a trip that is not told yet is not in it.
        alpina.publish("trips/alpina", {**trip, "id": "T-2", "from": "2026-02-20T12:00:00Z", "to": "2026-02-21T12:00:00Z"})
        rule = ("--since", "2026-01-01T00:00:00Z", "--data", server.data)
        code, out, err = datanaut("rules", "backtest", ROOT / "enrich/rules/travel-trip.toml", *rule)
        assert code == 0, err
        assert "1 events of trip_ahead" in out and "would say 1 triggers to 1 customers" in out, out
        assert "(1 winter_sports_cover)" in out and "0 new, 0 no longer, 0 said otherwise" in out, out
        alpina.publish("trips/alpina", {**trip, "cancelled": True})
        withdrawn = wait_for("the withdrawal", lambda: alpina.events()[1:])[0]
        assert withdrawn["id"] == told["id"] and withdrawn["type"].endswith(".withdrawn")
        assert server.counts()["reports"] == {"trip": 3}


def test_the_weather_of_a_trips_first_days_comes_from_a_live_feed_however_late(tmp_path):
    """Booked at the last moment, to a town by its name; the feed is away at first."""
    feed = OpenMeteo(temperature_c=-4.5)
    config = f'''
[relevance]
quiet_hours = ""
[[weather.feed]]
kind = "open-meteo"
url = "{feed.url}"
timeout = "2s"
'''
    begins = int(time.time() * 1000) + 40 * 3_600_000
    trip = {"id": "T-1", "customer": "car-01-owner", "place": "Innsbruck, Oostenrijk",
            "from": begins, "to": begins + 7 * 86_400_000}
    with Datanaut(tmp_path, config=config) as server, Client(server) as alpina:
        alpina.subscribe("triggers/alpina/travel/#")
        alpina.publish("trips/alpina", trip)
        (told,) = wait_for("the trip", alpina.events, 60)
        assert told["data"]["offer"]["kind"] == "trip_ahead" and told["data"]["facts"]["ahead.hours"] is None
        assert told["data"]["trip"]["place_named"] == "one"
        with feed:
            revised = wait_for("its weather", lambda: alpina.events()[1:], 90)[0]
        assert (revised["id"], revised["revision"]) == (told["id"], 1)
        data = revised["data"]
        assert data["offer"]["kind"] == "trip_weather" and data["offer"]["also"] == ["first_days"]
        assert data["facts"]["ahead.hours"] == 48 and data["facts"]["ahead.lowest_c"] == -4.5
        assert "between -4.5 and -4.5 °C" in data["explanation"]["en"] and "tussen -4,5 en" in data["explanation"]["nl"]
        assert all(47.2 <= float(lat) <= 47.3 and 11.3 <= float(lon) <= 11.5 for lat, lon in feed.asked)


def test_who_arrives_on_a_booked_trip_is_told_until_when(tmp_path, serving):
    registry = tmp_path / "registry.toml"
    registry.write_text("""
[[insurer]]
id = "alpina"
name = "Alpina"

[[fleet]]
prefix = "car-"
kind = "car"
first = 1
count = 2
insurer = "alpina"
products = ["travel"]
since = "2010-01-01T00:00:00Z"
home = "NL"
wording = "test-1"
""")
    now = int(time.time() * 1000)
    trip = {"id": "T-1", "customer": "car-01-owner", "lat": 52.5, "lon": 13.4, "from": now - 7_200_000, "to": now + 200_000_000}
    with serving(tmp_path, registry=registry) as server, Client(server) as car, Client(server) as alpina:
        told = lambda: [event["data"] for event in alpina.events() if event["data"]["event"] == "border_crossed"]
        alpina.subscribe("triggers/alpina/travel/#")
        alpina.publish("trips/alpina", trip)
        server.settle()
        drive(car, "car-01")
        (booked,) = wait_for("the arrival", told)
        assert booked["offer"]["kind"] == "cover" and booked["offer"]["also"][0] == "until_trip_ends"
        facts = booked["facts"]
        assert facts["place.covered"] is False and facts["place.roaming"] == "like_at_home" and facts["trip.days_left"] == 3
        assert facts["trip.to"] in booked["explanation"]["en"] and facts["trip.to"] in booked["explanation"]["nl"]
        assert facts["place.tyre_duty"] in ("required", "not_required", "depends_on_road")
        drive(car, "car-02")
        unknown = wait_for("the other's", lambda: told()[1:])[0]
        assert unknown["offer"]["also"][0] == "until_back" and unknown["facts"]["trip.to"] is None
        assert "we do not know when that is" in unknown["explanation"]["en"]
