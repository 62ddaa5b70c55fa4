"""What a peak took is given back when those who caused it have gone."""

import os
import threading

import pytest

from acx_peer import frame, now_ms, pb, request
from systems import SANITIZED, WRAPPER, wait_for

HOME, FIRE = "police.example", "fire.example"
OUTSIDE = {f"{'x' * 200}{i}@elsewhere.example": [] for i in range(1000)}


def anonymous_mib(process) -> float:
    with open(f"/proc/{process.pid}/statm") as statm:
        _, resident, shared, *_ = statm.read().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE") / 2 ** 20


CLIENTS, EACH = 16, 32


def refused_in_bulk(fire, leaf, causes: list, peak_seen: threading.Event) -> None:
    client = fire.client(leaf, system=HOME)
    messages = [request([FIRE], OUTSIDE, expires=now_ms(3600)) for _ in range(EACH)]
    client.send_raw(b"".join(frame(m.SerializeToString()) for m in messages))
    peak_seen.wait(60)
    causes.extend(client.response(m.mc_service_user_setup_request.request_id).cause for m in messages)
    client.close()


@pytest.mark.skipif(SANITIZED or bool(WRAPPER), reason="theirs is another allocator")
def test_memory_returns_after_a_peak(world):
    """Requests of 1,000 identities, and answers of as many causes that are not read at once."""
    home, fire = world.system(HOME), world.system(FIRE)
    fire.partner(home, address=False)
    fire.config["limits"]["max_queued_bytes"] = "256 MiB"
    fire.start()
    fire.client(home.leaf, system=HOME).ping()
    before = anonymous_mib(fire.process)
    causes, peak_seen = [], threading.Event()
    threads = [threading.Thread(target=refused_in_bulk, args=(fire, home.leaf, causes, peak_seen)) for _ in range(CLIENTS)]
    for t in threads:
        t.start()
    wait_for(lambda: anonymous_mib(fire.process) > before + 24, "answers wait that nobody reads")
    peak_seen.set()
    for t in threads:
        t.join()
    assert causes == [pb.OUTSIDE_NAMESPACE] * CLIENTS * EACH
    wait_for(lambda: anonymous_mib(fire.process) < before + 17, "what was freed is given back", 40)
