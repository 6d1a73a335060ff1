"""Consent that can be withdrawn, access, erasure, and a registry that changes while it serves."""

import base64
import io
import json
import os
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from browser import Page
from datanaut import Datanaut, datanaut, wait_for
from disk import encodings, journey_at, on_disk
from journeys import STEPS, TELEMETRY, drive, legs, now_ms
from peers import Client, Listener

DAY_MS = 86_400_000
CONSENT = ("car-01-owner", "alpina", "travel")


def ask(server, *arguments, **options):
    return datanaut(*arguments, "--server", f"http://127.0.0.1:{server.http}", **options)


def done(server, *arguments):
    code, out, err = ask(server, *arguments)
    assert code == 0, f"{arguments}: {out}\n{err}"
    return out


def receipt(out):
    return json.loads(out[out.index("{"):])


def publish(client, device, readings):
    for start in range(0, len(readings), STEPS):
        client.publish(TELEMETRY.format(device), readings[start : start + STEPS])


def told(server, count):
    wait_for(f"{count} messages", lambda: len(server.triggers()) == count)
    return server.triggers()


def test_a_withdrawn_consent_is_obeyed_at_once(server):
    with Listener(server, "triggers/alpina/#") as alpina, Client(server) as car:
        drive(car, "car-01")
        drive(car, "car-02")
        wait_for("two triggers", lambda: len(alpina.events()) == 2)
        before = {event["id"]: event for event in alpina.events()}
        proof = receipt(done(server, "consent", "withdraw", *CONSENT))
        assert (proof["why"], proof["readings"], proof["triggers"]) == ("withdrawn", STEPS, 1)
        assert proof["done_ms"]
        wait_for("the request to delete", lambda: len(alpina.events()) == 3)
        notice = alpina.events()[2]
        assert notice["type"] == "io.datanaut.consent.withdrawn"
        assert notice["data"]["request"] == "delete" and "delete" in notice["data"]["explanation"]["en"]
        (mine,) = [event for event in before.values() if event["subject"] == notice["subject"]]
        assert int(notice["sequence"]) == 3

        drive(car, "car-01")
        counts = server.counts()
        assert counts["refused"] == {"no_consent": STEPS} and counts["deleted"] == STEPS
        assert server.readings("car-01", now_ms() - DAY_MS) == [] and server.events("car-01") == []
        assert len(server.readings("car-02", now_ms() - DAY_MS)) == STEPS
        # Whoever asks again for what was said gets a place without content.
        first, second, third = told(server, 3)
        (gone,) = [event for event in (first, second) if event["id"] == mine["id"]]
        assert gone["type"] == "io.datanaut.trigger.erased" and gone["sequence"] == mine["sequence"]
        assert "place" not in gone["data"] and third == notice

        code, _, err = ask(server, "consent", "withdraw", *CONSENT)
        assert code == 1 and "no such consent" in err
        # A consent that is given again is a new one, of which the ledger keeps both.
        done(server, "consent", "give", *CONSENT, "--wording", "test-2")
        ledger = done(server, "consent", "list", CONSENT[0]).splitlines()
        assert len(ledger) == 2 and "withdrawn" in ledger[0] and "test-2" in ledger[1]
        stored = server.counts()["stored"]
        car.publish(TELEMETRY.format("car-01"), {"ts": now_ms() + 10, "speed_mps": 5})
        assert server.counts()["stored"] == stored + 1


def test_a_poll_that_waits_sees_nothing_of_who_withdraws_meanwhile(server):
    with Client(server) as car, ThreadPoolExecutor() as pool:
        drive(car, "car-01")
        told(server, 1)
        ask_after = {"insurer": "alpina", "product": "travel", "wait": "30s"}
        waits = pool.submit(server.get, "/v1/triggers", seconds=60, after=1, **ask_after)
        # It waits, as far as anybody can tell: there is nothing behind the first.
        assert not wait((waits,), 0.5).done
        done(server, "consent", "withdraw", *CONSENT)
        (notice,) = waits.result(60)["triggers"]
        assert notice["message"]["type"] == "io.datanaut.consent.withdrawn"
        page = server.get("/v1/triggers", after=0, **ask_after)
        assert [shown["message"]["type"] for shown in page["triggers"]] == [
            "io.datanaut.trigger.erased", "io.datanaut.consent.withdrawn"]


