"""The simulator's own word on what happened, against what an insurer was told."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from datanaut import BINARIES, ROOT, Datanaut, Process, acknowledged, free_port, run, wait_for

EVERYDAY = Path(__file__).parent / "everyday.toml"
EVERYTHING_WRONG = Path(__file__).parent / "everything-wrong.toml"
WRONG_WINTER = Path(__file__).parent / "wrong-winter.toml"


def verify(server, ledger, report, *flags):
    """Starts `device-sim verify`, and returns when it listens."""
    process = Process([
        BINARIES / "device-sim", "verify", "--broker", server.broker, "--ledger", ledger,
        "--report", report, "--devices", "car-", "--late", "60", *flags,
    ])
    wait_for("it to listen", lambda: "listening" in process.err.text())
    return process


def test_the_demo_is_told_as_its_ledger_says(server, tmp_path):
    ledger, report = tmp_path / "ledger.jsonl", tmp_path / "verdict.json"
    with verify(server, ledger, report, "--grace", "10") as judge:
        with Process([
            BINARIES / "device-sim", "run", "--broker", server.broker, "--seconds", "45",
            "--ledger", ledger,
        ]) as fleet:
            assert fleet.wait(120) == 0, fleet.said()
            assert re.search(r"^acknowledged", fleet.out.text(), re.M)
        assert judge.wait(60) == 0, judge.said()
    travel = json.loads(report.read_text())["products"]["travel"]
    # The two cars that kept their fixes, at least.
    assert travel["found"] == travel["expected"] >= 2
    assert travel["false"] == travel["doubled"] == travel["missed"] == 0


def test_what_was_not_told_fails_the_verification(server, tmp_path):
    ledger, report = tmp_path / "ledger.jsonl", tmp_path / "verdict.json"
    with verify(server, ledger, report, "--grace", "1") as judge:
        truth = {
            "device": "car-01", "at": "2026-01-15T12:00:00Z", "lat": 51.4, "lon": 6.2,
            "event": "border_crossed", "from": "NL", "to": "DE", "expect": "trigger",
            "reports_every_ms": 1000, "published_from": "2026-01-15T12:00:00Z",
        }
        lines = [{"truth": truth}, {"end": "2026-01-15T12:10:00Z"}]
        ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert judge.wait(60) == 1, judge.said()
    assert "missed: car-01" in judge.out.text() and "FAILED" in judge.out.text()


def run_scenario(server, tmp_path, scenario, *flags, seconds=240):
    """Runs a scenario to its end: exit code, report, and what it said."""
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    code, out, err = run(
        BINARIES / "device-sim", "run", scenario, "--broker", server.broker,
        "--http", f"http://127.0.0.1:{server.http}", "--report", report, "--html", page, *flags,
        seconds=seconds,
    )
    print(out, err)
    return code, json.loads(report.read_text()), out


def registry_of(scenario, tmp_path):
    """A registry in which the scenario's devices have insured owners."""
    registry = tmp_path / "registry.toml"
    registry.write_text(run(BINARIES / "device-sim", "registry", scenario)[1])
    return registry


def test_a_minute_of_the_demo_passes_all_its_checks(tmp_path, serving):
    """With the registry that ships, as the documentation says to run it."""
    with serving(tmp_path, registry=ROOT / "registry.toml") as server:
        code, report, out = run_scenario(server, tmp_path, "smoke", "--seconds", "45")
    assert code == 0 and report["passed"], out
    travel = report["verdict"]["products"]["travel"]
    assert travel["found"] == travel["expected"] >= 2
    checked = {check["what"] for check in report["checks"]}
    assert {"precision, travel", "recall, travel", "told under two ids, travel"} <= checked


