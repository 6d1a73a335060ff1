"""Other brokers with the rules that `datanaut acl` writes: who hears what, and who is heard."""

import json
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from datanaut import HERE, Process, datanaut, free_port, wait_for

# The embedded broker is held to the same rows (ingest/tests/broker/matrix.rs).
MATRIX = json.loads((HERE / "access.json").read_text())
DATANAUT = "datanaut"
USERS = [DATANAUT, "alpina", "boreal", "car-1", "car-2", "anna-phone"]
# Logins that nobody should be given.
ODD = ["+", "#", "car-1/x"]


def token(user):
    return f"token-of-{user}"


def rules(broker, folder, users=USERS):
    """What `datanaut acl` writes."""
    tokens = folder / "tokens.csv"
    tokens.write_text("".join(f"{user},{token(user)}\n" for user in users))
    code, text, said = datanaut("acl", "--for", broker, "--tokens", tokens)
    assert code == 0, said
    return text


class Peer:
    """A client that logs in and remembers what it hears."""

    def __init__(self, port, user, version=4, client_id="", will=None):
        self.heard, self.mids, self.refused = [], set(), None
        protocol = paho.MQTTv5 if version == 5 else paho.MQTTv311
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
        self.client.username_pw_set(user, token(user))
        if will:
            self.client.will_set(will, b"will of " + user.encode(), 1)
        self.up = None
        self.client.on_connect = self._connected
        self.client.on_disconnect = lambda *_: setattr(self, "up", False)
        self.client.on_message = lambda _, __, message: self.heard.append((message.topic, message.payload))
        self.client.on_subscribe = lambda _, __, mid, *___: self.mids.add(mid)
        self.client.reconnect_delay_set(60, 60)
        self.client.connect("127.0.0.1", port, keepalive=60)
        self.client.loop_start()
        wait_for(f"an answer to {user}", lambda: self.up is not None)

    def _connected(self, _, __, ___, reason, *____):
        self.up = not reason.is_failure

    def subscribe(self, topic):
        _, mid = self.client.subscribe(topic, 1)
        wait_for(f"SUBACK for {topic}", lambda: mid in self.mids or not self.up)

    def publish(self, topic, payload, retain=False):
        """Whether it was acknowledged before the broker hung up, if it did."""
        sent = self.client.publish(topic, payload, 1, retain)
        wait_for(f"PUBACK for {topic}", lambda: sent.is_published() or not self.up)

    def vanish(self):
        """Without a DISCONNECT."""
        self.client.socket().shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        assert self.up, "refused"
        return self

    def __exit__(self, *_):
        self.close()


class Mosquitto:
    """With a login for each user, and for some whose names are wildcards."""

    name = "mosquitto"

    def __init__(self, folder):
        self.port = free_port()
        passwords = folder / "passwords"
        passwords.write_text("".join(f"{user}:{token(user)}\n" for user in USERS + ODD))
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
        (folder / "acl").write_text(rules("mosquitto", folder))
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nuse_username_as_clientid true\nallow_anonymous false\n"
            f"password_file {passwords}\nacl_file {folder / 'acl'}\nuser root\n"
        )
        self.process = Process(["mosquitto", "-c", config])


class Nats:
    name = "nats"

    def __init__(self, folder):
        self.port = free_port()
        (folder / "users.conf").write_text(rules("nats", folder))
        config = folder / "nats.conf"
        config.write_text(
            f'server_name: test\nlisten: "127.0.0.1:{free_port()}"\n'
            f'jetstream {{ store_dir: "{folder}/jetstream" }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.port}" }}\ninclude "users.conf"\n'
        )
        self.process = Process([Path(sys.executable).parent / "nats-server", "-c", config])


@pytest.fixture(scope="module", params=[Mosquitto, Nats], ids=lambda kind: kind.name)
def broker(request, tmp_path_factory):
    broker = request.param(tmp_path_factory.mktemp(request.param.name))
    with broker.process as process:

        def answers():
            assert process.running(), process.said()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", broker.port)) == 0

        wait_for(broker.name, answers)
        yield broker


COLLECTED = ("telemetry/+/+", "owntracks/+/+", "owntracks/+/+/+", "requests/+/triggers", "claims/+",
             "trips/+", "feedback/+")
HEARD = {
    DATANAUT: COLLECTED,
    "alpina": ("triggers/alpina/#", "replies/alpina/#", "errors/alpina"),
    "car-1": ("errors/car-1",),
    "anna-phone": (),
}


@pytest.fixture
def peers(broker):
    """Everybody, subscribed to what is theirs."""
    with ExitStack() as stack:
        peers = {who: stack.enter_context(Peer(broker.port, who)) for who in HEARD}
        for who, topics in HEARD.items():
            for topic in topics:
                peers[who].subscribe(topic)
        yield peers


def heard(peers, broker, fence):
    """All that anybody heard of what was published before."""
    with Peer(broker.port, "car-2") as car:
        car.publish("telemetry/car/car-2", fence)
    wait_for("the fence", lambda: ("telemetry/car/car-2", fence) in peers[DATANAUT].heard)
    return {message for peer in peers.values() for message in peer.heard}


