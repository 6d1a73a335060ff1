"""A subscriber that was away gets what it missed."""

import pytest

from datanaut import wait_for
from journeys import drive, ways
from peers import Client


@pytest.mark.parametrize("version", [4, 5])
def test_a_persistent_session_gets_what_it_missed(server, version):
    insurer = Client(server, version=version, client_id="alpina-1", session=True)
    with insurer:
        insurer.subscribe("triggers/#")
    with Client(server) as car:
        drive(car, "car-01", count=3)
        wait_for("the triggers", lambda: server.counts()["triggers_released"] == 3)
    assert insurer.received == []
    # It does not subscribe again: the session knows.
    insurer.subscriptions.clear()
    with insurer:
        assert insurer.session_present
        wait_for("what it missed", lambda: len(insurer.received) >= 3)
        assert ways(insurer.events()) == [("NL", "DE"), ("DE", "NL"), ("NL", "DE")]


def by_id(client):
    return {event["id"]: event for event in client.events()}


@pytest.mark.shape("embedded")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_recent_triggers_come_again_after_a_restart_under_the_same_ids(server, how):
    with Client(server) as insurer, Client(server) as car:
        insurer.subscribe("triggers/#")
        drive(car, "car-01", count=3)
        wait_for("the triggers", lambda: len(insurer.received) >= 3)
        before = insurer.events()
        getattr(server, how)()
        server.start()
        with Client(server) as another:
            another.subscribe("triggers/alpina/#")
            # Some may come twice: what was not noted as sent before the end is sent at the start.
            wait_for("the triggers again", lambda: len(by_id(another)) == 3)
            assert by_id(another) == {event["id"]: event for event in before}
        # Who was there all along comes back by itself; what comes twice bears the same ids.
        wait_for("the way back", lambda: insurer.drops and insurer.up.is_set())
        with Client(server) as car:
            drive(car, "car-02")
        wait_for("a new trigger", lambda: len(by_id(insurer)) == 4)
    assert all(by_id(insurer)[event["id"]] == event for event in before)
    assert len(server.triggers()) == 4


def test_a_subscriber_closes_gaps_by_sequence(server):
    with Client(server) as car:
        drive(car, "car-01", count=4)
    first = server.get("/v1/triggers", insurer="alpina", product="travel", limit=3)
    assert first["more"]
    last = int(first["triggers"][-1]["message"]["sequence"])
    rest = server.get("/v1/triggers", insurer="alpina", product="travel", after=last)
    numbers = [int(t["message"]["sequence"]) for t in first["triggers"] + rest["triggers"]]
    assert numbers == [1, 2, 3, 4] and not rest["more"]


@pytest.mark.shape("embedded")
def test_who_may_listen_to_what(server):
    """An insurer hears its own triggers, a device its own errors; and nobody the devices."""
    with (
        Client(server, user="alpina") as alpina,
        Client(server, user="boreal") as boreal,
        Client(server) as anybody,
        Client(server, user="car-02") as car,
    ):
        alpina.subscribe("triggers/alpina/#")
        boreal.subscribe("triggers/boreal/#")
        for nosy in (boreal, car):
            nosy.subscribe("triggers/alpina/#")
        anybody.subscribe("telemetry/#")
        anybody.subscribe("#")
        drive(car, "car-02")
        wait_for("the trigger", lambda: alpina.received and anybody.received)
        assert len(alpina.received) == len(anybody.received) == 1
        assert boreal.received == [] and car.received == []
