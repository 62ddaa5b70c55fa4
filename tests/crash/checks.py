"""What must hold once everything has settled."""

from acx_peer import pb
from load import CARELESS, LOST, connect, now_ms
from model import DONE, Partner, require
from stores import ANSWER, ASK, Store
from systems import wait_for

UNKNOWN = (pb.PARTNER_TIMEOUT, pb.PARTNER_CONNECTION_LOST, pb.PARTNER_PROTOCOL_ERROR)


def ask(system, leaf, message):
    """The answer to one query, or None while the system is not up."""
    try:
        client = connect(system, leaf)
    except LOST:
        return None
    try:
        client.send(message)
        return client.receive()
    except LOST:
        return None
    finally:
        client.close()


def requests_of_home(game, **filters) -> list:
    """All entries, page by page; None: it is not up."""
    entries, after = [], b""
    while True:
        answer = ask(game.home, game.admin_leaf, pb.Message(
            requests_query=pb.RequestsQuery(token=5, after=after, **filters)))
        if answer is None:
            return None
        page = answer.requests_page
        require(page.cause == pb.NO_CAUSE, page)
        entries += page.entries
        if not page.more:
            return entries
        after = page.entries[-1].request.request_id


def digest(game, believed: bool):
    answer = ask(game.home, game.admin_leaf, pb.Message(digest_query=pb.DigestQuery(
        token=6, mc_system_id=game.partner.name, believed=believed, ranges=[pb.McIdRange(to=CARELESS)])))
    if answer is None or answer.digest_page.cause != pb.NO_CAUSE:
        return None
    d = answer.digest_page.digests[0]
    return d.users, d.digest


def ended_users(game) -> list:
    users = Store(game.partner.store, whole=False).users
    return [m for m, u in users.items() if 0 < u[3] < now_ms() + 10_000]


def settle(game) -> None:
    """Until each request has its final answer; then until what has expired is gone from both ends."""
    wait_for(lambda: requests_of_home(game, unfinished_only=True) == [], "every request has its final answer",
             game.patience)
    game.entries = requests_of_home(game)
    game.lost_sight = {m for e in game.entries for d in e.deliveries if d.response.cause in UNKNOWN
                       for m in game.asked[e.request.request_id].request.mc_id_list}
    for a in game.admins:
        game.lost_sight |= a.overlapped

    def equal() -> bool:
        believed = digest(game, True)
        return believed is not None and believed == digest(game, False)
    wait_for(equal, "both ends agree by their digests", 15)
    wait_for(lambda: not ended_users(game), "the partner removes users whose time is over", 15)


# --- one by one ---

def check_final(game, home: Store, model: Partner) -> None:
    """Home's answers: there for all that was acknowledged, and what the partner's log says."""
    final = {}
    for e in game.entries:
        require(len(e.deliveries) == 1 and e.deliveries[0].state == pb.ANSWERED, "no final answer:", e)
        require(e.request.request_id not in final, "listed twice:", e)
        final[e.request.request_id] = e.deliveries[0].response
    for request_id, a in game.asked.items():
        response = final.get(request_id)
        require(response or not a.accepted, "acknowledged, and forgotten:", request_id.hex())
        require(not (a.request.dry_run and response), "a dry run was kept:", request_id.hex())
        require(not (a.not_taken and response), "refused, and done all the same:", response)
        if a.answer and not a.request.dry_run:
            require(response, "answered, and forgotten:", request_id.hex())
            same = (a.answer.result, a.answer.cause) == (response.result, response.cause)
            require(same or a.answer.cause in UNKNOWN, "told one thing, and another later:", a.answer, response)
        if not response:
            require(request_id not in model.verdicts, "done, and not known at home:", request_id.hex())
            continue
        check_answer(game, request_id, response, home.answers[request_id, game.partner.name], model)


def check_answer(game, request_id: bytes, response, stored: dict, model: Partner) -> None:
    verdict = model.verdicts.get(request_id)
    require(stored[3] == response.cause, "stored", stored, "and told", response)
    if response.origin == pb.PARTNER_ACMS:
        unrecorded = pb.MISSING_ELEMENT <= response.cause < 300
        require(unrecorded or response.cause == verdict, "told", response, "where the partner's log says", verdict)
    elif response.cause not in UNKNOWN:
        require(verdict not in DONE, "told that it is not done, and it is:", response)
    if response.origin == pb.PARTNER_ACMS and response.cause in DONE:
        names = sorted(game.asked[request_id].request.mc_id_list, key=str.encode)
        told = {name: r for name, r in zip(names, stored.get(6, [0] * len(names)), strict=True) if r}
        require(stored[7] and stored[9], "done without a receipt:", response)
        require(told == model.revisions[request_id], "told revisions", told, "and not", model.revisions[request_id])
        require(response.result == (response.cause == pb.NO_CAUSE), response)


def check_decisions(game, model: Partner) -> None:
    for request_id, told in game.approver.told.items():
        require(model.verdicts.get(request_id) == told.cause, "decided", told, "but the log says",
                model.verdicts.get(request_id))


def check_home_log(game, audit: list) -> None:
    """Each request was accepted once; each answer of a partner is there once."""
    accepted, answered = set(), set()
    for e in audit:
        if e[12] == ASK and e[17] == pb.NO_CAUSE:
            require(e[15] not in accepted, "accepted twice:", e)
            accepted.add(e[15])
        elif e[12] == ANSWER and e[17] not in UNKNOWN:
            require(e[15] not in answered, "answered twice:", e)
            answered.add(e[15])
    require(accepted == {e.request.request_id for e in game.entries}, "the log's requests are not those kept")


def check_stores(game, home: Store, partner: Store, model: Partner) -> None:
    held = {m: u for (_, m), u in partner.users.items()}
    now = now_ms()
    require(held == model.users, "the partner's users are not what its log says:",
            {m: (held.get(m), model.users.get(m)) for m in held.keys() | model.users.keys()
             if held.get(m) != model.users.get(m)})
    believed = {m: u for (_, m), u in home.believed.items() if not 0 < u[3] <= now}  # kept past their end
    held = {m: u for m, u in held.items() if not 0 < u[3] <= now}
    different = {m: (believed.get(m), held.get(m)) for m in believed.keys() | held.keys()
                 if believed.get(m) != held.get(m) and m not in game.lost_sight}
    require(not different, "home believes other users than the partner has (believed, held):", different)
    require(not home.db["outbox"] and not partner.db["pending"], "something is unfinished")
    recorded = {i: r[3] for (_, i), r in partner.pairs("requests").items()}
    require(recorded == model.verdicts, "recorded answers are not what the log says")


def check_partner(game) -> tuple:
    store, model = Store(game.partner.store), Partner({i: a.request for i, a in game.asked.items()})
    model.replay(store.audit, game.home.name)
    return store, model


def check_round(game) -> dict:
    for system in (game.home, game.partner):
        verified = system.run("audit", "verify")
        require(verified.returncode == 0, system.name, verified.stdout, verified.stderr)
    home, (partner, model) = Store(game.home.store), check_partner(game)
    check_final(game, home, model)
    check_decisions(game, model)
    check_home_log(game, home.audit)
    check_stores(game, home, partner, model)
    causes = list(model.verdicts.values())
    return {"requests": len(game.asked), "acknowledged": sum(a.accepted for a in game.asked.values()),
            "done": sum(c in DONE for c in causes), "refused": sum(c not in DONE for c in causes),
            "decided by an administrator": len(game.approver.told), "in doubt": len(game.lost_sight),
            "reconnections": sum(a.reconnects for a in (*game.admins, game.approver))}
