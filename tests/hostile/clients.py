"""What hostile parties do that connect to a server: a home system (with rights and without), an ACMC of ours that is
authorised for little, and a partner's ACMC that may decide for one home system only."""

import os
import random
import socket
import time

import acx_peer
from acx_peer import Ended, frame, hello, limits, pb
from attack import PATIENCE, Attacker, Template, asking, attack, drain_for, pump, query
from collide import colliding

HOME, NO_RIGHT, ACMC, APPROVER = "hostile home", "home without rights", "hostile ACMC", "hostile approver"
ANYBODY = HOME, ACMC, APPROVER
EVIL = "evil.example"  # the hostile home system
FIRE, PARTNERS = ["fire.example"], ["evil-one.example", "evil-two.example"]

PING = frame(pb.Message(ping=pb.Ping(token=1)).SerializeToString())
# Cut anywhere, they are cut inside a character.
DETAILS = ["\u20ac" * 170, "x" + "\u20ac" * 170, "xx" + "\u20ac" * 170, "\U0001f692" * 128, "x" + "\U0001f692" * 127,
           "xx" + "\U0001f692" * 127, "xxx" + "\U0001f692" * 127, "\u00e4" * 256, "x" + "\u00e4" * 255]


def evil_users(n: int, label: str = "u", system: str = EVIL, length: int = 0) -> dict:
    return {f"{label}{i}".ljust(length, "x") + f"@{system}": [] for i in range(n)}


def crowd(a: Attacker, n: int) -> list:
    return [a.connect() for _ in range(n)]


# --- what anybody can do who gets in -----------------------------------------------------------------------------------

@attack("Pings without reading Pongs", *ANYBODY, rate=1_000_000)
def deaf_pings(a):
    c = a.connect()
    while True:
        pump(c.sock, PING * 4000, drain=False)
        a.count(4000)


@attack("Pings, Pongs read", *ANYBODY, rate=20_000)
def pings(a):
    c = a.connect()
    while True:
        pump(c.sock, PING * 500)
        a.count(500)


@attack("KeyUpdates", *ANYBODY, rate=50_000)
def key_updates(a):
    a.key_updates(requested=False, every=0, count=10_000)


@attack("KeyUpdates that ask for one", *ANYBODY, rate=50_000)
def key_updates_requested(a):
    a.key_updates(requested=True, every=0, count=10_000)


@attack("KeyUpdates with Pings among them", *ANYBODY, rate=50_000)
def key_updates_among(a):
    a.key_updates(requested=False, every=100, count=10_000)


@attack("Close with details cut inside characters", *ANYBODY, rate=2)
def long_details(a):
    for detail in DETAILS:
        c = a.connect()
        c.send(pb.Message(close=pb.Close(cause=random.choice((700, 704, 708, 999)), detail=detail)))
        c.close()
        a.count()


@attack("connect, Hello, close", *ANYBODY, NO_RIGHT, rate=2)
def reconnects(a):
    a.connect().close()
    a.count()


@attack("connect, close without Hello", *ANYBODY, rate=2)
def no_hello(a):
    a.connect(say_hello=False).close()
    a.count()


@attack("as many connections as there may be", HOME, ACMC, rate=10)
def many_connections(a):
    held = []
    try:
        while len(held) < 30:
            held.append(a.connect(timeout=2))
            a.count()
        drain_for(held[0].sock, 3)
    finally:
        for c in held:
            c.close()


def malformed() -> list:
    ping = pb.Message(ping=pb.Ping(token=7)).SerializeToString()
    return [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x10\x00\x01", frame(b"\xff" * 100), frame(ping + ping),
            frame(b"\x22\x80\x00"), frame(b"\x0a\x00"), frame(b"\x9a\x06\x01x"), frame(bytes(500)),
            frame(b"\x12" + b"\xff" * 9 + b"\x01"), frame(os.urandom(3000)), b"GET / HTTP/1.1\r\n\r\n",
            frame(pb.Message(ping=pb.Ping(token=1)).SerializeToString())[:-1],
            frame(b"\x12\x82\x80\x04" + b"\x2a\x00" * 32768)]


