"""Booked trips, from the insurer's MQTT packet to what is said before them."""

from datanaut import wait_for
from peers import Client


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
        alpina.publish("trips/alpina", {**trip, "cancelled": True})
        withdrawn = wait_for("the withdrawal", lambda: alpina.events()[1:])[0]
        assert withdrawn["id"] == told["id"] and withdrawn["type"].endswith(".withdrawn")
        assert server.counts()["reports"] == {"trip": 2}
