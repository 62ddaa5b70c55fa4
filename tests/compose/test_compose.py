"""Three MC systems as containers, on networks that are joined only where they federate."""

import json
import os
import subprocess
import time
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words, check=True, env=None) -> subprocess.CompletedProcess:
    result = subprocess.run(words, capture_output=True, text=True, timeout=180, env=env)
    assert not check or result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
    return result


class Compose:
    def __init__(self, directory: Path):
        self.project = f"acx{uuid.uuid4().hex[:8]}"
        self.env = {**os.environ, "ACX_DIR": str(directory), "COMPOSE_PROJECT_NAME": self.project}

    def __call__(self, *words, check=True):
        return run("docker-compose", "-f", str(ROOT / "deploy/docker-compose.yml"), *words, check=check, env=self.env)

    def container(self, service: str) -> str:
        return self("ps", "-q", service).stdout.strip()

    def wait_healthy(self, *services: str) -> None:
        for service in services:
            end = time.monotonic() + 60
            while run("docker", "inspect", "-f", "{{.State.Health.Status}}", self.container(service)).stdout.strip() != "healthy":
                assert time.monotonic() < end, self("logs", service).stdout
                time.sleep(0.5)

    def acmc(self, *words) -> dict:
        """The administrator of police.example asks; what acmc --json says."""
        result = self("exec", "-T", "-w", "/etc/acms", "police", "acmc", "setup", "-c", "acmc.yaml", "--json", *words,
                      check=False)
        assert result.stdout, result.stderr
        return json.loads(result.stdout)

    def setup(self, *users, to="fire.example,rail.example", request_id=None) -> dict:
        more = ["--request-id", request_id] if request_id else []
        out = self.acmc("--to", to, *more, *users)
        return {r["mc_system_id"]: r for r in out["responses"]}

    def users(self, service: str) -> set:
        out = self("exec", "-T", service, "acms", "users", "export", "-c", "/etc/acms/acms.yaml").stdout
        return {u["mc_id"] for u in json.loads(out)["users"]}


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    directory = tmp_path_factory.mktemp("compose")
    for parent in (directory, directory.parent):
        parent.chmod(0o755)
    run(str(ROOT / "deploy/compose-setup"), str(directory))
    compose = Compose(directory)
    try:
        compose("up", "-d")
        compose.wait_healthy("police", "fire", "rail")
        yield compose
    finally:
        compose("down", "-v", "--timeout", "5", check=False)


def test_requests_across_three_systems(systems):
    answers = systems.setup("a@police.example,mcptt=sip:a@police.example", "b@police.example")
    assert [answers[p]["result"] for p in ("fire.example", "rail.example")] == [True, True]
    assert systems.users("fire") == systems.users("rail") == {"a@police.example", "b@police.example"}


def test_partners_do_not_reach_each_other(systems):
    result = systems("exec", "-T", "fire", "openssl", "s_client", "-connect", "acms.rail.example:7443", check=False)
    assert result.returncode != 0


def test_one_partner_stopped(systems):
    systems("stop", "fire")
    answers = systems.setup("c@police.example")
    assert answers["fire.example"]["cause_name"] == "PARTNER_UNREACHABLE" and answers["rail.example"]["result"]
    systems("start", "fire")
    systems.wait_healthy("fire")
    assert systems.setup("c@police.example", to="fire.example")["fire.example"]["result"]


def test_one_partner_cut_off_from_its_network(systems):
    network, container = f"{systems.project}_police-rail", systems.container("rail")
    request_id = str(uuid.uuid4())
    run("docker", "network", "disconnect", network, container)
    try:
        answers = systems.setup("d@police.example", request_id=request_id)
        assert answers["fire.example"]["result"]
        assert answers["rail.example"]["cause_name"] in ("PARTNER_TIMEOUT", "PARTNER_UNREACHABLE")
    finally:
        run("docker", "network", "connect", "--alias", "acms.rail.example", network, container)
    end = time.monotonic() + 90
    while not systems.setup("d@police.example", to="rail.example", request_id=request_id)["rail.example"]["result"]:
        assert time.monotonic() < end
    assert "d@police.example" in systems.users("rail")


def test_one_restarted_with_its_data_kept(systems):
    request_id = str(uuid.uuid4())
    assert systems.setup("e@police.example", to="fire.example", request_id=request_id)["fire.example"]["result"]
    before = systems.users("fire")
    systems("kill", "fire")
    systems("up", "-d", "--force-recreate", "--no-deps", "fire")
    systems.wait_healthy("fire")
    again = systems.setup("e@police.example", to="fire.example", request_id=request_id)["fire.example"]
    assert again["result"] and "repetition" in again["detail"]
    assert systems.users("fire") == before
