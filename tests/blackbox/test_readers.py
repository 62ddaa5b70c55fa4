"""Who asks much waits for himself alone: for his turn at the store, and for the memory that it takes."""

import os
import random
import socket
import threading
import time

import pytest

from acx_peer import Client, Ended, FakePartner, frame, new_id, pb, request, true_response
from systems import SANITIZED, wait_for

HOME, FIRE, RAIL = "police.example", "fire.example", "rail.example"
USERS = 100_000
PER_CONNECTION = 256  # limits.max_requests_in_flight


class Reading(threading.Thread):
    """Counts the answers that a connection gets, until it ends."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.answers = client, 0
        client.sock.settimeout(None)
        self.start()

    def run(self) -> None:
        try:
            while True:
                self.client.receive()
                self.answers += 1
        except (Ended, OSError, ValueError):
            return

    def hang_up(self) -> None:
        self.client.sock.shutdown(socket.SHUT_RDWR)
        self.join()
        self.client.close()


def digest_query(token: int = 1) -> "pb.Message":
    return pb.Message(digest_query=pb.DigestQuery(token=token, mc_system_id=FIRE, ranges=[pb.McIdRange()]))


def users_query(token: int, **fields) -> "pb.Message":
    return pb.Message(users_query=pb.UsersQuery(token=token, mc_system_id=FIRE, **fields))


def send_all(client, messages) -> None:
    client.sock.sendall(b"".join(frame(m.SerializeToString()) for m in messages))


def reader_ticks(system) -> int:
    """Processor time that the thread that reads the store has had."""
    tasks = f"/proc/{system.process.pid}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/stat") as stat:
            name, fields = stat.read().rsplit(")", 1)
        if name.endswith("(reader"):
            return sum(int(n) for n in fields.split()[11:13])
    raise AssertionError("no reader")


def reader_rests(system, seconds: float = 1) -> bool:
    """Long enough to tell it from one that waits for the processor now and then."""
    before = reader_ticks(system)
    time.sleep(seconds)
    return reader_ticks(system) == before


def anonymous_kib(system) -> int:
    """What it has of the machine's memory; a sanitizer's is nobody's business."""
    if SANITIZED:
        return 0
    with open(f"/proc/{system.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


def narrow_client(system, home) -> Client:
    """A home system's, whose socket takes little that it does not read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(30)
    raw.connect(("127.0.0.1", system.port))
    return Client(system.port, home.leaf, system.ca.cert_file, system=home.name, raw=raw)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """A partner that has many users of one home system, and knows another one, too."""
    from conftest import World
    world = World(tmp_path_factory.mktemp("crowded"))
    fire, home, rail = (world.system(n) for n in (FIRE, HOME, RAIL))
    fire.partner(home, address=False)
    fire.partner(rail, address=False)
    fire.start()
    world.fire, world.home, world.rail = fire, home, rail
    client = fire.client(home.leaf, system=HOME)
    for at in range(0, USERS, 1000):
        assert client.setup([FIRE], {f"u{i:06}@{HOME}": [] for i in range(at, at + 1000)}).result
    client.close()
    yield world
    world.end()


@pytest.fixture
def flood(crowded):
    """2,048 digests of all users are asked for by one party."""
    readings = []
    for _ in range(2048 // PER_CONNECTION):
        client = crowded.fire.client(crowded.home.leaf, system=HOME)
        send_all(client, [digest_query()] * PER_CONNECTION)
        readings.append(Reading(client))
    wait_for(lambda: sum(r.answers for r in readings) > 0, "the first digest", 60)
    yield readings
    for reading in readings:
        if reading.is_alive():
            reading.hang_up()


def answered(readings) -> int:
    return sum(r.answers for r in readings)


def test_setups_go_on_beside_digests(crowded, flood):
    """Each of these waits for commits only: before, each waited for a round of all digests."""
    for leaf, system in ((crowded.rail.leaf, RAIL), (crowded.home.leaf, HOME)):
        client = crowded.fire.client(leaf, system=system)
        before = answered(flood)
        for i in range(20):
            assert client.setup([FIRE], {f"{new_id().hex()}{i}@{system}": []}).result
        assert answered(flood) - before < 512
        client.close()


def test_parties_take_turns(crowded, flood):
    other = crowded.fire.client(crowded.rail.leaf, system=RAIL)
    before = answered(flood)
    for _ in range(10):  # each is one step, since it has few users
        assert other.digests(FIRE, [("", "")]).cause == pb.NO_CAUSE
        assert len(other.users(FIRE).users) <= 1000
    assert answered(flood) - before < 100  # of 2,048
    # Whose turn it is has only one at a time, over all connections.
    mine = crowded.fire.client(crowded.home.leaf, system=HOME)
    mine.send(digest_query())
    before = answered(flood)
    mine.take(lambda m: m.WhichOneof("body") == "digest_page")
    assert answered(flood) - before < 3 * len(flood)  # not all that came before it: connections take turns, too
    for client in (other, mine):
        client.close()


def test_questions_end_with_who_asked(crowded, flood):
    for reading in flood:
        reading.hang_up()
    left = 2048 - answered(flood)
    assert left > 1024  # there was much to do
    wait_for(lambda: reader_rests(crowded.fire), "the reader rests", 30)
    assert crowded.fire.healthy()


def test_answers_that_are_not_taken_are_not_made(crowded):
    """300 questions, with an answer of 100 KB and more each, cost little more than one."""
    fire = crowded.fire
    client = narrow_client(fire, crowded.home)
    wait_for(lambda: reader_rests(fire), "the reader rests", 30)
    before = anonymous_kib(fire)
    send_all(client, [users_query(i) for i in range(300)])
    wait_for(lambda: reader_rests(fire), "nothing more is read", 30)
    assert anonymous_kib(fire) - before < 6 * 1024
    pages = [client.receive().users_page for _ in range(300)]
    assert sorted(p.token for p in pages) == list(range(300))
    full = [p for p in pages if p.cause == pb.NO_CAUSE]
    assert len(full) >= PER_CONNECTION and all(len(p.users) == 1000 or p.more for p in full)
    assert {p.cause for p in pages} <= {pb.NO_CAUSE, pb.TOO_MANY_IN_FLIGHT}
    client.close()


def test_who_takes_no_answers_is_idle(world):
    """Neither keeps his connection for ever, nor stands in the way of his others."""
    fire, home = world.system(FIRE), world.system(HOME)
    fire.partner(home, address=False)
    fire.config["limits"].update(idle_timeout="3 s", shutdown_timeout="1 s")
    fire.config["log"] = {"level": "debug"}
    fire.start()
    client = fire.client(home.leaf, system=HOME)
    for at in range(0, 2000, 1000):
        users = {f"{'u' * 200}{i:06}@{HOME}": [] for i in range(at, at + 500)}
        assert client.setup([FIRE], users).result
    stuck = [narrow_client(fire, home) for _ in range(3)]
    for c in stuck:
        send_all(c, [users_query(i) for i in range(PER_CONNECTION)])
    stuck[1].send(pb.Message(close=pb.Close(cause=pb.GOING_AWAY)))  # what it asked before it would still be answered
    assert client.users(FIRE).cause == pb.NO_CAUSE
    wait_for(lambda: fire.log().count("its answers are not taken") == 2, "they are idle")
    wait_for(lambda: fire.log().count("did not take everything in time") == 3, "and closed")
    for c in stuck:
        c.close()
    client.close()


def test_memory_is_bounded_by_what_is_taken(world):
    """31 MB of short MC IDs take ten times as much when they are decoded. Only who sends them waits."""
    fire, home, rail = (world.system(n) for n in (FIRE, HOME, RAIL))
    fire.partner(home, address=False)
    fire.partner(rail, address=False)
    fire.config["limits"].update(max_memory_of_requests="32 MiB", max_mc_ids=100000)
    fire.start()
    queries = [users_query(i, mc_id_list=[str(n % 10) for n in range(80_000)]) for i in range(16)]
    flood = []
    for _ in range(8):
        client = fire.client(home.leaf, system=HOME, timeout=60)
        client.sock.setblocking(True)

        def pour(client=client) -> None:
            try:
                send_all(client, queries)
            except (OSError, ValueError):
                return

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        flood.append((client, thread))
    most = 0
    other = fire.client(rail.leaf, system=RAIL, timeout=60)
    for i in range(20):
        assert other.setup([FIRE], {f"u{i}@{RAIL}": []}).result
        assert len(other.users(FIRE, mc_id_list=[f"u{i}@{RAIL}"]).users) == 1
        most = max(most, anonymous_kib(fire))
    for client, thread in flood:
        for _ in queries:
            client.receive()
            most = max(most, anonymous_kib(fire))
        thread.join()
        client.close()
    assert most < 120 * 1024, most


def test_names_too_many(crowded):
    client = crowded.fire.client(crowded.home.leaf, system=HOME)
    assert client.users(FIRE, mc_id_list=[str(i) for i in range(1000)]).cause == pb.NO_CAUSE
    assert client.users(FIRE, mc_id_list=[str(i) for i in range(1001)]).cause == pb.TOO_MANY_IDENTITIES
    client.close()


@pytest.mark.parametrize("query", [
    pb.Message(users_query=pb.UsersQuery(mc_system_id=FIRE, **{"from": "x" * 257})),
    pb.Message(users_query=pb.UsersQuery(mc_system_id=FIRE, to="x" * 512)),
    pb.Message(digest_query=pb.DigestQuery(mc_system_id=FIRE, ranges=[pb.McIdRange(**{"from": "x" * 600})])),
    pb.Message(digest_query=pb.DigestQuery(mc_system_id=FIRE, ranges=[pb.McIdRange(to="x" * 257)])),
    pb.Message(users_query=pb.UsersQuery(mc_system_id="x" * 254)),
])
def test_keys_that_cannot_be_are_malformed(crowded, query):
    client = crowded.fire.client(crowded.home.leaf, system=HOME)
    client.send(query)
    assert client.receive_close().cause == pb.MALFORMED_MESSAGE


def test_every_user_once_whatever_the_pages(crowded):
    """Pages end where the steps of the store's reader do not."""
    client = crowded.fire.client(crowded.home.leaf, system=HOME)
    bounds = ("u002999".ljust(255, "~"), f"u019998@{HOME}".ljust(255, "~"))  # the longest that there may be
    page = client.users(FIRE, **{"from": bounds[0], "to": bounds[1]})
    found = [u.mc_id for u in page.users]
    while page.more:
        page = client.users(FIRE, **{"from": bounds[0], "to": bounds[1], "after": found[-1]})
        found += [u.mc_id for u in page.users]
    assert found == [f"u{i:06}@{HOME}" for i in range(20000) if bounds[0] <= f"u{i:06}@{HOME}" < bounds[1]]
    client.close()


# --- what home is asked --------------------------------------------------------------------------------------------------


def test_filters_over_many_requests(world):
    home = world.system(HOME)
    fire, rail = world.system(FIRE), world.system(RAIL)
    admin, other = home.acmc("admin", requests="all"), home.acmc("other")
    fake = FakePartner(RAIL, rail.leaf, home.ca.cert_file)
    world.fakes.append(fake)
    home.partner(fire, provision=None)
    home.partner(rail, provision=None, port=fake.port)
    home.start()
    home.wait_log(f"partner {RAIL}: up")
    asked = {}
    clients = {leaf: home.client(leaf, timeout=60) for leaf in (admin, other)}
    for at in range(0, 3000, 100):
        sent = {}
        for i in range(at, at + 100):
            leaf, target = (other if i % 10 == 0 else admin), (RAIL if i % 3 == 0 else FIRE)
            message = request([target], {f"u{i}@{HOME}": []})
            sent[message.mc_service_user_setup_request.request_id] = (leaf, target)
            clients[leaf].send(message)
        for request_id, (leaf, target) in sent.items():
            clients[leaf].indication(pb.ACCEPTED, request_id)
            if target == RAIL:
                assert clients[leaf].response(request_id).result
        asked.update(sent)

    def listed(client, **fields) -> list:
        found, more = [], {}
        while True:
            page = client.requests(**fields, **more)
            assert page.cause == pb.NO_CAUSE
            found += [e.request_id for e in page.entries]
            if not page.more:
                return found
            more = {"after": found[-1]}

    def expected(wanted) -> list:
        return sorted(i for i, (leaf, target) in asked.items() if wanted(leaf, target))

    everything, mine = clients[admin], clients[other]
    assert listed(everything) == expected(lambda leaf, target: True)
    assert listed(everything, mc_system_id=RAIL) == expected(lambda leaf, target: target == RAIL)
    assert listed(everything, unfinished_only=True) == expected(lambda leaf, target: target == FIRE)
    assert listed(everything, unfinished_only=True, mc_system_id=RAIL) == []
    assert listed(everything, refused_only=True) == listed(everything, mc_system_id="nobody.example") == []
    assert listed(mine) == expected(lambda leaf, target: leaf is other)
    assert listed(mine, unfinished_only=True, max=7) == expected(lambda leaf, target: leaf is other and target == FIRE)
    accepted = sorted(e.accepted for e in everything.requests(max=200).entries)
    since = listed(everything, since=accepted[100])
    assert set(since) | set(listed(everything, until=accepted[100])) == set(asked)
    assert listed(everything, since=accepted[-1] + 10 ** 9) == []


def test_an_answer_is_told_once_to_who_follows(world):
    """In the page, or afterwards: whatever is committed while the page is read."""
    home, rail = world.system(HOME), world.system(RAIL)
    admin = home.acmc("admin")
    lock, waiting = threading.Lock(), []

    def slowly(link, asked) -> None:
        with lock:
            waiting.append((link, asked))

    fake = FakePartner(RAIL, rail.leaf, home.ca.cert_file, slowly)
    world.fakes.append(fake)
    home.partner(rail, provision=None, port=fake.port)
    home.start()
    home.wait_log(f"partner {RAIL}: up")
    asker, followers = home.client(admin), [home.client(admin) for _ in range(10)]
    for i in range(80):
        request_id = asker.submit([RAIL], {f"u{k}@{HOME}": [] for k in range(1000)}).request_id
        wait_for(lambda: waiting, "the partner has it")
        link, asked = waiting.pop()
        answer = true_response(asked, RAIL, link)
        for f in followers:
            f.asked[request_id] = asker.asked[request_id]
            f.send(pb.Message(requests_query=pb.RequestsQuery(token=i, request_id=request_id, follow=True)))
        time.sleep(random.random() * 0.03)
        link.send(answer)
        for f in followers:
            delivery, = f.page("requests_page", i).entries[0].deliveries
            if not delivery.HasField("response"):
                assert f.response(request_id).result
        asker.response(request_id)
    for f in followers:
        f.ping()  # and nothing else


@pytest.mark.parametrize("n, users", [(40, 500), (400, 1)])
def test_what_comes_to_wait_is_told_to_who_follows(world, n, users):
    """In a page, or afterwards; with one page only once. It is read in several steps if the requests are large."""
    fire, home = world.system(FIRE), world.system(HOME)
    rule = fire.partner(home, address=False)
    rule["provision"] = {**rule["provision"], "approval": {"setup": "manual"}}
    duty = fire.acmc("duty", approves=[HOME])
    fire.start()
    client = fire.client(home.leaf, system=HOME, timeout=60)
    followers, asked = [fire.client(duty, timeout=60) for _ in range(20)], []

    def ask() -> None:
        for i in range(n):
            message = request([FIRE], {f"u{i}.{k}@{HOME}": [] for k in range(users)})
            asked.append(message.mc_service_user_setup_request.request_id)
            client.send(message)
            if i % 4 == 0:
                client.indication(pb.PENDING, asked[-1])

    thread = threading.Thread(target=ask)
    thread.start()
    seen = [follow_all(follower) for follower in followers]
    thread.join()
    for follower, ids in zip(followers, seen):
        while len(set(ids)) < n:
            page = follower.take(lambda m: m.WhichOneof("body") == "pending_page").pending_page
            ids += [e.request.request_id for e in page.entries]
        assert set(ids) == set(asked)
        if n == 40:
            assert len(ids) == n
            follower.ping()  # and nothing else
        follower.close()


def follow_all(client) -> list:
    """What waits now, page by page, and is told from then on."""
    seen, after = [], {}
    while True:
        client.tokens += 1
        token = client.tokens
        client.send(pb.Message(pending_query=pb.PendingQuery(token=token, follow=True, **after)))
        while True:
            page = client.take(lambda m: m.WhichOneof("body") == "pending_page").pending_page
            seen += [e.request.request_id for e in page.entries]
            if page.token == token:
                break
        if not page.more:
            return seen
        after = {"after_mc_system_id": HOME, "after_request_id": page.entries[-1].request.request_id}
