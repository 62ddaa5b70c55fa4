"""What is measured: MC systems with their acms, and the peers beside them: slapd, PostgreSQL."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import lmdb

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/blackbox"))

import pki  # noqa: E402
import systems  # noqa: E402
from idm_store_reader import IdmStore, decode  # noqa: E402
from systems import System, wait_for  # noqa: E402

BUILD = Path(os.environ.get("BUILD", "build")).resolve()
HOME, PARTNER = "police.example", "fire.example"

ports = iter(range(10_000 + os.getpid() % 100 * 200, 32_768))


def free_port() -> int:
    """Below those that the kernel gives to outgoing connections, of which there are thousands here."""
    for port in ports:
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise RuntimeError("no port is free")


systems.free_port = free_port


def tool(name: str, *words) -> dict:
    """Runs a load generator; what it reports."""
    return finish(start_tool(name, *words))


def start_tool(name: str, *words) -> subprocess.Popen:
    return subprocess.Popen([BUILD / "bench" / name, *map(str, words)], stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> dict:
    out, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args[0]} failed ({process.returncode}): {out}")
    return json.loads(out.splitlines()[-1])


def anonymous_kb(pid: int) -> int:
    """Memory of the process itself: not the page cache, which a store's map shows in its RSS."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise RuntimeError("no smaps_rollup")


def entries(directory: Path) -> dict[str, int]:
    """Number of entries in each database of a store."""
    with lmdb.open(str(directory), readonly=True, max_dbs=20) as env, env.begin() as txn:
        return {name.decode(): txn.stat(env.open_db(name, txn, create=False))["entries"]
                for name in list(txn.cursor().iternext(values=False))}


class Verified(Exception):
    """The data are not there."""


