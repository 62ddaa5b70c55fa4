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
        self.directory = directory
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

    def wait(self, condition, what: str):
        end = time.monotonic() + 90
        while not (value := condition()):
            assert time.monotonic() < end, f"{what}\n{self('logs', check=False).stdout}"
            time.sleep(0.3)
        return value

    def ask(self, service: str, command: str, *words) -> subprocess.CompletedProcess:
        """acmc of that system's administrator: control-room of police, duty-officer of the others."""
        return self("run", "--rm", "--no-deps", "-T", f"{service}-admin", command, "-c", "acmc.yaml", *words, check=False)

    def acmc(self, service: str, command: str, *words) -> dict:
        result = self.ask(service, command, "--json", *words)
        assert result.stdout, result.stderr
        return json.loads(result.stdout)

    def setup(self, *users, to="fire.example,rail.example", request_id=None) -> dict:
        more = ["--request-id", request_id] if request_id else []
        return by_partner(self.acmc("police", "setup", "--to", to, *more, *users))

    def leave(self, *words) -> str:
        """Asks, and does not wait: the request's ID."""
        result = self.ask("police", words[0], "--no-wait", *words[1:])
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def users(self, service: str) -> set:
        out = self("exec", "-T", service, "acms", "users", "export", "-c", "/etc/acms/acms.yaml").stdout
        return {u["mc_id"] for u in json.loads(out)["users"]}

    def pending(self, service: str) -> set:
        return {r["request_id"] for r in self.acmc(service, "pending")["pending"]}

    def policy(self, service: str, old: str, new: str) -> None:
        """Changes the configuration of a running system."""
        file = self.directory / f"{service}.example/server/acms.yaml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        before = self("logs", service).stdout.count("configuration reloaded")
        self("kill", "-s", "HUP", service)
        self.wait(lambda: self("logs", service).stdout.count("configuration reloaded") > before, "not reloaded")


def by_partner(out: dict) -> dict:
    return {r["mc_system_id"]: r for r in out["responses"]}


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


def inside(systems, service: str, script: str) -> str:
    """What it prints in a container of that service: of a server in the running one, of an administrator in a new one."""
    how = ["run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", service] if service.endswith("-admin") else ["exec", "-T", service, "sh"]
    return systems(*how, "-c", script).stdout


@pytest.mark.parametrize("service", ["police", "fire", "rail", "police-admin", "fire-admin"])
def test_each_container_sees_what_it_needs_and_no_more(systems, service):
    keys = inside(systems, service, "find / -xdev -name '*.key' 2>/dev/null; find /etc/acms /etc/acmc -name '*.key' -o -name 'ca-*' -o -name issued 2>/dev/null; true").split()
    admin = "control-room" if service.startswith("police") else "duty-officer"
    assert keys == [f"/etc/acmc/{admin}.key" if service.endswith("-admin") else "/etc/acms/acms.key"]


