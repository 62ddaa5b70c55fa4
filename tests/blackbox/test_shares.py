"""What the ACMCs of a home system share is bounded for each of them: who takes its share leaves the others theirs."""

import pytest

from acx_peer import Ended, agree, frame, hello, limits, pb, request
from systems import wait_for
from test_durable import one
from test_links import FAKE, home_and_fake

WIDE = {f"{'w' * 200}{i}@police.example": [] for i in range(1000)}  # about a quarter of a MiB


def refusal(client, users):
    """What home says at once; None: it was accepted."""
    message = request([FAKE], users)
    client.send(message)
    request_id = message.mc_service_user_setup_request.request_id
    while True:
        m = client.receive()
        if m.WhichOneof("body") == "process_indication" and m.process_indication.state == pb.ACCEPTED:
            assert m.process_indication.request_id == request_id
            return None
        if m.WhichOneof("body") == "mc_service_user_setup_response":
            return m.mc_service_user_setup_response


def fill(client, users) -> tuple:
    """How many requests are accepted, and why no more are."""
    n = 0
    while n < 50:
        refused = refusal(client, {f"{n}.{k}": v for k, v in users.items()})
        if refused:
            assert refused.cause == pb.TOO_MANY_IN_FLIGHT and refused.origin == pb.HOME_ACMS
            return n, refused.detail
        n += 1
    raise AssertionError("no bound")


def test_who_fills_its_share_leaves_the_others_theirs(world):
    """After a restart, too; and whatever an ACMC has asked twice counts once."""
    home, fake = home_and_fake(world)
    other = home.acmc("other")
    home.config["limits"]["max_unfinished_requests"] = 12
    home.reload()
    fake.go_away()
    client = home.client(home.admin)
    assert fill(client, one("a")) == (3, "too many requests of this ACMC are unfinished")
    first = next(iter(client.asked.values()))
    client.send(pb.Message(mc_service_user_setup_request=first))
    assert client.indication(pb.ACCEPTED, first.request_id)
    assert refusal(home.client(other), one("b")) is None
    home.stop()
    home.start()
    assert refusal(home.client(home.admin), one("c"))
    assert fill(home.client(other), one("d"))[0] == 2
    fake.come_back()
    client = home.client(home.admin)
    wait_for(lambda: not client.requests(unfinished_only=True).entries, "all are answered")
    fake.go_away()
    assert fill(client, one("e"))[0] == 3


def test_large_requests_count_by_their_bytes(world):
    """A quarter of a MiB each; of one ACMC 1 MiB, of all 2."""
    home, fake = home_and_fake(world)
    other, third = home.acmc("other"), home.acmc("third")
    home.config["limits"].update(max_unfinished_bytes="2 MiB", max_unfinished_bytes_per_acmc="1 MiB")
    home.reload()
    fake.go_away()
    n, why = fill(home.client(home.admin), WIDE)
    assert 3 <= n <= 5 and why == "the unfinished requests of this ACMC take too much room"
    assert fill(home.client(other), WIDE) == (n, why)
    home.stop()
    home.start()
    assert fill(home.client(home.admin), WIDE) == (0, why)
    assert fill(home.client(other), WIDE) == (0, why)
    m, why = fill(home.client(third), WIDE)
    assert m <= 2 and why == "unfinished requests take too much room"


WATCHES = 10000


def accept_many(client, n: int) -> list:
    """So many requests, whose IDs are returned."""
    ids = []
    while len(ids) < n:
        batch = [request([FAKE], one("m")) for _ in range(min(200, n - len(ids)))]
        client.send_raw(b"".join(frame(m.SerializeToString()) for m in batch))
        for m in batch:
            ids.append(m.mc_service_user_setup_request.request_id)
            client.indication(pb.ACCEPTED, ids[-1])
    return ids


def test_a_connection_watches_so_many_requests_and_each_once(world):
    home, fake = home_and_fake(world)
    home.config["limits"]["max_unfinished_requests_per_acmc"] = 2 * WATCHES
    home.reload()
    fake.go_away()
    client, other = home.client(home.admin), home.client(home.admin)
    ids = accept_many(client, WATCHES)
    refused = refusal(client, one("n"))
    assert refused.cause == pb.TOO_MANY_IN_FLIGHT and "this connection waits for" in refused.detail
    assert refusal(other, one("n")) is None  # another has its own
    more = accept_many(other, 1)[0]
    for _ in range(3):  # what it watches already counts no more
        assert client.delivery(ids[0], FAKE, follow=True).state == pb.QUEUED
    page = client.requests(request_id=more, follow=True)
    assert page.cause == pb.TOO_MANY_IN_FLIGHT and not page.entries
    assert client.delivery(more, FAKE).state == pb.QUEUED


@pytest.mark.parametrize("users, cause", [({f"{'x' * 150}{i}@elsewhere.example": [] for i in range(1000)}, pb.IDENTITY_NOT_PERMITTED),
                                          ({f"{'x' * 150}{i}\n": [] for i in range(1000)}, pb.INVALID_MC_ID)])
