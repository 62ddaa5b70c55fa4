"""Real MC systems: a CA, an acms, and an administrator's acmc."""

import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import yaml

import pki
from acx_peer import Client, now_ms

if os.geteuid() != 0:
    os.environ.setdefault("ACX_DUMPABLE", "1")  # who is not root may look at its own processes only so

BUILD = Path(os.environ.get("BUILD", "build")).resolve()
WRAPPER = shlex.split(os.environ.get("ACX_VALGRIND", ""))  # put before acms serve and acmc
SANITIZED = any(mark in (BUILD / "acms").read_bytes() for mark in (b"__asan_init", b"__tsan_init"))
SANITIZER_REPORTS = ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer")

# What must be done before an instant gets more time where everything takes longer.
PACE = 4 if SANITIZED or WRAPPER else 1.5


def soon(seconds: float) -> int:
    """An instant that a test waits for, as the protocol counts it: not before what comes first has had time for it."""
    return now_ms(seconds * PACE)


def wait_for(condition, what: str, seconds: float = 20):
    """Polls, since nothing here may depend on how fast the machine is."""
    end = time.monotonic() + seconds * PACE
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"not in {seconds} s: {what}")


# Below those that the kernel gives to outgoing connections. Each process begins elsewhere, since a port that is free now
# may be one that another test's server is about to take again.
FIRST, PORTS_N = 10000, 22000
PORTS = itertools.cycle(FIRST + (os.getpid() * 211 + i) % PORTS_N for i in range(PORTS_N))


def free_port() -> int:
    for port in PORTS:
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


class System:
    """One MC system: its files, and its acms while it runs."""

    def __init__(self, root: Path, name: str):
        self.name, self.dir, self.port = name, root / name, free_port()
        self.ca = pki.CA(self.dir, f"CA of {name}")
        self.leaf = self.ca.issue("acms", [f"DNS:acms.{name}", "DNS:localhost"])
        self.store = self.dir / "store"
        self.store.mkdir(mode=0o700)
        self.config_file = self.dir / "acms.yaml"
        self.log_file = self.dir / "log"
        self.process, self.wrapper = None, []
        self.config = {
            "mc_system_id": name,
            "listen": [{"address": "127.0.0.1", "port": self.port}],
            "tls": {"certificate": "acms.crt", "key": "acms.key"},
            "store": {"directory": "store"},
            "limits": {"partner_timeout": "5 s", "shutdown_timeout": "5 s"},
        }

    def acmc(self, label: str = "control-room", uri: str | None = None, partners=("*",), **more) -> pki.Leaf:
        """A certificate for an ACMC, and the rule that lets it ask."""
        uri = uri or f"sip:{label}@{self.name}"
        leaf = self.ca.issue(label, [f"URI:{uri}"], usages=(pki.CLIENT,))
        acmcs = self.config.setdefault("acmcs", {"trust_anchors": ["ca.crt"], "crls": ["ca.crl"], "clients": []})
        rule = {"name": label, "certificate": f"URI:{uri}", "home_acmc_ids": [uri], "partners": list(partners),
                "mc_ids": [f"*@{self.name}"], "mc_service_id_domains": [self.name, "tel:+4930*"]}
        acmcs["clients"].append({k: v for k, v in {**rule, **more}.items() if v not in (None, [])})
        return leaf

    def partner(self, other: "System", address: bool = True, provision=True, port=None, **more) -> dict:
        """Makes the other system a partner of this one."""
        rule = {"mc_system_id": other.name, "certificate": f"DNS:acms.{other.name}",
                "trust_anchors": [str(other.ca.cert_file)], "crls": [str(other.ca.crl_file)]}
        if address:
            rule["address"] = f"127.0.0.1:{port or other.port}"
        if provision is True:
            provision = {"mc_ids": [f"*@{other.name}"], "mc_service_id_domains": [other.name] + ["tel:+4930*"] * (other.name == "police.example")}
        if provision:
            rule["provision"] = provision
        rule.update(more)
        self.config.setdefault("partners", []).append(rule)
        return rule

    def write_config(self) -> None:
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def start(self, wait: bool = True, preexec=None) -> "System":
        self.write_config()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, *WRAPPER, BUILD / "acms", "serve", "-c", self.config_file],
                                            stderr=log, preexec_fn=preexec)
        if wait:
            wait_for(lambda: self.process.poll() is not None or self.healthy(), f"{self.name} answers", 60)
            assert self.process.poll() is None, self.log()
        return self

    def healthy(self) -> bool:
        return self.run("health").returncode == 0

    def run(self, *words) -> subprocess.CompletedProcess:
        return subprocess.run([BUILD / "acms", words[0], "-c", self.config_file, *words[1:]], capture_output=True,
                              text=True, timeout=60)

    def users(self) -> dict:
        """What acms users export says, by (home, MC ID)."""
        result = self.run("users", "export")
        assert result.returncode == 0, result.stderr
        return {(u["home"], u["mc_id"]): u for u in json.loads(result.stdout)["users"]}

    def export(self, file: Path) -> None:
        """The audit log as stored."""
        with open(file, "wb") as out:
            subprocess.run([BUILD / "acms", "audit", "export", "-c", self.config_file, "--format", "cbor"], stdout=out,
                           check=True, timeout=60)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_log(self, text: str, before: int = 0) -> None:
        """before: how often the log had the text already."""
        wait_for(lambda: self.log().count(text) > before, f"{text!r} in the log of {self.name}:\n{self.log()}")

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def reload(self) -> None:
        taken = "configuration reloaded"
        before = self.log().count(taken)
        self.write_config()
        self.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count(taken) > before, "reloaded")

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process and self.process.poll() is None:
            self.send_signal(number)
            self.process.wait(30)
        code = self.process.returncode if self.process else 0
        self.process = None
        return code

    def client(self, leaf, **more) -> Client:
        return Client(self.port, leaf, self.ca.cert_file, **more)

    def acmc_config(self, leaf, **more) -> Path:
        path = self.dir / f"acmc-{leaf.cert_file.stem}.yaml"
        path.write_text(yaml.safe_dump({
            "server": f"localhost:{self.port}", "mc_system_id": self.name, "certificate": str(leaf.cert_file),
            "key": str(leaf.key_file), "trust_anchors": [str(self.ca.cert_file)], **more}))
        return path


def acmc(config: Path, *words, stdin: str = "") -> subprocess.CompletedProcess:
    return subprocess.run([*WRAPPER, BUILD / "acmc", "setup", "-c", config, *words], capture_output=True, text=True,
                          input=stdin, timeout=120)


def check_stopped(system: System) -> None:
    """Ends it; a server that was not killed ends well and without a sanitizer's report."""
    was_running = system.process is not None and system.process.poll() is None
    code = system.stop()
    assert not any(r in system.log() for r in SANITIZER_REPORTS), system.log()
    if was_running:
        assert code == 0, system.log()
