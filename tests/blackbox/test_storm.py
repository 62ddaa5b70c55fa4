"""Everything at once: load, reloads of all kinds, partners killed and restarted. Nothing may crash, leak, or be answered twice."""

import copy
import random
import signal
import threading
import time

from acx_peer import Ended, request
from idm_store_reader import IdmStore
from systems import wait_for


class Load:
    """An administrator in a hurry; reconnects when thrown out. Knows what was answered TRUE."""

    def __init__(self, home, label: str):
        self.home, self.label, self.true, self.stopping = home, label, set(), False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        n = 0
        while not self.stopping:
            try:
                client = self.home.client(self.home.admin)
                while not self.stopping:
                    n = self.ask(client, n)
            except (Ended, OSError):
                time.sleep(0.01)

    def ask(self, client, n: int) -> int:
        for i in range(n, n + 8):
            mc_id = f"{self.label}-{i}@police.example"
            client.send(request(["fire.example", "rail.example"], {mc_id: [(1, f"sip:{mc_id}")]}))
        seen = set()
        for _ in range(16):
            answer = client.response()
            assert (answer.request_id, answer.mc_system_id) not in seen
            seen.add((answer.request_id, answer.mc_system_id))
            if answer.result:
                self.true.add((answer.mc_system_id, answer.mc_ids[0]))
        return n + 8

    def stop(self) -> set:
        self.stopping = True
        self.thread.join()
        return self.true


def change(config: dict, choice: int, fire_port: int) -> None:
    if choice == 0:
        config["partners"].pop()
    elif choice == 1:
        config["partners"][0]["address"] = f"localhost:{fire_port}"
    elif choice == 2:
        config["mc_system_id"] = "Bad"
    elif choice == 3:
        config["acmcs"]["clients"] = []


def test_storm(world):
    home, fire, rail = world.federation()
    for system in (fire, rail, home):  # users are asked for again, which changes nothing: each has its entry all the same
        system.config.setdefault("limits", {})["audited_refusals_per_minute"] = 1000000
        system.start()
    good, rng, end = copy.deepcopy(home.config), random.Random(5), time.monotonic() + 8
    loads = [Load(home, f"load{k}") for k in range(3)]
    for i in range(1, 1000):
        if time.monotonic() > end:
            break
        home.config = copy.deepcopy(good)
        change(home.config, rng.randrange(5), fire.port)
        home.write_config()
        home.send_signal(signal.SIGHUP)
        time.sleep(rng.random() * 0.1)
        if i % 30 == 0:
            fire.stop(signal.SIGKILL)
            fire.start()
        if i % 45 == 0:
            rail.stop()
            rail.start()
    home.config = good
    home.reload()
    true = set().union(*(load.stop() for load in loads))
    assert true
    client = home.client(home.admin)
    wait_for(lambda: not client.requests(unfinished_only=True, max=1).entries, "an answer to everything accepted", 60)
    store = IdmStore(home.store)
    store.check()
    store.close()
    for system in (fire, rail):
        assert {m for s, m in true if s == system.name} <= {m for _, m in system.users()}
        store = IdmStore(system.store)
        store.check()
        store.close()
