"""Administrators in a hurry at home, and one at the partner who decides. They know what they were told."""

import random
import socket
import threading
import time

from acx_peer import Client, Ended, hello, pb, revisions_of, set_users

LOST = (Ended, OSError)
FAR_MS = 3_600_000
CARELESS = "u2"  # the administrator who does not wait, and whose deadlines are short


def now_ms() -> int:
    return int(time.time() * 1000)


def connect(system, leaf, timeout=20) -> Client:
    client = Client(system.port, leaf, system.ca.cert_file, say_hello=False, timeout=timeout)
    try:
        client.send(hello())
        while True:
            message = client.receive()
            if message.WhichOneof("body") == "hello":
                return client
    except BaseException:
        client.close()
        raise


class Worker(threading.Thread):
    """Talks to one system, again and again, until it is told to stop."""

    def __init__(self, system, leaf, seed: str):
        super().__init__(daemon=True)
        self.system, self.leaf, self.rng = system, leaf, random.Random(seed)
        self.client, self.ending, self.failure, self.reconnects = None, False, None, 0

    def run(self) -> None:
        try:
            while not self.ending:
                try:
                    self.client = connect(self.system, self.leaf)
                    self.reconnects += 1
                    self.session()
                except LOST:
                    time.sleep(0.01)  # it is down, or not up yet
                finally:
                    if self.client:
                        self.client.close()
        except BaseException as error:  # noqa: B902 whatever it is, the round failed
            self.failure = error

    def stop(self) -> None:
        self.ending = True
        if self.client:
            try:
                socket.socket.shutdown(self.client.sock, socket.SHUT_RDWR)  # SSLSocket's would go on in clear
            except OSError:
                pass
        self.join(30)
        if self.failure:
            raise self.failure


class Asked:
    """A request, and what was said about it."""

    def __init__(self, message):
        self.message, self.request = message, message.mc_service_user_setup_request
        self.accepted, self.answer, self.refused = False, None, False
        self.not_taken = False  # home said that it never will be

    @property
    def manual(self) -> bool:
        return self.request.operation == pb.REMOVE


