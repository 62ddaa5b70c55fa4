"""What a partner sends that nobody asked for costs little, and ends (PROTOCOL.md 9)."""

import pytest

from acx_peer import frame, new_id, now_ms, pb, true_response
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
    client, n, expires = home.client(home.admin), 100, soon(6)
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
