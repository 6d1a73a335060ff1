"""What is sent and answered is what the documents say: OpenAPI, AsyncAPI and JSON Schema."""

import json
import urllib.parse
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from datanaut import IN_CI, datanaut, wait_for
from journeys import TELEMETRY, drive, now_ms
from peers import NODE, Client
from test_replay import Asking
from test_rights import fetch, post

EVENT = "urn:datanaut:schema:event:1"
KINDS = ("event", "trigger", "privacy", "test")


def document(server, path):
    status, body = server.request(path)
    assert status == 200, body
    return json.loads(body)


def schemas(server):
    """As a reader of messages finds them: by the names in `dataschema`."""
    names = [f"urn:datanaut:schema:{kind}:1" for kind in KINDS]
    found = {name: document(server, f"/schemas/{name}") for name in names}
    registry = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in found.items())
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for schema in found.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    return {
        name: jsonschema.Draft202012Validator(schema, registry=registry, format_checker=checker)
        for name, schema in found.items()
    }


class Described:
    """Asks the server, and holds each answer against the OpenAPI document."""

    def __init__(self, server):
        self.server = server
        self.document = document(server, "/openapi.json")
        self.registry = Registry().with_resource(
            "openapi", Resource.from_contents(self.document, default_specification=DRAFT202012))
        self.asked = set()

    def __call__(self, method, path, body=None, expect=200, **query):
        values = {name: query.pop(name) for name in list(query) if f"{{{name}}}" in path}
        target = path
        for name, value in values.items():
            target = target.replace(f"{{{name}}}", urllib.parse.quote(str(value)))
        if query:
            target += "?" + urllib.parse.urlencode({name.rstrip("_"): value for name, value in query.items()})
        described = self.document["paths"][path][method]
        if method == "get":
            status, text = fetch(self.server, target)
        else:
            if body is not None:
                self.check(described["requestBody"]["content"]["application/json"]["schema"], body)
            status, text = post(self.server, target, body if body is not None else {})
        assert status == expect, f"{method} {target}: {status} {text}"
        answers = described["responses"]
        answer = answers.get(str(status), answers["default"])
        if "$ref" in answer:
            answer = self.document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        (kind,) = answer["content"]
        if kind == "application/json":
            text = json.loads(text)
            self.check(answer["content"][kind]["schema"], text)
        self.asked.add((method, path))
        return text

    def check(self, schema, value):
        absolute = json.loads(json.dumps(schema).replace('"#/', '"openapi#/'))
        jsonschema.Draft202012Validator(absolute, registry=self.registry).validate(value)


def test_the_documents_are_what_they_say_they_are(server):
    validate(document(server, "/openapi.json"))
    schemas(server)
    specification = Path(NODE) / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
    if not specification.exists():
        assert not IN_CI, "@asyncapi/specs is missing: start tests/run"
        pytest.skip("@asyncapi/specs is not installed")
    official = json.loads(specification.read_text())
    jsonschema.validators.validator_for(official)(official).validate(document(server, "/asyncapi.json"))


def told_of_all_kinds(server):
    """Fired, revised, withdrawn, a test, requests to delete, and what takes a trigger's place."""
    with Client(server) as car:
        drive(car, "car-01")
        drive(car, "car-02", count=2)
        end_ms = now_ms() - 7_200_000
        sent = drive(car, "car-03", end_ms=end_ms)
        # Late: one reading that moves the crossing, then so many that there was none.
        wait_for("four triggers", lambda: len(server.triggers()) == 4)
        across = [reading for reading in sent if reading["lon"] > 6.2]
        moved = {**across[0], "ts": across[0]["ts"] - 7_000, "seq": None, "lon": 6.19}
        moved.pop("seq")
        car.publish(TELEMETRY.format("car-03"), moved)
    for arguments in (
        ("trigger", "test", "--insurer", "alpina"),
        ("consent", "withdraw", "car-01-owner", "alpina", "travel"),
        ("customer", "erase", "car-02-owner", "--confirm", "car-02-owner"),
    ):
        code, _, err = datanaut(*arguments, "--server", f"http://127.0.0.1:{server.http}")
        assert code == 0, err


def test_every_message_is_as_described(server):
    known = schemas(server)
    channels = document(server, "/asyncapi.json")["channels"]
    topic = channels["triggers"]["address"]
    with Client(server) as insurer, Client(server) as asking:
        insurer.subscribe("triggers/#")
        told_of_all_kinds(server)
        told = server.triggers()
        wait_for("all messages", lambda: int(insurer.events()[-1]["sequence"]) == len(told))
        assert len(insurer.received) >= len(told)
        for message in insurer.received:
            event = json.loads(message.payload)
            known[EVENT].validate(event)
            known[event["dataschema"]].validate(event["data"])
            levels = dict(zip(topic.split("/"), message.topic.split("/")))
            assert levels == {"triggers": "triggers", "{insurer}": "alpina",
                              "{product}": event["data"].get("product", "travel"), "{subject}": event["subject"]}
        for event in told:
            known[EVENT].validate(event)
        kinds = {event["type"] for event in [*insurer.events(), *told]}
        assert kinds >= {f"io.datanaut.trigger.{kind}" for kind in ("fired", "erased", "test")}
        assert kinds >= {"io.datanaut.consent.withdrawn", "io.datanaut.customer.erased"}
        answer = Asking(asking).answer({"product": "travel"})
        for event in answer["triggers"]:
            known[EVENT].validate(event)
        described = document(server, "/asyncapi.json")
        resource = Resource.from_contents(described, default_specification=DRAFT202012)
        registry = Registry().with_resource("asyncapi", resource)
        for name, value in (("Answer", answer), ("Refusal", Asking(asking).answer({"after": 1}))):
            schema = {"$ref": f"asyncapi#/components/schemas/{name}"}
            jsonschema.Draft202012Validator(schema, registry=registry).validate(value)
        # What is described is taken.
        fired = next(event for event in told if event["type"].endswith(".fired"))
        trip = {"id": "T-1", "policy": "A-1", "from": now_ms() + 86_400_000, "to": now_ms() + 172_800_000,
                "place": "Innsbruck", "activities": ["skiing"]}
        feedback = {"trigger": fired["id"], "reaction": "opened", "mark": 8, "time": now_ms()}
        for name, report in (("Trip", trip), ("Feedback", feedback)):
            schema = {"$ref": f"asyncapi#/components/schemas/{name}"}
            jsonschema.Draft202012Validator(schema, registry=registry).validate(report)
        with Client(server, user="alpina") as reporting:
            reporting.publish("trips/alpina", trip)
            reporting.publish("feedback/alpina", feedback)
        wait_for("both reports", lambda: sum(server.status()["counts"]["reports"].values()) == 2)
    # A schema that takes anything would be none.
    for wrong in ({**told[0], "sequence": 1}, {**told[0], "subject": "car-01-owner"}, {**told[0], "type": "x"}):
        assert not known[EVENT].is_valid(wrong)


