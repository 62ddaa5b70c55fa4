"""What cannot be printed is no success: neither half a list nor a help text that nobody saw."""

import os
import subprocess

import pytest

from systems import BUILD, WRAPPER
from acx_peer import request

HOME, FIRE = "police.example", "fire.example"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    from conftest import World
    w = World(tmp_path_factory.mktemp("output"))
    home, fire = w.system(HOME), w.system(FIRE)
    admin = home.acmc()
    home.partner(fire, provision=None)
    fire.partner(home, address=False)
    fire.start()
    home.start()
    home.wait_log(f"partner {FIRE}: up")
    message = request([FIRE], {f"a@{HOME}": []})
    assert home.client(admin).ask(message).result
    w.acmc, w.acms = home.acmc_config(admin), fire.config_file
    w.id = message.mc_service_user_setup_request.request_id.hex()
    yield w
    w.end()


def run(words, config=None, **more) -> subprocess.CompletedProcess:
    words = [w if i else BUILD / w for i, w in enumerate(words)] + (["-c", config] if config else [])
    return subprocess.run([*WRAPPER, *words], stderr=subprocess.PIPE, text=True, errors="replace", timeout=60, **more)


def check(words, code: int, config=None) -> None:
    """It works, and would have said so had it not been for the output."""
    assert run(words, config, stdout=subprocess.PIPE).returncode == 0, words
    with open("/dev/full", "wb") as full:
        result = run(words, config, stdout=full)
    assert result.returncode == code and "standard output" in result.stderr, (words, result)
    assert result.stderr.count("standard output") == 1, result.stderr


ABOUT = [(p, *w) for p in ("acmc", "acms") for w in (["--help"], ["--version"], ["--usage"])] + [
    ("acmc", "setup", "--help"), ("acmc", "users", "--help"), ("acms", "print", "--help"), ("acms", "audit", "--help")]


@pytest.mark.parametrize("words", ABOUT, ids=" ".join)
def test_about_the_program(words):
    check(words, 5 if words[0] == "acmc" else 1)
    closed = run(words, preexec_fn=lambda: os.close(1))
    assert closed.returncode == (5 if words[0] == "acmc" else 1) and "standard output" in closed.stderr


ACMC = [["requests"], ["requests", "--json"], ["users", "--at", FIRE], ["users", "--at", FIRE, "--csv"],
        ["users", "--at", FIRE, "--json"], ["reconcile", "--with", FIRE], ["reconcile", "--with", FIRE, "--json"],
        ["status", "ID"], ["status", "--json", "ID"], ["wait", "ID"], ["setup", "--to", FIRE, f"b@{HOME}"],
        ["setup", "--to", FIRE, "--no-wait", f"b@{HOME}"], ["setup", "--to", FIRE, "--json", f"b@{HOME}"]]


@pytest.mark.parametrize("words", ACMC, ids=" ".join)
def test_acmc(place, words):
    check(["acmc", *(place.id if w == "ID" else w for w in words)], 5, place.acmc)


ACMS = [["print"], ["check"], ["health"], ["users", "list"], ["users", "list", "--json"], ["users", "export"],
        ["users", "show", f"a@{HOME}"], ["audit", "export"], ["audit", "export", "--format", "cbor"], ["audit", "verify"]]


@pytest.mark.parametrize("words", ACMS, ids=" ".join)
def test_acms(place, words):
    check(["acms", *words], 1, place.acms)


def test_nothing_that_is_opened_becomes_standard_output(place):
    """The store, say: what is printed would be written into it."""
    before = run(["acms", "users", "export"], place.acms, stdout=subprocess.PIPE).stdout
    assert run(["acms", "users", "export"], place.acms, preexec_fn=lambda: [os.close(fd) for fd in (0, 1)]).returncode == 1
    assert run(["acms", "users", "export"], place.acms, stdout=subprocess.PIPE).stdout == before