def test_who_is_heard(broker, peers):
    rows = MATRIX["publish"] + [[who, topic, True] for who, topic in MATRIX["reports"]]
    for number, (who, topic, _) in enumerate(rows):
        peers[who].publish(topic, b"row %d" % number)
    said = heard(peers, broker, b"said")
    for number, (who, topic, allowed) in enumerate(rows):
        assert ((topic, b"row %d" % number) in said) == allowed, (who, topic)


def test_what_is_retained_or_willed_is_no_way_around(broker, peers):
    for topic in ("triggers/alpina/travel/x", "telemetry/car/car-2"):
        peers["car-1"].publish(topic, b"retained", retain=True)
        with Peer(broker.port, "car-2", will=topic.replace("car-2", "car-1")) as gone:
            gone.vanish()
    with Peer(broker.port, "boreal", will="triggers/alpina/travel/x") as gone:
        gone.vanish()
    with Peer(broker.port, "car-2", will="telemetry/car/car-2") as gone:
        gone.vanish()
    wait_for("a will of its own", lambda: ("telemetry/car/car-2", b"will of car-2") in peers[DATANAUT].heard)
    said = heard(peers, broker, b"willed")
    assert not [message for message in said if message[1] in (b"retained", b"will of boreal")]
    assert not [message for message in peers["alpina"].heard]
    assert ("telemetry/car/car-1", b"will of car-2") not in said


def hears(peer, who, itself, topic):
    """What a peer hears of all that Datanaut says."""
    for said in MATRIX["said"]:
        itself.publish(said, topic.encode())
    fence = f"errors/{who}"
    peer.subscribe(fence)
    itself.publish(fence, b"last")
    wait_for("what was said last", lambda: (fence, b"last") in peer.heard)
    return {said for said, payload in peer.heard if payload == topic.encode()}


def test_who_hears_what(broker):
    own = {"alpina": {said for said in MATRIX["said"] if "alpina" in said}, "car-1": {"errors/car-1"}}
    with Peer(broker.port, DATANAUT) as itself:
        for who, topic, expected in MATRIX["own"]:
            with Peer(broker.port, who) as peer:
                peer.subscribe(topic)
                seen = hears(peer, who, itself, topic)
                # NATS takes shared subscriptions and delivers nothing.
                assert seen == set(expected) or topic.startswith("$share") and broker.name == "nats", topic
        for who, topic in MATRIX["wider"]:
            with Peer(broker.port, who) as peer:
                peer.subscribe(topic)
                assert hears(peer, who, itself, topic) <= own[who], (who, topic)


@pytest.mark.parametrize("broker", [Mosquitto], ids=["mosquitto"], indirect=True)
def test_nobody_is_put_off_the_line_by_another_under_its_client_id(broker):
    with Peer(broker.port, DATANAUT) as itself, Peer(broker.port, "alpina", client_id="office") as office:
        office.subscribe("triggers/alpina/#")
        with Peer(broker.port, "car-1", client_id="office") as intruder, Peer(broker.port, "car-2", client_id="alpina"):
            intruder.subscribe("triggers/alpina/#")
            for number in range(10):
                itself.publish("triggers/alpina/travel/x", b"%d" % number)
            wait_for("all ten", lambda: len(office.heard) == 10)
            assert office.up and not intruder.heard


@pytest.mark.parametrize("broker", [Mosquitto], ids=["mosquitto"], indirect=True)
def test_a_user_name_that_is_a_wildcard_opens_nothing(broker, peers):
    for user in ODD:
        odd = Peer(broker.port, user)
        if odd.up:
            for topic in ("triggers/+/#", "errors/+", "#"):
                odd.subscribe(topic)
            for topic in ("telemetry/car/car-2", "claims/alpina", "telemetry/car/car-1/x"):
                odd.publish(topic, b"odd")
            for said in MATRIX["said"]:
                peers[DATANAUT].publish(said, b"for its own")
            assert not odd.heard, user
        odd.close()
    assert not [message for message in heard(peers, broker, b"odd ones") if message[1] == b"odd"]


def test_emqx_gets_the_same_rules(tmp_path):
    """Its syntax only: there is no EMQX here."""
    text = rules("emqx", tmp_path)
    lines = [line for line in text.splitlines() if line and not line.startswith("%%")]
    for line in lines[:-1]:
        assert re.fullmatch(
            r'\{allow, (all|\{user, "[\w.:-]+"\}), (publish|subscribe), \["[^"]+"(, "[^"]+")*\]\}\.', line
        ), line
    assert lines[-1] == "{deny, all}."
    assert '"telemetry/+/${username}"' in text and '"triggers/${username}/#"' in text


def test_a_file_of_tokens_that_is_wrong_says_where(tmp_path):
    tokens = tmp_path / "tokens.csv"
    for text, said in (("car-1,a\n+,b\n", "line 2"), ("car-1\n", "line 1"), ('car-1,a"b\n', "line 1"),
                       ("car-1,a\n", "one for datanaut")):
        tokens.write_text(text)
        code, out, error = datanaut("acl", "--for", "nats", "--tokens", tokens)
        assert code == 1 and said in error and not out, error
