"""Starting: what cannot be done is refused in words that say what to do."""

import hashlib
import socket

import pytest

from datanaut import BINARIES, REGISTRY, Datanaut, Process, free_port, run, wait_for
from journeys import now_ms
from peers import Client


def serve(folder, *flags, registry=REGISTRY):
    """Starts a server that is not expected to come up: exit code and output."""
    code, out, err = run(
        BINARIES / "datanaut", "--no-sim", "--data", folder / "data", "--registry", registry,
        "--log", "warn", *flags, seconds=15, cwd=folder)
    return code, out + err


def anywhere():
    return ["--port", "0", "--http", "127.0.0.1:0"]


@pytest.fixture
def taken():
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.shape("embedded")
def test_a_second_server_on_the_same_data_is_refused(server):
    code, said = serve(server.folder, *anywhere())
    assert code != 0
    assert "another Datanaut" in said and "stop it first" in said and "is up" not in said
    with Client(server) as car:
        car.publish("telemetry/car/car-01", {"ts": now_ms(), "speed_mps": 1})
    assert server.counts()["stored"] == 1


@pytest.mark.parametrize("damage", ["header", "middle", "half", "not a database", "another database"])
def test_a_damaged_journal_is_refused_and_left_alone(tmp_path, damage):
    with Datanaut(tmp_path) as server:
        with Client(server) as car:
            for number in range(200):
                readings = [{"ts": now_ms(), "seq": number * 100 + n, "fault": "x" * 60} for n in range(100)]
                car.publish("telemetry/car/car-01", readings)
        assert server.stop() == 0
    file = tmp_path / "data" / "journal.sqlite"
    sound = file.read_bytes()
    assert len(sound) > 200_000
    if damage == "header":
        broken = b"\x55" * 64 + sound[64:]
    elif damage == "middle":
        broken = sound[:16_384] + b"\xaa" * (len(sound) - 16_384)
    elif damage == "half":
        broken = sound[: len(sound) // 2]
    elif damage == "not a database":
        broken = b"These are my holiday notes.\n" * 100
    else:
        broken = another_database(tmp_path / "other")
    file.write_bytes(broken)
    before = digest(file.parent)
    code, said = serve(tmp_path, *anywhere())
    assert code != 0 and "is up" not in said
    assert "journal.sqlite" in said and "not been changed" in said
    assert "backup" in said or "another data directory" in said
    assert digest(file.parent) == before


def another_database(file):
    import sqlite3

    connection = sqlite3.connect(file)
    with connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    return file.read_bytes()


def digest(folder):
    """The bytes of all files but the lock."""
    files = sorted(path for path in folder.iterdir() if path.name != "lock")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_taken_mqtt_port(tmp_path, taken):
    code, said = serve(tmp_path, "--port", taken, "--http", "127.0.0.1:0")
    assert code != 0 and str(taken) in said and "--port auto" in said, said


def test_a_taken_http_port(tmp_path, taken):
    code, said = serve(tmp_path, "--port", 0, "--http", f"127.0.0.1:{taken}")
    assert code != 0 and str(taken) in said and "--http" in said, said


def test_port_auto_takes_the_next_free_one(tmp_path, taken):
    config = tmp_path / "datanaut.toml"
    config.write_text(f'[mqtt]\nlisten = "127.0.0.1:{taken}"\nport = "auto"\n')
    command = [BINARIES / "datanaut", "--config", config, "--no-sim", "--http", "127.0.0.1:0",
               "--data", tmp_path / "data"]
    with Process(command, cwd=tmp_path) as process:
        wait_for("the banner", lambda: "Ctrl-C" in process.out.text())
        port = next(line for line in process.out.lines if "mqtt://" in line)
        port = int(port.split("mqtt://127.0.0.1:")[1].split()[0])
        assert taken < port <= taken + 100
        with socket.create_connection(("127.0.0.1", port), 5):
            pass


def test_anonymous_clients_are_refused_where_others_can_reach(tmp_path):
    config = tmp_path / "open.toml"
    config.write_text('[mqtt]\nlisten = "0.0.0.0:1883"\n')
    code, said = serve(tmp_path, "--config", config, *anywhere())
    assert code != 0 and "anonymous" in said, said


def test_an_unusable_registry_is_refused_by_name(tmp_path):
    registry = tmp_path / "who.toml"
    registry.write_text(
        '[[device]]\nid = "car-1"\nkind = "car"\n'
        'owner = [{ customer = "eve", from = "2020-01-01T00:00:00Z" }]\n')
    code, said = serve(tmp_path, *anywhere(), registry=registry)
    assert code != 0 and "who.toml" in said and '"eve"' in said, said


def test_two_that_would_log_in_with_one_id_are_refused_with_their_line(tmp_path):
    registry = tmp_path / "who.toml"
    registry.write_text('[[insurer]]\nid = "acme"\nname = "Acme"\n\n[[device]]\nkind = "car"\nid = "acme"\n')
    code, said = serve(tmp_path, *anywhere(), registry=registry)
    assert code != 0 and "who.toml" in said and "line 7" in said and '"acme"' in said, said

    config = tmp_path / "collects.toml"
    config.write_text(
        f'[mqtt]\nembedded = false\n[[collector]]\nurl = "mqtt://127.0.0.1:{free_port()}"\n'
        'username = "car-01"\npassword_file = "password"\n')
    (tmp_path / "password").write_text("secret")
    code, said = serve(tmp_path, "--config", config, *anywhere())
    assert code != 0 and '"car-01"' in said and "username" in said, said


def test_a_data_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "data").write_text("a file, not a folder")
    code, said = serve(tmp_path, *anywhere())
    assert code != 0 and "data directory" in said, said
