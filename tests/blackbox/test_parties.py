"""What a party over all its connections can make us keep: unfinished frames, and answers that it does not read."""

import socket
import struct
import threading

import pytest

from acx_peer import frame, new_id, pb, request
from systems import wait_for
from test_readers import Reading, anonymous_kib, answered, digest_query, narrow_client, send_all, users_query

HOME, FIRE, RAIL = "police.example", "fire.example", "rail.example"
MIB = 1024


def partner_of(world, *names):
    """A partner, and those who may connect to it."""
    fire = world.system(FIRE)
    homes = [world.system(name) for name in names]
    for home in homes:
        fire.partner(home, address=False)
    return fire, *homes


def pour(clients, data: bytes) -> list:
    """Each sends as much of it as is taken, on a thread of its own, until its connection ends."""
    def run(client) -> None:
        client.sock.settimeout(None)
        try:
            client.sock.sendall(data)
        except (OSError, ValueError):
            return

    threads = [threading.Thread(target=run, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    return threads


def hang_up(clients) -> None:
    for client in clients:
        try:
            client.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        client.close()


# --- frames that are never finished --------------------------------------------------------------------------------------


def test_a_client_sends_no_longer_frames_than_a_quarter(world):
    fire, home = partner_of(world, HOME)
    fire.start()
    client = fire.client(home.leaf, system=HOME)
    client.sock.sendall(struct.pack(">I", 1048576 // 4))
    client.sock.sendall(pb.Message(ping=pb.Ping(token=7)).SerializeToString())  # which is not all of it
    other = fire.client(home.leaf, system=HOME)
    other.sock.sendall(struct.pack(">I", 1048576 // 4 + 1))
    close = other.receive_close()
    assert close.cause == pb.FRAME_TOO_LARGE and "262144" in close.detail
    client.close()


def test_unfinished_frames_count_for_their_party(world):
    """60 connections kept a megabyte each, for as long as a frame may take."""
    fire, home, rail = partner_of(world, HOME, RAIL)
    fire.config["limits"].update(max_queued_bytes="4 MiB", max_frame="1 MiB")
    fire.start()
    honest = fire.client(rail.leaf, system=RAIL)
    half, = pour([honest], frame(users_query(1).SerializeToString())[:-1]),  # others' frames go on
    before = anonymous_kib(fire)
    greedy = [fire.client(home.leaf, system=HOME) for _ in range(60)]
    threads = pour(greedy, struct.pack(">I", 262144) + bytes(262143))
    fire.wait_log("too many frames are begun and not finished")
    for thread in threads:
        thread.join()
    assert anonymous_kib(fire) - before < 12 * MIB
    del half
    honest.sock.settimeout(30)
    honest.sock.sendall(users_query(1).SerializeToString()[-1:])
    assert honest.page("users_page", 1).cause == pb.NO_CAUSE
    assert fire.client(home.leaf, system=HOME).users(FIRE).cause == pb.NO_CAUSE  # and so do this party's other connections
    hang_up(greedy)


# --- answers that nobody reads -------------------------------------------------------------------------------------------


def refused_requests(n: int, targets: list) -> bytes:
    users = [f"{'x' * 180}{i:06}@elsewhere.example" for i in range(1000)]
    return b"".join(frame(request(targets, {u: [] for u in users}, new_id()).SerializeToString()) for _ in range(n))


def unread_answers(server, leaf, honest_setup, data: bytes, setups: int = 300, **more) -> int:
    """KiB that a server takes more at most while 20 connections ask and do not read, and others go on."""
    before = peak = anonymous_kib(server)
    greedy = [narrow_client(server, leaf, **more) for _ in range(20)]
    pour(greedy, data)
    for i in range(setups):
        assert honest_setup(i)
        peak = max(peak, anonymous_kib(server))
    hang_up(greedy)
    return peak - before


def test_answers_to_refused_requests_are_bounded(world):
    """60 requests on each, all outside of the namespace: each is answered with all of its identities."""
    fire, home, rail = partner_of(world, HOME, RAIL)
    fire.start()
    honest = fire.client(rail.leaf, system=RAIL)
    taken = unread_answers(fire, home.leaf, lambda i: honest.setup([FIRE], {f"b{i}@{RAIL}": []}).result,
                           refused_requests(60, [FIRE]), system=HOME)
    assert taken < 64 * MIB


@pytest.mark.parametrize("targets", [[FIRE], [f"t{i}.example" for i in range(50)]])
def test_answers_to_refused_requests_of_an_acmc_are_bounded(world, targets):
    home, fire = world.system(HOME), world.system(FIRE)
    greedy, honest = home.acmc("greedy"), home.acmc("honest")
    home.partner(fire, provision=None)
    fire.partner(home, address=False)
    fire.start()
    home.start()
    home.wait_log(f"partner {FIRE}: up")
    client = home.client(honest)
    taken = unread_answers(home, greedy, lambda i: client.setup([FIRE], {f"b{i}@{HOME}": []}).result,
                           refused_requests(60, targets))
    assert taken < 64 * MIB


# --- queries that are large to read ----------------------------------------------------------------------------------------


def flooded(clients, queries, server, honest_setup, causes=frozenset()) -> tuple[int, int]:
    """How many queries of a flood are answered while somebody else makes five setups; and the KiB that it takes."""
    before = anonymous_kib(server)
    for client in clients:
        send_all(client, queries)
    readings = [Reading(client) for client in clients]
    wait_for(lambda: answered(readings) > 0, "the first answer", 60)
    begun = answered(readings)
    for i in range(5):
        assert honest_setup(i)
    meanwhile, taken = answered(readings) - begun, anonymous_kib(server) - before
    for reading in readings:
        assert reading.is_alive() and reading.causes <= {pb.NO_CAUSE, *causes}, reading.causes
        reading.hang_up()
    return meanwhile, taken


def test_lists_of_large_pending_requests_keep_nobody_waiting(world):
    """Each list reads 47 records of 250 KB for their summaries."""
    fire, home, rail = partner_of(world, HOME, RAIL)
    fire.config["partners"][0]["provision"]["approval"] = {"setup": "manual"}
    duty = fire.acmc("duty", approves=[HOME])
    fire.start()
    client, honest = fire.client(home.leaf, system=HOME, timeout=60), fire.client(rail.leaf, system=RAIL, timeout=60)
    for i in range(60):
        message = request([FIRE], {f"{'x' * 200}{i:03}{k:06}@{HOME}": [] for k in range(1000)})
        client.send(message)
        client.indication(pb.PENDING, message.mc_service_user_setup_request.request_id)
    queries = [pb.Message(pending_query=pb.PendingQuery(token=i)) for i in range(200)]
    askers = [fire.client(duty, timeout=60) for _ in range(3)]
    page = askers[0].pending()
    assert page.more and len(page.entries) > 40
    meanwhile, taken = flooded(askers, queries, fire, lambda i: honest.setup([FIRE], {f"b{i}@{RAIL}": []}).result)
    assert meanwhile < 300 and taken < 48 * MIB


@pytest.mark.parametrize("believed", [True, False])
def test_queries_of_one_acmc_by_the_hundred_keep_nobody_waiting(world, believed):
    """Of 10,000 users: 10 connections, 200 queries each, of what home believes and of what the partner has."""
    home, fire = world.system(HOME), world.system(FIRE)
    greedy, honest = home.acmc("greedy"), home.acmc("honest")
    home.partner(fire, provision=None)
    fire.partner(home, address=False)
    fire.start()
    home.start()
    home.wait_log(f"partner {FIRE}: up")
    client = home.client(honest, timeout=60)
    for at in range(0, 10000, 1000):
        assert client.setup([FIRE], {f"u{i:06}@{HOME}": [] for i in range(at, at + 1000)}).result
    if believed:
        queries = [users_query(i, believed=True) for i in range(200)]
    else:
        queries = [digest_query(i) for i in range(200)]
    askers = [home.client(greedy) for _ in range(10)]
    meanwhile, taken = flooded(askers, queries, home, lambda i: client.setup([FIRE], {f"b{i}@{HOME}": []}).result,
                               set() if believed else {pb.TOO_MANY_IN_FLIGHT})
    assert meanwhile < 1500 and taken < 48 * MIB
