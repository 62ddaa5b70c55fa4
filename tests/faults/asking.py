"""What the tests ask, and what must hold afterwards: the checks of the crash tests, on requests told one by one."""

import collections
import os
import socket
import time

from acx_peer import Ended, pb, set_users
from checks import check_final, check_home_log, check_partner, check_stores, requests_of_home
from load import now_ms
from model import DONE, Partner, require
from stores import Store
from systems import wait_for


class Asked:
    """A request, and what was said about it."""

    def __init__(self, request):
        self.request, self.accepted, self.answer = request, False, None
        self.not_taken = False


class Asker:
    """An ACMC: asks, and remembers what it was told. Comes back when it is thrown out."""

    def __init__(self, hosts):
        self.hosts, self.home, self.partner = hosts, hosts.home, hosts.fire
        self.asked, self.client, self.n = {}, None, 0
        self.indications, self.heard = [], collections.Counter()

    def link(self):
        if self.client is None:
            self.client = self.home.connect()
        return self.client

    def new(self, users: int = 1, operation=pb.SETUP, **more):
        mc_ids = [f"user-{self.n + i}@police.example" for i in range(users)]
        self.n += users
        r = pb.McServiceUserSetupRequest(request_id=os.urandom(16), mc_system_id=["fire.example"], operation=operation, **more)
        set_users(r, {mc_id: [(1, f"sip:{mc_id}")] if operation != pb.REMOVE else [] for mc_id in mc_ids})
        return r

    def send(self, request) -> Asked:
        a = self.asked.setdefault(bytes(request.request_id), Asked(request))
        self.link().send(pb.Message(mc_service_user_setup_request=request))
        return a

    def hear(self, seconds: float = 20) -> None:
        """One message."""
        self.link().sock.settimeout(seconds)
        message = self.client.receive()
        kind = message.WhichOneof("body")
        if kind == "process_indication":
            m = message.process_indication
            self.indications.append(m)
            self.asked[m.request_id].accepted |= m.state == pb.ACCEPTED
        elif kind == "mc_service_user_setup_response":
            m = message.mc_service_user_setup_response
            self.asked[m.request_id].answer = m
            self.heard[m.request_id] += 1
        elif kind == "requests_page":
            for entry in message.requests_page.entries:
                for delivery in entry.deliveries:
                    if delivery.state == pb.ANSWERED:
                        self.asked[entry.request.request_id].answer = delivery.response
        else:
            raise Ended(kind)

    def hear_until(self, condition, what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not in {seconds} s: {what}"
            try:
                self.hear(max(0.1, end - time.monotonic()))
            except socket.timeout:
                pass

    def ask(self, n: int, users: int = 1, **more) -> list:
        """So many new ones, accepted."""
        asked = [self.send(self.new(users, **more)) for _ in range(n)]
        self.hear_until(lambda: all(a.accepted or a.answer for a in asked), f"{n} accepted")
        return asked

    def try_to_send(self, requests: list) -> None:
        """They, or some of them, may be accepted; it may also throw us out."""
        asked = [self.asked.setdefault(bytes(r.request_id), Asked(r)) for r in requests]
        try:
            for r in requests:
                self.send(r)
            self.hear_until(lambda: all(a.accepted or a.answer for a in asked), "accepted, or refused")
        except (Ended, OSError):
            self.close()

    def ask_again(self, asked: list) -> None:
        """With the same ID, whatever was said before."""
        for a in asked:
            a.answer = None
            self.send(a.request)
        self.hear_until(lambda: all(a.accepted or a.answer for a in asked), "accepted")

    def follow(self, asked: list) -> None:
        """What was accepted goes on without us; from now on we hear of it again."""
        for a in asked:
            self.link().send(pb.Message(requests_query=pb.RequestsQuery(
                token=1, request_id=a.request.request_id, follow=True)))

    def forget(self, asked: list) -> None:
        """It said that it cannot take them."""
        for a in asked:
            a.answer, a.not_taken = None, True

    def all_answered(self, asked=None, seconds: float = 60) -> None:
        asked = list(self.asked.values()) if asked is None else asked
        self.hear_until(lambda: all(a.answer for a in asked), "all answered", seconds)

    def delayed(self) -> bool:
        return any(m.state == pb.DELAYED for m in self.indications)

    def close(self) -> None:
        if self.client:
            self.client.close()
            self.client = None

    # --- afterwards ---

    def check(self, seconds: float = 60) -> Partner:
        """Everything has its final answer, and what was told is on disk at both ends, once."""
        self.close()
        self.admin_leaf, self.admins, self.careless = self.home.admin, [], None
        with self.home.host.inside():
            wait_for(lambda: requests_of_home(self, unfinished_only=True) == [], "all have final answers", seconds)
            self.entries = requests_of_home(self)
        self.lost_sight = {m for e in self.entries for d in e.deliveries if d.response.origin == pb.HOME_ACMS
                           for m in self.asked[e.request.request_id].request.mc_id_list}
        for system in (self.home, self.partner):
            verified = system.run("audit", "verify")
            require(verified.returncode == 0, verified.stderr)
        home, (partner, model) = Store(self.home.store), check_partner(self)
        check_final(self, home, model)
        check_home_log(self, home.audit)
        check_stores(self, home, partner, model)
        return model

    def done(self) -> int:
        return sum(a.answer is not None and a.answer.cause in DONE for a in self.asked.values())