@attack("malformed frames, oversized headers", *ANYBODY, NO_RIGHT, rate=2)
def malformed_frames(a):
    for data in malformed():
        c = a.connect()
        c.sock.sendall(data)
        drain_for_end(c)
        a.count()


def drain_for_end(c, seconds: float = 1) -> None:
    """Until it is closed, if it soon is."""
    try:
        drain_for(c.sock, seconds if seconds < 0.1 else 0.1)
    except (Ended, OSError):
        pass
    c.close()


@attack("malformed first frames", *ANYBODY, rate=2)
def malformed_hellos(a):
    odd = [hello(a.seat.system, version_min=0), hello(a.seat.system, version_min=5, version_max=9),
           hello(a.seat.system, version_min=2, version_max=1), hello("other.example"), hello("\u20ac" * 80),
           hello(a.seat.system, limits=limits(max_frame_bytes=1)), hello(a.seat.system, limits=pb.Limits()),
           hello(a.seat.system, software="\u20ac" * 1200)]
    for data in [frame(m.SerializeToString()) for m in odd] + malformed():
        c = a.connect(say_hello=False)
        c.sock.sendall(data)
        drain_for_end(c)
        a.count()


@attack("frames that drip in", *ANYBODY, rate=100)
def slow_frames(a):
    held = crowd(a, 5)
    for byte in frame(b"\x22\xf4\x03" + bytes(500)):
        for c in held:
            c.sock.sendall(bytes([byte]))
            a.count()


@attack("frames of 1 MiB that are never finished", HOME, NO_RIGHT, ACMC, APPROVER, rate=20)
def unfinished_frames(a):
    held = []
    try:
        for _ in range(20):
            held.append(a.connect())
            pump(held[-1].sock, (1048570).to_bytes(4, "big") + b"\x22" + bytes(1_048_000), drain=False)
            a.count()
        time.sleep(3)
    finally:
        for c in held:
            c.close()


@attack("Hello with extreme limits", *ANYBODY, rate=2)
def extreme_hellos(a):
    for odd in (limits(max_requests_in_flight=1), limits(idle_timeout_seconds=1), limits(max_frame_bytes=65536),
                limits(max_mc_ids=1, max_mc_service_ids_per_mc_id=1, max_mc_system_ids=1),
                pb.Limits(**{f.name: 2 ** 32 - 1 for f in pb.Limits.DESCRIPTOR.fields}, ) if a.done % 2 else
                limits(max_frame_bytes=16777216, max_requests_in_flight=2 ** 32 - 1)):
        c = a.connect(say_hello=False)
        c.send(hello(a.seat.system, limits=odd))
        c.hello = c.receive().hello
        pump(c.sock, query("users_query", mc_system_id="fire.example") * 10 if a.seat.system else
             query("requests_query") * 10 + query("pending_query") * 10)
        drain_for_end(c)
        a.count()


@attack("half a connection: the sending side is shut", *ANYBODY, rate=2)
def half_closed(a):
    c = a.connect()
    c.sock.sendall(PING * 100 + query("pending_query") * 5 + query("requests_query") * 5)
    socket.socket(fileno=os.dup(c.sock.fileno())).shutdown(socket.SHUT_WR)
    drain_for_end(c)
    a.count()


@attack("messages in the wrong direction", *ANYBODY, rate=2)
def wrong_direction(a):
    odd = [pb.Message(process_indication=pb.ProcessIndication(request_id=bytes(16), state=2)),
           pb.Message(mc_service_user_setup_response=pb.McServiceUserSetupResponse(request_id=bytes(16))),
           pb.Message(users_page=pb.UsersPage(token=1)), pb.Message(decision_result=pb.DecisionResult(token=1)), hello("x.example")]
    for message in odd:
        c = a.connect()
        c.sock.sendall(frame(message.SerializeToString()))
        drain_for_end(c)
        a.count()


# --- a hostile home system at fire.example -----------------------------------------------------------------------------

