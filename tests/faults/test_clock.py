"""A partner, or a home, whose clock is wrong (faketime)."""

import re
from pathlib import Path

import pytest

from acx_peer import pb
from asking import Asker


def shift(system, offset: str) -> None:
    """The wall clock only. Not by the program faketime, which would stand between us and acms."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    system.environment = {"LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def times_of(detail: str) -> list:
    return re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", detail)


def test_partner_is_ahead_beyond_the_deadline(hosts):
    """By its clock all requests come too late: refused, and the detail shows both clocks."""
    hosts.home.config["limits"]["request_deadline"] = "1 h"
    shift(hosts.fire, "+2h")
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(3))
    for a in asker.asked.values():
        assert (a.answer.cause, a.answer.origin) == (pb.REQUEST_EXPIRED, pb.PARTNER_ACMS)
        assert len(times_of(a.answer.detail)) == 2, a.answer.detail
    asker.check()


def test_partner_is_behind_by_minutes(hosts):
    """Less than five do not matter."""
    hosts.home.config["limits"]["request_deadline"] = "1 h"
    shift(hosts.fire, "-4m")
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(10))
    asker.check()
    assert asker.done() == 10


def test_partner_is_behind_by_weeks(hosts):
    """The deadline is out of reason by its clock: refused, not kept for long."""
    for system in (hosts.home, hosts.fire):  # certificates that were valid then
        system.leaf = system.ca.issue("acms", [f"DNS:acms.{system.name}", "DNS:localhost"], start=-60)
    shift(hosts.fire, "-20d")
    hosts.home.config["limits"]["request_deadline"] = "15 d"
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(3))
    for a in asker.asked.values():
        assert (a.answer.cause, a.answer.origin) == (pb.REQUEST_EXPIRED, pb.PARTNER_ACMS)
        assert len(times_of(a.answer.detail)) == 2, a.answer.detail
    asker.check()


def test_clock_is_put_right(hosts):
    """What was refused for the clock is done when it is asked again, after the clock was put right."""
    hosts.home.config["limits"]["request_deadline"] = "1 h"
    shift(hosts.fire, "+2h")
    hosts.start()
    asker = Asker(hosts)
    asker.all_answered(asker.ask(3))
    hosts.fire.stop()
    hosts.fire.environment = {}
    hosts.fire.start()
    asker.all_answered(asker.ask(3))
    asker.check()
    assert asker.done() == 3
