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


class IdmStore:
    def __init__(self, path):
        self.env = lmdb.open(str(path), readonly=True, max_dbs=8, lock=True)
        self.dbs = {n: self.env.open_db(n.encode(), create=False)
                    for n in ("meta", "users", "service_ids", "requests", "systems", "audit")}
        assert decode(self.get("meta", b"schema")) == 1
        self.mc_system_id = decode(self.get("meta", b"mc_system_id"))

    def close(self) -> None:
        self.env.close()

    def get(self, db: str, key: bytes):
        with self.env.begin(db=self.dbs[db]) as txn:
            return txn.get(key)

    def items(self, db: str):
        with self.env.begin(db=self.dbs[db]) as txn:
            yield from ((bytes(k), bytes(v)) for k, v in txn.cursor())

    def users(self) -> dict:
        found = {}
        for key, value in self.items("users"):
            home, mc_id = key.split(b"\0", 1)
            user = decode(value)
            assert set(user) == {1, 2, 3, 4, 5} and user[1] >= 1 and user[3] <= user[4] and len(user[5]) == 16
            found[home.decode(), mc_id.decode()] = {"revision": user[1], "service_ids": service_ids(user[2]),
                                                    "created": user[3], "changed": user[4], "by": user[5]}
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

    def requests(self) -> dict:
        found = {}
        for key, value in self.items("requests"):
            record = decode(value)
            assert {1, 2, 3} <= set(record) <= {1, 2, 3, 4} and len(record[1]) == 32
            assert (4 in record) <= (record[3] != 0)
            found[key[:-17].decode(), key[-16:]] = record
        return found

    def audit(self) -> list:
        """The entries, their chain verified."""
        entries, previous = [], bytes(32)
        for number, (key, value) in enumerate(self.items("audit"), 1):
            entry = decode(value)
            assert int.from_bytes(key, "big") == number and entry[10] == previous, f"entry {number}"
            previous = hashlib.sha256(value).digest()
            entries.append(entry)
        return entries

    def check(self) -> None:
        """Every index and count agrees with the users."""
        users, held, owners = self.users(), {}, {}
        for (home, mc_id), user in users.items():
            held[home] = held.get(home, 0) + 1
            for _, uri in user["service_ids"]:
                assert owners.setdefault(uri, (home, mc_id)) == (home, mc_id), uri
        assert owners == self.owners()
        assert held == {h: s[1] for h, s in self.systems().items() if s[1]}
        audit, requests = self.audit(), self.requests()
        assert len(audit) == len(requests)
        assert {(e[13], e[15]): e[17] for e in audit} == {key: r[3] for key, r in requests.items()}
        assert sum(e[19][0] for e in audit) == len(users)


def main() -> None:
    store = IdmStore(sys.argv[1])
    store.check()
    print(json.dumps({"mc_system_id": store.mc_system_id,
                      "users": [{"home": h, "mc_id": m, "service_ids": u["service_ids"]}
                                for (h, m), u in store.users().items()]}, indent=2))


if __name__ == "__main__":
    main()
