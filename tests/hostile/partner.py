"""Hostile partner systems: servers that police.example connects to. On each connection the first request is answered
well, so that home comes back soon; then one attack is played for a while, and the next on the next connection."""

import os
import queue
import random
import socket
import threading
import time

import acx_peer
import receipts
from acx_peer import Ended, FakePartner, PartnerLink, agree, frame, hello, limits, new_id, now_ms, pb
from attack import GONE, PATIENCE, Seat, Spent, run_key_updates
from clients import DETAILS, PING, malformed

SPECS = []  # of (name, function(play), rate)


def attack(name: str, rate: float, greeting=None, raw: bool = False):
    """Registers a function(play). raw: it gets the connection before TLS."""
    def register(function):
        SPECS.append((name, function, rate, greeting, raw))
        return function
    return register


class Play:
    """One attack on one connection. A thread reads what home sends; this one attacks."""

    def __init__(self, partner: "HostilePartner", number: int, sock):
        self.partner, self.number, self.sock = partner, number, sock
        self.name, self.function, self.rate, self.greeting, self.raw = SPECS[number]
        self.asked, self.link, self.deaf = queue.Queue(), None, threading.Event()
        self.until, self.start, self.done = time.monotonic() + partner.slot, time.monotonic(), 0

    def count(self, n: int = 1) -> None:
        self.done += n
        self.partner.counters[self.partner.first(self.number)] += n
        ahead = self.done / self.rate - (time.monotonic() - self.start)
        if ahead > 0:
            time.sleep(min(ahead, 5))
        if time.monotonic() > self.until or not self.partner.on.value:
            raise Spent

    def request(self):
        """The next that home sends."""
        while True:
            try:
                return self.asked.get(timeout=0.2)
            except queue.Empty:
                self.count(0)

    def pump(self, data: bytes) -> None:
        self.link.send_raw(data)

    def send(self, message) -> None:
        self.link.send(message)
        self.count()


class HostilePartner(FakePartner):
    """on: shared; while it is 0 the partner is well-behaved."""

    def __init__(self, world, system, listener: socket.socket, turns: list, on, counters, first, slot: float):
        """turns: the numbers of the attacks that it plays; first(number): where its counters are; slot: seconds of each."""
        self.world, self.on, self.counters, self.first, self.slot = world, on, counters, first, slot
        self.turns, self.turn = turns, 0
        super().__init__(system.name, system.leaf, world.police.ca.cert_file, listener=listener)

    def serve(self, listener: socket.socket) -> None:
        threading.Thread(target=self.turn_over, daemon=True).start()
        super().serve(listener)

    def turn_over(self) -> None:
        """At the beginning of a period the well-behaved connections end."""
        before = 0
        while True:
            if self.on.value and not before:
                self.hang_up()
                self.links.clear()
            before = self.on.value
            time.sleep(0.1)

    def talk(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        if not self.on.value:
            super().talk(sock)
            return
        number = self.turns[self.turn % len(self.turns)]
        self.turn += 1
        self.counters[self.first(number) + 2] += 1
        play = Play(self, number, sock)
        try:
            (self.play_raw if play.raw else self.play)(play)
        except Spent:
            pass
        except (*GONE, ValueError, AssertionError):
            self.counters[self.first(number) + 1] += 1
        finally:
            play.until = 0
            for s in (play.sock, sock):
                s.close()

    def play_raw(self, play: Play) -> None:
        play.function(play)

    def play(self, play: Play) -> None:
        play.sock = self.context.wrap_socket(play.sock, server_side=True)
        play.link = PartnerLink(play.sock, self)
        play.link.send(hello(self.system, limits=play.greeting) if play.greeting else hello(self.system))
        reader = threading.Thread(target=self.read, args=(play,), daemon=True)
        reader.start()
        self.be_of_use(play)
        play.until = time.monotonic() + self.slot
        play.start = time.monotonic()
        play.function(play)

    def be_of_use(self, play: Play) -> None:
        end = time.monotonic() + min(3, self.slot)
        while time.monotonic() < end:
            try:
                agree(play.link, play.asked.get(timeout=0.1))
                return
            except queue.Empty:
                continue

    def read(self, play: Play) -> None:
        try:
            while time.monotonic() < play.until + self.slot:
                if play.deaf.is_set():
                    time.sleep(0.2)
                    continue
                message = play.link.receive()
                kind = message.WhichOneof("body")
                if kind == "hello":
                    play.link.hello = message.hello
                elif kind == "ping":
                    play.link.send(pb.Message(pong=pb.Pong(token=message.ping.token)))
                elif kind == "mc_service_user_setup_request":
                    play.asked.put(message.mc_service_user_setup_request)
                elif kind == "close":
                    play.link.closing = True
        except (*GONE, ValueError, AssertionError):
            play.until = 0


def indication(play, asked, detail: str = "", until: int = 0, state: int = pb.PENDING) -> "pb.Message":
    return pb.Message(process_indication=pb.ProcessIndication(
        request_id=asked.request_id, mc_system_id=play.partner.system, state=state, until=until or now_ms(600), detail=detail))


@attack("Pings, and reads no Pongs", rate=1_000_000)
def deaf_pings(play):
    play.deaf.set()
    while True:
        play.pump(PING * 4000)
        play.count(4000)


@attack("PENDING again and again, unchanged", rate=200_000)
def pending_flood(play):
    one = frame(indication(play, play.request()).SerializeToString())
    while True:
        play.pump(one * 500)
        play.count(500)


@attack("PENDING again and again, ever different", rate=50_000)
def pending_changing(play):
    asked = play.request()
    while True:
        play.pump(b"".join(frame(indication(play, asked, random.choice(DETAILS), now_ms(i)).SerializeToString()) for i in range(200)))
        play.count(200)


@attack("KeyUpdates", rate=50_000, raw=True)
def key_updates(play):
    play.sock.setblocking(True)
    fd, partner = play.sock.fileno(), play.partner
    seat = Seat(0, partner.leaf, partner.world.police.ca.cert_file, partner.system)
    play.count(run_key_updates(partner.world, f"accept:{fd}", seat, play.rate, False, 0, 30_000, fds=(fd,)))


@attack("Close with details cut inside characters, after PENDING with such a detail", rate=20)
def long_details(play):
    for detail in DETAILS:
        asked = play.request()
        play.send(indication(play, asked, detail))
    play.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY, detail=random.choice(DETAILS))))


