#!/usr/bin/python3
"""An independent reader of the IdM store, from proto/idm-store.cddl alone. As a script: prints it as JSON."""

import hashlib
import io
import json
import sys
import time

import cbor2
import lmdb


def decode(value: bytes):
    """One CBOR item in deterministic encoding, nothing behind it."""
    stream = io.BytesIO(value)
    item = cbor2.CBORDecoder(stream).decode()
    assert stream.read() == b"", "bytes behind the item"
    assert cbor2.dumps(item, canonical=True) == value, "not deterministic"
    return item


def service_ids(items) -> list:
    assert items == sorted(items, key=lambda i: (i[0], i[1].encode())), "not sorted"
    assert all(service in (1, 2, 3) and 1 <= len(uri.encode()) <= 255 for service, uri in items)
    return [tuple(i) for i in items]


DATABASES = ("meta", "users", "service_ids", "requests", "systems", "audit", "expiries", "pending", "asked", "outbox",
             "answers", "believed", "believed_expiries")
SETUP, UPDATE, REMOVE, EXPIRE, HOLD, APPROVE, REJECT, ASK, ANSWER, IMPORT, REFUSALS = range(1, 12)
PARTLY_DONE = 405


def vouched(user: dict, now_ms: int) -> bool:
    """As an identity management server must judge by its own clock."""
    return user.get("not_before", 0) <= now_ms and now_ms < user.get("not_after", 1 << 64)


def split(key: bytes) -> tuple:
    system, mc_id = key.split(b"\0", 1)
    return system.decode(), mc_id.decode()