def test_what_waits_is_not_sent(tmp_path):
    """A broker that starts anew sends again what was said before: this goes out empty."""
    with Datanaut(tmp_path) as server:
        with Client(server) as car:
            drive(car, "car-01")
        (fired,) = told(server, 1)
    server = Datanaut(tmp_path, data=server.data)
    with server:
        with Listener(server, "triggers/alpina/#") as alpina:
            wait_for("what was said before", lambda: len(alpina.events()) == 1)
        done(server, "consent", "withdraw", *CONSENT)
        server.kill()
        server.start()
        with Listener(server, "triggers/alpina/#") as alpina:
            wait_for("both", lambda: len(alpina.events()) >= 2)
            assert all("place" not in event["data"] for event in alpina.events())
            assert alpina.events()[0]["id"] == fired["id"]


@pytest.mark.parametrize("killed", [False, True])
def test_an_erased_customer_is_in_no_file(tmp_path, killed):
    latitude = 51.4713
    marks = [b"car-01", b"Owner of car-01", b"car-01-travel", *encodings(latitude)]
    with Datanaut(tmp_path) as server:
        with Client(server) as car:
            publish(car, "car-01", journey_at(latitude, now_ms()))
            car.publish(TELEMETRY.format("car-01"), '{"note": "car-01 is not JSON')
            drive(car, "car-02")
        told(server, 2)
        assert on_disk(server, b"car-01") and on_disk(server, marks[-1]), "or this test looks wrong"
        if killed:
            status, body = post(server, "/v1/customers/car-01-owner/erase", {"confirm": "car-01-owner"})
            assert status == 200, body
            number = json.loads(body)["deletion"]
            server.kill()
            server.start()
            wait_for("the rest to be erased", lambda: server.get(f"/v1/deletions/{number}")["done_ms"])
            proof = server.get(f"/v1/deletions/{number}")
        else:
            code, _, err = ask(server, "customer", "erase", "car-01-owner", "--confirm", "car-02-owner")
            assert code == 1 and "does not come back" in err
            proof = receipt(done(server, "customer", "erase", "car-01-owner", "--confirm", "car-01-owner"))
        assert proof["why"] == "erased"
        if not killed:
            assert (proof["readings"], proof["quarantined"], proof["triggers"]) == (STEPS, 1, 1)
        for mark in marks:
            assert not on_disk(server, mark), mark
        assert all(device["device"] != "car-01" for device in server.get("/v1/fleet")["devices"])
        assert len(server.readings("car-02", now_ms() - DAY_MS)) == STEPS
        code, _, err = ask(server, "customer", "show", "car-01-owner")
        assert code == 1 and "no customer" in err
        # The file that the customer came from does not bring them back.
        assert done(server, "registry", "import", server.registry).startswith("0 entries")
        server.stop()
        changed = tmp_path / "again.toml"
        changed.write_text(server.registry.read_text().replace("Anna", "Anne"))
        server.registry = changed
        server.start()
        with Client(server) as car:
            car.publish(TELEMETRY.format("car-01"), legs(1, now_ms())[:1])
        assert server.counts()["refused"]["unknown_device"] == 1
        for mark in marks:
            assert not on_disk(server, mark), mark


def post(server, path, body, **headers):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.http}{path}", json.dumps(body).encode(),
        {"Content-Type": "application/json", **headers}, method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_no_other_site_can_make_a_browser_erase_somebody(server):
    path, body = "/v1/customers/anna/erase", {"confirm": "anna"}
    assert post(server, path, body, Origin="http://evil.example")[0] == 403
    assert post(server, path, body, **{"Content-Type": "text/plain"})[0] == 403
    assert "anna" in done(server, "customer", "show", "anna")


def test_all_that_is_known_of_a_customer_in_one_file(server, tmp_path):
    with Client(server) as car:
        sent = drive(car, "car-01")
        car.publish(TELEMETRY.format("car-01"), "not JSON")
    (fired,) = told(server, 1)
    out = tmp_path / "mine.zip"
    done(server, "customer", "export", "car-01-owner", "--out", out)
    with zipfile.ZipFile(out) as zipped:
        assert zipped.testzip() is None
        read = lambda name: zipped.read(name).decode()
        known = json.loads(read("customer.json"))
        assert known["customer"]["name"] == "Owner of car-01"
        assert known["devices"][0]["device"] == "car-01" and known["consents"][0]["insurer"] == "alpina"
        assert read("consents.csv").splitlines()[1].startswith('alpina,travel,"test-1",2010-01-01T00:00:00Z,')
        readings = [json.loads(line) for line in read("readings/car-01.jsonl").splitlines()]
        assert [(r["seq"], r["lat"], r["lon"]) for r in readings] == [(s["seq"], s["lat"], s["lon"]) for s in sent]
        (event,) = json.loads(read("events.json"))
        assert event["device"] == "car-01"
        (trigger,) = json.loads(read("triggers.json"))
        assert trigger["message"] == fired and trigger["evidence"]["device"] == "car-01"
        (odd,) = json.loads(read("quarantine.json"))
        assert odd["payload"] == "not JSON"
    code, _, err = ask(server, "customer", "export", "car-01-owner", "--out", out)
    assert code == 1 and "cannot write" in err, "nothing is written over"


