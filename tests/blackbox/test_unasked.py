"""What a partner sends that nobody asked for costs little, and ends (PROTOCOL.md 9)."""

import pytest

from acx_peer import Link, agree, frame, grouped, hello, limits, new_id, now_ms, pb, request, silent, true_response
from systems import soon, wait_for
from test_links import FAKE, USER, home_and_fake


def response(_n) -> "pb.Message":
    """TRUE without a receipt, of a request that there is none of."""
    asked = pb.McServiceUserSetupRequest(request_id=new_id(), mc_id_list=["x@police.example"])
    return true_response(asked, FAKE)


def transient(_n) -> "pb.Message":
    message = response(0)
    message.mc_service_user_setup_response.result = False
    message.mc_service_user_setup_response.cause = pb.STORE_UNAVAILABLE
    return message


def indication(_n) -> "pb.Message":
    return pb.Message(process_indication=pb.ProcessIndication(request_id=new_id(), mc_system_id=FAKE, state=pb.PENDING,
                                                              until=now_ms(600)))


def page(n: int) -> "pb.Message":
    return pb.Message(users_page=pb.UsersPage(token=n + 1000))


def pong(n: int) -> "pb.Message":
    return pb.Message(pong=pb.Pong(token=n + 1000))


KINDS = [response, transient, indication, page, pong]


def send(fake, kind, n: int) -> None:
    """In one go; home may hang up meanwhile."""
    data = b"".join(frame(kind(i).SerializeToString()) for i in range(n))
    try:
        fake.links[-1].send_raw(data)
    except OSError:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_who_sends_much_that_nobody_asked_for_is_parted_from(world, kind):
    home, fake = home_and_fake(world)
    client = home.client(home.admin)
    assert client.setup([FAKE], USER).result
    links = len(fake.links)
    send(fake, kind, 999)
    assert client.setup([FAKE], USER).result  # which somebody has asked for: counting begins anew
    send(fake, kind, 999)
    assert client.setup([FAKE], USER).result
    assert len(fake.links) == links and not fake.closes
    send(fake, kind, 5000)
    wait_for(lambda: fake.closes, "Close")
    assert fake.closes[0].cause == pb.UNEXPECTED_MESSAGE
    wait_for(lambda: len(fake.links) > links, "another connection")
    assert client.setup([FAKE], USER).result
    lines = [line for line in home.log().splitlines() if "nobody waits for" in line]
    assert 0 < len(lines) < 200, len(lines)
    assert len(home.log()) < 100000


def test_unchanged_indications_are_told_once(world):
    """A request that is held is told of once for each time that it is sent."""
    def script(link, asked) -> None:
        for _ in range(500):
            link.send(pb.Message(process_indication=pb.ProcessIndication(
                request_id=asked.request_id, mc_system_id=FAKE, state=pb.PENDING, until=now_ms(600))))
    home, fake = home_and_fake(world, script)
    client = home.client(home.admin)
    request_id = client.submit([FAKE], USER).request_id
    assert client.indication(pb.PENDING, request_id)
    wait_for(lambda: "more messages that nobody waits for" in home.log(), "the others came, too", 40)
    client.ping()
    assert not [m for m in client.kept if m.process_indication.state == pb.PENDING]


def test_a_burst_of_late_answers_counts(world):
    """They take the place of home's own, one by one, however many come at once."""
    held = []
    home, fake = home_and_fake(world, lambda link, asked: held.append((link, asked)), timeout="60 s")
    client, n, expires = home.client(home.admin, timeout=60), 100, soon(6)
    ids = [client.submit([FAKE], {f"late{i}@police.example": []}, expires=expires).request_id for i in range(n)]
    wait_for(lambda: len(held) == n, "all at the partner")
    assert {client.response().cause for _ in ids} == {pb.PARTNER_TIMEOUT}
    data = b""
    for link, asked in held:
        message = true_response(asked, FAKE, link)
        data += frame(message.SerializeToString())
    held[0][0].send_raw(data)
    wait_for(lambda: all(client.delivery(i, FAKE).response.result for i in ids), "the late answers count", 40)
    assert len(fake.links) == 1 and not fake.closes


# --- and what we send unasked ---


SMALL = 65536


def small(at, leaf, **more):
    """A connection that takes frames of 64 KiB."""
    client = at.client(leaf, say_hello=False, **more)
    Link.send(client, hello(more.get("system"), limits=limits(max_frame_bytes=SMALL)))
    client.hello = client.receive().hello
    return client


def sizes_until_pong(client) -> list[int]:
    client.send(pb.Message(ping=pb.Ping(token=99)))
    sizes = []
    while True:
        message = client.receive()
        sizes.append(len(client.payload))
        if message.WhichOneof("body") == "pong":
            return sizes


def test_a_follower_is_sent_no_longer_frame_than_it_takes(world):
    home, fake = home_and_fake(world)
    fake.script = silent
    client = home.client(home.admin)
    users = {f"{'f' * 150}{n}@police.example": [] for n in range(500)}
    request_id = client.submit([FAKE], users).request_id
    follower = small(home, home.admin)
    assert follower.requests(request_id=request_id, follow=True).entries
    wait_for(lambda: fake.requests, "it arrives")
    agree(fake.links[-1], fake.requests[0])
    assert client.response(request_id).result
    assert max(sizes_until_pong(follower)) <= SMALL
    assert follower.requests(request_id=request_id).cause == pb.TOO_MANY_IDENTITIES


def test_a_home_system_is_pushed_no_longer_frame_than_it_takes(world):
    home, partner = world.system("police.example"), world.system("fire.example")
    partner.admin = partner.acmc(approves=["police.example"])
    partner.partner(home, address=False)["provision"]["approval"] = {"setup": "manual"}
    partner.start()
    large, other = partner.client(home.leaf, system=home.name), small(partner, home.leaf, system=home.name)
    users = {f"{'p' * 150}{n}@elsewhere.example": [] for n in range(500)}
    message = request(["fire.example"], {"one@police.example": [], **users}, best_effort=True)
    request_id = message.mc_service_user_setup_request.request_id
    large.send(message)
    assert large.indication(pb.PENDING, request_id)
    admin = partner.client(partner.admin)
    assert admin.decide(home.name, request_id, True).cause == pb.NO_CAUSE
    assert large.response(request_id).cause == pb.PARTLY_DONE
    assert max(sizes_until_pong(other)) <= SMALL


def test_home_takes_no_request_whose_response_might_not_fit(world):
    """As a partner does: it could not tell its ACMC."""
    home, fake = home_and_fake(world)
    client = small(home, home.admin)
    users = {f"{'s' * 200}{n}@police.example": [(1, f"sip:{n}.{k}@police.example") for k in range(12)] for n in range(25)}
    message = grouped(request([FAKE], users))
    assert message.ByteSize() < SMALL // 4
    answer = client.ask(message)
    assert (answer.cause, answer.origin) == (pb.TOO_MANY_IDENTITIES, pb.HOME_ACMS) and not fake.requests
    assert home.client(home.admin).ask(message).result
