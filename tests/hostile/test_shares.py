"""What one hostile party takes, and that the honest do not pay for it: the soak's attacks one by one, by numbers that do
not depend on how fast the machine is."""

import time

import pytest

import acx_peer
from acx_peer import Ended, Link, pb
from attack import asking, pump, query
from clients import FIRE, evil_users, police_users
from soak import EVIL_HOME, Memory
from systems import wait_for

MIB = 1 << 20


def start(world) -> None:
    world.fire.start()
    world.police.start()
    world.police.wait_log("partner fire.example: up")


def evil(world):
    return world.fire.client(world.evil.leaf, system=EVIL_HOME)


def anonymous(system) -> int:
    memory = Memory(system)
    return memory.status("RssAnon") * 1024


def store_size(system) -> int:
    return (system.store / "data.mdb").stat().st_size



@pytest.mark.parametrize("outside", [True, False], ids=["outside the namespace", "without a right"])
def test_refused_requests_are_not_kept_in_full(world, outside):
    """PROTOCOL 5.5 has refusals recorded; 300 of 1,000 identities each are not 60 MB of store for 30 days."""
    start(world)
    client = evil(world) if outside else world.fire.client(world.no_rights.leaf, system="norights.example")
    template = asking(FIRE, evil_users(1000, "n", "police.example", 200))
    for _ in range(300):
        client.sock.sendall(template.fresh())
        acx_peer.Link.receive(client)
    assert store_size(world.fire) < 20 * MIB


def test_requests_refused_by_each_target_are_not_kept(world):
    """Refused for its only target, a request is refused: no 20,000 records and entries of the audit log."""
    start(world)
    client, template = world.police.client(world.evil_acmc), asking(["nobody.example"], police_users(1))
    for _ in range(100):
        client.sock.sendall(b"".join(template.fresh() for _ in range(200)))
        responses = 0
        while responses < 200:
            responses += acx_peer.Link.receive(client).WhichOneof("body") == "mc_service_user_setup_response"
    assert store_size(world.police) < 8 * MIB


def test_frames_that_are_never_finished(world):
    """60 MiB of the beginnings of frames, from three parties each."""
    start(world)
    held = []
    for leaf, system in ((world.evil.leaf, EVIL_HOME), (world.no_rights.leaf, "norights.example"), (world.evil_officer, None)):
        for _ in range(60):
            try:
                held.append(world.fire.client(leaf, system=system, timeout=5))
                pump(held[-1].sock, (1048570).to_bytes(4, "big") + b"\x12" + bytes(1_048_000), 1, drain=False)
            except (OSError, Ended):
                pass  # it is parted from, or not read from any more
    assert held
    world.fire.client(world.officer).ping()
    assert anonymous(world.fire) < 100 * MIB


@pytest.mark.parametrize("seat", ["hostile home", "hostile ACMC"])
def test_answers_of_refused_requests_that_nobody_reads(world, seat):
    """20 connections, 60 requests of 1,000 identities each; and the memory returns."""
    start(world)
    at, held, template = world.seats[seat], [], asking(FIRE, evil_users(1000, "n", "police.example", 200))
    system = world.fire if seat == "hostile home" else world.police
    before = anonymous(system)
    for _ in range(20):
        try:
            held.append(acx_peer.Client(at.port, at.leaf, at.ca_file, system=at.system, timeout=5))
            for _ in range(60):
                pump(held[-1].sock, template.fresh(), 0.5, drain=False)
        except (OSError, Ended):
            pass
    (world.fire.client(world.officer) if system is world.fire else world.police.client(world.admin)).ping()
    assert anonymous(system) < 100 * MIB
    for client in held:
        client.close()
    wait_for(lambda: anonymous(system) < before + 32 * MIB, "the memory returns")


def test_one_acmc_does_not_take_all_unfinished_requests(world):
    """max_unfinished_requests is 1000 here; the hostile ACMC's wait for a partner that is down."""
    start(world)
    client, template = world.police.client(world.evil_acmc), asking(["evil-one.example"], police_users(1), seconds=600)
    for _ in range(15):
        pump(client.sock, b"".join(template.fresh() for _ in range(100)), drain=False)
    client.sock.settimeout(20)
    decided = 0
    while decided < 1500:  # each is accepted or refused
        message = Link.receive(client)
        kind = message.WhichOneof("body")
        decided += kind == "mc_service_user_setup_response" or message.process_indication.state == pb.ACCEPTED
    answer = world.police.client(world.admin).setup(FIRE, {"honest@police.example": []})
    assert answer.result, answer


@pytest.mark.parametrize("kind", ["users_query", "digest_query"])
def test_queries_of_one_acmc_leave_room_for_others(world, kind):
    """They go to the partner over one connection, on which 256 requests may be in flight."""
    start(world)
    admin = world.police.client(world.admin, timeout=60)
    assert admin.setup(FIRE, {f"u{i}@police.example": [(1, f"sip:u{i}@police.example")] for i in range(1000)}).result
    one = query(kind, mc_system_id="fire.example", **({"ranges": [pb.McIdRange()]} if kind == "digest_query" else {}))
    held = [world.police.client(world.evil_acmc) for _ in range(10)]
    for i in range(5):
        for client in held:
            try:
                pump(client.sock, one * 200, 0.5, drain=False)
            except (OSError, Ended):
                pass
        page = admin.users("fire.example", max=5)
        assert page.cause == pb.NO_CAUSE, page
        answer = admin.setup(FIRE, {f"honest{i}@police.example": []})
        assert answer.result, answer


def test_memory_returns_after_large_queries(world):
    start(world)
    before, held = anonymous(world.fire), [evil(world) for _ in range(8)]
    data = query("users_query", mc_system_id="fire.example", mc_id_list=[f"{i:05x}" for i in range(32_000)])
    for client in held:
        try:
            pump(client.sock, data * 15, 2, drain=False)
        except (OSError, Ended):
            pass
    assert anonymous(world.fire) < 100 * MIB
    for client in held:
        client.close()
    wait_for(lambda: anonymous(world.fire) < before + 32 * MIB, "the memory returns")


def test_pending_queries_over_large_requests(world):
    """Whoever lists what waits, again and again, does not hold up the honest."""
    world.fire.config["partners"][1]["provision"]["max_pending"] = 300
    start(world)
    client = evil(world)
    for k in range(100):
        users = {f"{k}-{i}".ljust(230, "x") + f"@{EVIL_HOME}": [] for i in range(900)}
        pump(client.sock, asking(FIRE, users, operation=pb.REMOVE).fresh(), 20)
    held, admin = [world.fire.client(world.evil_officer) for _ in range(3)], world.police.client(world.admin, timeout=60)
    for i in range(5):
        start_of_round = time.monotonic()
        for officer in held:
            try:
                pump(officer.sock, query("pending_query") * 200, 1, drain=False)
            except (OSError, Ended):
                pass
        assert admin.setup(FIRE, {f"honest{i}@police.example": []}).result
        print(f"round {i}: {time.monotonic() - start_of_round:.1f} s")
