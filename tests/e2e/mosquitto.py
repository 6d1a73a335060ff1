"""Mosquitto, as it ships with Datanaut."""

import socket

from datanaut import ROOT, Process, free_port, wait_for

SHIPPED = (ROOT / "mosquitto/mosquitto.conf").read_text()


class Mosquitto:
    """With the shipped configuration, but for the port and the folder."""

    def __init__(self, folder):
        self.mqtt = free_port()
        self.broker = f"mqtt://127.0.0.1:{self.mqtt}"
        self.folder = folder / "mosquitto"
        self.folder.mkdir()
        self.config = self.folder / "mosquitto.conf"
        text = SHIPPED.replace("listener 1883 ", f"listener {self.mqtt} ")
        text = text.replace("/var/lib/mosquitto/", f"{self.folder}/")
        assert str(self.mqtt) in text and str(self.folder) in text
        # Started by root it would become a user that may not write here.
        self.config.write_text(text + "\nuser root\n")
        self.process = None

    def start(self):
        self.process = Process(["mosquitto", "-c", self.config])
        wait_for("Mosquitto", self._answers)

    def _answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.mqtt)) == 0

    def stop(self):
        """In order: what it holds is on disk then."""
        self.process.process.terminate()
        assert self.process.wait() == 0, self.process.said()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.process.end()