def test_what_concerns_every_target_is_named_once(world, users, cause):
    """5.4: with the first target in bytewise order; 100 targets make no 100 copies."""
    home, _ = home_and_fake(world)
    client = home.client(home.admin)
    targets = [f"t{i:02}.example" for i in range(99)] + ["a\n\u202e" + "b" * 900]
    for dry_run in (False, True):
        message = request(targets, users, dry_run=dry_run)
        size = len(message.SerializeToString())
        client.send(message)
        answers = [client.receive().mc_service_user_setup_response for _ in targets]
        assert [a.mc_system_id for a in answers] == sorted(targets) and {a.cause for a in answers} == {cause}
        assert [len(a.identity_causes) for a in answers] == [1000] + [0] * 99
        assert {a.detail[:40] for a in answers[1:]} == {"the identities are named in the response"}
        assert all(a.detail.isprintable() and len(a.detail) <= 512 for a in answers)
        assert sum(len(a.SerializeToString()) for a in answers) < 2 * size
    assert [len(client.setup([t], users).identity_causes) for t in targets[:2]] == [1000, 1000]
    client.ping()


UNDER_WAY, WAITING = 32, 256


def users_query(token: int, mark: str) -> bytes:
    message = pb.Message()
    message.users_query.token = token
    message.users_query.mc_system_id = FAKE
    message.users_query.mc_id_list.append(mark)
    return frame(message.SerializeToString())


def page_of(query) -> bytes:
    message = pb.Message()
    message.users_page.token = query.token
    return frame(message.SerializeToString())


def came_until_now(client) -> list:
    """What has come by the time that a Pong has."""
    got = []
    client.send(pb.Message(ping=pb.Ping(token=99)))
    while True:
        message = client.receive()
        if message.WhichOneof("body") == "pong":
            return got
        got.append(message)


def admitted(home, leaf):
    """A connection, if the party may have one more."""
    client = home.client(leaf)
    try:
        client.ping()
    except (Ended, AssertionError, OSError):
        return None
    return client


def test_acmcs_take_turns_with_what_they_ask_a_partner(world):
    """One that asks without end waits for itself alone; requests have their places; who has gone is not asked for."""
    home, fake = home_and_fake(world)
    other = home.acmc("other")
    home.config["limits"].update(partner_timeout="60 s", max_connections_per_peer=3)
    home.reload()
    came = []
    fake.answers["users_query"] = lambda link, query: came.append((link, query))

    def asked(mark):
        return sum(list(q.mc_id_list) == [mark] for _, q in came)

    hogs = [home.client(home.admin) for _ in range(3)]
    for hog in hogs:
        hog.send_raw(b"".join(users_query(i + 1, "hog") for i in range(150)))
    refused = [m.users_page for hog in hogs for m in came_until_now(hog)]
    assert len(refused) == 450 - UNDER_WAY - WAITING and {p.cause for p in refused} == {pb.TOO_MANY_IN_FLIGHT}
    client = home.client(other)
    assert client.setup([FAKE], one("h")).result
    client.send_raw(users_query(1, "other"))
    wait_for(lambda: asked("other") == 1, "another ACMC's query is asked")
    assert asked("hog") == UNDER_WAY
    for hog in hogs:
        hog.close()
    room = [wait_for(lambda: admitted(home, home.admin), "they have gone") for _ in hogs]
    assert len(room) == 3
    for link, query in came[:]:
        link.send_raw(page_of(query))
    assert client.page("users_page", 1).cause == pb.NO_CAUSE
    client.send_raw(users_query(2, "other"))
    wait_for(lambda: asked("other") == 2, "there is room")
    assert asked("hog") == UNDER_WAY


@pytest.mark.parametrize("most", [1, 4])
def test_queries_and_requests_share_the_places_of_a_partner(world, most):
    """Half of them each, whoever comes first; of one, in turns."""
    came, order = [], []

    def take(link, asked) -> None:
        came.append((link, asked))
        order.append(hasattr(asked, "token"))

    home, fake = home_and_fake(world, take, hello(FAKE, limits=limits(max_requests_in_flight=most)))
    fake.answers["users_query"] = take
    client, queries = home.client(home.admin), (most + 1) // 2
    client.send_raw(b"".join(users_query(i + 1, "q") for i in range(10)))
    wait_for(lambda: len(order) == queries, "half of the places")
    client.send_raw(b"".join(frame(request([FAKE], one(f"r{i}")).SerializeToString()) for i in range(10)))
    for _ in range(10):
        client.indication(pb.ACCEPTED)
    wait_for(lambda: len(order) == most, "requests have the others")
    assert sum(order) == queries
    for done in range(20):
        wait_for(lambda: len(came) > done, "more come")
        link, asked = came[done]
        if order[done]:
            link.send_raw(page_of(asked))
        else:
            agree(link, asked)
    assert sum(order) == 10 and len(order) == 20
    if most == 1:
        assert order == [True, False] * 10
