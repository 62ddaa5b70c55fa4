"""The honest: an administrator of police.example who sets users up at fire.example, updates and asks, and an officer of
fire.example who approves the updates. Each asks at fixed times, however long the answers take."""

import itertools
import json
import os
import threading
import time

import acx_peer
from acx_peer import Client, new_id, pb
from attack import GONE

FIRE = ["fire.example"]
PATIENCE = 60  # seconds for one answer; what takes longer has failed


class Ids:
    """The IDs of the honest requests: shared with the hostile parties, as if a target told them."""
    N = 64

    def __init__(self, context):
        self.bytes, self.next = context.RawArray("c", 16 * self.N), context.RawValue("Q", 0)

    def publish(self, request_id: bytes) -> None:
        at = self.next.value % self.N
        self.bytes[16 * at:16 * at + 16] = request_id
        self.next.value += 1

    def recent(self) -> bytes:
        at = int.from_bytes(os.urandom(1), "big") % min(self.N, max(1, self.next.value))
        return bytes(self.bytes[16 * at:16 * at + 16])


class Honest:
    """In a process of its own. What was asked is written to a file when it ends: [what, when it was due, seconds, fault]."""

    def __init__(self, world, file, stop):
        self.world, self.file, self.stop, self.done, self.ended = world, file, stop, [], False
        self.numbers = itertools.count()

    def run(self) -> None:
        jobs = [("update, approved", 1, self.update), ("digest", 1, self.ask_digest)]
        jobs += [("setup", 1, self.set_up)] * 10 + [("users", 1, self.ask_users)] * 5 + [("requests", 1, self.ask_requests)] * 2
        threads = [threading.Thread(target=self.repeat, args=(*job, i / len(jobs)), daemon=True) for i, job in enumerate(jobs)]
        approver = threading.Thread(target=self.approve, daemon=True)
        for thread in (approver, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        self.ended = True
        approver.join()
        with open(self.file, "w") as out:
            json.dump(self.done, out)

    def connect(self) -> Client:
        return self.world.police.client(self.world.admin, timeout=PATIENCE)

    def repeat(self, what: str, rate: float, ask, phase: float) -> None:
        """Over a connection of its own. What could not be asked in time, since the answer before took so long, is left out."""
        client, due = None, time.monotonic() + phase
        while not self.stop.value:
            due += 1 / rate
            if due < time.monotonic() - 1:
                due = time.monotonic()
            time.sleep(max(0, due - time.monotonic()))
            try:
                client = client or self.connect()
                fault = ask(client)
            except (*GONE, AssertionError) as error:
                client, fault = None, f"{type(error).__name__}: {error}"
            self.done.append([what, due, time.monotonic() - due, fault])
            if client:
                client.kept.clear()

    def set_up(self, client: Client):
        n = next(self.numbers)
        users = {f"h{n}-{i}@police.example": [(1, f"sip:h{n}-{i}@police.example")] for i in range(2)}
        answer = client.setup(FIRE, users)
        self.world.honest_ids.publish(answer.request_id)
        return None if answer.result else str(answer)

    def update(self, client: Client):
        user = "updated@police.example"
        if not hasattr(self, "revision"):
            answer = client.setup(FIRE, {user: []})
            self.revision = answer.revision[0].revision
        request_id = new_id()
        self.world.honest_ids.publish(request_id)  # fire's approver sees it before it is decided
        uri = f"sip:updated{self.revision}@police.example"
        answer = client.update(FIRE, {user: [(1, uri)]}, {user: self.revision}, request_id=request_id)
        if not answer.result:
            return str(answer)
        self.revision = answer.revision[0].revision
        return None

    def ask_users(self, client: Client):
        page = client.users("fire.example", max=20)
        return None if page.cause == pb.NO_CAUSE else str(page)

    def ask_digest(self, client: Client):
        page = client.digests("fire.example", [("", "")])
        return None if page.cause == pb.NO_CAUSE else str(page)

    def ask_requests(self, client: Client):
        page = client.requests(unfinished_only=True, max=20)
        return None if page.cause == pb.NO_CAUSE else str(page)

    def approve(self) -> None:
        """Until it is stopped; what waits when it is parted is there when it is back."""
        while not self.ended:
            try:
                client = self.world.fire.client(self.world.officer, timeout=2)
                page = client.pending(follow=True)
                while not self.ended:
                    for entry in page.entries:
                        client.decide(entry.mc_system_id, entry.request.request_id, True, reason="honest")
                    page = self.next_page(client)
            except (*GONE, AssertionError) as error:
                self.done.append(["approver", time.monotonic(), 0, f"{type(error).__name__}: {error}"])

    def next_page(self, client: Client) -> "pb.PendingPage":
        while not self.ended:
            try:
                client.sock.settimeout(1)
                return client.take(lambda m: m.WhichOneof("body") == "pending_page").pending_page
            except (TimeoutError, acx_peer.Ended) as error:
                if "timed out" not in str(error):
                    raise
        return pb.PendingPage()