@pytest.mark.parametrize("service", ["police", "police-admin"])
def test_containers_are_confined(systems, service):
    status = dict(line.split(":\t", 1) for line in inside(systems, service, "cat /proc/self/status").splitlines())
    assert status["NoNewPrivs"] == "1" and status["Uid"].split()[0] == "7443"
    assert all(int(status[c], 16) == 0 for c in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"))
    writable = inside(systems, service, "for d in / /etc /etc/acms /etc/acmc /usr/bin /var /var/tmp /tmp /var/lib/acms; do"
                      " (: >$d/x) 2>/dev/null && echo $d && rm $d/x; done; true").split()
    assert writable == ["/tmp", "/var/lib/acms"]  # an administrator's is empty, and goes with the container


def test_partners_do_not_reach_each_other(systems):
    result = systems("exec", "-T", "fire", "openssl", "s_client", "-connect", "acms.rail.example:7443", check=False)
    assert result.returncode != 0


def test_one_partner_stopped(systems):
    """Its answer comes when it is back; the other's does not wait for that."""
    systems("stop", "fire")
    request_id = systems.leave("setup", "--to", "fire.example,rail.example", "c@police.example")
    systems.wait(lambda: by_partner(systems.acmc("police", "status", request_id))["rail.example"]["result"], "no answer")
    assert by_partner(systems.acmc("police", "status", request_id))["fire.example"]["result"] is None
    systems("start", "fire")
    answers = by_partner(systems.acmc("police", "wait", "--timeout", "90s", request_id))
    assert answers["fire.example"]["result"] and "c@police.example" in systems.users("fire")


def test_one_partner_gone_until_the_deadline(systems):
    systems("stop", "fire")
    answers = by_partner(systems.acmc("police", "setup", "--to", "fire.example", "--deadline", "3s", "late@police.example"))
    assert answers["fire.example"]["cause_name"] == "PARTNER_UNREACHABLE" and answers["fire.example"]["origin"] == "home"
    systems("start", "fire")
    systems.wait_healthy("fire")
    assert "late@police.example" not in systems.users("fire")


def test_one_partner_cut_off_from_its_network(systems):
    """A request that is accepted meanwhile gets its answer once they are joined again."""
    network, container = f"{systems.project}_police-rail", systems.container("rail")
    run("docker", "network", "disconnect", network, container)
    try:
        request_id = systems.leave("setup", "--to", "fire.example,rail.example", "d@police.example")
        systems.wait(lambda: by_partner(systems.acmc("police", "status", request_id))["fire.example"]["result"], "no answer")
        time.sleep(6)  # longer than the partner_timeout
        assert by_partner(systems.acmc("police", "status", request_id))["rail.example"]["result"] is None
    finally:
        run("docker", "network", "connect", "--alias", "acms.rail.example", network, container)
    answers = by_partner(systems.acmc("police", "wait", "--timeout", "90s", request_id))
    assert answers["rail.example"]["result"] and "d@police.example" in systems.users("rail")


def test_one_made_anew_with_its_data_kept(systems):
    """The same request has the effect of one, and a new one for the same user changes nothing."""
    request_id = str(uuid.uuid4())
    assert systems.setup("e@police.example", to="fire.example", request_id=request_id)["fire.example"]["result"]
    before = systems.users("fire")
    systems("kill", "fire")
    systems("up", "-d", "--force-recreate", "--no-deps", "fire")
    systems.wait_healthy("fire")
    assert systems.setup("e@police.example", to="fire.example", request_id=request_id)["fire.example"]["result"]
    again = systems.setup("e@police.example", to="fire.example")["fire.example"]
    assert again["result"] and [r["revision"] for r in again["revisions"]] == [1]
    assert systems.users("fire") == before


def test_approval_with_the_home_killed_meanwhile(systems):
    systems.policy("fire", "setup: automatic", "setup: manual")
    request_id = systems.leave("setup", "--to", "fire.example,rail.example", "f@police.example,mcptt=sip:f@police.example")
    systems.wait(lambda: request_id in systems.pending("fire"), "not pending")
    assert by_partner(systems.acmc("police", "status", request_id))["fire.example"]["state"] == "approval"
    systems("kill", "police")
    assert systems.ask("fire", "approve", "--reason", "joint exercise", request_id).returncode == 0
    assert "f@police.example" in systems.users("fire")
    systems("start", "police")
    systems.wait_healthy("police")
    answers = by_partner(systems.acmc("police", "wait", "--timeout", "90s", request_id))
    assert answers["fire.example"]["result"] and answers["rail.example"]["result"]
    decided = by_partner(systems.acmc("police", "status", request_id))["fire.example"]["decided_by"]
    assert (decided["acmc"], decided["reason"]) == ("duty-officer", "joint exercise")
    receipt = systems.ask("police", "receipt", "--partner", "fire.example",
                          "--partner-anchors", "partners/fire.example/ca.crt",
                          "--partner-certificate", "DNS:acms.fire.example", request_id)
    assert receipt.returncode == 0 and "approved by duty-officer" in receipt.stdout, receipt.stdout


def test_rejection_with_both_restarted_meanwhile(systems):
    request_id = systems.leave("setup", "--to", "fire.example", "g@police.example")
    systems.wait(lambda: request_id in systems.pending("fire"), "not pending")
    systems("restart", "police", "fire")
    systems.wait_healthy("police", "fire")
    assert request_id in systems.pending("fire")
    assert systems.ask("fire", "reject", "--reason", "who is that?", request_id).returncode == 0
    answer = by_partner(systems.acmc("police", "wait", "--timeout", "90s", request_id))["fire.example"]
    assert (answer["cause_name"], answer["decided_by"]["reason"]) == ("REJECTED", "who is that?")
    assert "g@police.example" not in systems.users("fire")
    systems.policy("fire", "setup: manual", "setup: automatic")


def test_update_and_remove(systems):
    at = ["--to", "fire.example"]
    assert systems.acmc("police", "update", *at, "--revision", "9", "a@police.example")["exit_code"] == 1
    assert systems.acmc("police", "update", *at, "--revision", "1", "a@police.example")["exit_code"] == 0
    assert systems.acmc("police", "remove", *at, "b@police.example")["exit_code"] == 0
    users = {u["mc_id"]: u for u in systems.acmc("police", "users", "--at", "fire.example")["users"]}
    assert users["a@police.example"]["mc_service_ids"] == [] and "b@police.example" not in users


def test_a_partner_that_lost_its_store_is_repaired(systems):
    before = systems.users("rail")
    systems("stop", "rail")
    systems("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "rail", "-c", "rm /var/lib/acms/*")
    systems("start", "rail")
    systems.wait_healthy("rail")
    found = systems.wait(lambda: systems.acmc("police", "reconcile", "--with", "rail.example")["differences"], "none")
    assert {d["mc_id"] for d in found} == before and systems.users("rail") == set()
    assert systems.acmc("police", "reconcile", "--with", "rail.example", "--repair", "--yes")["exit_code"] == 0
    assert systems.users("rail") == before


def test_in_the_end_all_agree_and_the_audit_logs_are_whole(systems):
    for partner in ("fire.example", "rail.example"):
        out = systems.acmc("police", "reconcile", "--with", partner)
        assert (out["differences"], out["exit_code"]) == ([], 0) and out["partner_users"] > 0
    for service in ("police", "fire", "rail"):
        assert ": whole: " in systems("exec", "-T", service, "acms", "audit", "verify", "-c", "/etc/acms/acms.yaml").stdout
    assert systems.acmc("police", "requests", "--unfinished")["requests"] == []
