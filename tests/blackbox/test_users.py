"""acms users: whom it vouches for and when, and that what is exported can be imported."""

import json
import time

import pytest

from idm_store_reader import IdmStore, vouched
from systems import PACE, wait_for


@pytest.fixture
def fire(world):
    """A system that has not run yet; imports make the store."""
    system = world.system("fire.example")
    system.write_config()
    return system


def imported(system, tmp_path, text: str, name: str = "users.csv"):
    file = tmp_path / name
    file.write_text(text)
    return system.run("users", "import", str(file))


HEADER = "mc_id,mcptt,not_before,not_after,revision\n"


def test_not_vouched_for_outside_her_validity(fire, tmp_path):
    result = imported(fire, tmp_path, HEADER + "a@fire.example,sip:a@fire.example,,,\n"
                      "b@fire.example,sip:b@fire.example,+1h,2099-01-01,\n"
                      f"c@fire.example,sip:c@fire.example,,+{2 * PACE:.0f}s,\n")
    assert result.returncode == 0, result.stderr
    assert fire.run("users", "show", "a@fire.example").returncode == 0
    early = fire.run("users", "show", "b@fire.example")
    assert early.returncode == 1 and "b@fire.example of fire.example is not vouched for now: the validity begins at" in early.stderr
    assert "not after:   2099-01-01T00:00:00Z" in early.stdout  # she is shown all the same
    assert fire.run("users", "show", "c@fire.example").returncode == 0
    wait_for(lambda: fire.run("users", "show", "c@fire.example").returncode == 1, "c's validity ends")
    late = fire.run("users", "show", "--mc-service-id", "sip:c@fire.example", "--json")
    assert late.returncode == 1 and "the validity ended at" in late.stderr
    assert json.loads(late.stdout)["users"][0]["vouched"] is False
    listed = fire.run("users", "list")
    assert [line.split()[1] for line in listed.stdout.splitlines() if " yes " in line] == ["a@fire.example"]
    store = IdmStore(fire.store)
    store.check()
    now = int(time.time() * 1000)
    assert {mc_id: vouched(u, now) for (_, mc_id), u in store.users().items()} == {
        "a@fire.example": True, "b@fire.example": False, "c@fire.example": False}
    store.close()
    fire.start()  # a server removes what has expired, and says so in the audit log
    wait_for(lambda: ("fire.example", "c@fire.example") not in fire.users(), "c is removed")
    assert json.loads(fire.run("audit", "export").stdout)[-1]["action"] == "expire"
    assert fire.run("audit", "verify").returncode == 0


def test_an_export_is_imported_again(world, fire, tmp_path):
    assert imported(fire, tmp_path, HEADER + "a@fire.example,sip:a@fire.example sip:aa@fire.example,2030-01-02T03:04:05Z,,\n"
                    "b@fire.example,,,2099-12-31,\nc@fire.example,tel:+491,,,\n").returncode == 0
    exported = fire.run("users", "export").stdout
    other = world.system("fire2.example")
    other.config["mc_system_id"] = "fire.example"
    other.write_config()
    result = imported(other, tmp_path, exported, "users.json")
    assert result.returncode == 0, result.stderr
    kept = ("mc_id", "mc_service_ids", "not_before", "not_after", "revision")
    assert [{k: u.get(k) for k in kept} for u in json.loads(exported)["users"]] == \
           [{k: u.get(k) for k in kept} for u in other.users().values()]
    again = imported(other, tmp_path, exported, "users.json")  # says what is there: nothing changes
    assert again.returncode == 0 and {u["revision"] for u in other.users().values()} == {1}


def test_a_revision_guards(fire, tmp_path):
    assert imported(fire, tmp_path, HEADER + "a@fire.example,sip:a@fire.example,,2099-01-01,\nb@fire.example,,,,\n").returncode == 0
    changed = imported(fire, tmp_path, HEADER + "a@fire.example,sip:a2@fire.example,,,1\n")
    assert changed.returncode == 0, changed.stderr
    a = fire.users()["fire.example", "a@fire.example"]
    assert a["revision"] == 2 and "not_after" not in a  # exactly what the file says
    refused = imported(fire, tmp_path, HEADER + "a@fire.example,sip:a3@fire.example,,,1\nb@fire.example,sip:b@fire.example,,,1\n")
    assert refused.returncode == 1 and "REVISION_MISMATCH" in refused.stderr and "a@fire.example" in refused.stderr
    users = fire.users()
    assert users["fire.example", "a@fire.example"]["revision"] == 2
    assert users["fire.example", "b@fire.example"]["revision"] == 1  # all or nothing
    assert imported(fire, tmp_path, HEADER + "new@fire.example,,,,7\n").returncode == 0  # not there: made
    store = IdmStore(fire.store)
    store.check()
    store.close()
    assert {e["action"] for e in json.loads(fire.run("audit", "export").stdout)} == {"import"}


def test_no_users_of_others_are_imported(fire, tmp_path):
    users = {"users": [{"mc_id": "x@police.example", "home": "police.example"}, {"mc_id": "a@fire.example", "home": "fire.example"}]}
    refused = imported(fire, tmp_path, json.dumps(users, indent=1), "users.json")
    assert refused.returncode == 1 and "x@police.example: is of another home MC system" in refused.stderr
    assert fire.users() == {}


def test_a_validity_that_is_over_is_refused(fire, tmp_path):
    assert imported(fire, tmp_path, HEADER + "a@fire.example,,,2001-01-01,\n").returncode == 1
    assert imported(fire, tmp_path, HEADER + "a@fire.example,,2031-01-01,2030-01-01,\n").returncode == 1
    assert fire.users() == {}


@pytest.mark.parametrize("text, line, said", [
    ('{"users": [\n{"mc_id": "q\\ud800x@fire.example"}]}', 2, "half a surrogate pair"),
    ('{"users": [{"mc_id": "a@fire.example",\n"mc_id": "b@fire.example"}]}', 2, "mc_id: this key is there twice"),
    ('{"users": [{"mc_id": "a@fire.example"}],\n\n"users": [{"mc_id": "b@fire.example"}]}', 3, "users: this key is there twice")])
def test_json_that_means_two_things(fire, tmp_path, text, line, said):
    result = imported(fire, tmp_path, text, "users.json")
    assert result.returncode != 0 and f"users.json:{line}: " in result.stderr and said in result.stderr
    assert fire.run("users", "export").returncode != 0 or not fire.users()
