"""A subscriber that was away for long: what it missed, how it notices, and where it gets it."""

import json
import socket
import struct
import threading
import uuid

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from datanaut import REGISTRY, wait_for
from journeys import LATITUDE, TELEMETRY, drive, now_ms
from peers import Client

# Two fixes of a crossing make a country certain when they are 20 seconds apart; and all of them must
# lie within the twelve hours for which a crossing is worth telling.
STEP_MS = 30_000
# On either side of the border, and near enough to it to get there in that time by road.
WEST, EAST = 6.21, 6.235
CARS = 100

FLEET = """
[[fleet]]
prefix = "many-"
kind = "car"
first = 0
count = 100
digits = 2
insurer = "alpina"
products = ["travel"]
since = "2010-01-01T00:00:00Z"
home = "NL"
covers = ["DE"]
wording = "test-1"
"""


@pytest.fixture
def crowd(tmp_path, serving):
    """A server that knows a hundred cars more."""
    registry = tmp_path / "registry.toml"
    registry.write_text(REGISTRY.read_text() + FLEET)
    with serving(tmp_path, registry=registry) as server:
        yield server


def crossings(count, end_ms):
    """A car that turns round as soon as it has certainly arrived."""
    start_ms = end_ms - 2 * count * STEP_MS
    return [
        {"ts": start_ms + number * STEP_MS, "seq": number, "lat": LATITUDE,
         "lon": WEST if number // 2 % 2 == 0 else EAST, "accuracy_m": 5, "speed_mps": 30}
        for number in range(2 * count + 2)
    ]


def cross(server, triggers):
    """So many triggers, of a hundred cars."""
    end_ms = now_ms()
    before = server.status()["counts"]["triggers_released"]
    with Client(server) as gateway:
        for car in range(CARS):
            readings = crossings(triggers // CARS, end_ms)
            for start in range(0, len(readings), 500):
                gateway.publish(
                    TELEMETRY.format(f"many-{car:02d}"), readings[start : start + 500], seconds=120
                )
    released = lambda: server.status()["counts"]["triggers_released"] - before
    wait_for(f"{triggers} triggers", lambda: released() >= triggers, seconds=120, every=0.5)
    assert released() == triggers


def told(server, count):
    """Waits for so many triggers: a broker between acknowledges before they are there."""
    wait_for(f"{count} triggers", lambda: len(server.triggers()) == count)


def sequences(events):
    return [int(event["sequence"]) for event in events]


class Asking:
    """An insurer that asks over MQTT for what it missed."""

    def __init__(self, client, insurer="alpina", desk="desk-1"):
        self.client = client
        self.topic = f"requests/{insurer}/triggers"
        self.reply_to = f"replies/{insurer}/{desk}"
        client.subscribe(f"{self.reply_to}/#")

    def ask(self, question, reply_to=None):
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = reply_to or self.reply_to
        properties.CorrelationData = uuid.uuid4().bytes
        payload = question if isinstance(question, bytes) else json.dumps(question)
        self.client.client.publish(self.topic, payload, 1, properties=properties)
        return properties.CorrelationData

    def answers(self, correlation):
        return [
            message for message in list(self.client.received)
            if getattr(message.properties, "CorrelationData", None) == correlation
        ]

    def answer(self, question):
        correlation = self.ask(question)
        wait_for("the answer", lambda: self.answers(correlation), seconds=60)
        (message,) = self.answers(correlation)
        assert message.topic == self.reply_to
        assert message.properties.ContentType == "application/json; charset=utf-8"
        return json.loads(message.payload)

    def everything_after(self, after, product="travel"):
        events = []
        while True:
            page = self.answer({"product": product, "after": after, "limit": 200})
            events += page["triggers"]
            if not page["more"]:
                assert page["newest"] == int(events[-1]["sequence"])
                return events
            after = int(events[-1]["sequence"])


def test_fifty_thousand_triggers_pass_and_nothing_is_missing(crowd, shape):
    """The embedded broker keeps 10,000 for who is away; the sequence shows it, and the journal has
    the rest. Mosquitto as it ships keeps them all."""
    many = 50_000
    server = crowd
    insurer = Client(server, client_id="alpina-1", session=True)
    with insurer:
        insurer.subscribe("triggers/alpina/#")
    cross(server, many)
    seen = {}
    with insurer:
        assert insurer.session_present, "it can tell that the session was kept"
        newest = server.get("/v1/triggers", insurer="alpina", product="travel", limit=1)["newest"]
        assert newest == many

        def last():
            return insurer.received and json.loads(insurer.received[-1].payload)["sequence"] == f"{newest:020}"

        wait_for("what the session kept", last, seconds=120, every=0.2)
        seen = {int(event["sequence"]): event for event in insurer.events()}
    missing = sorted(set(range(1, newest + 1)) - set(seen))
    if shape == "embedded":
        assert missing, "the broker would have kept everything: the test is too small"
    else:
        assert not missing
    # It knows where the gap ends, and asks for what comes before: over HTTP and over MQTT.
    over_http = {int(event["sequence"]): event for event in server.triggers()}
    assert sorted(over_http) == list(range(1, newest + 1))
    assert all(over_http[sequence] == event for sequence, event in seen.items())
    with Client(server, user="alpina") as client:
        over_mqtt = Asking(client).everything_after(newest - 1_000)
    assert sequences(over_mqtt) == list(range(newest - 999, newest + 1))
    assert all(over_http[int(event["sequence"])] == event for event in over_mqtt)


def test_a_newcomer_asks_for_everything_over_mqtt(server):
    with Client(server) as car:
        drive(car, "car-01", count=4)
    told(server, 4)
    with Client(server, user="alpina") as insurer:
        asking = Asking(insurer)
        first = asking.answer({"product": "travel", "after": 0, "limit": 3})
        assert (first["insurer"], first["product"], first["after"]) == ("alpina", "travel", 0)
        assert sequences(first["triggers"]) == [1, 2, 3] and first["more"] and first["newest"] == 4
        rest = asking.answer({"product": "travel", "after": 3})
        assert sequences(rest["triggers"]) == [4] and not rest["more"]
        assert first["triggers"] + rest["triggers"] == server.triggers()
        assert asking.answer({"product": "home"})["newest"] == 0
        for wrong in (b"no question", {"after": 1}, {"product": "travel", "limit": 0}, {"product": "travel", "since": 1}):
            refusal = asking.answer(wrong)
            assert refusal["error"] and refusal["advice"]
        # Empty, the answer would mean that there is nothing to hear.
        refusal = asking.answer({"product": "cars"})
        assert refusal["error"] == 'there is no product "cars"' and "travel" in refusal["advice"]
    assert server.metric("requests_refused_total", reason="unknown_product") == 1


def test_the_older_version_has_its_answer_on_a_topic_of_its_own(server):
    with Client(server) as car:
        drive(car, "car-01")
    told(server, 1)
    with Client(server, user="alpina", version=4) as insurer:
        insurer.subscribe("replies/alpina/#")
        insurer.publish("requests/alpina/triggers", {"product": "travel"})
        wait_for("the answer", lambda: insurer.received)
        assert insurer.received[0].topic == "replies/alpina/triggers"
        assert sequences(insurer.events()[0]["triggers"]) == [1]


@pytest.mark.shape("embedded")
def test_nobody_asks_or_listens_in_anothers_name(server):
    with Client(server) as car:
        drive(car, "car-01")
    with (
        Client(server, user="alpina") as alpina,
        Client(server, user="boreal") as boreal,
        Client(server, user="car-02") as device,
    ):
        for nosy in (boreal, device):
            nosy.subscribe("replies/alpina/#")
            nosy.subscribe("requests/#")
        for nosy in (boreal, device):
            spy = Asking(nosy, insurer="alpina", desk="spy")
            spy.ask({"product": "travel"})
        # Its own request, with the answer sent into another's inbox.
        own = Asking(boreal, insurer="boreal")
        own.ask({"product": "travel"}, reply_to="replies/alpina/spy")
        own.ask({"product": "travel"}, reply_to="telemetry/car/car-02")
        asking = Asking(alpina)
        assert sequences(asking.answer({"product": "travel"})["triggers"]) == [1]
        assert own.answer({"product": "travel"})["triggers"] == []
        assert [message.topic for message in boreal.received] == [own.reply_to]
        assert device.received == []
        assert not [message for message in alpina.received if "spy" in message.topic]


def remaining_length(length):
    encoded = b""
    while True:
        length, digit = divmod(length, 128)
        encoded += bytes([digit | (0x80 if length else 0)])
        if not length:
            return encoded


def deaf(server, topic):
    """Subscribes and never reads again, with as little room for the rest as the system allows."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(("127.0.0.1", server.mqtt))
    text = lambda word: struct.pack(">H", len(word)) + word.encode()
    connect = text("MQTT") + bytes([4, 2]) + struct.pack(">H", 0) + text(f"deaf-{uuid.uuid4().hex[:8]}")
    peer.sendall(b"\x10" + remaining_length(len(connect)) + connect)
    subscribe = struct.pack(">H", 1) + text(topic) + b"\x01"
    peer.sendall(b"\x82" + remaining_length(len(subscribe)) + subscribe)
    answers = b""
    while len(answers) < 9:
        answers += peer.recv(9 - len(answers))
    return peer


def test_a_subscriber_that_stops_reading_harms_nobody(crowd):
    """Neither ingest, nor other subscribers, nor who asks for what was missed."""
    server = crowd
    peers = [deaf(server, "triggers/#") for _ in range(3)]
    try:
        with Client(server) as insurer:
            insurer.subscribe("triggers/#")
            cross(server, 4_000)
            wait_for("all triggers", lambda: len(insurer.received) >= 4_000, seconds=120)
            assert sequences(insurer.events()) == list(range(1, 4_001))
            with Client(server) as car:
                drive(car, "car-01")
            wait_for("the next one", lambda: len(insurer.received) >= 4_001)
        server.counts()
    finally:
        for peer in peers:
            peer.close()


def test_who_waits_over_http_gets_the_next_one(server):
    answers = []

    def wait():
        answers.append(server.get("/v1/triggers", insurer="alpina", product="travel", wait="8s"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    with Client(server) as car:
        drive(car, "car-01")
    waiting.join(20)
    assert sequences(shown["message"] for shown in answers[0]["triggers"]) == [1]