def test_nothing_acknowledged_is_lost_when_everything_goes_wrong(tmp_path):
    with Datanaut(tmp_path, registry=registry_of(EVERYTHING_WRONG, tmp_path)) as server:
        acked = tmp_path / "acked"
        code, report, out = run_scenario(server, tmp_path, EVERYTHING_WRONG, "--acked", acked)
        assert code == 0 and report["passed"], out
        travel = report["verdict"]["products"]["travel"]
        assert travel["precision"] >= 0.99 and travel["recall"] >= 0.99
        assert travel["doubled"] == 0 and travel["expected"] > 0
        assert report["report"]["extra"] > 100 and report["report"]["cut_connections"] > 300
        server.counts()
        # Message by message: what was acknowledged is there.
        by_device = defaultdict(set)
        for device, ts, seq in acknowledged(acked):
            by_device[device].add((ts, seq))
        assert len(by_device) > 100
        for device, keys in by_device.items():
            readings = server.readings(device, min(ts for ts, _ in keys) - 1_000)
            stored = {reading["seq"] for reading in readings if "seq" in reading}
            # OwnTracks has no sequence numbers, and whole seconds.
            if stored:
                assert {seq for _, seq in keys} <= stored, device
            else:
                seconds = {int(Path(reading["ts"]).name[17:19]) for reading in readings}
                assert {ts // 1_000 % 60 for ts, _ in keys} <= seconds, device


@pytest.fixture(scope="module")
def winter(tmp_path_factory):
    """Flags and configuration of a server that has the simulated weather and areas of risk from files."""
    folder = tmp_path_factory.mktemp("winter")
    code, _, err = run(
        BINARIES / "device-sim", "weather", "--file", folder / "weather.csv",
        "--from", "2026-01-11T00:00:00Z", "--hours", "84", seconds=90,
    )
    assert code == 0, err
    (folder / "areas.geojson").write_text(run(BINARIES / "device-sim", "areas")[1])
    clock = ["--clock-start", "2026-01-12T00:00:00Z", "--clock-speed", "1440"]
    config = f'[places]\nrisk_areas = "{folder}/areas.geojson"\n'
    return clock, config + f'[[weather.feed]]\nkind = "file"\npath = "{folder}/weather.csv"\n'


def test_a_winter_day_is_told_as_its_ledger_says(tmp_path, winter):
    """A hundred cars in a minute."""
    claims = tmp_path / "claims.jsonl"
    clock, config = winter
    with Datanaut(
        tmp_path, *clock, registry=registry_of("winter-week", tmp_path), config=config
    ) as server:
        ledger = tmp_path / "ledger.jsonl"
        flags = ["--scale", "0.1", "--seconds", "60", "--claims", claims, "--ledger", ledger]
        code, report, out = run_scenario(server, tmp_path, "winter-week", *flags)
        refused = server.counts()["refused"]
        # The insurer has reported the accidents that were planted; the same again is known.
        known = server.counts()["duplicate"]
        reported = run(
            BINARIES / "device-sim", "replay", claims, "--as", "alpina", "--user", "alpina",
            "--speed", "max", "--at", "recorded", "--broker", server.broker,
        )
        assert reported[0] == 0, reported
        again = server.counts()
        assert again["refused"] == refused and not again["quarantined"]
        assert again["duplicate"] - known == len(claims.read_text().splitlines()) == again["reports"]["claim"]
        studied = run(BINARIES / "datanaut", "study", "winter-tyres", "--data", server.data, "--json",
                      "--config", tmp_path / "datanaut.toml", seconds=120)
        unnamed = run(BINARIES / "datanaut", "study", "winter-tyres", "--data", server.data)
    assert code == 0 and report["passed"], out
    verdict = report["verdict"]
    assert verdict["products"]["travel"]["found"] > 300
    assert not {"risk_area_entered", "tyres_unfit"} & set(verdict["without_trigger"])
    assert verdict["products"]["winter_tyres"]["found"] > 10
    booked = [line for line in ledger.read_text().splitlines() if "trip_ahead" in line]
    assert len(booked) == 5 and "trip_ahead" not in verdict["without_trigger"]
    told = [json.loads(line) for line in claims.read_text().splitlines()]
    assert "claim_reported" not in verdict["without_trigger"] and told
    assert all(line["topic"] == "claims/alpina" for line in told)
    assert len({line["payload"]["id"] for line in told}) == len(told)
    assert unnamed[0] != 0 and "--config" in unnamed[2], "the rows of a file are not in the journal"
    study_finds(studied, [json.loads(line) for line in ledger.read_text().splitlines()])


def study_finds(studied, truths):
    """The study against the ledger: kilometres within 5 %, claims within 3 or 5 %, by tyre and by road.

    It knows the way by what the odometer says from reading to reading, and the road by the hour it was
    there: at the edges both differ a little."""
    code, out, err = studied
    assert code == 0, err
    rows = json.loads(out)["by_tyre_and_road"]
    truths = [truth.get("truth", truth) for truth in truths]
    driven = [truth for truth in truths if truth.get("event") == "driven"]
    claimed = [truth for truth in truths if truth.get("event") == "claim_reported"]
    assert driven and claimed
    wintry = ("snow", "ice")
    for tyre in ("summer", "winter"):
        for roads in (("dry", "wet"), wintry):
            found = [row for row in rows if row["tyre"] == tyre and row["road"] in roads]
            km = sum(truth[f"{road}_km"] for truth in driven for road in roads if truth["tyre"] == tyre)
            claims = sum(truth["tyre"] == tyre and truth["road"] in roads for truth in claimed)
            what = (tyre, roads, km, claims, found)
            assert abs(sum(row["km"] for row in found) - km) <= max(0.05 * km, 20), what
            assert abs(sum(row["claims"]["claims"] for row in found) - claims) <= max(0.05 * claims, 3), what


def test_a_winter_day_on_which_everything_goes_wrong_is_told_as_its_ledger_says(tmp_path, winter):
    clock, config = winter
    with Datanaut(
        tmp_path, *clock, registry=registry_of(WRONG_WINTER, tmp_path), config=config
    ) as server:
        code, report, out = run_scenario(server, tmp_path, WRONG_WINTER)
        claims = server.counts()["reports"]["claim"]
    assert code == 0 and report["passed"], out
    assert report["report"]["extra"] > 100 and report["report"]["cut_connections"] > 100
    verdict = report["verdict"]
    assert verdict["products"]["travel"]["found"] > 100
    assert verdict["products"]["winter_tyres"]["found"] > claims / 2 > 10
    # Houses that nobody heats.
    assert verdict["products"]["home"]["found"] > 0


def test_a_day_of_people_and_houses_is_told_as_its_ledger_says(tmp_path):
    """People who fly to another country are told to have arrived; the rest waits for its triggers."""
    clock = ["--clock-start", "2026-01-12T00:00:00Z", "--clock-speed", "1440"]
    with Datanaut(tmp_path, *clock, registry=registry_of(EVERYDAY, tmp_path)) as server:
        code, report, out = run_scenario(server, tmp_path, EVERYDAY)
        server.counts()
    assert code == 0 and report["passed"], out
    verdict = report["verdict"]
    assert verdict["products"]["travel"]["found"] > 5
    assert {"goal_reached", "faulted", "runs_low"} <= set(verdict["without_trigger"])


def test_guests_are_greeted_once_as_the_ledger_says(tmp_path):
    """An hour of them in a minute, by day."""
    clock = ["--clock-start", "2026-01-12T09:00:00Z", "--clock-speed", "60"]
    with Datanaut(tmp_path, *clock, registry=registry_of("open-day", tmp_path)) as server:
        flags = ["--scale", "0.5", "--seconds", "60"]
        code, report, out = run_scenario(server, tmp_path, "open-day", *flags)
    assert code == 0 and report["passed"], out
    venue = report["verdict"]["products"]["venue"]
    assert venue["found"] == venue["expected"] > 10 and venue["false"] == venue["doubled"] == 0
    assert "geofence_entered" not in report["verdict"]["without_trigger"]


def test_a_clock_too_fast_for_greetings_begins_no_run(tmp_path):
    with Datanaut(tmp_path, "--clock-speed", "1440", registry=registry_of("open-day", tmp_path)) as server:
        code, _, err = run(
            BINARIES / "device-sim", "run", "open-day", "--broker", server.broker,
            "--http", f"http://127.0.0.1:{server.http}",
        )
    assert code == 1 and "--clock-speed 100 or less" in err, err


def test_two_runs_can_be_compared(tmp_path):
    """One of them from two processes, which are counted together."""
    reports = []
    with Datanaut(tmp_path, registry=registry_of("smoke", tmp_path)) as server:
        for seed in ("1", "2"):
            folder = tmp_path / seed
            folder.mkdir()
            flags = ["--seconds", "3", "--grace", "0", "--seed", seed, "--processes", seed]
            _, report, _ = run_scenario(server, folder, "smoke", *flags)
            assert report["report"]["acknowledged"] == report["report"]["offered"] > 40
            assert report["report"]["connections"] == 40
            seconds = [second for second in report["seconds"] if second["acknowledged"] > 3]
            assert all(0 < second["p50_ms"] <= second["p99_ms"] <= second["max_ms"] for second in seconds)
            assert max(second["max_ms"] for second in seconds) >= report["report"]["latency"]["max_ms"]
            page = (folder / "report.html").read_text()
            assert "<svg" in page
            assert not any(word in page for word in ("src=", "href=", "url(", "@import"))
            reports.append(folder / "report.json")
    code, out, _ = run(BINARIES / "device-sim", "compare", *reports)
    assert code == 0 and "acknowledged a second" in out
    assert "not runs of the same scenario" in out and "processes: A 1, B 2" in out
    assert "the server's own" in (tmp_path / "1" / "report.json").read_text()


def test_a_limit_that_does_not_hold_fails_the_run_and_a_mistake_begins_none(tmp_path):
    scenario = tmp_path / "strict.toml"
    strict = "about = 'Too strict.'\nseconds = 3\ndemo = true\n[limits]\n"
    scenario.write_text(strict + "puback_p99_ms = 0.001\nacknowledged = 1.0\n")
    with Datanaut(tmp_path, registry=registry_of("smoke", tmp_path)) as server:
        code, report, out = run_scenario(server, tmp_path, scenario)
        assert code == 1 and "FAILED" in out and not report["passed"]
        failed = [check["what"] for check in report["checks"] if not check["passed"]]
        assert failed == ["PUBACK, 99th percentile"]
        before = server.counts()["received"]
        scenario.write_text(strict + "puback_p99 = 5\n")
        code, _, err = run(BINARIES / "device-sim", "run", scenario, "--broker", server.broker)
        assert code == 1 and "unknown field `puback_p99`, expected one of" in err
        assert server.counts()["received"] == before


def test_a_run_without_a_broker_ends_and_says_so(tmp_path):
    scenario = tmp_path / "alone.toml"
    scenario.write_text("about = ''\nseconds = 3\nsettle_s = 1\ndemo = true\nverify = true\n")
    code, _, err = run(BINARIES / "device-sim", "run", scenario, "--broker", f"mqtt://127.0.0.1:{free_port()}")
    assert code == 1 and "no broker at" in err and "start it" in err


def mosquitto_with_tls(folder):
    """Certificates, a password and the configuration of a broker on `localhost`; its port."""
    port = free_port()
    openssl = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    ca = ["-x509", "-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.pem"]
    own = ["-subj", "/CN=localhost", "-keyout", "own.key", "-out", "own.csr"]
    sign = ["openssl", "x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-extfile", "names", "-out", "own.pem"]
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for command in (openssl + ca, openssl + own, sign):
        code, _, err = run(*command, cwd=folder)
        assert code == 0, err
    code, _, err = run("mosquitto_passwd", "-b", "-c", "users", "fleet", "secret", cwd=folder)
    assert code == 0, err
    # It gives up root, and has to read them still.
    for name in ("users", "own.key"):
        (folder / name).chmod(0o644)
    (folder / "conf").write_text(
        f"listener {port}\ncafile {folder}/ca.pem\ncertfile {folder}/own.pem\n"
        f"keyfile {folder}/own.key\nallow_anonymous false\npassword_file {folder}/users\nuser root\n"
    )
    return port


def test_tls_and_passwords_reach_a_foreign_broker_and_wrong_ones_do_not(tmp_path):
    port = mosquitto_with_tls(tmp_path)
    load = [BINARIES / "device-sim", "load", "--broker", f"mqtts://localhost:{port}", "--devices", "4",
            "--connections", "4", "--rate", "40", "--seconds", "1", "--mqtt", "5=1,3.1.1=1"]
    login = ["--username", "fleet", "--password", "secret"]
    with Process(["mosquitto", "-c", tmp_path / "conf"]) as broker:
        wait_for("the broker", lambda: "running" in broker.err.text())
        ca = ["--ca-file", tmp_path / "ca.pem"]
        code, out, err = run(*load, *login, *ca, seconds=90)
        assert code == 0 and re.search(r"^acknowledged +40 ", out, re.M), out + err
        track = tmp_path / "track.csv"
        track.write_text("ts,lat,lon\n1768478400,51.4,6.2\n1768478401,51.4,6.2\n")
        code, out, err = run(
            BINARIES / "device-sim", "replay", track, "--as", "car-01", "--speed", "max",
            "--broker", f"mqtts://localhost:{port}", "--user", "fleet", "--password", "secret",
            "--mqtt", "5", *ca, seconds=90,
        )
        assert code == 0 and "acknowledged  2" in out, out + err
        for wrong, why in (
            (login, "UnknownIssuer"),
            (["--username", "fleet", "--password", "wrong", *ca], "does not let us in"),
        ):
            code, _, err = run(*load, *wrong, seconds=90)
            assert code == 1 and why in err, err
