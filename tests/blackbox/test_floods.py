"""What others can make a server send, keep and log is bounded: floods, and those who do not read what they are sent."""

import re
import time

import pytest

from acx_peer import Ended, FakePartner, frame, now_ms, pb, request, true_response
from systems import SANITIZED, wait_for

FLOOD = 900  # less than what a partner is parted from for: test_unasked.py


def home_with(world, script):
    home, system = world.system("police.example"), world.system("fake.example")
    home.admin = home.acmc()
    leaf = system.ca.issue("fake", ["DNS:acms.fake.example"])
    fake = FakePartner("fake.example", leaf, home.ca.cert_file, script)
    world.fakes.append(fake)
    home.partner(system, port=fake.port, provision=None)
    home.config["limits"].update(max_frame=65536, max_queued_bytes=1 << 20, partner_timeout="60 s")
    home.start()
    home.wait_log("partner fake.example: up")
    return home, fake


def pending(asked, until: int, detail: str = "") -> bytes:
    return frame(pb.Message(process_indication=pb.ProcessIndication(
        request_id=asked.request_id, mc_system_id="fake.example", state=pb.PENDING, until=until, detail=detail)).SerializeToString())


def indications(client, request_id: bytes) -> list:
    """Those before the response."""
    got = []
    while True:
        message = client.receive()
        if message.WhichOneof("body") == "mc_service_user_setup_response":
            return got
        if message.process_indication.state == pb.PENDING and message.process_indication.request_id == request_id:
            got.append(message.process_indication)


def test_what_is_said_again_and_again_is_told_once(world):
    """PENDING without a change costs home nothing: no message, no line."""
    until = now_ms(600)

    def script(link, asked):
        link.send_raw(pending(asked, until, "der Wachführer schläft") * FLOOD)
        link.send(true_response(asked, "fake.example", link))

    home, _ = home_with(world, script)
    client, before = home.client(home.admin), len(home.log())
    message = request(["fake.example"], {"a@police.example": []})
    client.send(message)
    told = indications(client, message.mc_service_user_setup_request.request_id)
    assert [(i.until, i.detail) for i in told] == [(until, "der Wachführer schläft")]
    assert len(home.log()) - before < 5000


def test_what_nobody_asked_for_again_is_told_to_nobody(world):
    """A partner says PENDING once for each time that it is asked."""
    until = now_ms(600)

    def script(link, asked):
        link.send_raw(b"".join(pending(asked, until + i) for i in range(FLOOD)))

    home, _ = home_with(world, script)
    client = home.client(home.admin)
    client.submit(["fake.example"], {"a@police.example": []})
    told = client.indication(pb.PENDING)
    assert told.until == until
    home.wait_log("nobody waits for")
    # who asks again is told how it stands, and nothing more
    other = home.client(home.admin)
    other.send(pb.Message(mc_service_user_setup_request=client.asked[told.request_id]))
    assert other.indication(pb.ACCEPTED).request_id == told.request_id
    assert other.indication(pb.PENDING).until == until
    for c in (client, other):
        c.ping()
        assert not [m for m in c.kept if m.process_indication.state == pb.PENDING]


def rss_mb(process) -> float:
    with open(f"/proc/{process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2 ** 20


def test_a_partner_that_does_not_read_pongs(world):
    """It is parted from at max_queued_bytes; others do not notice."""
    sent = []

    def script(link, asked):
        pings = frame(pb.Message(ping=pb.Ping(token=2 ** 63)).SerializeToString()) * 4000
        try:
            while sum(sent) < 64 << 20:  # of which the kernels keep some
                link.send_raw(pings)
                sent.append(len(pings))
        except (OSError, Ended):
            sent.append(-1)
        raise Ended("enough")

    home, _ = home_with(world, script)
    client = home.client(home.admin)
    client.submit(["fake.example"], {"a@police.example": []})
    wait_for(lambda: "does not read what it is sent" in home.log(), "it is parted from", 60)
    client.ping()
    assert sum(sent) < 64 << 20
    assert SANITIZED or rss_mb(home.process) < 60


def test_who_asks_and_never_reads_is_not_read_either(world):
    """Pings without end on a connection whose Pongs nobody takes: they wait in the kernel."""
    home = world.system("police.example")
    admin = home.acmc()
    home.config["limits"].update(max_frame=65536, max_queued_bytes=1 << 20)
    home.start()
    deaf, other = home.client(admin), home.client(admin)
    deaf.sock.settimeout(1)
    pings, sent = frame(pb.Message(ping=pb.Ping(token=2 ** 63)).SerializeToString()) * 4000, 0
    with pytest.raises(OSError):
        while sent < 64 << 20:
            deaf.send_raw(pings)
            sent += len(pings)
    other.ping()
    assert SANITIZED or rss_mb(home.process) < 60
    assert "does not read" not in home.log()  # it was asked no more than it could answer
    deaf.close()
    other.ping()


def lines(home, pattern: str) -> int:
    return len(re.findall(pattern, home.log(), re.M))


LIMIT = 20  # in 10 s


def test_connections_that_are_refused_cannot_fill_the_log(world):
    home = world.system("police.example")
    admin, other = home.acmc(), home.acmc("other")
    home.start()
    start = time.monotonic()
    for _ in range(5 * LIMIT):
        c = home.client(admin)
        c.send(pb.Message(pong=pb.Pong(token=1)))
        c.send_raw(b"\0\0\0\0")
        assert c.receive_close().cause == pb.MALFORMED_MESSAGE
        c.close()
    periods = (time.monotonic() - start) // 10 + 2
    assert lines(home, "ACMC control-room .*MALFORMED_MESSAGE") <= LIMIT * periods
    c = home.client(other)  # another party has its own
    c.send_raw(b"\0\0\0\0")
    assert c.receive_close().cause == pb.MALFORMED_MESSAGE
    home.wait_log("ACMC other (")
    wait_for(lambda: re.search(r"ACMC control-room: \d+ more lines about its connections were left out", home.log()),
             "they are summed up")
    left = sum(int(n) for n in re.findall(r"ACMC control-room: (\d+) more lines about its conn", home.log()))
    assert left + lines(home, "ACMC control-room .*MALFORMED_MESSAGE") == 5 * LIMIT


def test_requests_that_are_refused_cannot_fill_the_log(world):
    home = world.system("police.example")
    admin = home.acmc()
    home.start()
    client, start = home.client(admin), time.monotonic()
    for _ in range(20 * LIMIT):
        assert not client.setup(["nowhere.example"], {"a@police.example": []}).result
    periods = (time.monotonic() - start) // 10 + 2
    assert lines(home, "request .* ACMC control-room") <= LIMIT * periods
    wait_for(lambda: "more lines about its requests were left out" in home.log(), "they are summed up")
