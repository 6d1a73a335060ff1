import os
import random
from contextlib import ExitStack, contextmanager

import pytest

from datanaut import BINARIES, Datanaut
from mosquitto import Mosquitto


def pytest_report_header():
    shared = os.environ.get("DATANAUT_SHARED", "not set, so tests that read recordings are left out")
    return [f"binaries: {BINARIES}", f"DATANAUT_SHARED: {shared}"]


def pytest_configure(config):
    for name in ("datanaut", "device-sim"):
        if not (BINARIES / name).exists():
            raise pytest.UsageError(f"{BINARIES / name} is missing: build it, or start tests/run")


# Whose fleets and measurements want the machine to themselves, as far as that goes.
LOADS = ("test_sim", "test_bench", "test_replay", "test_kill", "test_tracks")


def pytest_collection_modifyitems(items):
    """One worker runs all that loads the machine, from the first; what is in one file shares a
    server or a port, so that it stays together too."""
    loads = [item for item in items if item.module.__name__ in LOADS]
    for item in items:
        name = item.module.__name__
        item.add_marker(pytest.mark.xdist_group("load" if name in LOADS else name))
    items[:] = loads + [item for item in items if item not in loads]


SHAPES = ("embedded", "collector")


def pytest_generate_tests(metafunc):
    """Every test of a server runs in both shapes, unless it is about one (`@pytest.mark.shape`)."""
    if "shape" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("shape")
        metafunc.parametrize("shape", only.args if only else SHAPES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def shape(request):
    return request.param


@pytest.fixture(scope="session")
def serving(shape):
    """Starts a server in a folder; around it, in the collector's shape, a Mosquitto."""

    @contextmanager
    def serving(folder, *flags, **options):
        with ExitStack() as stack:
            if shape == "collector":
                options["mosquitto"] = stack.enter_context(Mosquitto(folder))
            yield stack.enter_context(Datanaut(folder, *flags, **options))

    return serving


@pytest.fixture
def server(tmp_path, serving):
    """A running server with a data directory of its own."""
    with serving(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def seed():
    """Of what a test draws at random; DATANAUT_SEED repeats a run."""
    seed = int(os.environ.get("DATANAUT_SEED", random.randrange(1 << 32)))
    print(f"DATANAUT_SEED={seed}")
    return seed
