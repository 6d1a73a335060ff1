"""Triggers posted to an insurer's endpoint, verified with the library of Standard Webhooks."""

import base64
import json
import secrets
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from datanaut import Datanaut, datanaut, wait_for
from journeys import drive
from peers import Client
from test_cloudevents import check_event
from test_contracts import Described


def new_secret():
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Endpoint:
    """An insurer's endpoint, which answers as it is told to."""

    def __init__(self):
        self.received = []
        self.status = 204
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(endpoint.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/datanaut"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def verified(self, secret):
        return [Webhook(secret).verify(body, headers) for headers, body in list(self.received)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    with Endpoint() as endpoint:
        yield endpoint


def calling(tmp_path, endpoint, *flags):
    """A server that calls the endpoint, and the file with its secret."""
    secret = tmp_path / "secret"
    secret.write_text(new_secret())
    config = tmp_path / "datanaut.toml"
    config.write_text(
        f'[[webhook]]\ninsurer = "alpina"\nurl = "{endpoint.url}"\nsecret_file = "{secret}"\n'
        "allow_private = true\n"
    )
    return Datanaut(tmp_path, "--config", config, *flags), secret


@pytest.fixture
def called(tmp_path, endpoint):
    server, secret = calling(tmp_path, endpoint)
    with server:
        wait_for("the webhook to begin", lambda: state(server)["state"] == "taking")
        yield server, secret


def state(server):
    (webhook,) = server.get("/v1/webhooks")
    return webhook


def webhook(server, *arguments):
    code, out, err = datanaut("webhook", *arguments, "--server", f"http://127.0.0.1:{server.http}")
    assert code == 0, err
    return out


def test_others_libraries_verify_what_is_posted(called, endpoint):
    server, file = called
    first = file.read_text()
    with Client(server) as car:
        drive(car, "car-01", count=2)
        wait_for("two messages", lambda: len(endpoint.received) == 2)
        assert endpoint.verified(first) == server.triggers()
        for headers, body in endpoint.received:
            assert headers["content-type"].startswith("application/cloudevents+json")
            event = check_event(body.decode())
            assert headers["webhook-id"] == f"{event['id']}-{event['revision']}"
        with pytest.raises(WebhookVerificationError):
            endpoint.verified(new_secret())
        # The secret changes while it runs: for a while both hold.
        second = new_secret()
        file.write_text(f"{second}\n{first}\n")
        endpoint.received.clear()
        drive(car, "car-02")
        wait_for("the third", lambda: endpoint.received)
        assert endpoint.verified(first) == endpoint.verified(second) == server.triggers()[2:]


def test_an_endpoint_that_is_gone_is_resumed_by_command(called, endpoint):
    server, file = called
    endpoint.status = 410
    with Client(server) as car:
        drive(car, "car-01", count=3)
    wait_for("the endpoint to be gone", lambda: state(server)["state"] == "gone")
    assert len(endpoint.received) == 1
    assert "gone" in webhook(server, "list") and "nothing was given up" in webhook(server, "dead", "alpina")
    server.kill()
    server.start()
    assert state(server)["state"] == "gone" and len(endpoint.received) == 1
    endpoint.status = 200
    endpoint.received.clear()
    webhook(server, "resume", "alpina")
    wait_for("what it missed", lambda: len(endpoint.received) == 3)
    assert sorted(event["sequence"] for event in endpoint.verified(file.read_text())) == [
        event["sequence"] for event in server.triggers()
    ]
    wait_for("the record of it", lambda: state(server)["unsent"] == state(server)["waiting"] == 0)


def test_what_is_asked_of_webhooks_is_answered_as_described(tmp_path, endpoint):
    # The three days in which it is tried take some seconds.
    server, _ = calling(tmp_path, endpoint, "--clock-speed", "50000")
    endpoint.status = 500
    with server, Client(server) as car:
        now = datetime.fromisoformat(server.status()["now"])
        drive(car, "car-01", end_ms=int(now.timestamp() * 1000))
        wait_for("the letter to be given up", lambda: state(server)["dead"] == 1, 60)
        ask = Described(server)
        (letter,) = ask("get", "/v1/webhooks/{name}/dead", name="alpina")
        assert letter["error"] == "it answered 500"
        after = letter["position"]
        assert ask("get", "/v1/webhooks/{name}/dead", name="alpina", after=after, limit=5) == []
        ask("get", "/v1/webhooks/{name}/dead", name="alpina", limit=0, expect=400)
        endpoint.status = 200
        resend, all_of = "/v1/webhooks/{name}/resend", {"all": True}
        assert ask("post", resend, all_of, name="alpina") == {"resent": 1, "more": False}
        wait_for("it to be taken", lambda: state(server)["dead"] == state(server)["waiting"] == 0)
        assert ask("post", resend, {"positions": [after]}, name="alpina")["resent"] == 0
        ask("post", "/v1/webhooks/{name}/resume", name="alpina")
        for way, body in (("resend", all_of), ("resume", None)):
            ask("post", f"/v1/webhooks/{{name}}/{way}", body, name="none", expect=404)
        ask("get", "/v1/webhooks/{name}/dead", name="none", expect=404)


def test_an_endpoint_that_fails_costs_nobody_else_anything(called, endpoint):
    server, _ = called
    endpoint.status = 500
    with Client(server) as insurer, Client(server) as car:
        insurer.subscribe("triggers/#")
        drive(car, "car-01", count=8)
        wait_for("the triggers", lambda: len(insurer.received) == 8)
    failing = wait_for("a rest", lambda: state(server)["state"] == "resting" and state(server))
    assert failing["failures"] == 5 and failing["error"] == "it answered 500"
    assert failing["unsent"] + failing["waiting"] == 8 and failing["dead"] == 0
    assert server.stop() == 0


def test_a_test_goes_the_way_of_every_trigger(called, endpoint):
    server, file = called
    with Client(server) as insurer:
        insurer.subscribe("triggers/alpina/#")
        code, out, err = datanaut(
            "trigger", "test", "--insurer", "alpina", "--server", f"http://127.0.0.1:{server.http}")
        assert code == 0 and "triggers/alpina/travel/test" in out, err
        wait_for("the test", lambda: insurer.received and endpoint.received)
        (sent,) = insurer.events()
        assert insurer.received[0].topic == "triggers/alpina/travel/test"
        assert endpoint.verified(file.read_text()) == [sent] == server.triggers()
        assert sent["type"] == "io.datanaut.trigger.test" and sent["data"]["test"] is True
        assert sent["subject"] == "test" and int(sent["sequence"]) == 1
        with Client(server) as car:
            drive(car, "car-01")
        wait_for("a real one", lambda: len(insurer.received) == 2)
        assert int(insurer.events()[1]["sequence"]) == 2
    code, _, err = datanaut(
        "trigger", "test", "--insurer", "nobody", "--server", f"http://127.0.0.1:{server.http}")
    assert code == 1 and "nobody" in err
