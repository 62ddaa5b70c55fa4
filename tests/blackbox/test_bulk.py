"""Many users in one command: acmc's memory does not grow with them, and stores get them in their own order."""

import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from systems import BUILD, SANITIZED, WRAPPER, wait_for

FEW, MANY = 10_000, 100_000
SERVICES = ("mcptt", "mcvideo", "mcdata")


def write_csv(file: Path, prefix: str, n: int) -> None:
    with open(file, "w") as out:
        out.write("mc_id," + ",".join(SERVICES) + "\n")
        for i in range(n):
            ids = ",".join(f"sip:{prefix}{i}.{s}@police.example" for s in SERVICES)
            out.write(f"{prefix}{i}@police.example,{ids}\n")


def write_json(file: Path, prefix: str, n: int) -> None:
    """All in one line, as programs write it."""
    users = [{"mc_id": f"{prefix}{i}@police.example",
              "mc_service_ids": [{"service": s, "mc_service_id": f"sip:{prefix}{i}.{s}@police.example"}
                                 for s in SERVICES]} for i in range(n)]
    file.write_text(json.dumps(users))


def peak_kib(process: subprocess.Popen) -> int:
    """The highest resident memory that it ever had, as long as it could be asked."""
    peak = 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        peak = int(found.group(1)) if found else peak
        time.sleep(0.005)
    return peak


@pytest.mark.skipif(SANITIZED or bool(WRAPPER), reason="their memory is not acmc's")
@pytest.mark.parametrize("write, words", [(write_csv, ["--file", "users"]), (write_json, ["--json", "--file", "-"])],
                         ids=["csv-table", "json-pipe"])
def test_memory_does_not_grow_with_the_users(federation, tmp_path, write, words):
    home, peaks = federation.home, {}
    config = home.acmc_config(home.admin)
    for n in (FEW, MANY):
        write(tmp_path / "users", f"{write.__name__[-1]}{n}-", n)
        with open(tmp_path / "out", "wb") as out, open(tmp_path / "users", "rb") as users:
            cat = subprocess.Popen(["cat"], stdin=users, stdout=subprocess.PIPE)
            acmc = subprocess.Popen([BUILD / "acmc", "setup", "-c", config, "--to", "fire.example", "-q", *words],
                                    cwd=tmp_path, stdin=cat.stdout, stdout=out)
            cat.stdout.close()
            peaks[n] = peak_kib(acmc)
            cat.wait(30)
        assert acmc.returncode == 0
        if "--json" in words:
            answers = json.loads((tmp_path / "out").read_text())["responses"]
            assert sum(len(a["mc_id_list"]) for a in answers) == sum(len(a["revisions"]) for a in answers) == n
    # what is needed to find users who are there twice, and the window of what is sent, reach their bounds only at MANY
    assert peaks[MANY] < 2 * peaks[FEW], peaks
    assert peaks[MANY] < 40 * 1024, peaks


@pytest.mark.parametrize("words, n, ordered", [(["setup"], 900, False), (["setup"], 2500, True), (["remove"], 2500, True),
                                               (["update", "--revision", "1"], 2500, False)])
def test_many_are_sent_in_the_order_of_stores_but_updates_as_they_came(federation, tmp_path, words, n, ordered):
    names = [f"order{i:04}@police.example" for i in range(n)]
    random.Random(n).shuffle(names)
    (tmp_path / "users").write_text("mc_id\n" + "\n".join(names) + "\n")
    config = federation.home.acmc_config(federation.home.admin)
    result = subprocess.run([*WRAPPER, BUILD / "acmc", words[0], "-c", config, "--to", "fire.example", "--dry-run", "--json",
                             "--file", tmp_path / "users", *words[1:]], capture_output=True, text=True, timeout=120)
    answers = json.loads(result.stdout)["responses"]
    assert [name for answer in answers for name in answer["mc_id_list"]] == (sorted(names) if ordered else names)


def test_nowhere_to_put_many_users(federation, tmp_path):
    """Nothing is sent that is not known to the end."""
    write_csv(tmp_path / "users", "nowhere", 6000)
    config = federation.home.acmc_config(federation.home.admin)
    result = subprocess.run(["env", f"TMPDIR={tmp_path}/nowhere", *WRAPPER, BUILD / "acmc", "setup", "-c", config, "--to",
                             "fire.example", "--file", tmp_path / "users"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 5
    assert result.stderr == "acmc: temporary file: No such file or directory; nothing was sent\n"
    assert ("police.example", "nowhere0@police.example") not in federation.fire.users()


def anonymous_kib(process: subprocess.Popen) -> int:
    return int(re.search(r"^Anonymous:\s+(\d+)", Path(f"/proc/{process.pid}/smaps_rollup").read_text(), re.M).group(1))


def test_home_holds_only_so_much_of_what_partners_are_asked(world, tmp_path):
    """What it sends after that it reads again when the answer comes."""
    n, names = 40_000, ("fire", "rail", "port", "coast")
    home = world.system("police.example")
    config = home.acmc_config(home.acmc())
    home.config["limits"]["partner_timeout"] = "120 s"
    partners = [world.system(f"{name}.example") for name in names]
    for partner in partners:
        home.partner(partner, provision=None)
        partner.partner(home, address=False)
        partner.start()
    home.start()
    grown = []
    for pair in partners[:2], partners[2:]:
        before = anonymous_kib(home.process)
        for partner in pair:
            home.wait_log(f"partner {partner.name}: up")
            partner.process.send_signal(signal.SIGSTOP)
            write_csv(tmp_path / "users", partner.name, n)
            subprocess.run([*WRAPPER, BUILD / "acmc", "setup", "-c", config, "--to", partner.name, "--no-wait", "-q",
                            "--file", tmp_path / "users"], check=True, timeout=300)
        grown.append(anonymous_kib(home.process) - before)
    for partner in partners:
        partner.process.send_signal(signal.SIGCONT)
    unfinished = [BUILD / "acmc", "requests", "-c", config, "--unfinished", "--json"]
    wait_for(lambda: not json.loads(subprocess.check_output(unfinished))["requests"], "all is answered", 120)
    assert [len(partner.users()) for partner in partners] == [n] * len(partners)
    if not (SANITIZED or WRAPPER):
        assert grown[1] < 0.7 * grown[0], grown