def test_devices_come_change_tokens_and_owners_while_it_serves(tmp_path):
    config = tmp_path / "closed.toml"
    config.write_text("[mqtt]\nanonymous = false\n")
    with Datanaut(tmp_path, "--config", config) as server:
        added = done(server, "device", "add", "car-new", "--kind", "car", "--owner", "car-01-owner")
        device, token = added.strip().split(",")
        assert device == "car-new" and len(token) == 64
        assert not on_disk(server, token.encode()), "only its hash is kept"
        car = Client(server, user="car-new", client_id="car-new")
        car.client.username_pw_set("car-new", token)
        with car:
            for seq in range(3):
                car.publish(TELEMETRY.format("car-new"), {"ts": now_ms(), "seq": seq, "speed_mps": 5})
            assert server.counts()["stored"] == 3
            car.publish(TELEMETRY.format("car-new"), {"ts": now_ms() - DAY_MS, "speed_mps": 5})
            assert server.counts()["refused"] == {"no_owner": 1}, "it was nobody's then"
            # Whoever is connected with the old token is dropped, and cannot come back.
            _, new = done(server, "device", "rotate", "car-new").strip().split(",")
            wait_for("the connection to be dropped", lambda: car.drops > 0)
            car.client.username_pw_set("car-new", new)
            wait_for("the new token to be let in", car.up.is_set)
            done(server, "device", "transfer", "car-new", "--to", "car-02-owner")
            car.publish(TELEMETRY.format("car-new"), {"ts": now_ms() + 10, "seq": 3, "speed_mps": 6})
        names = {}
        for owner in ("car-01-owner", "car-02-owner"):
            out = tmp_path / f"{owner}.zip"
            done(server, "customer", "export", owner, "--out", out)
            with zipfile.ZipFile(io.BytesIO(out.read_bytes())) as zipped:
                names[owner] = zipped.read("readings/car-new.jsonl").decode().splitlines()
        assert (len(names["car-01-owner"]), len(names["car-02-owner"])) == (3, 1)
        code, _, err = ask(server, "device", "transfer", "car-new", "--to", "nobody")
        assert code == 1 and "nobody" in err
        listed = tmp_path / "devices.csv"
        listed.write_text("# many\nhome-1,thermostat,anna\nhome-2,thermostat\n")
        logins = dict(line.split(",") for line in done(server, "device", "import", listed).splitlines())
        assert set(logins) == {"home-1", "home-2"}
        code, _, err = ask(server, "device", "import", listed)
        assert code == 1 and "home-1" in err, "all of them or none"
        server.kill()
        server.start()
        known = json.loads(done(server, "customer", "show", "anna"))
        assert "home-1" in [device["device"] for device in known["devices"]], "it survives a kill"


