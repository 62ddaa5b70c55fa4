"""Whose answer is whose, and what fits whom: cases that a review found."""

from acx_peer import FakePartner, agree, limits, new_id, pb, refusal, request, silent
from systems import wait_for

PARTNER = "fire.example"


def user(n: int = 0) -> dict:
    return {f"u{n}@police.example": []}


def fake_of(world, script=agree, **more):
    """A running home with an ACMC and a scripted partner."""
    home, partner = world.system("police.example"), world.system(PARTNER)
    home.admin = home.acmc()
    fake = FakePartner(partner.name, partner.leaf, home.ca.cert_file, script, **more)
    fake.context.load_verify_locations(home.ca.cert_file)
    world.fakes.append(fake)
    home.partner(partner, port=fake.port, provision=None)
    return home, fake




def test_a_dry_run_does_not_answer_for_the_request_of_the_same_id(world):
    """A dry run does not use its ID up; the request proper must not get its answer, nor lose its own."""
    held = []
    home, fake = fake_of(world, lambda link, asked: held.append((link, asked)))
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client, rid = home.client(home.admin), new_id()
    client.send(request([PARTNER], user(), rid, dry_run=True))
    wait_for(lambda: held, "the dry run arrives")
    client.send(request([PARTNER], user(), rid))
    answer = client.response(rid)
    assert (answer.result, answer.cause, answer.origin) == (False, pb.TOO_MANY_IN_FLIGHT, pb.HOME_ACMS)
    agree(*held[0])
    assert client.response(rid).result
    fake.script = agree
    client.submit([PARTNER], user(), request_id=rid)
    answer = client.response(rid)
    assert answer.result and answer.receipt
    assert [r.dry_run for r in fake.requests] == [True, False]


def test_a_dry_run_waits_for_the_request_of_the_same_id(world):
    home, fake = fake_of(world)
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client, rid = home.client(home.admin), new_id()
    # in one go: when the dry run is read, the other is on its way to disk
    client.send_raw(b"".join(len(p).to_bytes(4, "big") + p for p in (
        request([PARTNER], user(), rid).SerializeToString(),
        request([PARTNER], user(), rid, dry_run=True).SerializeToString())))
    answers = [client.response(rid), client.response(rid)]
    assert sorted((a.result, a.cause) for a in answers) == [(False, pb.TOO_MANY_IN_FLIGHT), (True, 0)]
    assert [r.dry_run for r in fake.requests] == [False]


def test_a_partner_that_asks_to_come_later_is_left_alone_for_a_while(world):
    import time
    times = []

    def script(link, asked):
        times.append(time.monotonic())
        (agree if len(times) > 2 else refusal(pb.STORE_UNAVAILABLE))(link, asked)
    home, fake = fake_of(world, script)
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client = home.client(home.admin)
    client.submit([PARTNER], user())
    assert client.indication(pb.DELAYED)
    assert client.response().result
    assert times[1] - times[0] >= 0.7 and times[2] - times[1] >= 1.4


def test_a_repetition_is_told_what_is_known_when_there_is_no_room(world):
    home, fake = fake_of(world, silent)
    home.config["limits"]["max_unfinished_requests"] = 1
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client, rid = home.client(home.admin), new_id()
    client.submit([PARTNER], user(), request_id=rid)
    answer = client.setup([PARTNER], user(1))
    assert answer.cause == pb.TOO_MANY_IN_FLIGHT
    answer = client.setup([PARTNER], user(1), dry_run=True)
    assert answer.cause == pb.TOO_MANY_IN_FLIGHT
    again = home.client(home.admin)
    assert again.submit([PARTNER], user(), request_id=rid).request_id == rid


def test_a_dry_run_ends_with_its_partner(world):
    """The administrator is not kept waiting for one that is no longer configured."""
    home, fake = fake_of(world, silent)
    home.config["limits"]["partner_timeout"] = "60 s"
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client = home.client(home.admin)
    client.send(request([PARTNER], user(), dry_run=True))
    wait_for(lambda: fake.requests, "it arrives")
    home.config["partners"] = []
    home.reload()
    fake.hang_up()
    assert client.response().cause == pb.PARTNER_CONNECTION_LOST


def manual(world):
    """A partner that decides by hand, its administrator, and a home system's connections."""
    home, partner = world.system("police.example"), world.system(PARTNER)
    partner.admin = partner.acmc(approves=["police.example"])
    rule = partner.partner(home, address=False)
    rule["provision"]["approval"] = {"setup": "manual"}
    partner.start()
    return home, partner
