"""Request IDs that several home systems have: acmc decides about the one that is meant, or about none."""

import json
import subprocess
import uuid

import pytest

from acx_peer import pb, request
from systems import BUILD, WRAPPER

HOME, RAIL, SEA = "police.example", "rail.example", "sea.example"


class Place:
    """rail.example, where two systems' requests wait for one ACMC; it asks police.example, too, where its own would wait."""

    def __init__(self, world):
        self.rail, self.home, self.sea = (world.system(n) for n in (RAIL, HOME, SEA))
        for home in (self.home, self.sea):
            self.rail.partner(home, provision={"mc_ids": [f"*@{home.name}"], "approval": {"setup": "manual"}, "decide_within": "1 h"},
                              address=home is self.home)
        self.home.partner(self.rail, address=False)
        self.config = self.rail.acmc_config(self.rail.acmc("ops", approves=[HOME, SEA]))
        for system in (self.home, self.rail):
            system.start()
        self.rail.wait_log(f"partner {HOME}: up")

    def hold(self, system, request_id: str) -> None:
        """A request of that home system, which waits for a decision then."""
        client = self.rail.client(system.leaf, system=system.name)
        client.send(request([RAIL], {f"quin@{system.name}": []}, request_id=uuid.UUID(request_id).bytes))
        client.indication(pb.PENDING)
        client.close()

    def run(self, *words, code: int = 0) -> subprocess.CompletedProcess:
        result = subprocess.run([*WRAPPER, BUILD / "acmc", words[0], "-c", self.config, *words[1:]], capture_output=True,
                                text=True, timeout=60)
        assert result.returncode == code, (words, result.returncode, result.stdout, result.stderr)
        return result

    def waiting(self, request_id: str) -> list[dict]:
        return json.loads(self.run("show", "--json", request_id).stdout)["pending"]


@pytest.fixture
def place(world):
    return Place(world)


def test_two_that_wait_and_then_one(place):
    """Each target of a request sees its ID, and can file one of its own under it."""
    id_ = str(uuid.uuid4())
    place.hold(place.home, id_)
    assert not place.waiting(id_)[0].get("also_of_others")
    place.hold(place.sea, id_)
    shown = place.run("show", id_)
    assert f"{HOME}: {id_}" in shown.stdout and f"{SEA}: {id_}" in shown.stdout and "--from" in shown.stderr
    both = place.waiting(id_)
    assert [e["mc_system_id"] for e in both] == [HOME, SEA] and all(e["also_of_others"] for e in both)
    assert "quin@police.example" not in shown.stdout and "quin@police.example" in place.run("show", "--from", HOME, id_).stdout
    for words in ("approve",), ("reject", "--reason", "no"):
        refused = place.run(*words, id_, code=2)
        assert HOME in refused.stderr and SEA in refused.stderr and "--from" in refused.stderr
    failed = json.loads(place.run("approve", "--json", id_, code=2).stdout)
    assert failed["exit_code"] == 2 and "--from" in failed["failure"]
    assert len(place.waiting(id_)) == 2 and not place.rail.users()
    assert "approved and done" in place.run("approve", "--from", HOME, id_).stdout
    # the same command once more would be about the other one
    refused = place.run("approve", id_, code=2)
    assert SEA in refused.stderr and "--from" in refused.stderr
    assert [(e["mc_system_id"], e["also_of_others"]) for e in place.waiting(id_)] == [(SEA, True)]
    assert list(place.rail.users()) == [(HOME, f"quin@{HOME}")]
    place.run("reject", "--from", SEA, "--reason", "whose?", id_)
    assert "UNKNOWN_REQUEST" in place.run("approve", id_, code=1).stderr


def test_one_that_comes_after_the_other_was_decided(place):
    """'once the first is decided, the same command approves the other's'"""
    id_ = str(uuid.uuid4())
    place.hold(place.home, id_)
    assert "approved and done" in place.run("approve", id_).stdout
    place.hold(place.sea, id_)
    refused = place.run("approve", id_, code=2)
    assert f"waiting now: {SEA}" in refused.stderr and list(place.rail.users()) == [(HOME, f"quin@{HOME}")]


def test_one_of_our_own(place):
    """A partner that is asked under an ID can ask under it itself."""
    id_ = str(uuid.uuid4())
    place.run("setup", "--to", HOME, "--request-id", id_, f"own@{RAIL}")
    place.hold(place.home, id_)
    shown = place.run("show", id_)
    assert f"{HOME}: {id_}" in shown.stdout and "a request of our own has this ID, too" in shown.stderr
    assert "a request of our own" not in place.run("show", "--from", HOME, id_).stdout


def test_a_decision_names_the_home_system(place):
    id_ = uuid.uuid4()
    place.hold(place.home, str(id_))
    ops = place.rail.client(place.rail.ca.issue("ops2", ["URI:sip:ops@rail.example"]))
    assert ops.decide("", id_.bytes, True).cause == pb.MISSING_ELEMENT
    assert ops.decide(SEA, id_.bytes, True).cause == pb.UNKNOWN_REQUEST
    assert not place.rail.users() and ops.decide(HOME, id_.bytes, True).response.result