def refused_at_full_speed(a, template: Template) -> None:
    c = a.connect()
    while True:
        pump(c.sock, template.fresh())
        a.count()


@attack("refused requests of 1,000 identities", HOME, NO_RIGHT, rate=2000)
def refused_outside(a):
    refused_at_full_speed(a, asking(FIRE, evil_users(1000, "n", "police.example", 200)))


@attack("refused requests of 1,000 MC service IDs", HOME, rate=2000)
def refused_service_ids(a):
    refused_at_full_speed(a, asking(FIRE, {f"s{i}@{EVIL}": [(1, f"sip:s{i}@police.example")] for i in range(1000)}))


@attack("refused requests whose answers nobody reads", HOME, ACMC, rate=200)
def refused_unread(a):
    template = asking(FIRE, evil_users(1000, "n", "police.example", 200))
    held = crowd(a, 8)
    try:
        for _ in range(60):
            for c in held:
                pump(c.sock, template.fresh(), 0.5, drain=False)
                a.count()
    finally:
        for c in held:
            c.close()


@attack("small refused requests", HOME, NO_RIGHT, rate=20_000)
def refused_small(a):
    template, c = asking(FIRE, evil_users(1, "n", "police.example")), a.connect()
    while True:
        pump(c.sock, b"".join(template.fresh() for _ in range(100)))
        a.count(100)


@attack("refused: not well-formed", HOME, NO_RIGHT, rate=2000)
def refused_forms(a):
    users = evil_users(300)
    odd = [asking(["other.example"], users), asking(FIRE * 2, users), asking(FIRE, {}), asking(FIRE, users, seconds=None),
           asking(FIRE, users, seconds=-5), asking(FIRE, users, seconds=10 ** 9), asking(FIRE, users, operation=pb.UPDATE),
           asking(FIRE, users, operation=77), asking(FIRE, {"\u202e" * 80 + str(i): [] for i in range(300)}),
           asking(FIRE, {f"d{i}@{EVIL}": [(9, "sip:x@evil.example")] for i in range(300)}),
           asking(FIRE, users, validity=(5, 3)), asking(FIRE, users, validity=(2 ** 64 - 1, 2 ** 64 - 1))]
    c = a.connect()
    while True:
        for template in odd:
            pump(c.sock, template.fresh())
            a.count()


@attack("updates of unknown users, conflicts", HOME, rate=1000)
def refused_by_store(a):
    unknown = asking(FIRE, users := evil_users(500, "nobody"), operation=pb.UPDATE, expected={u: 1 for u in users})
    differ = asking(FIRE, users := evil_users(500), operation=pb.UPDATE, expected={u: 2 ** 63 for u in users})
    taken = asking(FIRE, {f"t{i}@{EVIL}": [(1, "sip:taken@evil.example")] for i in range(2)})
    c = a.connect()
    while True:
        for template in unknown, differ, taken:
            pump(c.sock, template.fresh())
            a.count()


@attack("dry runs and best effort of 1,000 users", HOME, rate=500)
def dry_runs(a):
    dry = asking(FIRE, evil_users(1000), dry_run=True)
    best = asking(FIRE, {**evil_users(500, "b", "police.example"), **evil_users(100)}, dry_run=True, best_effort=True)
    c = a.connect()
    while True:
        pump(c.sock, dry.fresh() + best.fresh())
        a.count(2)


@attack("one request ID with ever other content", HOME, NO_RIGHT, rate=5000)
def reused_ids(a):
    c, same = a.connect(), os.urandom(16)
    while True:
        n = a.done
        pump(c.sock, b"".join(asking(FIRE, evil_users(1, f"r{n + i}-", "police.example")).fresh(same) for i in range(50)))
        a.count(50)


@attack("one request repeated", HOME, rate=5000)
def repeated(a):
    c, data = a.connect(), asking(FIRE, evil_users(100)).fresh(b"repeated request")
    while True:
        pump(c.sock, data * 20)
        a.count(20)