class Acms:
    """A home system, its partners, and an ACMC."""

    def __init__(self, root: Path, partners=(PARTNER,)):
        self.root, self.users, self.services = root, 0, 0
        self.next_scattered, self.next_sorted = 0, 5_000_000_000  # apart from each other (users.h)
        self.home = System(root, HOME)
        self.admin = self.home.acmc()
        self.home.config["limits"].update(max_connections=11000, max_connections_per_peer=11000,
                                          partner_timeout="30 s")
        self.home.config["store"]["map_size"] = "64 GiB"
        self.partners = [self.add_partner(name) for name in partners]

    def add_partner(self, name: str, **rule) -> System:
        partner = System(self.root, name)
        partner.config["store"]["map_size"] = "64 GiB"
        partner.partner(self.home, address=False, provision={
            "mc_ids": [f"*@{HOME}"], "mc_service_id_domains": [HOME], "max_users": 100_000_000})
        self.home.partner(partner, provision=None, **rule)
        return partner

    def start(self) -> "Acms":
        for system in [*self.partners, self.home]:
            system.start(wait=False)
        for system in [*self.partners, self.home]:
            wait_for(system.healthy, f"{system.name} answers", 120)
        for partner in self.partners:
            self.home.wait_log(f"partner {partner.name}: up")
        return self

    def stop(self) -> None:
        for system in [self.home, *self.partners]:
            system.stop()

    def fill(self, n: int) -> None:
        """Before the start: as if the first n scattered users had been set up long ago (fill.c)."""
        fills = [start_tool("fill", side, "--directory", system.store, "--users", n)
                 for side, system in (("home", self.home), ("partner", self.partners[0]))]
        for process in fills:
            finish(process)
        self.users = self.next_scattered = n
        self.verify()
        self.verify_samples(1000)

    def verify_samples(self, n: int) -> None:
        """That some users are there whole, by the tests' own reader of the store."""
        home, partner = IdmStore(self.home.store), IdmStore(self.partners[0].store)
        for i in range(0, self.users, max(1, self.users // n)):
            name = f"{scatter(i):010d}"
            key = f"\0officer.{name}@{HOME}".encode()
            ids = [[k + 1, f"sip:officer.{name}.{s}@{HOME}"] for k, s in enumerate(("mcptt", "mcvideo", "mcdata"))]
            user = decode(partner.get("users", HOME.encode() + key))
            owners = {partner.get("service_ids", uri.encode()) for _, uri in ids}
            if user[2] != ids or home.get("believed", PARTNER.encode() + key) is None or \
                    [decode(o) for o in owners] != [[HOME, f"officer.{name}@{HOME}"]]:
                raise Verified(f"user {i} is not in the store as it was filled in")
        home.close()
        partner.close()

    def load(self, mode: str, *words) -> subprocess.Popen:
        return start_tool("acx_load", mode, "--port", self.home.port, "--certificate", self.admin.cert_file,
                          "--key", self.admin.key_file, "--anchors", self.home.ca.cert_file, *words)

    def setups(self, seconds: float, in_flight: int, users: int = 1, most=None, to=None, verify=True) -> dict:
        """Scattered users, to all partners (or those named); verified."""
        names = to or [p.name for p in self.partners]
        words = ["--to", ",".join(names), "--in-flight", in_flight, "--seconds", seconds, "--users", users,
                 "--first", self.next_scattered, *(["--most", most] if most else [])]
        result = finish(self.load("setup", *words))
        self.took(result["done"] * users, verify)
        return result

    def took(self, n: int, verify=True) -> None:
        """n scattered users were answered for: are they there?"""
        self.next_scattered += n
        self.users += n
        if verify:
            self.verify()

    def csv(self, n: int, scattered: bool) -> Path:
        """A file of n new users."""
        path = self.root / "users.csv"
        first = self.next_scattered if scattered else self.next_sorted
        with open(path, "w") as out:
            out.write("mc_id,mcptt,mcvideo,mcdata\n")
            for i in range(first, first + n):
                name = f"{scatter(i) if scattered else i:010d}"
                ids = ",".join(f"sip:officer.{name}.{s}@{HOME}" for s in ("mcptt", "mcvideo", "mcdata"))
                out.write(f"officer.{name}@{HOME},{ids}\n")
        if scattered:
            self.next_scattered += n
        else:
            self.next_sorted += n
        return path

    def bulk(self, n: int, scattered: bool, watch=None) -> dict:
        """One administrator's command: CSV in, all answers back."""
        path = self.csv(n, scattered)
        config = self.home.acmc_config(self.admin)
        with open(self.root / "acmc.out", "w") as out:
            start = time.monotonic()
            process = subprocess.Popen([BUILD / "acmc", "setup", "-c", config, "--to", PARTNER, "-q", "-f", path],
                                       stdout=out, stderr=out)
            while watch and process.poll() is None:
                watch(process.pid)
                time.sleep(0.05)
            code = process.wait()
            seconds = time.monotonic() - start
        if code != 0:
            raise RuntimeError(f"acmc: {code}: {(self.root / 'acmc.out').read_text()[-2000:]}")
        self.users += n
        self.verify()
        return {"done": n, "failed": 0, "seconds": seconds, "rate": n / seconds}

    def verify(self) -> None:
        """That every user that was answered TRUE is in the stores, by a reader of its own."""
        for partner in self.partners:
            there = entries(partner.store)
            if there["users"] != self.users or there["service_ids"] != 3 * self.users:
                raise Verified(f"{partner.name} has {there}, expected {self.users} users")
        there = entries(self.home.store)
        if there["believed"] != self.users * len(self.partners):
            raise Verified(f"{HOME} has {there}, expected {self.users} users")


def scatter(x: int) -> int:
    """As in users.h."""
    x ^= x >> 16
    x = x * 0x85EBCA6B & 0xFFFFFFFF
    x ^= x >> 13
    x = x * 0xC2B2AE35 & 0xFFFFFFFF
    return x ^ x >> 16


SLAPD_CONF = """
include /etc/ldap/schema/core.schema
attributetype ( 1.3.6.1.4.1.4203.666.1.1 NAME 'mcId' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.1.2 NAME 'mcServiceId' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.1.3 NAME 'mcRevision' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.2.1 NAME 'mcUser' STRUCTURAL MUST ( mcId $ mcRevision ) MAY mcServiceId )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/pid
loglevel none
threads 16
sizelimit unlimited
timelimit unlimited
TLSCACertificateFile {ca}
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
TLSVerifyClient demand
TLSProtocolMin 3.4
TLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP256R1
database mdb
suffix "dc=bench"
rootdn "cn=admin,dc=bench"
rootpw bench
directory {dir}/data
maxsize 68719476736
index objectClass,mcId,mcServiceId eq
"""

SLAPD_BASE = f"""dn: dc=bench
objectClass: organization
objectClass: dcObject
dc: bench
o: bench

dn: ou={HOME},dc=bench
objectClass: organizationalUnit
ou: {HOME}
"""


class Slapd:
    """OpenLDAP with back-mdb as shipped: each add is on disk before its answer."""

    def __init__(self, root: Path):
        self.dir, self.port, self.users, self.next = root / "slapd", free_port(), 0, 0
        self.next_sorted = 5_000_000_000
        (self.dir / "data").mkdir(parents=True)
        self.ca = pki.CA(self.dir, "CA of slapd")
        self.server = self.ca.issue("slapd", ["IP:127.0.0.1"], usages=(pki.SERVER,))
        self.client = self.ca.issue("client", ["URI:sip:client@bench"], usages=(pki.CLIENT,))
        self.conf = self.dir / "slapd.conf"
        self.conf.write_text(SLAPD_CONF.format(dir=self.dir, ca=self.ca.cert_file, cert=self.server.cert_file,
                                               key=self.server.key_file))
        subprocess.run(["/usr/sbin/slapadd", "-f", self.conf], input=SLAPD_BASE, text=True, check=True,
                       stderr=subprocess.DEVNULL)

    def start(self) -> "Slapd":
        self.process = subprocess.Popen(["/usr/sbin/slapd", "-f", self.conf, "-h", f"ldaps://127.0.0.1:{self.port}",
                                         "-d", "0"], stderr=subprocess.DEVNULL)
        wait_for(lambda: self.answers(), "slapd answers")
        return self

    def answers(self) -> bool:
        process = subprocess.run([BUILD / "bench/ldap_load", "count", *self.words()], capture_output=True)
        return process.returncode == 0

    def words(self) -> list:
        return ["--port", str(self.port), "--certificate", self.client.cert_file, "--key", self.client.key_file,
                "--anchors", self.ca.cert_file]

    def load(self, mode: str, *words) -> subprocess.Popen:
        return start_tool("ldap_load", mode, *self.words(), *words)

    def adds(self, seconds: float, connections: int, window: int = 1, most=None, scattered=True, verify=True) -> dict:
        words = ["--connections", connections, "--window", window, "--seconds", seconds,
                 "--first", self.next if scattered else self.next_sorted,
                 *(["--most", most] if most else []), *([] if scattered else ["--sorted"])]
        result = finish(self.load("add", *words))
        if scattered:
            self.next += result["done"]
        else:
            self.next_sorted += result["done"]
        self.users += result["done"]
        if verify:
            self.verify()
        return result

    def verify(self) -> None:
        there = finish(self.load("count"))["done"]
        if there != self.users:
            raise Verified(f"slapd has {there} users, expected {self.users}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


PG_CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
ssl = on
ssl_min_protocol_version = 'TLSv1.3'
ssl_ecdh_curve = 'prime256v1'
ssl_ca_file = '{ca}'
ssl_cert_file = '{cert}'
ssl_key_file = '{key}'
shared_buffers = 1GB
max_wal_size = 16GB
fsync = on
synchronous_commit = on
"""

PG_TABLES = """
CREATE TABLE users (home text, mc_id text, revision bigint NOT NULL, created timestamptz NOT NULL,
  changed timestamptz NOT NULL, request uuid NOT NULL, PRIMARY KEY (home, mc_id));
CREATE TABLE service_ids (mc_service_id text PRIMARY KEY, service int NOT NULL, home text NOT NULL, mc_id text NOT NULL);
"""


class Postgres:
    """PostgreSQL 15, two tables with the indexes that an acms has, durable as it is by default."""

    BIN = Path("/usr/lib/postgresql/15/bin")

    def __init__(self, root: Path):
        self.dir, self.port, self.users = root / "postgres", free_port(), 0
        self.dir.mkdir(parents=True)
        self.as_user = []
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            account = pwd.getpwnam("postgres")
            self.as_user = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
            shutil.chown(self.dir, account.pw_uid, account.pw_gid)
        self.ca = pki.CA(self.dir / "pki", "CA of PostgreSQL")
        self.server = self.ca.issue("server", ["DNS:localhost"], usages=(pki.SERVER,))
        self.client = self.ca.issue("bench", ["URI:sip:client@bench"], usages=(pki.CLIENT,))
        if self.as_user:
            shutil.chown(self.server.key_file, account.pw_uid, account.pw_gid)
        self.data = self.dir / "data"
        subprocess.run([*self.as_user, self.BIN / "initdb", "-D", self.data, "-U", "bench", "-A", "trust"], check=True,
                       stdout=subprocess.DEVNULL, cwd="/")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(PG_CONF.format(port=self.port, ca=self.ca.cert_file, cert=self.server.cert_file,
                                      key=self.server.key_file))
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n")
        self.where = (f"host=localhost hostaddr=127.0.0.1 port={self.port} user=bench dbname=postgres "
                      f"sslmode=verify-full sslrootcert={self.ca.cert_file} sslcert={self.client.cert_file} "
                      f"sslkey={self.client.key_file}")

    def start(self) -> "Postgres":
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen([*self.as_user, self.BIN / "postgres", "-D", self.data], stderr=log,
                                            stdout=log, cwd="/")
        wait_for(lambda: self.sql("SELECT 1", check=False) == "1", "PostgreSQL answers")
        self.sql(PG_TABLES)
        return self

    def sql(self, text: str, check=True) -> str:
        result = subprocess.run(["psql", "-XAtq", self.where, "-c", text], capture_output=True, text=True)
        if check and result.returncode != 0:
            raise RuntimeError(result.stderr)
        return result.stdout.strip()

    def adds(self, seconds: float, connections: int) -> dict:
        result = tool("pg_load", self.where, connections, seconds, self.users)
        self.users += result["done"]
        there = self.sql("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM service_ids)")
        if there != f"{self.users}|{3 * self.users}":
            raise Verified(f"PostgreSQL has {there}, expected {self.users} users")
        return result

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
