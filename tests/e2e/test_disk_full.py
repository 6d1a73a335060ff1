"""A full disk stops acknowledgements, not the process; room makes it go on by itself."""

import json
import os
import subprocess
import time

import pytest

from datanaut import IN_CI, wait_for
from journeys import TELEMETRY, now_ms
from peers import Client, drained

SIZE = 48 << 20
# In a mount namespace of its own, so that nothing has to be cleaned up.
MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


@pytest.fixture
def small_disk(tmp_path, serving):
    """A server with its data on a small disk, and a path to that disk from here."""
    disk = tmp_path / "disk"
    disk.mkdir()
    flags = "-m" if os.geteuid() == 0 else "-rm"
    wrap = ["unshare", flags, "sh", "-c", MOUNT, "sh", SIZE, disk]
    if subprocess.run([*map(str, wrap), "true"], capture_output=True).returncode != 0:
        assert not IN_CI, "this test needs to mount a tmpfs"
        pytest.skip("needs to mount a tmpfs: run as root")
    with serving(tmp_path, wrap=wrap, data=disk / "data") as server:
        yield server, f"/proc/{server.process.process.pid}/root{disk}"


def fill(file):
    """Takes all the room there is."""
    with open(file, "ab", buffering=0) as ballast:
        block = 1 << 20
        while block:
            try:
                while True:
                    ballast.write(b"\0" * block)
            except OSError:
                block //= 4


@pytest.mark.shape("embedded")
def test_a_full_disk_and_room_again(small_disk):
    server, disk = small_disk
    # Wide readings fill what the journal has set aside for itself before it grows.
    text = "x" * 60
    acknowledged, number = set(), 0

    def reading():
        return [{"ts": now_ms(), "seq": number * 50 + n, "speed_mps": n, "fault": text} for n in range(50)]

    with Client(server) as car:
        for number in range(10):
            car.publish(TELEMETRY.format("car-01"), reading())
            acknowledged.add(number)
        ballast = f"{disk}/ballast"
        fill(ballast)

        # Sends until nothing is acknowledged any more.
        stuck, deadline = None, time.monotonic() + 60
        while time.monotonic() < deadline:
            number += 1
            fill(ballast)
            sent = car.send(TELEMETRY.format("car-01"), reading())
            started = time.monotonic()
            try:
                sent.wait_for_publish(2)
            except (RuntimeError, ValueError):
                pass
            if not sent.is_published():
                stuck = sent
                break
            acknowledged.add(number)
        assert stuck, "everything was acknowledged on a full disk"

        dropped = wait_for("the connection to be dropped", lambda: car.drops, 15)
        waited = time.monotonic() - started
        assert dropped and 3 < waited < 10, f"dropped after {waited:.1f} s"
        assert not stuck.is_published()
        status, body = wait_for("not to be ready", lambda: (a := server.ready())[0] == 503 and a)
        hindrances = json.loads(body)["hindrances"]
        assert {hindrance["what"] for hindrance in hindrances} == {"journal", "broker"}
        assert any("disk" in hindrance["advice"] for hindrance in hindrances)
        assert server.process.running() and server.request("/healthz")[0] == 200
        assert server.metric("journal_writable") == 0

        os.remove(ballast)
        wait_for("to be ready again", lambda: server.ready()[0] == 200, 10)
        # The client comes back by itself and sends again what was not acknowledged.
        wait_for("the acknowledgement", stuck.is_published, 20)
        acknowledged.add(number)
        number += 1
        car.publish(TELEMETRY.format("car-01"), reading())
        acknowledged.add(number)

    seqs = [reading["seq"] for reading in server.readings("car-01", now_ms() - 600_000)]
    assert len(seqs) == len(set(seqs)), "stored twice"
    assert set(seqs) == {number * 50 + n for number in acknowledged for n in range(50)}
    assert server.counts()["stored"] == len(seqs)
    assert "panicked" not in server.said()


@pytest.mark.shape("collector")
def test_what_another_broker_acknowledged_waits_there_for_room(small_disk):
    server, disk = small_disk
    ballast = f"{disk}/ballast"
    fill(ballast)
    number = 0
    with Client(server) as car:
        while server.ready()[0] == 200:
            fill(ballast)
            assert number < 2000, "it could always write"
            car.publish(TELEMETRY.format("car-01"), [
                {"ts": now_ms(), "seq": number * 50 + n, "fault": "x" * 60} for n in range(50)])
            number += 1
            # Slow enough that what comes while the journal still tries fits in one page.
            time.sleep(0.1)
        hindrances = json.loads(server.ready()[1])["hindrances"]
        assert "journal" in {hindrance["what"] for hindrance in hindrances}
        for number in range(number, number + 20):
            car.publish(TELEMETRY.format("car-01"), {"ts": now_ms(), "seq": number * 50, "fault": "late"})
        os.remove(ballast)
        wait_for("to be ready again", lambda: server.ready()[0] == 200, 20)
        drained(server)
    seqs = [reading["seq"] for reading in server.readings("car-01", now_ms() - 600_000)]
    many = {number * 50 + n for number in range(number - 19) for n in range(50)}
    assert set(seqs) == many | {later * 50 for later in range(number - 19, number + 1)}
    assert len(seqs) == len(set(seqs)) and "panicked" not in server.said()


def test_what_is_acknowledged_is_not_lost(server):
    """Killed right after the acknowledgement, again and again."""
    for number in range(8):
        with Client(server, version=4 if number % 2 else 5) as car:
            car.publish("telemetry/car/car-01", {"ts": now_ms(), "seq": number, "speed_mps": 1},
                        qos=2 if number > 5 else 1)
            server.kill()
        server.start()
    drained(server)
    stored = server.readings("car-01", now_ms() - 600_000)
    assert [reading["seq"] for reading in stored] == list(range(8))


def test_stopping_while_the_disk_is_full(small_disk):
    """What was not acknowledged is its sender's still: nothing is worth waiting for."""
    server, disk = small_disk
    with Client(server) as car:
        fill(f"{disk}/ballast")
        number = 0
        while server.ready()[0] == 200:
            number += 1
            assert number < 2000, "it could always write"
            car.send(TELEMETRY.format("car-01"), [
                {"ts": now_ms(), "seq": number * 50 + n, "fault": "x" * 60} for n in range(50)])
            time.sleep(0.02)
        asked = time.monotonic()
        server.stop()
        assert time.monotonic() - asked < 6