@attack("Close at once, with such a detail", rate=20)
def close_at_once(play):
    play.request()
    play.send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY, detail=random.choice(DETAILS))))


@attack("TRUE with receipts that cannot be verified", rate=50)
def bad_receipts(play):
    day, leaf = 86_400_000, play.partner.leaf
    odd = [dict(done_ms=1), dict(done_ms=now_ms() + 170 * 365 * day), dict(done_ms=now_ms() + day), dict(done_ms=now_ms() - 365 * day),
           dict(decided_by=""), dict(decided_by="a" * 600), dict(decided_by="\u20ac" * 80), dict(done_ms=2 ** 63)]
    while True:
        for change in odd:
            asked = play.request()
            message = acx_peer.true_response(asked, play.partner.system, play.link)
            response = message.mc_service_user_setup_response
            receipt = acx_peer.receipt_for(asked, play.partner.system, "police.example", acx_peer.revisions_after(asked))
            for name, value in change.items():
                setattr(receipt, name, value)
            response.done = receipt.done_ms
            response.receipt, response.receipt_root = receipts.prove_with(receipts.encode_claims(receipt), leaf, [b"x"])
            if receipt.decided_by is not None:
                response.decided_by.CopyFrom(pb.DecidedBy(acmc=receipt.decided_by, reason=DETAILS[0], at=now_ms()))
            acx_peer.leave_out(response, asked)
            play.send(message)


@attack("TRUE whose x5chain lacks its intermediate, or has what is none", rate=50)
def bad_chains(play):
    while True:
        asked = play.request()
        message = acx_peer.true_response(asked, play.partner.system, play.link)
        response = message.mc_service_user_setup_response
        other = random.choice(list(play.partner.world.odd_leaves.values()))
        receipt = acx_peer.receipt_for(asked, play.partner.system, "police.example", acx_peer.revisions_after(asked))
        response.done = receipt.done_ms
        response.receipt, response.receipt_root = receipts.prove_with(receipts.encode_claims(receipt), other, [])
        if play.done % 2:
            response.receipt = response.receipt[:-1] + os.urandom(1)
        acx_peer.leave_out(response, asked)
        play.send(message)


def some_response(play, **more) -> "pb.McServiceUserSetupResponse":
    return pb.McServiceUserSetupResponse(**{**dict(
        request_id=new_id(), mc_system_id=play.partner.system, mc_id_list=["x@police.example"], result=False,
        cause=pb.STORE_UNAVAILABLE, origin=pb.PARTNER_ACMS), **more})


@attack("responses that nobody asked for", rate=200_000)
def unasked_responses(play):
    one = frame(pb.Message(mc_service_user_setup_response=some_response(play)).SerializeToString())
    while True:
        play.pump(one * 500)
        play.count(500)


@attack("pages that nobody asked for", rate=200_000)
def unasked_pages(play):
    pages = [pb.Message(users_page=pb.UsersPage(token=9)), pb.Message(digest_page=pb.DigestPage(token=9)),
             pb.Message(users_page=pb.UsersPage(token=9, users=[pb.User(mc_id="\x1b[2J" + DETAILS[0])] * 50)),
             pb.Message(pong=pb.Pong(token=99))]
    some = b"".join(frame(m.SerializeToString()) for m in pages)
    while True:
        play.pump(some * 100)
        play.count(400)