def fetch(server, path, token=None, form=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(f"http://127.0.0.1:{server.http}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_customer_sees_what_is_known_and_decides(server):
    with Client(server) as car:
        drive(car, "car-01")
    told(server, 1)
    link = done(server, "customer", "link", "car-01-owner").strip()
    path = link[link.index("/me"):]
    token = path.split("=", 1)[1]
    status, page = fetch(server, path)
    assert status == 200 and "Owner of car-01" in page and "Alpina Insurance" in page
    assert "Germany" in page, "why somebody was told"
    assert "http://" not in page.replace(f"http://127.0.0.1:{server.http}", ""), "nobody else is asked for anything"
    for bad in (path[:-1], path.replace("car-01", "car-02"), "/me?token="):
        assert fetch(server, bad)[0] in (400, 403)
    decision = {"token": token, "insurer": "alpina", "purpose": "travel", "decision": "withdraw"}
    assert fetch(server, "/me/consent", form={**decision, "token": "x.1.y"})[0] == 403
    status, page = fetch(server, "/me/consent", form=decision)
    assert status == 200 and "not allowed since" in page and "Allow</button>" in page
    assert "withdrawn" in done(server, "consent", "list", "car-01-owner")
    status, page = fetch(server, "/me/consent", form={**decision, "decision": "give"})
    assert status == 200 and "Withdraw</button>" in page


@pytest.mark.shape("embedded")
def test_one_click_gives_and_withdraws_in_a_browser(server, tmp_path):
    link = done(server, "customer", "link", "car-01-owner").strip()
    with Page(link, tmp_path) as page:
        def button():
            # Between two pages there is nobody to ask.
            try:
                return page.evaluate("document.querySelector('form button')?.textContent")
            except AssertionError:
                return None

        for word, next_word, ledger in (("Withdraw", "Allow", "withdrawn"), ("Allow", "Withdraw", "holds")):
            wait_for(f"the button {word}", lambda: button() == word)
            page.evaluate("document.querySelector('form button').click()")
            wait_for(f"the button {next_word}", lambda: button() == next_word)
            assert ledger in done(server, "consent", "list", "car-01-owner").splitlines()[-1]
        assert page.problems() == []
        assert all(url.startswith(f"http://127.0.0.1:{server.http}/") for url in page.requests())
    # A link ends.
    ended = done(server, "customer", "link", "car-01-owner", "--days", "0").strip()
    assert fetch(server, ended[ended.index("/me"):])[0] == 403


def test_names_are_renewed_and_both_are_known(server):
    """Also over a kill: what fired before keeps its name, what fires next has another."""
    def names():
        lines = done(server, "subject", "show", "car-01-travel").splitlines()
        return [line.split()[0] for line in lines]

    with Client(server) as insurer:
        insurer.subscribe("triggers/alpina/#")
        with Client(server) as car:
            drive(car, "car-01", end_ms=now_ms() - 3_600_000)
        wait_for("the first", lambda: len(insurer.received) == 1)
        code, _, err = ask(server, "subject", "rotate")
        assert code == 2 and "--yes" in err
        assert "key 2" in done(server, "subject", "rotate", "--yes")
        (first,) = told(server, 1)
        old, new = names()
        assert first["subject"] == old != new
        server.kill()
        server.start()
        wait_for("the insurer to be back", insurer.up.is_set)
        assert names() == [old, new]
        with Client(server) as car:
            readings = list(reversed(legs(1, now_ms())))
            start_ms = readings[-1]["ts"]
            back = [{**reading, "ts": start_ms + number * 15_000, "seq": 1000 + number}
                    for number, reading in enumerate(readings)]
            publish(car, "car-01", back)
        assert [event["subject"] for event in told(server, 2)] == [old, new]
        wait_for("the second", lambda: insurer.events()[-1]["subject"] == new)
    # Who is to delete is told under both.
    done(server, "consent", "withdraw", *CONSENT)
    assert [event["subject"] for event in told(server, 4)[2:]] == [old, new]


def test_whoever_can_reach_it_from_elsewhere_shows_a_token(tmp_path):
    def token():
        code, out, _ = datanaut("token")
        assert code == 0
        return [line.split()[1] for line in out.splitlines()]

    (reader, read_hash), (boss, boss_hash) = token(), token()
    config = tmp_path / "operators.toml"
    config.write_text(
        f'[[http.operator]]\nname = "ann"\ntoken_sha256 = "{read_hash}"\nrole = "read"\n'
        f'[[http.operator]]\nname = "bob"\ntoken_sha256 = "{boss_hash}"\nrole = "operate"\n'
    )
    code, _, err = datanaut("--http", "0.0.0.0:0", "--no-sim", "--data", tmp_path / "open", cwd=tmp_path)
    assert code == 1 and "reachable from other machines" in err
    with Datanaut(tmp_path, "--config", config) as server:
        assert fetch(server, "/v1/status")[0] == 401 and fetch(server, "/")[0] == 401
        assert fetch(server, "/v1/status", reader)[0] == fetch(server, "/", boss)[0] == 200
        assert fetch(server, "/v1/customers/anna/export", reader)[0] == 403
        login = base64.b64encode(f"ann:{reader}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.http}/v1/fleet", headers={"Authorization": f"Basic {login}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200, "as a browser asks"
        for own, good in ((reader, False), (boss, True)):
            env = {**os.environ, "DATANAUT_TOKEN": own}
            code, _, err = ask(server, "device", "add", "home-9", "--kind", "thermostat", env=env)
            assert (code == 0) == good, err
        for _ in range(10):
            assert fetch(server, "/v1/status", "guess")[0] == 401
        assert fetch(server, "/v1/status", "guess")[0] == 429
        assert fetch(server, "/healthz")[0] == 200
