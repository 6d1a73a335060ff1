import os
import random

import pytest

from datanaut import BINARIES, Datanaut


def pytest_report_header():
    shared = os.environ.get("DATANAUT_SHARED", "not set, so tests that read recordings are left out")
    return [f"binaries: {BINARIES}", f"DATANAUT_SHARED: {shared}"]


def pytest_configure(config):
    for name in ("datanaut", "device-sim"):
        if not (BINARIES / name).exists():
            raise pytest.UsageError(f"{BINARIES / name} is missing: build it, or start tests/run")


@pytest.fixture
def server(tmp_path):
    """A running server with a data directory of its own."""
    with Datanaut(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def seed():
    """Of what a test draws at random; DATANAUT_SEED repeats a run."""
    seed = int(os.environ.get("DATANAUT_SEED", random.randrange(1 << 32)))
    print(f"DATANAUT_SEED={seed}")
    return seed