@attack("request IDs of the honest, and ones that collide", HOME, NO_RIGHT, rate=2000)
def others_ids(a):
    template, c = asking(FIRE, evil_users(1, "n", "police.example")), a.connect()
    while True:
        ids = [a.world.honest_ids.recent() for _ in range(10)] + [colliding() for _ in range(40)]
        pump(c.sock, b"".join(template.fresh(i) for i in ids))
        a.count(50)


@attack("users who all end at once", HOME, rate=20, most=8)
def all_end_at_once(a):
    """Their end is audited in full, as everything that was done: so they are not many."""
    c, end = a.connect(), acx_peer.now_ms(4)
    for i in range(4):
        pump(c.sock, asking(FIRE, evil_users(250, f"end{i}-"), validity=(0, end)).fresh())
        a.count()
    drain_for(c.sock, 5)


@attack("what waits for a decision, beyond its bound", HOME, rate=1000)
def fill_pending(a):
    """The removals of this system wait for a decision, twenty at most."""
    c, remove = a.connect(), asking(FIRE, evil_users(100, "gone"), operation=pb.REMOVE)
    while True:
        pump(c.sock, remove.fresh())
        a.count()


@attack("over-long from, to, MC IDs of queries", HOME, ACMC, rate=2000)
def long_from(a):
    system = "fire.example" if a.seat.system else PARTNERS[0]
    c = a.connect()
    odd = [query("users_query", mc_system_id=system, **{"from": "x" * n}) for n in (256, 511, 1000, 100_000)]
    odd += [query("users_query", mc_system_id=system, to="\u20ac" * n) for n in (86, 171, 30_000)]
    odd += [query("digest_query", mc_system_id=system, ranges=[pb.McIdRange(**{"from": "x" * n, "to": "y" * n})]) for n in (256, 600)]
    odd += [query("digest_query", mc_system_id=system, ranges=[pb.McIdRange(to="x" * 600)])]
    odd += [query("users_query", mc_system_id=system, mc_id_list=["x" * n, ""]) for n in (256, 600)]
    odd += [query("users_query", mc_system_id=system, believed=True, **{"from": "x" * 600})]
    while True:
        for data in odd:
            pump(c.sock, data)
            a.count()


@attack("thousands of DigestQueries, then gone", HOME, rate=1000)
def digests_and_gone(a):
    """2,048 of 24 bytes on all users; nobody waits for the answers."""
    held = crowd(a, 8)
    for c in held:
        pump(c.sock, query("digest_query", mc_system_id="fire.example", ranges=[pb.McIdRange()]) * 256, drain=False)
        a.count(256)
    for c in held:
        c.close()


@attack("DigestQueries of 256 ranges", HOME, rate=200)
def digests_of_ranges(a):
    edges = [f"u{i:03}" for i in range(100, 356)]
    ranges = [pb.McIdRange(**{"from": x, "to": y}) for x, y in zip(edges, edges[1:])] + [pb.McIdRange(**{"from": edges[-1]})]
    c, data = a.connect(), query("digest_query", mc_system_id="fire.example", ranges=ranges)
    while True:
        pump(c.sock, data * 5)
        a.count(5)


@attack("300 queries whose answers nobody reads", HOME, ACMC, rate=3000)
def unread_queries(a):
    system, believed = ("fire.example", False) if a.seat.system else (PARTNERS[0], True)
    held = crowd(a, 8)
    for c in held:
        pump(c.sock, query("users_query", mc_system_id=system, believed=believed) * 300, drain=False)
        a.count(300)
    time.sleep(PATIENCE)
    for c in held:
        c.close()


@attack("queries of 256 KiB each", HOME, rate=500)
def large_queries(a):
    """31 MB that became 1.1 GB: MC IDs of few bytes each."""
    data = query("users_query", mc_system_id="fire.example", mc_id_list=[f"{i:05x}" for i in range(32_000)])
    held = crowd(a, 8)
    for c in held:
        pump(c.sock, data * 15, drain=False)
        a.count(15)
    time.sleep(2)
    for c in held:
        c.close()


