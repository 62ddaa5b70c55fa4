import resource
import signal
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "blackbox")]

import soak  # noqa: E402


@pytest.fixture
def world(tmp_path):
    """The systems of the soak, not started. Hostile partners are down: nobody accepts on their ports."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    w = soak.World(tmp_path)
    for listener in w.listeners:
        listener.close()
    yield w
    for system in (w.police, w.fire):
        system.stop(signal.SIGKILL)
