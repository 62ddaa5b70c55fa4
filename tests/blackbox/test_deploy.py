"""What is shipped to run acms: the systemd unit, and what containers get to see."""

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from systems import BUILD

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_the_unit_is_confined(tmp_path):
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DEPLOY / "acms.service")
    service = unit["Service"]
    assert (service["LimitCORE"], service["Type"], service["Restart"], service["UMask"]) == ("0", "notify", "on-failure", "0077")
    assert 10 <= int(service["WatchdogSec"]) <= 60 and service["MemoryMax"]
    for key in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "MemoryDenyWriteExecute"):
        assert service[key] == "yes"
    assert service["CapabilityBoundingSet"] == ""


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_knows_every_line_of_the_unit(tmp_path):
    """A misspelt setting is a warning that nobody sees, and confines nothing."""
    def verify(text: str) -> str:
        file = tmp_path / "acms.service"
        file.write_text(text.replace("@SBINDIR@/acms", shutil.which("true")))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    text = (DEPLOY / "acms.service").read_text()
    assert "LimitCOER" in verify(text.replace("LimitCORE", "LimitCOER"))
    assert "acms.service" not in verify(text)


def test_containers_have_no_more_than_they_need():
    compose = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
    for name, service in compose["services"].items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        system, part = name.split("-")[0], "admin" if name.endswith("-admin") else "server"
        mounted = [v.split(":") for v in service["volumes"]]
        files = [m for m in mounted if m[0].startswith("$")]
        assert files == [[f"${{ACX_DIR}}/{system}.example/{part}", "/etc/acmc" if part == "admin" else "/etc/acms", "ro"]]
        assert len(mounted) == (1 if part == "admin" else 2) and "privileged" not in service and "cap_add" not in service


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chown")
def test_compose_setup_gives_each_container_its_files(tmp_path):
    subprocess.run([DEPLOY / "compose-setup", tmp_path / "acx"], check=True, capture_output=True, timeout=120)
    shared = {"ca.crt"}
    for system, admin, partners in (("police", "control-room", ["fire", "rail"]), ("fire", "duty-officer", ["police"]), ("rail", "duty-officer", ["police"])):
        top = tmp_path / "acx" / f"{system}.example"
        trusted = {f"partners/{p}.example/{f}" for p in partners for f in ("ca.crt", "ca.crl")} | shared

        def files(part: str) -> set:
            return {str(p.relative_to(top / part)) for p in (top / part).rglob("*") if not p.is_dir()}

        assert files("server") == trusted | {"acms.yaml", "acms.crt", "acms.key", "ca.crl"}
        assert files("admin") == trusted | {"acmc.yaml", f"{admin}.crt", f"{admin}.key"}
        assert "ca.key" in files("pki") and (top / "pki").stat().st_mode & 0o777 == 0o700
        for file in (*top.glob("server/**/*"), *top.glob("admin/**/*")):
            assert file.stat().st_mode & 0o022 == 0
            assert (file.stat().st_uid, file.stat().st_mode & 0o777 == 0o600) == ((7443, True) if file.suffix == ".key" else (0, False))
        done = subprocess.run([BUILD / "acms", "check", "-c", top / "server/acms.yaml"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