@attack("pages of one user", HOME, rate=5000)
def pages_of_one(a):
    c, data = a.connect(), query("users_query", mc_system_id="fire.example", max=1)
    while True:
        pump(c.sock, data * 100)
        a.count(100)


@attack("queries that are not a home system's", HOME, NO_RIGHT, rate=1000)
def wrong_queries(a):
    c = a.connect()
    for data in (query("pending_query", follow=True), query("requests_query"), query("users_query", mc_system_id="police.example"),
                 query("digest_query", mc_system_id="x" * 5000), query("decision", request_id=bytes(16), approve=True)):
        pump(c.sock, data * 10)
        a.count(10)
    drain_for_end(c)


# --- a hostile ACMC at police.example ----------------------------------------------------------------------------------

def police_users(n: int, label: str = "evil-") -> dict:
    return evil_users(n, label, "police.example")


@attack("requests that keep the hostile partners busy", ACMC, rate=1)
def feed(a):
    """The hostile partners answer the first on each connection well, so that home connects again soon."""
    c = a.connect()
    while True:
        for target in PARTNERS:
            pump(c.sock, asking([target], police_users(1), seconds=60).fresh())
            a.count()


@attack("does not read what its requests become", ACMC, rate=1, most=100)
def deaf_acmc(a):
    c = a.connect()
    for i in range(5):
        pump(c.sock, asking(PARTNERS, police_users(1, f"evil-deaf{i}-"), seconds=60).fresh(), drain=False)
        a.count()
    time.sleep(2 * PATIENCE)


@attack("100 targets, 1,000 identities: 100 answers for one request", ACMC, rate=2)
def many_targets(a):
    targets = [f"t{i}.example" for i in range(100)]
    template = asking(targets, evil_users(1000, "y", "police.example", 200))
    c = a.connect()
    while True:
        pump(c.sock, template.fresh(), drain=a.done % 10 < 5)
        a.count()


@attack("refused requests of 1,000 identities", ACMC, APPROVER, rate=2000)
def refused_acmc(a):
    refused_at_full_speed(a, asking(FIRE, evil_users(1000, "n", "police.example", 200)))


@attack("small refused requests, all distinct", ACMC, rate=20_000)
def refused_acmc_small(a):
    c, template = a.connect(), asking(["nobody.example"], police_users(1))
    while True:
        pump(c.sock, b"".join(template.fresh() for _ in range(100)))
        a.count(100)


@attack("unfinished requests whose IDs collide, beyond their bound", ACMC, rate=2000, most=600)
def colliding_requests(a):
    c = a.connect()
    template = asking(["evil-two.example"], police_users(1), seconds=20)
    while True:
        pump(c.sock, b"".join(template.fresh(colliding()) for _ in range(50)))
        a.count(50)


@attack("IDs of the honest, other content", ACMC, rate=1000)
def honest_ids_at_home(a):
    c = a.connect()
    while True:
        for template in (asking(FIRE, police_users(2)), asking(PARTNERS, {"x@fire.example": []})):
            pump(c.sock, b"".join(template.fresh(a.world.honest_ids.recent()) for _ in range(10)))
            a.count(10)


@attack("RequestsQueries with filters over many requests", ACMC, rate=1000)
def filters(a):
    held = crowd(a, 4)
    while True:
        for c in held:
            pump(c.sock, query("requests_query", refused_only=True, mc_system_id="nobody.example", since=2 ** 62) * 50 +
                 query("requests_query", unfinished_only=True, until=1) * 50, drain=False)
            a.count(100)
        drain_for(held[0].sock, 0.5)
        for c in held:
            drain_for(c.sock, 0.2)


@attack("follows others' requests", ACMC, rate=5000)
def follow_others(a):
    c = a.connect()
    while True:
        pump(c.sock, b"".join(query("requests_query", follow=True, request_id=i) for _ in range(50)
                              for i in (a.world.honest_ids.recent(), os.urandom(16))))
        a.count(100)


