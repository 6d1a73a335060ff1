"""Triggers have the weather of their place and hour, or say that it is missing."""

import json
from datetime import datetime, timedelta, timezone

from datanaut import BINARIES, Datanaut, Process, datanaut, run, wait_for
from journeys import drive, ways
from peers import Client
from weather import OpenMeteo


def configured(folder, text):
    file = folder / "datanaut.toml"
    file.write_text(text)
    return Datanaut(folder, "--config", file)


def live(folder, feed, wait):
    return configured(folder, f"""
[weather]
wait = "{wait}"
[[weather.feed]]
kind = "open-meteo"
url = "{feed.url}"
timeout = "2s"
""")


def shown(server):
    return [trigger["data"]["evidence"]["weather"] for trigger in server.triggers()]


def cross(server, device, count=1):
    """Drives over the border; returns what the new triggers say of the weather."""
    before = len(server.triggers())
    with Client(server) as car:
        drive(car, device, count=count)
    wait_for("the crossing", lambda: len(server.triggers()) >= before + count, seconds=60)
    return shown(server)[before:]


def test_rows_of_a_file(tmp_path):
    now = datetime.now(timezone.utc)
    hours = [now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=at) for at in range(-6, 3)]
    rows = ["time,lat,lon,elevation_m,temperature_c,wind_mps,code"]
    for hour in hours:
        for south in range(500, 540):
            for west in range(55, 75):
                rows.append(f"{hour.isoformat()},{south / 10 + 0.05},{west / 10 + 0.05},20,-4.5,2.5,73")
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    with configured(tmp_path, '[[weather.feed]]\nkind = "file"\nname = "ours"\npath = "rows.csv"\n') as server:
        [weather] = cross(server, "car-05")
        assert weather["status"] == "known" and weather["source"] == "ours"
        assert (weather["temperature_c"], weather["wind_mps"], weather["code"]) == (-4.5, 2.5, 73)
        assert "precipitation_mm" not in weather, "what the file does not say"
        assert server.metric("events_waiting_for_weather") == 0


def test_the_simulated_weather_is_the_same_by_service_and_by_file(tmp_path):
    """What the simulator serves in Open-Meteo's shape, what it writes, and what a trigger says."""
    simulator = BINARIES / "device-sim"
    now = datetime.now(timezone.utc)
    begin = (now - timedelta(hours=30)).strftime("%Y-%m-%dT%H:00:00Z")
    code, _, err = run(
        simulator, "weather", "--file", tmp_path / "rows.csv", "--from", begin, "--hours", "60",
        seconds=90,
    )
    assert code == 0, err
    with Process([simulator, "weather", "--serve", "127.0.0.1:0"]) as service:
        url = wait_for("the service", lambda: service.out.text().strip())
        told = []
        feeds = {
            "live": f'kind = "open-meteo"\nurl = "{url}"',
            "file": 'kind = "file"\npath = "../rows.csv"',
        }
        for name, feed in feeds.items():
            folder = tmp_path / name
            folder.mkdir()
            with configured(folder, f'[weather]\nwait = "60s"\n[[weather.feed]]\n{feed}\n') as server:
                told += cross(server, "car-05")
    for weather in told:
        assert weather["status"] == "known", told
        for changing in ("source", "age_s"):
            weather.pop(changing)
    assert told[0] == told[1] and "temperature_c" in told[0]


def test_a_file_that_makes_no_sense_is_refused_with_its_line(tmp_path):
    (tmp_path / "rows.csv").write_text("time,lat,lon,temperature_c\n2026-01-15T12:00:00Z,52,5,cold\n")
    (tmp_path / "datanaut.toml").write_text('[[weather.feed]]\nkind = "file"\npath = "rows.csv"\n')
    code, _, err = datanaut("--config", tmp_path / "datanaut.toml", "--data", tmp_path / "data", cwd=tmp_path)
    assert code != 0 and "rows.csv" in err and "line 2: temperature_c: `cold` is no number" in err


def test_a_feed_that_goes_away_and_comes_back(tmp_path):
    feed = OpenMeteo()
    with feed, live(tmp_path, feed, "30s") as server:
        [weather] = cross(server, "car-05")
        assert (weather["temperature_c"], weather["source"]) == (-2.5, "open-meteo")
        assert server.metric("weather_requests_total", feed="open-meteo") >= 1

        # A support desk sees the same row, of the server and beside it.
        here = server.get("/v1/where", lat=51.37, lon=6.21, accuracy_m=8)
        assert here["country"] in ("NL", "DE") and here["border"]["distance_m"] < 3_000
        row = here["weather"]["row"]
        assert (row["source"], row["temperature_c"]) == ("open-meteo", -2.5)
        assert server.request("/v1/where", lat=91, lon=0)[0] == 400
        files = ["--config", tmp_path / "datanaut.toml", "--data", server.data]
        code, out, err = datanaut("where", 51.37, 6.21, "--json", *files)
        assert code == 0, err
        assert json.loads(out)["weather"]["row"] == row

        # After a restart nothing is asked twice: neither what was, nor more.
        assert server.stop() == 0
        asked = sorted(set(feed.asked))
        assert sorted(feed.asked) == asked, "each place once"
        server.start()
        [weather] = cross(server, "car-06")
        assert weather["temperature_c"] == -2.5
        again = feed.asked[len(asked):]
        assert not set(again) & set(asked), again


def test_weather_that_does_not_come_is_missing_after_the_limit(tmp_path):
    feed = OpenMeteo()
    with live(tmp_path, feed, "10s") as server:
        # Nobody answers: readings are taken as ever, the trigger goes out without weather.
        [weather] = cross(server, "car-05")
        assert weather == {"status": "missing"}
        counts = server.counts()
        assert counts["stored"] == counts["received"] > 0
        assert server.metric("weather_faults_total", feed="open-meteo", fault="unreachable") >= 1
        assert server.metric("events_waiting_for_weather") == 0
        # When it is back, the next has its weather.
        with feed:
            wait_for(
                "the feed to be asked",
                lambda: server.metric("weather_hours_total", feed="open-meteo") > 0, seconds=90,
            )
            [weather] = cross(server, "car-06")
            assert weather["temperature_c"] == -2.5


def test_what_waits_outlives_a_kill(tmp_path):
    feed = OpenMeteo()
    with live(tmp_path, feed, "5m") as server:
        with Client(server) as car:
            drive(car, "car-05", count=1)
        wait_for("an event to wait", lambda: server.metric("events_waiting_for_weather") == 1)
        assert server.triggers() == []
        server.kill()
        with feed:
            server.start()
            wait_for("the crossing", lambda: len(server.triggers()) == 1, seconds=90)
        assert ways(server.triggers()) == [("NL", "DE")]
        assert shown(server)[0]["temperature_c"] == -2.5
