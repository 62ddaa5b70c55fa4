"""Too many of everything: connections, descriptors."""

import resource
import socket
import time

from acx_peer import Ended, pb
from systems import wait_for

USER = {"l@police.example": []}


def test_thousands_of_idle_connections(world):
    """'thousands of idle connections ... leaves every other client unaffected'"""
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    home = world.system("police.example")
    admin = home.acmc()
    home.config["limits"].update(max_connections=1000, handshake_timeout="60 s")
    home.start()
    before = home.client(admin)
    idle = [socket.create_connection(("127.0.0.1", home.port)) for _ in range(3000)]
    before.ping()
    home.client(admin).ping()  # made room for: those who show no certificate wait
    assert home.healthy()
    for s in idle:
        s.close()
    before.ping()


def test_idle_authenticated_connections_are_bounded_per_party(world):
    home = world.system("police.example")
    admin, other = home.acmc(), home.acmc("other")
    home.config["limits"]["max_connections_per_peer"] = 5
    home.start()
    clients = [home.client(admin) for _ in range(5)]
    sixth = home.client(admin, say_hello=False)
    assert sixth.receive().WhichOneof("body") == "hello"
    assert sixth.receive_close().cause == pb.TOO_MANY_CONNECTIONS
    home.client(other).ping()
    clients.pop().close()

    def again():
        client = home.client(admin, say_hello=False)
        client.receive()
        try:
            client.sock.settimeout(0.3)
            client.receive()
        except (TimeoutError, OSError):
            return True
        except Ended:
            return False
        return False

    wait_for(again, "room again")


def test_no_descriptors_left(world):
    """'no file descriptors left': accepting pauses and goes on, and who is there is served."""
    home = world.system("police.example")
    admin = home.acmc()
    home.config["limits"]["handshake_timeout"] = "300 s"
    home.start(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    here = home.client(admin)
    crowd = [socket.create_connection(("127.0.0.1", home.port)) for _ in range(200)]
    here.ping()
    home.client(admin).ping()
    for s in crowd:
        s.close()
    assert home.healthy()
    clients = []
    try:
        for _ in range(100):  # authenticated ones are not thrown out
            clients.append(home.client(admin, timeout=1))
    except (OSError, Ended):
        pass
    assert len(clients) > 20
    here.ping()
    for c in clients[:10]:
        c.close()
    wait_for(home.healthy, "accepts again")


def test_garbage_from_many_does_not_slow_the_others(world):
    home = world.system("police.example")
    admin = home.acmc()
    home.start()
    client = home.client(admin)
    for i in range(300):
        with socket.create_connection(("127.0.0.1", home.port)) as s:
            s.sendall(bytes([i % 256]) * 200)
    start = time.monotonic()
    client.ping()
    assert time.monotonic() - start < 10
    assert home.log().count(" warning: ") < 250  # strangers do not fill the log