@attack("watches one of its requests again and again", ACMC, rate=5000)
def watch_lists(a):
    c, request_id = a.connect(), os.urandom(16)
    pump(c.sock, asking(["evil-two.example"], police_users(1), seconds=20).fresh(request_id))
    while True:
        pump(c.sock, query("requests_query", follow=True, request_id=request_id) * 100)
        a.count(100)


@attack("queries of a partner that does not answer", ACMC, rate=500)
def queries_unanswered(a):
    c = a.connect()
    while True:
        pump(c.sock, b"".join(query("users_query", mc_system_id=s) + query("digest_query", mc_system_id=s, ranges=[pb.McIdRange()])
                              for s in PARTNERS) * 20)
        a.count(80)


@attack("parts that lie, validity and expiry at their ends", ACMC, rate=20, most=60)
def extremes(a):
    c = a.connect()
    big = 2 ** 64 - 1
    for more in (dict(part=5, parts=3), dict(part=2 ** 32 - 1, parts=2 ** 32 - 1), dict(parts=2 ** 32 - 1),
                 dict(validity=(0, big)), dict(validity=(big - 1, big)), dict(validity=(2 ** 63, 2 ** 63 + 1)), dict(expires=big),
                 dict(expires=1)):
        users = police_users(1, f"evil-x{a.done}-")
        pump(c.sock, frame(acx_peer.request(PARTNERS[:1], users, **more).SerializeToString()))
        a.count()


@attack("queries of an honest partner, two hundred at a time", ACMC, rate=20_000)
def many_queries(a):
    """It may ask fire.example, as the honest may; their requests go over the same connection."""
    users, digests = query("users_query", mc_system_id="fire.example"), query("digest_query", mc_system_id="fire.example", ranges=[pb.McIdRange()])
    believed = query("users_query", mc_system_id="fire.example", believed=True)
    held = crowd(a, 6)
    while True:
        for c, one in zip(held, (users, digests, believed) * 2):
            pump(c.sock, one * 200)
            a.count(200)


@attack("decides, though it may not", ACMC, HOME, rate=200)
def decides(a):
    c = a.connect()
    pump(c.sock, b"".join(query("decision", mc_system_id="police.example", request_id=a.world.honest_ids.recent(), approve=True) for _ in range(50)))
    a.count(50)
    drain_for_end(c)


# --- a hostile ACMC of fire.example ------------------------------------------------------------------------------------

@attack("decisions about others' requests", APPROVER, rate=5000)
def decisions(a):
    c = a.connect()
    while True:
        some = []
        for detail in DETAILS:
            some.append(query("decision", request_id=a.world.honest_ids.recent(), approve=True, mc_system_id="police.example"))
            some.append(query("decision", request_id=a.world.honest_ids.recent(), approve=False, reason=detail))
            some.append(query("decision", request_id=os.urandom(16), approve=True, mc_system_id="\u20ac" * 80))
        pump(c.sock, b"".join(some))
        a.count(len(some))


@attack("rejects what waits, with long reasons", APPROVER, rate=1, most=20)
def rejects(a):
    c = a.connect()
    while True:
        for entry in c.pending(max=1).entries:
            c.decide(entry.mc_system_id, entry.request.request_id, False, reason=DETAILS[a.done % len(DETAILS)])
        a.count()


@attack("follows what waits, thousands of times", APPROVER, rate=2000)
def follow_pending(a):
    held = crowd(a, 5)
    systems = [EVIL, "police.example", "", *(f"f{i}.example" for i in range(200))]
    while True:
        for c in held:
            pump(c.sock, b"".join(query("pending_query", follow=True, mc_system_id=s, token=i) for i, s in enumerate(systems)),
                 drain=c is held[0])
            a.count(len(systems))


@attack("asks for what waits, with its lists, and does not read", APPROVER, rate=1000)
def deaf_pending(a):
    c = a.connect()
    first = c.pending(max=1).entries
    data = query("pending_query", request_id=first[0].request.request_id) if first else query("pending_query")
    c = a.connect()
    while True:
        pump(c.sock, data * 50, drain=False)
        a.count(50)
