"""The other side: MQTT clients that we did not write."""

import json
import os
import random
import shutil
import threading

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from datanaut import COLLECTED, HERE, ROOT, Process, wait_for

# Where MQTT.js is installed, with a slash at the end.
NODE = os.environ.get("DATANAUT_NODE", f"{ROOT}/target/e2e/")


def subscribed(process, word):
    """Waits until a subscriber says so; one that never does is not left behind."""
    try:
        wait_for(f"{process.command} to be subscribed", lambda: word in process.out.text())
    except AssertionError:
        process.end()
        raise


class Listener:
    """mosquitto_sub, as an insurer would start it."""

    def __init__(self, server, topic, *flags):
        self.process = Process(
            ["stdbuf", "-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", server.mqtt, "-t", topic, "-q", "1",
             "-F", "%t\t%p", "-d", *flags]
        )
        subscribed(self.process, "SUBACK")

    def messages(self):
        """(topic, payload) of what came so far."""
        split = (line.split("\t", 1) for line in self.process.out.lines if "\t" in line)
        return [(topic, payload) for topic, payload in split]

    def events(self):
        return [json.loads(payload) for _, payload in self.messages()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.end()


class Client:
    """paho, in either version of MQTT. Publishing waits for the acknowledgement."""

    def __init__(self, server, user=None, version=5, client_id="", session=False):
        self.received = []
        self.server = server
        self.subscriptions = []
        self.drops = 0
        self.up = threading.Event()
        self.ready = threading.Event()
        self.version = version
        self.session = session
        protocol = paho.MQTTv5 if version == 5 else paho.MQTTv311
        options = {} if version == 5 else {"clean_session": not session}
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, **options
        )
        if user:
            self.client.username_pw_set(user)
        # An acknowledgement may be there before the number of its message is known here.
        self.topics, self.acknowledged = {}, []
        self.client.on_publish = lambda _, __, mid, *___: self.acknowledged.append(mid)
        getattr(server, "publishers", []).append(self._published)
        self.client.on_message = lambda _, __, message: self.received.append(message)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.reconnect_delay_set(1, 1)

    def _connected(self, client, _, flags, reason, *__):
        if reason.is_failure:
            return
        self.session_present = flags.session_present
        for topic in self.subscriptions:
            client.subscribe(topic, 1)
        self.up.set()

    def _published(self):
        """How many messages were acknowledged that Datanaut collects."""
        topics = (self.topics.get(mid, "") for mid in list(self.acknowledged))
        return sum(1 for topic in topics if COLLECTED.fullmatch(topic))

    def _disconnected(self, *_):
        self.drops += 1
        self.up.clear()

    def connect(self, seconds=10.0):
        options = {}
        if self.version == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600 if self.session else 0
            options = {"clean_start": not self.session, "properties": properties}
        self.client.connect("127.0.0.1", self.server.mqtt, keepalive=30, **options)
        self.client.loop_start()
        assert self.up.wait(seconds), "no CONNACK"
        return self

    def subscribe(self, topic, seconds=10.0):
        """Subscribes, also on every later connection."""
        self.subscriptions.append(topic)
        self.ready.clear()
        self.client.subscribe(topic, 1)
        assert self.ready.wait(seconds), "no SUBACK"
        return self

    def send(self, topic, payload, qos=1, retain=False):
        """Publishes without waiting."""
        if not isinstance(payload, (str, bytes)):
            payload = json.dumps(payload)
        sent = self.client.publish(topic, payload, qos, retain)
        self.topics[sent.mid] = topic
        return sent

    def publish(self, topic, payload, seconds=20.0, **options):
        """Publishes and waits until it is acknowledged."""
        sent = self.send(topic, payload, **options)
        sent.wait_for_publish(seconds)
        assert sent.is_published(), f"{topic} was not acknowledged within {seconds:g} s"

    def events(self):
        return [json.loads(message.payload) for message in list(self.received)]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self.connect()

    def __exit__(self, *_):
        self.close()


class MqttJs:
    """MQTT.js, subscribed to a topic; writes a JSON object a message."""

    def __init__(self, server, topic, version=5):
        node = shutil.which("node")
        assert node, "node is missing: install nodejs"
        self.process = Process(
            [node, HERE / "subscribe.mjs", server.broker, topic, version],
            env={**os.environ, "DATANAUT_NODE": NODE},
        )
        subscribed(self.process, "subscribed")

    def messages(self):
        return [json.loads(line) for line in self.process.out.lines if line.startswith("{")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.end()


def drained(server):
    """Waits until whatever another broker had acknowledged before has come through, also when the
    server was killed meanwhile: what is sent after all that is heard of after all that."""
    while server.mosquitto:
        device = f"fence-{random.randrange(1 << 40)}"
        with Client(server) as fence:
            fence.subscribe(f"errors/{device}")
            fence.publish(f"telemetry/car/{device}", "nobody's")
            try:
                wait_for("the answer", lambda: fence.received, 30)
                return
            except AssertionError:
                # It is told once, and whoever starts at that moment misses it.
                assert server.ready()[0] == 200, server.said()
