import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from systems import System, check_stopped  # noqa: E402


class World:
    """The MC systems of one test."""

    def __init__(self, root: Path):
        self.root, self.systems, self.fakes = root, {}, []

    def system(self, name: str) -> System:
        self.systems[name] = System(self.root, name)
        return self.systems[name]

    def federation(self):
        """A home with an ACMC, and two partners; not started."""
        home, fire, rail = (self.system(n) for n in ("police.example", "fire.example", "rail.example"))
        home.admin = home.acmc()
        for partner in (fire, rail):
            home.partner(partner, provision=None)
            partner.partner(home, address=False)
        return home, fire, rail

    def end(self) -> None:
        for fake in self.fakes:
            fake.stop()
        for system in self.systems.values():
            check_stopped(system)


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    w.end()


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """Three systems that run as long as the module's tests; each test uses users of its own."""
    w = World(tmp_path_factory.mktemp("federation"))
    w.home, w.fire, w.rail = w.federation()
    for system in (w.fire, w.rail, w.home):
        system.start()
    w.home.wait_log("partner fire.example: up")
    w.home.wait_log("partner rail.example: up")
    yield w
    w.end()