class Admin(Worker):
    USERS, WINDOW, OUTSTANDING = 60, 4, 12

    def __init__(self, system, leaf, target: str, label: str, seed: str, asked: dict):
        super().__init__(system, leaf, f"{seed}-{label}")
        self.target, self.label, self.asked = target, label, asked  # asked: shared, by request ID
        self.mine, self.revision, self.tokens, self.overlapped = {}, {}, 0, set()
        self.careless = label == CARELESS

    # --- what to ask ---

    def mc_ids(self) -> list:
        """
        Users about whom nothing is open. But for the careless administrator: what home believes of the users whose
        requests overtook each other while nobody could answer is for reconcile to set right.
        """
        every = [f"{self.label}-{i}@{self.system.name}" for i in range(self.USERS)]
        busy = {m for a in self.mine.values() if not a.answer and not a.refused for m in a.request.mc_id_list}
        free = [m for m in every if m not in busy]
        if self.careless and self.rng.random() < 0.3:
            free = every
        chosen = self.rng.sample(free, min(len(free), self.rng.randint(1, 3)))
        self.overlapped |= busy & set(chosen)
        return chosen

    def service_ids(self, mc_id: str) -> list:
        ids = {(1, f"sip:{mc_id}"), (2, f"sip:video-{mc_id}"), (3, f"sip:{mc_id}"),
               (1, f"sip:shared-{self.rng.randrange(4)}@{self.system.name}")}
        return self.rng.sample(sorted(ids), self.rng.choice((0, 1, 1, 2, 3)))

    def validity(self, r) -> None:
        roll, now = self.rng.random(), now_ms()
        if roll < 0.1:
            r.validity.not_after = now + self.rng.randint(1500, 4000)
        elif roll < 0.2:
            r.validity.not_before, r.validity.not_after = now + FAR_MS, now + 2 * FAR_MS
        elif roll < 0.25:
            r.validity.SetInParent()

    def new(self) -> Asked:
        rng = self.rng
        operation = rng.choices((pb.SETUP, pb.UPDATE, pb.REMOVE), (60, 25, 15))[0]
        r = pb.McServiceUserSetupRequest(request_id=rng.randbytes(16), mc_system_id=[self.target], operation=operation)
        users, expected, taken = {}, {}, set()
        for mc_id in self.mc_ids():
            users[mc_id] = []
            if operation == pb.UPDATE:
                expected[mc_id] = self.revision.get(mc_id, 1)
            for service, uri in self.service_ids(mc_id) if operation != pb.REMOVE else ():
                if uri not in taken:
                    users[mc_id].append((service, uri))
                    taken.add(uri)
        set_users(r, users, expected)
        if operation != pb.REMOVE:
            self.validity(r)
        r.best_effort, r.dry_run = rng.random() < 0.1, rng.random() < 0.03
        if self.careless and rng.random() < 0.1:
            r.expires = now_ms() + rng.randint(200, 2000)
        return Asked(pb.Message(mc_service_user_setup_request=r))

    # --- asking ---

    def session(self) -> None:
        for a in [a for a in self.mine.values() if not a.answer and not a.refused]:
            self.take_up(a)
        while not self.ending:
            self.fill()
            self.heard(self.client.receive())

    def take_up(self, a: Asked) -> None:
        """After a reconnection: what was not acknowledged is repeated, or given up; the rest is asked for."""
        if a.request.dry_run:
            a.refused = True  # never kept
        elif not a.accepted and self.rng.random() < 0.2:
            a.refused = True  # nobody will ever know
        elif not a.accepted or self.rng.random() < 0.1:
            self.client.send(a.message)
        else:
            self.tokens += 1
            self.client.send(pb.Message(requests_query=pb.RequestsQuery(
                token=self.tokens, request_id=a.request.request_id, follow=True)))

    def fill(self) -> None:
        opened = [a for a in self.mine.values() if not a.answer and not a.refused]
        waiting = sum(not a.accepted for a in opened)
        outstanding = sum(not a.manual for a in opened)
        while waiting < self.WINDOW and outstanding < self.OUTSTANDING and len(opened) < self.USERS // 3:
            a = self.new()
            self.mine[a.request.request_id] = self.asked[a.request.request_id] = a
            opened.append(a)
            self.client.send(a.message)
            if self.rng.random() < 0.03:
                self.client.send(a.message)  # nervous
            waiting, outstanding = waiting + 1, outstanding + 1

    # --- hearing ---

    def heard(self, message) -> None:
        kind = message.WhichOneof("body")
        if kind == "process_indication":
            m = message.process_indication
            if m.state == pb.ACCEPTED:
                self.mine[m.request_id].accepted = True
        elif kind == "mc_service_user_setup_response":
            self.answered(message.mc_service_user_setup_response)
        elif kind == "requests_page":
            m = message.requests_page
            for entry in m.entries:
                for delivery in entry.deliveries:
                    if delivery.state == pb.ANSWERED:
                        self.answered(delivery.response)
        elif kind == "close":
            raise Ended("close")
        elif kind == "ping":
            self.client.send(pb.Message(pong=pb.Pong(token=message.ping.token)))
        else:
            raise AssertionError(message)

    def answered(self, response) -> None:
        a = self.mine[response.request_id]
        if response.origin == pb.HOME_ACMS and response.cause < 600 and not a.accepted:
            a.refused, a.not_taken = True, response.cause < 500
            return
        before = a.answer
        again = a.request.dry_run  # asked twice, it is two questions, and the answer may have changed in between
        assert not before or again or before.origin == pb.HOME_ACMS or (before.result, before.cause) == (
            response.result, response.cause), (before, response)
        a.answer = response
        self.revision.update(revisions_of(response, a.request))


class Approver(Worker):
    """Approves most, rejects some, leaves some undecided."""

    def __init__(self, system, leaf, seed: str):
        super().__init__(system, leaf, f"{seed}-approver")
        self.seed, self.told, self.sent, self.tokens = seed, {}, {}, 0

    def verdict(self, request_id: bytes):
        roll = random.Random(self.seed.encode() + request_id).random()
        return None if roll < 0.05 else roll < 0.8

    def session(self) -> None:
        self.client.send(pb.Message(pending_query=pb.PendingQuery(token=1, follow=True)))
        while not self.ending:
            message = self.client.receive()
            kind = message.WhichOneof("body")
            if kind == "pending_page":
                self.decide(message.pending_page)
            elif kind == "decision_result":
                self.result(message.decision_result)
            elif kind == "close":
                raise Ended("close")
            else:
                raise AssertionError(message)

    def decide(self, page) -> None:
        for entry in page.entries:
            request_id = entry.request.request_id
            verdict = self.verdict(request_id)
            if verdict is None:
                continue
            self.tokens += 1
            self.sent[self.tokens + 1] = request_id
            self.client.send(pb.Message(decision=pb.Decision(
                token=self.tokens + 1, mc_system_id=entry.mc_system_id, request_id=request_id, approve=verdict,
                reason="" if verdict else "not today")))
        if page.more:
            last = page.entries[-1]
            self.client.send(pb.Message(pending_query=pb.PendingQuery(
                token=1, after_mc_system_id=last.mc_system_id, after_request_id=last.request.request_id)))

    def result(self, m) -> None:
        if m.cause == pb.NO_CAUSE:
            self.told[self.sent[m.token]] = m.response
