"""How customers took what they were told, and what they hear after it."""

from datanaut import wait_for
from journeys import drive, now_ms
from peers import Client
from test_relevance import outcomes

HOUR_MS = 3_600_000


def of_rule(messages, rule):
    return [message["data"] for message in messages if message["data"]["rule"]["id"] == rule]


def test_a_low_mark_ends_offers_and_asks_a_person_to_call(server):
    with Client(server) as car, Client(server) as alpina:
        alpina.subscribe("triggers/alpina/#")
        drive(car, "car-01", end_ms=now_ms() - 6 * HOUR_MS)
        (offer,) = wait_for("the offer", alpina.events)
        alpina.publish("feedback/alpina", {"trigger": offer["id"], "mark": 4, "time": now_ms()})
        (task,) = wait_for("the task", lambda: of_rule(alpina.events(), "feedback-task"))
        assert (task["offer"]["kind"], task["mark"], task["trigger"]) == ("task", 4, offer["id"])
        assert alpina.events()[1]["subject"] == offer["subject"]

        drive(car, "car-01", count=2, end_ms=now_ms() - 3 * HOUR_MS)
        wait_for("offers held back", lambda: ("suppressed", "feedback") in outcomes(server))
        # Somebody else still hears.
        drive(car, "car-02")
        wait_for("another's offer", lambda: len(of_rule(alpina.events(), "travel-offer")) == 2)
        server.kill()
        server.start()
    assert server.counts()["triggers_suppressed"]["feedback"] >= 1
    with Client(server) as car, Client(server) as alpina:
        held = server.counts()["triggers_suppressed"]["feedback"]
        alpina.publish("feedback/alpina", {"trigger": offer["id"], "mark": 9, "time": now_ms()})
        wait_for("membership", lambda: of_rule(server.triggers(), "feedback-membership"))
        drive(car, "car-01", count=2)
        wait_for("an offer again", lambda: len(of_rule(server.triggers(), "travel-offer")) > 2)
        assert server.counts()["triggers_suppressed"]["feedback"] == held
        assert len(of_rule(server.triggers(), "feedback-task")) == 1