class IdmStore:
    def __init__(self, path):
        self.env = lmdb.open(str(path), readonly=True, max_dbs=16, lock=True)
        self.dbs = {n: self.env.open_db(n.encode(), create=False, dupsort=n.endswith("expiries")) for n in DATABASES}
        assert decode(self.get("meta", b"schema")) == 2
        self.mc_system_id = decode(self.get("meta", b"mc_system_id"))

    def close(self) -> None:
        self.env.close()

    def get(self, db: str, key: bytes):
        with self.env.begin(db=self.dbs[db]) as txn:
            return txn.get(key)

    def items(self, db: str):
        with self.env.begin(db=self.dbs[db]) as txn:
            yield from ((bytes(k), bytes(v)) for k, v in txn.cursor())

    def content(self) -> dict:
        """Everything, to see whether anything has changed."""
        return {db: list(self.items(db)) for db in self.dbs}

    def users(self, db: str = "users") -> dict:
        """By home system, or partner, and MC ID."""
        found = {}
        for key, value in self.items(db):
            user = decode(value)
            assert {1, 2, 3, 4, 5} <= set(user) <= {1, 2, 3, 4, 5, 6, 7}
            assert user[1] >= 1 and user[3] <= user[4] and len(user[5]) == 16
            assert user.get(6, 1) >= 1 and user.get(7, 1) >= 1
            found[split(key)] = {"revision": user[1], "service_ids": service_ids(user[2]), "created": user[3],
                                 "changed": user[4], "by": user[5], "validity": (user.get(6, 0), user.get(7, 0)),
                                 **({"not_before": user[6]} if 6 in user else {}),
                                 **({"not_after": user[7]} if 7 in user else {})}
        return found

    def believed(self) -> dict:
        return self.users("believed")

    def expiries(self, db: str = "expiries") -> set:
        return {(int.from_bytes(key, "big"), *split(value)) for key, value in self.items(db)}

    def user_of_token(self, issuer: str, subject: str, now_ms: int | None = None):
        """As an identity management server looks up a security token (RFC 8693): None, too, for who is not vouched for."""
        now_ms = int(time.time() * 1000) if now_ms is None else now_ms
        for key, value in self.items("systems"):
            if decode(value).get(2) == issuer:
                value = self.get("users", key + b"\0" + subject.encode())
                user = value and decode(value)
                return user if user and user.get(6, 0) <= now_ms and now_ms < user.get(7, 1 << 64) else None
        return None

    def owners(self) -> dict:
        return {k.decode(): tuple(decode(v)) for k, v in self.items("service_ids")}

    def systems(self) -> dict:
        return {k.decode(): decode(v) for k, v in self.items("systems")}

    def requests(self) -> dict:
        found = {}
        for key, value in self.items("requests"):
            record = decode(value)
            assert {1, 2, 3} <= set(record) <= set(range(1, 10)) and len(record[1]) == 32 and key[-17] == 0
            assert 9 not in record or record[9] > len(record[4]) == 10 and record[3] not in (0, PARTLY_DONE)
            assert record[3] in (0, PARTLY_DONE) or len(record.get(4, ())) <= 10
            assert (4 in record) <= (record[3] != 0)
            found[key[:-17].decode(), key[-16:]] = record
        return found

    @staticmethod
    def setup(value: dict, with_targets: bool) -> dict:
        assert {1} <= set(value) <= set(range(1, 9)) and (3 in value) == with_targets
        assert value[1] == sorted(value[1], key=lambda u: u[0].encode())
        for _, ids, _ in value[1]:
            service_ids(ids)
        return value

    def pending(self) -> dict:
        """At a partner: what waits for a decision, by home system and request ID."""
        found = {}
        for key, value in self.items("pending"):
            record = decode(value)
            assert set(record) == {1, 2, 3, 4, 5} and record[2] <= record[3] and key[-17] == 0
            self.setup(record[5], False)
            found[key[:-17].decode(), key[-16:]] = record
        return found

    def asked(self) -> dict:
        """At home: by request ID."""
        found = {}
        for key, value in self.items("asked"):
            record = decode(value)
            assert set(record) - {6} == {1, 2, 3, 4, 5} and len(key) == 16 and len(record.get(6, record[5][3])) == len(record[5][3])
            self.setup(record[5], True)
            found[key] = record
        return found

    def outbox(self) -> dict:
        found = {}
        for key, value in self.items("outbox"):
            record = decode(value)
            assert set(record) == {1, 2, 3, 4} and record[1] <= record[2] and record[3] and record[4] and key[-17] == 0
            found[key[-16:], key[:-17].decode()] = record
        return found

    def answers(self) -> dict:
        """At home: by request ID and target."""
        found = {}
        for key, value in self.items("answers"):
            record = decode(value)
            assert {1, 2, 3} <= set(record) <= set(range(1, 10)) and record[2] in (1, 2) and (7 in record) == (9 in record)
            found[key[:16], key[16:] if key[16:17] == b"\0" else key[16:].decode()] = record
        return found

    def audit(self) -> list:
        """The entries, their chain verified, and that it begins and ends where it says."""
        start = self.get("meta", b"audit-start")
        before, previous = decode(start) if start else (0, bytes(32))
        entries = []
        for number, (key, value) in enumerate(self.items("audit"), before + 1):
            entry = decode(value)
            assert set(range(10, 20)) - {16} <= set(entry) <= set(range(10, 31)) and SETUP <= entry[12] <= REFUSALS
            assert int.from_bytes(key, "big") == number and entry[10] == previous, f"entry {number}"
            assert 27 not in entry or entry[27] > len(entry[18]) == 10, f"entry {number}"
            assert 28 not in entry or entry[28] > len(entry[25]) == 10, f"entry {number}"
            assert (29 in entry or 30 in entry) == (entry[12] == REFUSALS), f"entry {number}"
            assert 27 not in entry or entry[19][:2] == [0, 0] and 20 not in entry, f"entry {number}"
            previous = hashlib.sha256(value).digest()
            entries.append(entry)
        assert decode(self.get("meta", b"audit-head")) == [before + len(entries), previous]
        return entries

    def taken(self, db: str) -> dict:
        """Bytes of a system's requests."""
        taken = {}
        for key, value in self.items(db):
            taken[key[:-17].decode()] = taken.get(key[:-17].decode(), 0) + len(key) + len(value) + 16
        return taken

    def check_users(self) -> None:
        users, held, owners = self.users(), {}, {}
        for (home, mc_id), user in users.items():
            held[home] = held.get(home, 0) + 1
            for _, uri in user["service_ids"]:
                assert owners.setdefault(uri, (home, mc_id)) == (home, mc_id), uri
        assert owners == self.owners()
        assert held == {h: s[1] for h, s in self.systems().items() if s[1]}
        for found, index in ((users, "expiries"), (self.believed(), "believed_expiries")):
            assert self.expiries(index) == {(u["not_after"], *key) for key, u in found.items() if "not_after" in u}

    def check_requests(self, upgraded: bool = False) -> None:
        """Each answer is in the audit log; what the log says was done is what is there."""
        audit = self.audit()
        decided = {(e[13], e[15], e[17]) for e in audit if e[12] not in (HOLD, ASK, ANSWER)}
        requests, pending = self.requests(), self.pending()
        assert {(*key, record[3]) for key, record in requests.items()} <= decided
        assert not set(requests) & set(pending)
        counted = {}
        for home, _ in pending:
            counted[home] = counted.get(home, 0) + 1
        systems = self.systems()
        assert counted == {h: s[3] for h, s in systems.items() if 3 in s}
        if not upgraded:
            assert self.taken("requests") == {h: s[4] for h, s in systems.items() if 4 in s}
        assert self.taken("pending") == {h: s[5] for h, s in systems.items() if 5 in s}
        assert sum(e[19][0] - e.get(20, 0) for e in audit) == len(self.users())
        asked, outbox, answers = self.asked(), self.outbox(), self.answers()
        for request_id, record in asked.items():
            assert len(record[5][3]) == len(set(record[5][3]))
            for target, cause in zip(record[5][3], record.get(6, [0] * len(record[5][3]))):
                places = ((request_id, target) in outbox) + ((request_id, target) in answers)
                assert places == (0 if cause else 1), (request_id, target)
        assert {i for i, _ in outbox} | {i for i, _ in answers} <= set(asked)

    def check(self, upgraded: bool = False) -> None:
        """Everything decodes, and every index, count and log agrees with the rest. No writer may run. upgraded: version 1
        did not count the answers."""
        self.check_users()
        self.check_requests(upgraded)


def main() -> None:
    store = IdmStore(sys.argv[1])
    store.check()
    print(json.dumps({"mc_system_id": store.mc_system_id,
                      "users": [{"home": h, "mc_id": m, "service_ids": u["service_ids"],
                                 "vouched": vouched(u, int(time.time() * 1000))}
                                for (h, m), u in store.users().items()]}, indent=2))


if __name__ == "__main__":
    main()
