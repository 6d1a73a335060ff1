"""Whoever asks too much, too often or guesses is told to wait, and harms nobody else."""

import http.client
import json

import paho.mqtt.client as paho
import pytest

from datanaut import wait_for

pytestmark = pytest.mark.shape("embedded")


def test_a_flood_of_requests_is_told_to_wait_and_goes_on_later(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)

    def ask():
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, answer.getheader("Retry-After"), answer.read()

    answers = []
    wait_for("an answer that says wait", lambda: [answers.append(ask()) for _ in range(100)] and
             answers[-1][0] == 429, 60, every=0)
    assert len(answers) >= 1000 and all(status == 200 for status, *_ in answers[:1000])
    status, again, body = next(answer for answer in answers if answer[0] == 429)
    assert again == "1" and json.loads(body)
    wait_for("it to go on", lambda: ask()[0] == 200)
    connection.close()


def test_a_body_that_is_too_large_is_refused(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)
    try:
        connection.request("POST", "/v1/registry", b" " * (9 << 20), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        # It need not read to the end what it will not take.
        pass
    assert server.ready()[0] == 200
    connection.close()


def test_guessing_a_password_has_an_end(server):
    def answer(user, password):
        codes = []
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.username_pw_set(user, password)
        client.on_connect = lambda _, __, ___, reason, *____: codes.append(reason.value)
        client.connect("127.0.0.1", server.mqtt)
        client.loop_start()
        wait_for("an answer", lambda: codes)
        client.disconnect()
        client.loop_stop()
        return codes[0]

    bad, wait, fine = 0x86, 0x9F, 0
    assert [answer("nobody", str(number)) for number in range(12)] == [bad] * 10 + [wait] * 2
    # Others from there are not put off.
    assert answer("nobody-else", "x") == bad
    assert answer("car-01", "as anybody in the demo") == fine
