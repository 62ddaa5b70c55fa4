"""What lies in a store of schema 2, from proto/idm-store.cddl alone, and whether it agrees with itself."""

import hashlib

import lmdb

from idm_store_reader import decode

NAMES = ("meta", "users", "service_ids", "requests", "systems", "audit", "expiries", "pending", "asked", "outbox",
         "answers", "believed", "believed_expiries")
SETUP, UPDATE, REMOVE, EXPIRE, HOLD, APPROVE, REJECT, ASK, ANSWER = range(1, 10)  # actions of audit entries


class Store:
    """All of it, read in one transaction."""

    def __init__(self, path, whole=True):
        with lmdb.open(str(path), readonly=True, max_dbs=len(NAMES) + 1) as env:
            dbs = {n: env.open_db(n.encode(), create=False, dupsort=n.endswith("expiries")) for n in NAMES}
            with env.begin() as txn:
                self.db = {n: [(bytes(k), bytes(v)) for k, v in txn.cursor(dbs[n])] for n in NAMES}
        self.meta = {k: decode(v) for k, v in self.db["meta"]}
        assert self.meta[b"schema"] == 2
        self.audit = self.read_audit()
        self.users, self.believed = self.read_users("users"), self.read_users("believed")
        self.answers = self.read_answers()
        if whole:
            self.check()

    def read_audit(self) -> list:
        """The entries; their chain and its head are verified here, not by what wrote them."""
        entries, previous = [], bytes(32)
        for number, (key, value) in enumerate(self.db["audit"], 1):
            entry = decode(value)
            assert int.from_bytes(key, "big") == number, f"audit entry {number} has another number"
            assert entry[10] == previous, f"audit entry {number} does not follow the one before"
            previous = hashlib.sha256(value).digest()
            entries.append(entry)
        assert self.meta[b"audit-head"] == [len(entries), previous], "the audit log's head is of another log"
        return entries

    def read_users(self, db: str) -> dict:
        """By (system, MC ID): (revision, MC service IDs, not-before, not-after)."""
        found = {}
        for key, value in self.db[db]:
            system, mc_id = key.decode().split("\0", 1)
            user = decode(value)
            found[system, mc_id] = (user[1], tuple(map(tuple, user[2])), user.get(6, 0), user.get(7, 0))
        return found

    def pairs(self, db: str) -> dict:
        """By (system, request ID)."""
        return {(k[:-17].decode(), k[-16:]): decode(v) for k, v in self.db[db]}

    def read_answers(self) -> dict:
        """By (request ID, target)."""
        return {(k[:16], k[16:].decode()): decode(v) for k, v in self.db["answers"]}

    def taken(self, db: str) -> dict:
        """Bytes, by system."""
        taken = {}
        for key, value in self.db[db]:
            taken[key[:-17].decode()] = taken.get(key[:-17].decode(), 0) + len(key) + len(value) + 16
        return taken

    def check(self) -> None:
        """Indexes and counts say what the users say."""
        owners = {uri.encode(): list(who) for who, u in self.users.items() for _, uri in u[1]}
        assert owners == {k: decode(v) for k, v in self.db["service_ids"]}, "service_ids is not what users say"
        held = {}
        for system, _ in self.users:
            held[system] = held.get(system, 0) + 1
        assert held == {k.decode(): n for k, v in self.db["systems"] if (n := decode(v)[1])}, "a count is wrong"
        waiting = {}
        for (system, _) in self.pairs("pending"):
            waiting[system] = waiting.get(system, 0) + 1
        systems = {k.decode(): decode(v) for k, v in self.db["systems"]}
        assert waiting == {k: v[3] for k, v in systems.items() if 3 in v}, "a count of what waits is wrong"
        for db, key in (("requests", 4), ("pending", 5)):
            assert self.taken(db) == {k: v[key] for k, v in systems.items() if key in v}, f"a count of {db}' bytes is wrong"
        for users, db in ((self.users, "expiries"), (self.believed, "believed_expiries")):
            ends = {(u[3].to_bytes(8, "big"), f"{s}\0{m}".encode()) for (s, m), u in users.items() if u[3]}
            assert ends == set(self.db[db]), f"{db} is not what the users say"
