"""A weather service in the shape of Open-Meteo, which can be taken away and come back."""

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from datanaut import free_port

HOUR_S = 3600


class OpenMeteo:
    """Answers every place with the same weather, from yesterday for as many days as it is asked."""

    def __init__(self, temperature_c=-2.5):
        self.temperature_c = temperature_c
        self.port = free_port()
        self.asked = []
        self.server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1/forecast"

    def start(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                lats = query["latitude"][0].split(",")
                lons = query["longitude"][0].split(",")
                service.asked += zip(lats, lons)
                days = int(query["forecast_days"][0])
                places = [service.place(float(lat), float(lon), days) for lat, lon in zip(lats, lons)]
                body = json.dumps(places if len(places) > 1 else places[0]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def place(self, lat, lon, days):
        start = int(time.time()) // HOUR_S * HOUR_S - 24 * HOUR_S
        times = [start + hour * HOUR_S for hour in range(24 * (days + 1))]
        return {
            "latitude": lat, "longitude": lon, "elevation": 25.0,
            "hourly_units": {"time": "unixtime", "temperature_2m": "°C", "wind_speed_10m": "m/s"},
            "hourly": {
                "time": times,
                "temperature_2m": [self.temperature_c] * len(times),
                "precipitation": [0.2] * len(times),
                "wind_speed_10m": [3.1] * len(times),
                "weather_code": [71] * len(times),
            },
        }

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
