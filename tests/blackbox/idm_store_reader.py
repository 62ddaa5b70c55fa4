#!/usr/bin/python3
"""An independent reader of the IdM store, from proto/idm-store.cddl alone. As a script: prints it as JSON."""

import hashlib
import io
import json
import sys

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


SETUP, UPDATE, REMOVE, EXPIRE, HOLD, APPROVE, REJECT, ASK, ANSWER, IMPORT = range(1, 11)
DATABASES = ("meta", "users", "service_ids", "requests", "systems", "audit", "expiries", "pending", "asked", "outbox",
             "answers", "believed", "believed_expiries")


def check_users(users: dict, expiries: dict) -> None:
    """The index of those that expire has them all, and no others."""
    assert expiries == {key: u["validity"][1] for key, u in users.items() if u["validity"][1]}


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
        found = {}
        for key, value in self.items(db):
            home, mc_id = key.split(b"\0", 1)
            user = decode(value)
            assert {1, 2, 3, 4, 5} <= set(user) <= {1, 2, 3, 4, 5, 6, 7}
            assert user[1] >= 1 and user[3] <= user[4] and len(user[5]) == 16
            assert 0 not in (user.get(6), user.get(7))
            found[home.decode(), mc_id.decode()] = {
                "revision": user[1], "service_ids": service_ids(user[2]), "created": user[3], "changed": user[4],
                "by": user[5], "validity": (user.get(6, 0), user.get(7, 0))}
        return found

    def believed(self) -> dict:
        """What this system believes that its partners hold, by (partner, MC ID)."""
        return self.users("believed")

    def expiries(self, db: str = "expiries") -> dict:
        found = {}
        for at, key in self.items(db):
            home, mc_id = key.split(b"\0", 1)
            assert len(at) == 8 and (home.decode(), mc_id.decode()) not in found
            found[home.decode(), mc_id.decode()] = int.from_bytes(at, "big")
        return found

    def user_of_token(self, issuer: str, subject: str):
        """As an identity management server looks up a security token (RFC 8693)."""
        for key, value in self.items("systems"):
            if decode(value).get(2) == issuer:
                value = self.get("users", key + b"\0" + subject.encode())
                return value and decode(value)
        return None

    def owners(self) -> dict:
        return {k.decode(): tuple(decode(v)) for k, v in self.items("service_ids")}

    def systems(self) -> dict:
        return {k.decode(): decode(v) for k, v in self.items("systems")}

    def by_system(self, db: str) -> dict:
        """The records of a database by (MC system ID, request ID)."""
        found = {}
        for key, value in self.items(db):
            assert key[-17] == 0
            found[key[:-17].decode(), key[-16:]] = decode(value)
        return found

    def requests(self) -> dict:
        found = self.by_system("requests")
        for record in found.values():
            assert {1, 2, 3} <= set(record) <= set(range(1, 9)) and len(record[1]) == 32
            assert (4 in record) <= (record[3] != 0)
        return found

    def pending(self) -> dict:
        return self.by_system("pending")

    def outbox(self) -> dict:
        return self.by_system("outbox")

    def asked(self) -> dict:
        return {k: decode(v) for k, v in self.items("asked")}

    def answers(self) -> dict:
        """By (MC system ID of the target, request ID)."""
        return {(k[16:].decode(), k[:16]): decode(v) for k, v in self.items("answers")}

    def audit(self) -> list:
        """The entries, their chain verified up to the head."""
        entries, previous = [], bytes(32)
        for number, (key, value) in enumerate(self.items("audit"), 1):
            entry = decode(value)
            assert int.from_bytes(key, "big") == number and entry[10] == previous, f"entry {number}"
            previous = hashlib.sha256(value).digest()
            entries.append(entry)
        assert decode(self.get("meta", b"audit-head")) == [len(entries), previous]
        return entries

    def check(self) -> None:
        """Every index and count agrees with what it is about. (Nothing may have been pruned.)"""
        users, held, owners = self.users(), {}, {}
        for (home, mc_id), user in users.items():
            held[home] = held.get(home, 0) + 1
            for _, uri in user["service_ids"]:
                assert owners.setdefault(uri, (home, mc_id)) == (home, mc_id), uri
        assert owners == self.owners()
        assert held == {h: s[1] for h, s in self.systems().items() if s[1]}
        check_users(users, self.expiries())
        check_users(self.believed(), self.expiries("believed_expiries"))
        self.check_partner_audit(len(users))
        self.check_home()

    def check_partner_audit(self, n_users: int) -> None:
        """Each recorded request has exactly one entry that says so; what was created and not removed is there."""
        audit, requests = self.audit(), self.requests()
        done = [e for e in audit if e[12] in (SETUP, UPDATE, REMOVE, APPROVE, REJECT, IMPORT)
                or (e[12] == EXPIRE and e[15] != bytes(16))]
        for key, record in requests.items():
            # the same ID with other content is refused with an entry of its own
            mine = [e for e in done if (e[13], e[15]) == key and e[17] not in range(200, 400)]
            assert [e[17] for e in mine] == [record[3]], (key, mine)
        assert sum(e[19][0] - e.get(20, 0) for e in audit) == n_users

    def check_home(self) -> None:
        """Each target of each accepted request is either unanswered or answered, and the audit log has it."""
        asked, outbox, answers, audit = self.asked(), self.outbox(), self.answers(), self.audit()
        targets = {(target, request_id) for request_id, record in asked.items() for target in record[5][3]}
        assert set(outbox) | set(answers) == targets and not set(outbox) & set(answers)
        assert {e[15] for e in audit if e[12] == ASK and e[17] == 0} == set(asked)
        last = {(e[22][0], e[15]): e[17] for e in audit if e[12] == ANSWER}
        assert set(last) <= set(answers) and last == {k: answers[k][3] for k in last}


def main() -> None:
    store = IdmStore(sys.argv[1])
    store.check()
    print(json.dumps({"mc_system_id": store.mc_system_id,
                      "users": [{"home": h, "mc_id": m, "service_ids": u["service_ids"]}
                                for (h, m), u in store.users().items()]}, indent=2))


if __name__ == "__main__":
    main()
