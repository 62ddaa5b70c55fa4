"""Whose answer is whose, and what fits whom: cases that a review found."""

import pytest

from acx_peer import FakePartner, agree, hang_up, hello, in_turn, limits, new_id, now_ms, pb, pend, refusal, request, silent
from systems import soon, wait_for

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
    assert answer.result and answer.done
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


def test_a_page_fits_the_frames_of_who_asked(world):
    """One that takes small frames gets as many entries as fit."""
    home, fake = fake_of(world, refusal(pb.REJECTED, detail="x" * 512))
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    asker = home.client(home.admin)
    for n in range(150):
        asker.submit([PARTNER], user(n))
    for n in range(150):
        asker.response()
    client = home.client(home.admin, say_hello=False)
    client.send(hello(limits=limits(max_frame_bytes=65536)))
    assert client.receive().hello
    seen, after, sizes = 0, b"", []
    while True:
        page = client.requests(after=after) if after else client.requests()
        sizes.append(page.ByteSize())
        seen += len(page.entries)
        if not page.more:
            break
        after = page.entries[-1].request_id
    assert seen == 150 and max(sizes) < 65536 and len(sizes) > 1


def test_a_page_that_cannot_fit_is_not_sent(world):
    """A single request's entry with all its lists: said, instead of breaking the connection."""
    home, fake = fake_of(world)
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    asker = home.client(home.admin)
    users = {f"{'a' * 180}{n}@police.example": [] for n in range(600)}
    asker.submit([PARTNER], users, request_id=(rid := new_id()))
    assert asker.response(rid).result
    client = home.client(home.admin, say_hello=False)
    client.send(hello(limits=limits(max_frame_bytes=65536)))
    assert client.receive().hello
    page = client.requests(request_id=rid)
    assert page.cause == pb.TOO_MANY_IDENTITIES and not page.entries
    client.ping()


def test_a_query_too_long_for_the_partner_is_not_sent(world):
    home, fake = fake_of(world, greeting=hello(PARTNER, limits=limits(max_frame_bytes=65536)))
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client = home.client(home.admin)
    page = client.users(PARTNER, mc_id_list=[f"{'b' * 200}{n}" for n in range(1000)])
    assert page.cause == pb.PARTNER_LIMIT
    assert not fake.closes and len(fake.links) == 1


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


def test_no_indication_to_version_1(world):
    home, partner = manual(world)
    link = partner.client(home.leaf, system=home.name)
    rid = new_id()
    link.send(request([PARTNER], user(), rid))
    assert link.indication(pb.PENDING, rid)
    old = partner.client(home.leaf, system=home.name, version=1)
    answer = old.setup([PARTNER], user(), request_id=rid)
    assert answer.cause == pb.STORE_UNAVAILABLE and answer.detail


def test_following_again_takes_the_place_of_following(world):
    home, partner = manual(world)
    link = partner.client(home.leaf, system=home.name)
    admin = partner.client(partner.admin)
    for _ in range(20):
        assert not admin.pending(follow=True).entries
    link.send(request([PARTNER], user(), new_id()))
    assert link.indication(pb.PENDING)
    assert admin.page("pending_page", admin.tokens).entries
    admin.ping()


def test_a_repetition_after_its_time_is_told_the_answer(world):
    """What was done in time was done, however late somebody asks."""
    home, fake = fake_of(world)
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client, rid, expires = home.client(home.admin), new_id(), soon(2)
    client.submit([PARTNER], user(), request_id=rid, expires=expires)
    assert client.response(rid).result
    wait_for(lambda: now_ms() > expires, "its time is over")
    assert client.submit([PARTNER], user(), request_id=rid, expires=expires).until == expires
    assert client.response(rid).result
    assert client.setup([PARTNER], user(1), expires=expires).cause == pb.REQUEST_EXPIRED
    assert client.setup([PARTNER], user(1), expires=expires, dry_run=True).cause == pb.REQUEST_EXPIRED
    assert len(fake.requests) == 1


come_later = refusal(pb.STORE_UNAVAILABLE)


@pytest.mark.parametrize("script", [silent, pend, come_later, hang_up, None],
                         ids=["sent", "held", "resting", "lost", "queued"])
def test_a_partner_taken_out_and_put_back(world, script):
    """Wherever the request was by then, it goes on."""
    home, fake = fake_of(world, in_turn(script, agree) if script else agree)
    home.start()
    home.wait_log(f"partner {PARTNER}: up")
    client, rid = home.client(home.admin), new_id()
    if not script:
        fake.go_away()
    client.submit([PARTNER], user(), request_id=rid)
    wait_for(lambda: fake.requests or not script, "it arrives")
    if script is come_later:
        wait_for(lambda: "says" in client.delivery(rid, PARTNER).detail, "its answer was looked at")
    rule = home.config["partners"].pop()
    for again in range(3):
        home.reload()
        if not again and script is not hang_up:  # or else it may have been repeated, and answered, by then
            delivery = client.delivery(rid, PARTNER)
            assert delivery.state == pb.QUEUED and "configured" in delivery.detail
        home.config["partners"].append(rule)
        home.reload()
        home.config["partners"].pop()
    home.config["partners"].append(rule)
    home.reload()
    if not script:
        fake.come_back()
    assert client.response(rid).result
    client.ping()
