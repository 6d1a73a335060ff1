"""Triggers are CloudEvents that others' tools accept, over both versions of MQTT."""

import json
from datetime import datetime, timezone

import jsonschema
from cloudevents.v1.http import from_json

from datanaut import wait_for
from journeys import drive, legs, now_ms
from peers import Client, Listener, MqttJs

# The constraints of CloudEvents 1.0 on an event in JSON, and ours on its extensions and content.
TEXT = {"type": "string", "minLength": 1}
TIME = {"type": "string", "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
URI = {"type": "string", "format": "uri-reference", "pattern": r"^[^\s]+$"}
EXTENSION = {"type": ["string", "number", "boolean"]}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype",
                 "dataschema", "sequence", "revision", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": TEXT,
        "source": URI,
        "type": {"enum": [f"io.datanaut.trigger.{s}" for s in ("fired", "revised", "withdrawn")]},
        "subject": TEXT,
        "time": TIME,
        "datacontenttype": {"const": "application/json"},
        "dataschema": {**URI, "pattern": r"^[a-z][a-z0-9+.-]*:\S+:\d+$"},
        "sequence": {"type": "string", "pattern": r"^\d{20}$"},
        "revision": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "data": {
            "type": "object",
            "required": ["product", "rule", "event", "happened_at", "between", "place", "offer",
                         "explanation", "value", "evidence"],
            "properties": {
                "happened_at": TIME,
                "between": {"type": "array", "items": TIME, "minItems": 2, "maxItems": 2},
                "explanation": {"type": "object", "required": ["en", "nl"],
                                "additionalProperties": TEXT},
            },
        },
    },
    # Names of attributes: lower-case letters and digits.
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
    "additionalProperties": EXTENSION,
}


def check_event(payload):
    """Against the schema, and read by the SDK of the CloudEvents project."""
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(payload))
    event = from_json(payload)
    body = json.loads(payload)
    for name in ("id", "source", "type", "subject", "specversion", "time", "sequence"):
        assert event[name] == body[name]
    assert event.data == body["data"]
    return body


def test_every_subscriber_gets_the_same_event(server):
    with (
        Client(server, version=5) as five,
        Client(server, version=4) as three,
        Listener(server, "triggers/#", "-V", "mqttv5") as mosquitto,
        MqttJs(server, "triggers/alpina/#", 5) as js_five,
        MqttJs(server, "triggers/+/travel/#", 4) as js_three,
        Client(server) as car,
    ):
        subscribers = (five, three)
        for subscriber in subscribers:
            subscriber.subscribe("triggers/#")
        drive(car, "car-01", count=3)
        for subscriber in subscribers:
            wait_for("three triggers", lambda: len(subscriber.received) >= 3)
        for subscriber in (mosquitto, js_five, js_three):
            wait_for("three triggers", lambda: len(subscriber.messages()) >= 3)
        payloads = [message.payload.decode() for message in five.received]
        assert payloads == [message.payload.decode() for message in three.received]
        assert payloads == [payload for _, payload in mosquitto.messages()]
        assert payloads == [message["payload"] for message in js_five.messages()]
        assert payloads == [message["payload"] for message in js_three.messages()]
        assert [json.loads(payload) for payload in payloads] == server.triggers()
        for message, seen in zip(five.received, js_five.messages()):
            check_message(message)
            properties = seen["properties"]
            assert properties["contentType"] == message.properties.ContentType
            assert properties["userProperties"] == dict(message.properties.UserProperty)
        assert all(message["properties"] is None for message in js_three.messages())


def check_message(message):
    """Topic, type, expiry and user properties of MQTT 5 say the same as the event."""
    event = check_event(message.payload.decode())
    assert message.topic == f"triggers/alpina/travel/{event['subject']}" and message.qos == 1
    properties = message.properties
    assert properties.ContentType == "application/cloudevents+json; charset=utf-8"
    assert properties.PayloadFormatIndicator == 1
    # The broker adds some of its own.
    ours = {name: event[name] for name in ("id", "type", "sequence")}
    ours["revision"] = str(event["revision"])
    assert ours.items() <= dict(properties.UserProperty).items()
    expires = datetime.fromisoformat(event["data"]["offer"]["valid_until"])
    left = (expires - datetime.now(timezone.utc)).total_seconds()
    assert abs(properties.MessageExpiryInterval - left) < 60


def test_corrections_are_events_too(server):
    readings = legs(1, now_ms())
    with Client(server) as insurer, Client(server) as car:
        insurer.subscribe("triggers/#")
        # A fix every two minutes first: the others say more exactly when it was.
        car.publish("telemetry/car/car-01", readings[::8])
        wait_for("the trigger", lambda: insurer.received)
        car.publish("telemetry/car/car-01", readings)
        wait_for("its correction", lambda: len(insurer.received) >= 2)
        first, second = (check_event(message.payload.decode()) for message in insurer.received[:2])
    assert first["id"] == second["id"] and second["type"] == "io.datanaut.trigger.revised"
    assert (first["revision"], second["revision"]) == (0, 1)
    assert int(second["sequence"]) == int(first["sequence"]) + 1


def test_a_crossing_too_long_ago_is_recorded_and_not_sent(server):
    with Client(server) as insurer, Client(server) as car:
        insurer.subscribe("triggers/#")
        drive(car, "car-01", end_ms=now_ms() - 13 * 3_600_000)
        drive(car, "car-02")
        wait_for("the other one", lambda: insurer.received)
        assert len(insurer.received) == 1
    counts = server.counts()
    assert (counts["triggers_released"], counts["triggers_expired"]) == (1, 1)
    assert len(server.events("car-01")) == 1


def test_two_insurers_do_not_share_a_name_for_a_person(server):
    """And nothing in a trigger says whose device it was or where exactly."""
    with Client(server) as car:
        drive(car, "car-03")
    (message,) = server.triggers()
    text = json.dumps(message)
    for secret in ("car-03", "51.37", "lat", "customer"):
        assert secret not in text
