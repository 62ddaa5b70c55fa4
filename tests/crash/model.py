"""
What a partner's store must be, from its audit log and from what was asked: PROTOCOL.md 5.3 a second time, in few words.
Each entry that says that something was done is applied to the model; verdict, counts, revisions and the users at the end
must be the partner's. A request that was done twice, or not at all, cannot hide from that.
"""

from acx_peer import expected_of, pb, users_of
from stores import APPROVE, EXPIRE, HOLD, REJECT, REMOVE, SETUP, UPDATE

DONE = (pb.NO_CAUSE, pb.PARTLY_DONE)
BY_STORE = DONE + (pb.MC_SERVICE_ID_IN_USE, pb.UNKNOWN_USER, pb.REVISION_MISMATCH)


class Wrong(AssertionError):
    """What must not be."""


def require(condition, *words) -> None:
    if not condition:
        raise Wrong(" ".join(str(w) for w in words))


class Partner:
    """The users that one home system has at a partner."""

    def __init__(self, asked: dict):
        self.asked = asked          # request ID -> McServiceUserSetupRequest
        self.users = {}             # MC ID -> (revision, MC service IDs, not-before, not-after)
        self.verdicts = {}          # request ID -> cause, of what was decided about it
        self.revisions = {}         # request ID -> {MC ID: revision}, of what was done
        self.held = set()

    # --- one request ---

    @staticmethod
    def ids_of(r, mc_id: str) -> tuple:
        return tuple(sorted(users_of(r).get(mc_id, ())))

    def wanted(self, r, mc_id: str):
        """The user as it would be, less the revision; None: as it is."""
        ids, had = self.ids_of(r, mc_id), self.users.get(mc_id, (0, (), 0, 0))
        validity = (r.validity.not_before, r.validity.not_after) if r.HasField("validity") else None
        if r.operation == pb.UPDATE:
            return ids, *(validity or (0, 0))
        return ids or had[1], *(validity or had[2:])

    def obstacle(self, r, mc_id: str) -> int:
        had = self.users.get(mc_id)
        expected = expected_of(r)[mc_id]
        if r.operation == pb.REMOVE:
            return pb.REVISION_MISMATCH if had and expected and expected != had[0] else pb.NO_CAUSE
        if r.operation == pb.UPDATE and not had:
            return pb.UNKNOWN_USER
        if r.operation == pb.UPDATE and self.wanted(r, mc_id) != had[1:] and expected != had[0]:
            return pb.REVISION_MISMATCH
        return pb.NO_CAUSE

    def in_use(self, r) -> bool:
        """One of its MC service IDs belongs to a user who does not give it up in the same request."""
        ids = {i for m in r.mc_id_list for i in self.ids_of(r, m)}
        uris = {uri for _, uri in ids}
        for mc_id, user in self.users.items():
            keeps = self.wanted(r, mc_id)[0] if mc_id in r.mc_id_list else user[1]
            for uri in uris & {u for _, u in keeps}:
                if any(uri == u for m in r.mc_id_list if m != mc_id for _, u in self.ids_of(r, m)):
                    return True
        return False

    def apply(self, r, left_out: set) -> list:
        """Counts: created, replaced, unchanged, removed."""
        counts, revisions = [0, 0, 0, 0], {}
        for mc_id in r.mc_id_list:
            had = self.users.get(mc_id)
            if mc_id in left_out:
                continue
            if r.operation == pb.REMOVE:
                counts[3 if self.users.pop(mc_id, None) else 2] += 1
                continue
            now = self.wanted(r, mc_id)
            if not had or now != had[1:]:
                self.users[mc_id] = ((had[0] if had else 0) + 1, *now)
            counts[0 if not had else 1 if now != had[1:] else 2] += 1
            revisions[mc_id] = self.users[mc_id][0]
        self.revisions[bytes(r.request_id)] = revisions
        return counts

    # --- the log ---

    def decided(self, entry) -> None:
        """One of a change, an approval, a rejection, a time that was over."""
        request_id, cause, counts = entry[15], entry[17], entry[19] + [entry.get(20, 0)]
        r = self.asked.get(request_id)
        require(r is not None, "the partner tells of a request that nobody made:", entry)
        if pb.MISSING_ELEMENT <= cause < 300:  # not recorded: told again whenever it is asked again
            require(counts == [0, 0, 0, 0], "refused, but changed something:", entry)
            return
        require(request_id not in self.verdicts, "decided twice:", entry, self.verdicts.get(request_id))
        require(not r.dry_run, "a dry run was done:", entry)
        self.verdicts[request_id] = cause
        left_out = {mc_id for mc_id, _, _ in entry.get(25, [])} if cause == pb.PARTLY_DONE else set()
        if cause in BY_STORE and not r.best_effort:
            now = Partner(self.asked)  # who has ended is in nobody's way, removed yet or not
            now.users = {m: u for m, u in self.users.items() if not 0 < u[3] <= entry[11]}
            obstacles = {now.obstacle(r, m) for m in r.mc_id_list} - {pb.NO_CAUSE}
            if r.operation != pb.REMOVE and now.in_use(r):
                obstacles.add(pb.MC_SERVICE_ID_IN_USE)
            require(cause in obstacles or cause == pb.NO_CAUSE and not obstacles, "another verdict was due:", entry,
                    obstacles, r)
        due = self.apply(r, left_out) if cause in DONE else [0, 0, 0, 0]
        require(counts == due, "other counts were due:", entry, due)

    def replay(self, audit: list, home: str) -> None:
        for entry in audit:
            require(entry[13] == home, "an entry of another home system:", entry)
            if entry[12] == HOLD:
                require(entry[15] not in self.held, "held twice:", entry)
                self.held.add(entry[15])
            elif entry[12] in (SETUP, UPDATE, REMOVE, APPROVE, REJECT):
                self.decided(entry)
            elif entry[12] == EXPIRE and entry[15] != bytes(16) and entry[17] == pb.APPROVAL_TIMEOUT:
                self.decided(entry)
            elif entry[12] == EXPIRE:
                for mc_id in entry[18]:
                    user = self.users.pop(mc_id, None)
                    require(user and 0 < user[3] <= entry[11], "expired, but not due:", entry, user)
            else:
                require(False, "what is this?", entry)