@attack("indications of requests that are none", rate=200_000)
def unasked_indications(play):
    one = frame(pb.Message(process_indication=pb.ProcessIndication(
        request_id=new_id(), mc_system_id=play.partner.system, state=pb.PENDING, until=now_ms(600), detail=DETAILS[1])).SerializeToString())
    while True:
        play.pump(one * 500)
        play.count(500)


@attack("FALSE with identity causes of nonsense", rate=50)
def identity_causes(play):
    odd = [[("nobody@police.example", None, 106)], [("x" * 300, None, 106)], [(None, "sip:any@where.example", 401)],
           [(None, "\u20ac" * 300, 401)], [(None, None, 999)], [(None, None, 602)], [(None, None, 0)],
           [(None, f"sip:{i}@x.example", 401) for i in range(10_000)], [("\x1b[2J", "\x9b", 106)]]
    while True:
        for causes in odd:
            asked = play.request()
            response = some_response(play, request_id=asked.request_id, mc_id_list=asked.mc_id_list, cause=pb.MC_SERVICE_ID_IN_USE)
            for mc_id, service_id, cause in causes:
                response.identity_causes.add(mc_id=asked.mc_id_list[0] if mc_id is None else mc_id, cause=cause,
                                             **({} if service_id is None else dict(mc_service_id=service_id)))
            play.send(pb.Message(mc_service_user_setup_response=response))


@attack("times and revisions at their ends", rate=50)
def extreme_numbers(play):
    while True:
        for n in (0, 1, 2 ** 31, 2 ** 53, 2 ** 63 - 1, 2 ** 63, 2 ** 64 - 1):
            asked = play.request()
            message = indication(play, asked)
            message.process_indication.until = n
            play.link.send(message)
            message = acx_peer.true_response(asked, play.partner.system, play.link)
            response = message.mc_service_user_setup_response
            for revision in response.revision:
                revision.revision = n
            response.done = n
            play.send(message)


@attack("FALSE with causes, origins, lists that are no partner's", rate=50)
def wrong_answers(play):
    odd = [dict(cause=601), dict(cause=602), dict(cause=501, origin=pb.HOME_ACMS), dict(cause=502, mc_id_list=["other@police.example"]),
           dict(cause=700), dict(cause=9999), dict(result=True), dict(cause=401, detail=DETAILS[2]), dict(mc_system_id="fire.example"),
           dict(cause=401, mc_service_id_list=[pb.McServiceIdEntry(mc_id="x", service=1, mc_service_id="sip:x@x.example")]),
           dict(cause=503, detail=DETAILS[3]), dict(cause=211)]
    while True:
        for change in odd:
            asked = play.request()
            response = some_response(play, **{"request_id": asked.request_id, "mc_id_list": asked.mc_id_list, **change})
            play.send(pb.Message(mc_service_user_setup_response=response))


@attack("a transient cause each time", rate=200)
def transient(play):
    while True:
        asked = play.request()
        play.send(pb.Message(mc_service_user_setup_response=some_response(
            play, request_id=asked.request_id, mc_id_list=asked.mc_id_list)))


@attack("Close after Hello", rate=1)
def close_after_hello(play):
    play.count()
    raise Ended


@attack("no Hello, then nothing", rate=1, raw=True)
def half_open(play):
    play.count()
    time.sleep(play.partner.slot)


@attack("bytes that are no TLS", rate=1, raw=True)
def no_tls(play):
    play.sock.sendall(os.urandom(2000))
    play.count()


@attack("malformed frames, oversized headers", rate=1)
def malformed_frames(play):
    play.pump(random.choice(malformed()))
    play.count()
    time.sleep(0.3)


@attack("a frame that drips in", rate=20)
def slow_frame(play):
    for byte in frame(b"\x22\xf4\x03" + bytes(500)):
        play.pump(bytes([byte]))
        play.count()


@attack("Hello that allows one of everything", rate=20,
        greeting=limits(max_requests_in_flight=1, max_mc_ids=1, max_mc_service_ids_per_mc_id=1, max_mc_system_ids=1,
                        max_frame_bytes=65536, idle_timeout_seconds=1))
def extreme_hello(play):
    while True:
        asked = play.request()
        play.send(indication(play, asked, DETAILS[4], state=random.choice((pb.ACCEPTED, pb.DELAYED, 77, pb.PENDING))))


@attack("reads nothing, answers nothing", rate=1)
def deaf(play):
    play.deaf.set()
    while True:
        play.count()


@attack("pages of users without end", rate=20_000)
def endless_pages(play):
    """Answers to whatever tokens home may use, with more to come."""
    users = [pb.User(mc_id=f"{i:08}@police.example", revision=0) for i in range(500)]
    some = b"".join(frame(pb.Message(users_page=pb.UsersPage(token=t, users=users, more=True)).SerializeToString()) for t in range(20))
    while True:
        play.pump(some)
        play.count(20)
