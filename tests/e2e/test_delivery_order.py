"""However a journey is delivered, it ends in the same history and the same final events."""

import random
from dataclasses import dataclass

import pytest

from datanaut import Datanaut, wait_for
from journeys import TELEMETRY, final, legs, now_ms, ways
from peers import Client

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CROSSINGS = [("NL", "DE"), ("DE", "NL"), ("NL", "DE"), ("DE", "NL"), ("NL", "DE")]


def in_order(journey, recent, chance):
    return [*journey, *recent]


def held_back(journey, recent, chance):
    """Two hours of the journey come after what was driven since."""
    return [*recent, *journey]


def reversed_in_chunks(journey, recent, chance):
    readings = [*journey, *recent]
    chunks = [readings[start : start + 17] for start in range(0, len(readings), 17)]
    return [reading for chunk in reversed(chunks) for reading in chunk]


def with_duplicates(journey, recent, chance):
    readings = [*journey, *recent]
    return [reading for reading in readings for _ in range(chance.choice((1, 1, 2, 3)))]


def shuffled(journey, recent, chance):
    readings = [*journey, *recent, *chance.sample(journey, 30)]
    chance.shuffle(readings)
    return readings


DELIVERIES = [in_order, held_back, reversed_in_chunks, with_duplicates, shuffled]


DEVICES = [f"car-{number:02}" for number in range(1, len(DELIVERIES) + 1)]


@dataclass
class Delivered:
    """What was sent to a server, and what an insurer heard."""

    server: Datanaut
    kept: list
    sent: int
    heard: list


@pytest.fixture(scope="module")
def delivered(tmp_path_factory, seed, serving):
    """The same readings in every order, each on a device of its own."""
    chance = random.Random(seed)
    # Over the border four times until two hours ago, and once more since.
    journey = legs(4, now_ms() - 2 * HOUR_MS)
    recent = [{**reading, "seq": reading["seq"] + 1000} for reading in legs(1, now_ms())]
    sent = 0
    with serving(tmp_path_factory.mktemp("order")) as server:
        with Client(server) as insurer, Client(server) as cars:
            insurer.subscribe("triggers/#")
            for device, delivery in zip(DEVICES, DELIVERIES):
                readings = delivery(journey, recent, chance)
                sent += len(readings)
                while readings:
                    # One by one, or as many as a device that was offline sends at once.
                    size = chance.choice((1, 1, 2, 7, 30))
                    batch, readings = readings[:size], readings[size:]
                    cars.publish(TELEMETRY.format(device), batch[0] if size == 1 else batch)
            told = server.triggers()
            wait_for("what was told", lambda: len(insurer.events()) >= len(told))
            yield Delivered(server, [*journey, *recent], sent, insurer.events())


def test_any_order_ends_in_the_same_history(delivered):
    counts = delivered.server.counts()
    assert counts["stored"] == len(delivered.kept) * len(DEVICES)
    assert counts["duplicate"] == delivered.sent - counts["stored"]
    histories = [delivered.server.readings(device, now_ms() - DAY_MS) for device in DEVICES]
    assert [r["seq"] for r in histories[0]] == [r["seq"] for r in delivered.kept]
    for device, history in zip(DEVICES, histories):
        assert history == histories[0], device


def test_any_order_ends_in_the_same_events(delivered):
    events = [happened(delivered.server, device) for device in DEVICES]
    assert [(event["from"], event["to"]) for event in events[0]] == CROSSINGS
    for device, happenings in zip(DEVICES, events):
        assert happenings == events[0], device


def test_any_order_ends_in_the_same_last_words_to_insurers(delivered):
    """The same but for the names of people, and for the hash of who said it."""
    last = sorted(final(delivered.heard), key=lambda message: message["data"]["happened_at"])
    told = {}
    for message in last:
        told.setdefault(message["subject"], []).append({**message["data"], "evidence": None})
    assert len(told) == len(DEVICES)
    first = next(iter(told.values()))
    for data in told.values():
        assert [crossing(one) for one in data] == CROSSINGS
        assert data == first


def test_an_id_is_about_one_crossing(delivered):
    """What is revised is when and where, not which."""
    about = {}
    for message in delivered.heard:
        about.setdefault(message["id"], set()).add(crossing(message["data"]))
    assert all(len(ways) == 1 for ways in about.values())
    assert len(about) == len(CROSSINGS) * len(DEVICES)


def crossing(data):
    return data["place"]["from"]["country"], data["place"]["to"]["country"]


def happened(server, device):
    """The final events, without how they became known."""
    events = (e for e in server.events(device) if not e["withdrawn"])
    shown = [{k: v for k, v in e.items() if k not in ("known_at", "revision")} for e in events]
    return sorted(shown, key=lambda event: event["happened_at"])


def test_two_crossings_do_not_share_an_id(server):
    """What was first found between two fixes turns out to be one of two crossings between them."""
    end_ms = now_ms()
    journey = legs(4, end_ms - 2 * HOUR_MS)
    with Client(server) as car:
        car.publish(TELEMETRY.format("car-01"), legs(1, end_ms))
        for start in range(0, len(journey), 5):
            car.publish(TELEMETRY.format("car-01"), journey[start : start + 5])
    told = final(server.triggers())
    assert [(event["from"], event["to"]) for event in happened(server, "car-01")] == CROSSINGS
    happenings = sorted((message["data"]["happened_at"], crossing(message["data"])) for message in told)
    assert [ways for _, ways in happenings] == CROSSINGS
    assert len({message["id"] for message in told}) == len(CROSSINGS)


def test_a_crossing_that_never_was_is_withdrawn_under_its_id(server):
    """Late fixes show that the phone had only seemed to be abroad."""
    end_ms = now_ms() - HOUR_MS
    there = legs(1, end_ms)
    with Client(server) as insurer, Client(server) as car:
        insurer.subscribe("triggers/#")
        car.publish(TELEMETRY.format("car-01"), there[:5])
        # A receiver that is certain, and wrong, for a while.
        wrong = [{**reading, "ts": end_ms + 60_000 + 15_000 * n, "seq": 100 + n}
                 for n, reading in enumerate(there[-4:])]
        car.publish(TELEMETRY.format("car-01"), wrong)
        wait_for("the crossing", lambda: ways(final(insurer.events())) == [("NL", "DE")])
        # Between those fixes it was at home all along.
        home = [{**there[0], "ts": reading["ts"] - 7_000, "seq": 200 + n}
                for n, reading in enumerate(wrong)]
        home += [{**there[0], "ts": wrong[-1]["ts"] + 5_000 + 5_000 * n, "seq": 300 + n} for n in range(5)]
        car.publish(TELEMETRY.format("car-01"), home)
        wait_for("what is final", lambda: final(insurer.events()) == [] or None, 10)
        messages = insurer.events()
    assert len({message["id"] for message in messages}) == 1
    assert [message["revision"] for message in messages] == list(range(len(messages)))
    assert messages[-1]["type"] == "io.datanaut.trigger.withdrawn"
    assert [event["withdrawn"] for event in server.events("car-01")] == [True]


def test_a_message_sent_twice_is_stored_once(server):
    reading = {"ts": now_ms(), "seq": 1, "speed_mps": 5}
    with Client(server) as car:
        car.publish("telemetry/car/car-01", reading)
        car.publish("telemetry/car/car-01", reading)
        # Same time, other content: a second reading.
        car.publish("telemetry/car/car-01", {**reading, "speed_mps": 6})
    counts = server.counts()
    assert (counts["stored"], counts["duplicate"]) == (2, 1)