def test_every_answer_is_as_described(server):
    ask = Described(server)
    with Client(server) as car:
        drive(car, "car-01")
        car.publish(TELEMETRY.format("car-01"), "no JSON")
        car.publish(TELEMETRY.format("car-02"), "no JSON")
        wait_for("the trigger", lambda: len(server.triggers()) == 1)
    for path in ("/healthz", "/readyz", "/metrics", "/v1/status", "/v1/fleet", "/v1/basemap", "/v1/webhooks",
                 "/v1/triggers", "/openapi.json", "/asyncapi.json"):
        ask("get", path)
    ask("get", "/schemas/{schema}", schema=EVENT)
    ask("get", "/schemas/{schema}", schema="urn:datanaut:schema:none:1", expect=404)
    ask("get", "/v1/fleet", limit=0, expect=400)
    ask("get", "/v1/where", lat=51.37, lon=6.17, at="2026-01-15T12:00:00Z")
    ask("get", "/v1/where", lat=91, lon=6.17, expect=400)
    ask("get", "/v1/triggers", insurer="alpina", product="travel", after=0, limit=1, wait="1s")
    ask("get", "/v1/triggers", insurer="nobody", product="travel", expect=404)
    ask("get", "/v1/subjects", policy="car-01-travel")
    ask("get", "/v1/subjects", policy="none", expect=404)
    ask("get", "/v1/devices/{id}/readings", id="car-01")
    ask("get", "/v1/devices/{id}/events", id="car-01", limit=10)
    ask("get", "/v1/devices/{id}/events", id="none", expect=404)
    first, *_ = ask("get", "/v1/quarantine", limit=2)
    ask("get", "/v1/quarantine/{number}", number=first["number"])
    ask("post", "/v1/quarantine/{number}/retry", number=first["number"])
    ask("post", "/v1/quarantine/retry", {"reason": first["reason"]})
    ask("post", "/v1/quarantine/drop", {"all": True})
    ask("post", "/v1/quarantine/drop", {}, expect=400)
    ask("post", "/v1/triggers/test", {"insurer": "alpina", "product": "home"})
    ask("post", "/v1/triggers/test", {"insurer": "nobody", "product": "home"}, expect=404)
    ask("post", "/v1/subjects/rotate")
    ask("post", "/v1/devices", {"devices": [{"id": "car-new", "kind": "car", "owner": "anna"}]})
    ask("post", "/v1/devices", {"devices": [{"id": "car-new", "kind": "car"}]}, expect=409)
    ask("post", "/v1/devices", {"devices": [{"id": "alpina", "kind": "car"}]}, expect=409)
    ask("post", "/v1/registry", {"file": '[[insurer]]\nid = "car-new"\nname = "New"\n'}, expect=400)
    ask("post", "/v1/devices/{id}/rotate", id="car-new")
    ask("post", "/v1/devices/{id}/transfer", {"to": "car-01-owner"}, id="car-new")
    ask("post", "/v1/registry", {"file": Path(server.registry).read_text()})
    ask("post", "/v1/customers/{id}/link", {"days": 1}, id="anna")
    ask("get", "/v1/customers/{id}", id="anna")
    consent = {"insurer": "alpina", "purpose": "travel"}
    changed = ask("post", "/v1/customers/{id}/consents/withdraw", consent, id="anna")
    ask("post", "/v1/customers/{id}/consents/withdraw", consent, id="anna", expect=409)
    ask("post", "/v1/customers/{id}/consents/give", {**consent, "wording": "test-2"}, id="anna")
    ask("post", "/v1/customers/{id}/erase", {"confirm": "anna"}, id="anna")
    number = changed["deletion"]
    wait_for("the receipt", lambda: ask("get", "/v1/deletions/{number}", number=number)["done_ms"])
    left = {(method, path) for path, methods in ask.document["paths"].items() for method in methods} - ask.asked
    # What is no JSON, and what needs a webhook.
    assert {path for _, path in left} <= {
        "/me", "/me/consent", "/me/export", "/v1/stream", "/v1/customers/{id}/export", "/v1/quarantine/{number}",
        "/v1/webhooks/{name}/dead", "/v1/webhooks/{name}/resend", "/v1/webhooks/{name}/resume"}
