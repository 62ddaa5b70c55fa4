"""Systems in network namespaces of their own, on file systems of their own, with clocks of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash"), str(HERE.parent / "blackbox")]

from hosts import FaultySystem, Net  # noqa: E402

PROGRAMS = ("ip", "iptables", "tc", "mkfs.ext4", "mount", "fiu-run")


def pytest_collection_modifyitems(items) -> None:
    missing = [p for p in PROGRAMS if not shutil.which(p)]
    why = ("fault tests make network namespaces and mounts, which needs root" if os.geteuid() else
           f"fault tests need {', '.join(missing)}: deploy/install-packages test" if missing else None)
    for item in items if why else ():
        item.add_marker(pytest.mark.skip(reason=why))


class Hosts:
    """A home and a partner, each with an ACMC, on two hosts of their own."""

    def __init__(self, root: Path):
        self.net = Net()
        self.home = FaultySystem(root, "police.example", self.net.hosts[0])
        self.fire = FaultySystem(root, "fire.example", self.net.hosts[1])
        self.home.admin = self.home.acmc()
        self.fire.chief = self.fire.acmc("chief", mc_ids=None, mc_service_id_domains=None, approves=["police.example"])
        del self.fire.config["acmcs"]["clients"][0]["partners"]
        self.home.partner(self.fire, provision=None)["address"] = f"{self.fire.host.address}:{self.fire.port}"
        self.fire.partner(self.home, address=False)["provision"]["approval"] = {"remove": "manual"}
        self.home.config["limits"].update(partner_timeout="3 s", handshake_timeout="3 s")

    def start(self) -> None:
        self.fire.start()
        self.home.start()
        self.home.wait_log("partner fire.example: up")

    def end(self) -> None:
        try:
            for system in (self.home, self.fire):
                system.end()
        finally:
            self.net.end()


@pytest.fixture
def hosts(tmp_path):
    h = Hosts(tmp_path)
    yield h
    h.end()
