/*
 * The exchange of one request between an ACMC, its home ACMS and a partner ACMS, as a model for spin:
 * proto/PROTOCOL.md 5.5, 5.6, 6, 7 and 9. README.md beside this file says what is left out and why,
 * ./run checks it.
 *
 * How to read it: every "atomic" is one step of a machine; between any two steps everything else may
 * happen, a crash as well. What is "on disk" stays over a crash, what is "in memory" does not. A commit
 * is one step.
 *
 * The switches take something away that the design says must be there, and ./run shows that it is missed:
 *
 *   HOME_ACCEPTS_BEFORE_COMMIT      the ACMC is told ACCEPTED before the request is on disk
 *   HOME_SENDS_BEFORE_COMMIT        the request goes to the partner before it is on disk
 *   HOME_TELLS_BEFORE_COMMIT        the ACMC is told the partner's answer before it is on disk
 *   HOME_REMOVES_BEFORE_ANSWER      out of the outbox in one transaction, the answer in the next
 *   HOME_LATE_EXPIRED_REPLACES      REQUEST_EXPIRED that comes after the deadline replaces 602
 *   HOME_NEVER_RESENDS              a new connection does not bring the outbox along
 *   HOME_NEVER_RETRIES              a transient cause (5xx) is not followed by another try
 *   HOME_NO_DEADLINE                the home ACMS does not answer by itself
 *   HOME_ENDS_WHAT_WAS_SENT         a request that its ACMC has no right to any more, or whose deadline has passed, is
 *                                   answered as if it had never been sent
 *   HOME_FORGETS_THAT_IT_SENT       after a restart what is unfinished counts as never sent
 *   PARTNER_RECORDS_APART           users in one transaction, the record of the request in the next
 *   PARTNER_RESPONDS_BEFORE_COMMIT  the response leaves before the transaction is on disk
 *   PARTNER_PRUNES_EARLY            records go before expires has passed
 *   PARTNER_IGNORES_EXPIRES         a request is begun whenever it comes
 *   PARTNER_EXPIRES_FIRST           expires is looked at before the record of the request
 *
 * Two more choose the surroundings, to have fewer states:
 *
 *   ALWAYS_STORMY          no calm times: no less for the safety properties
 *   PARTNER_DOES_ANYTHING  any answer may come at any time, asked for or not: more than partner and network
 *                          ever do, so what holds with it holds whatever they do
 */

#define NOTHING 0

mtype = {
	/* answers */
	RESULT_TRUE,		/* of the partner */
	RESULT_FALSE,		/* of the partner, recorded: 1xx, 4xx; REJECTED and APPROVAL_TIMEOUT, too */
	CAUSE_211,		/* of the partner, never recorded: REQUEST_EXPIRED */
	CAUSE_5XX,		/* of the partner, never recorded: transient */
	PENDING,		/* ProcessIndication of the partner; nothing depends on its coming */
	CAUSE_602,		/* the home ACMS's own: PARTNER_TIMEOUT (or 603, 604): unknown */
	NEVER_SENT,		/* the home ACMS's own: 601, or what the rules of now say (101, 103, 104, 107): not done */
	/* other states of the variables below */
	WAITING,		/* outbox: accepted, no answer yet */
	HELD,			/* record: waits for the partner's administrator */
	READ,			/* a request came, and nothing has been done about it yet */
	ACCEPT_DUE,		/* it is on disk, and the ACMC is to be told so */
	ASKING, IN_TOUCH	/* touch, below */
}

/* --- disks ------------------------------------------------------------------------------------------ */

mtype outbox = NOTHING;		/* home: NOTHING, WAITING, or the answer */
mtype record = NOTHING;		/* partner, of (home MC system ID, request_id): NOTHING, HELD, RESULT_* */
byte  applied = 0;		/* partner: how often the users have been set up by this request */

/* --- memory ----------------------------------------------------------------------------------------- */

mtype home_step = NOTHING;	/* home, for its ACMC: NOTHING, READ, ACCEPT_DUE */
bool  send_due = false;		/* home: the request is to be sent (again) */
bool  maybe_sent = false;	/* home: it was sent, or that is not known any more */
bool  barred = false;		/* home: its rules of now do not let the ACMC ask for this */
mtype response_read = NOTHING;	/* home: the partner's answer, not on disk yet */
bool  tell_due = false;		/* home: the ACMC is to be told the answer */
mtype partner_step = NOTHING;	/* partner: NOTHING, READ, or the response that is to be sent */
mtype uncommitted = NOTHING;	/* partner: only where a switch separates what belongs together */

/* --- between them ----------------------------------------------------------------------------------- */

/*
 * What is under way between home and partner is a set: order says nothing, what is in it may be received
 * more than once or be lost. A loss is noticed sooner or later: TCP loses only what was sent when the
 * connection ended.
 */
bool request_under_way = false;
bool true_under_way = false, false_under_way = false, cause_211_under_way = false, cause_5xx_under_way = false;
bool connected = false;

/* ACMC and home: NOTHING (ACMC not there), ASKING (its request is under way), IN_TOUCH */
mtype touch = NOTHING;

/* --- time ------------------------------------------------------------------------------------------- */

/*
 * deadline and expires are the same instant, but each machine goes by its own clock. The partner keeps
 * its record for an hour more; that clocks differ by less than that hour is assumed.
 */
bool deadline_passed = false;	/* by the home's clock */
bool expires_passed = false;	/* by the partner's */
bool keeping_over = false;	/* by the partner's: expires has passed by an hour */

#ifdef ALWAYS_STORMY
#define home_calm false
#else
bool home_calm = false;		/* from here on home does not crash, nor lose its ACMC */
#endif
#if defined ALWAYS_STORMY || defined PARTNER_DOES_ANYTHING
#define partner_calm false
#else
bool partner_calm = false;	/* from here on the partner is there, and so is the network */
#endif

/* --- what an onlooker notes ------------------------------------------------------------------------- */

bool  accepted = false;		/* the ACMC was told ACCEPTED */
mtype told = NOTHING;		/* the answer that the ACMC was told last */
bool  contradicted = false;	/* ... took the place of another answer of the partner */
bool  begun_late = false;	/* the partner began after expires */

#define ANSWERED	(outbox != NOTHING && outbox != WAITING)
#define BY_PARTNER(a)	(a == RESULT_TRUE || a == RESULT_FALSE || a == CAUSE_211)

/* --- properties ------------------------------------------------------------------------------------- */

/* Safety. */
#define ACCEPTED_IS_KEPT	(accepted -> outbox != NOTHING)
#define APPLIED_AT_MOST_ONCE	(applied <= 1)
#define APPLIED_IS_KNOWN	(applied > 0 -> outbox != NOTHING)
#define TRUE_IS_APPLIED		(told == RESULT_TRUE -> applied == 1)
#define FALSE_IS_NOT_APPLIED	((told == RESULT_FALSE || told == CAUSE_211 || told == NEVER_SENT) -> applied == 0)
#define ONE_FINAL_ANSWER	(!contradicted)
#define BEGUN_IN_TIME		(!begun_late)
ltl accepted_is_kept	 { [] ACCEPTED_IS_KEPT }
ltl applied_at_most_once { [] APPLIED_AT_MOST_ONCE }
ltl applied_is_known	 { [] APPLIED_IS_KNOWN }
ltl true_is_applied	 { [] TRUE_IS_APPLIED }
ltl false_is_not_applied { [] FALSE_IS_NOT_APPLIED }
ltl one_final_answer	 { [] ONE_FINAL_ANSWER }
ltl begun_in_time	 { [] BEGUN_IN_TIME }
ltl all_safety		 { [] (ACCEPTED_IS_KEPT && APPLIED_AT_MOST_ONCE && APPLIED_IS_KNOWN && TRUE_IS_APPLIED &&
			       FALSE_IS_NOT_APPLIED && ONE_FINAL_ANSWER && BEGUN_IN_TIME) }

#ifndef ALWAYS_STORMY
/* Liveness, with weak fairness: a machine that can go on does so. */
#ifdef PARTNER_DOES_ANYTHING
/* The deadline brings an answer, whatever partner and network do. */
ltl deadline_answers	 { (<> home_calm && <> deadline_passed) -> [] (accepted -> <> (told != NOTHING)) }
#else
#define PARTNER_BACK	(<> (home_calm && partner_calm) && [] !deadline_passed && [] !expires_passed && [] !barred)

/* The partner comes back before the deadline: its answer arrives, and the ACMC is told. */
ltl partner_answers	 { PARTNER_BACK -> [] (accepted -> <> BY_PARTNER(told)) }
/* It does so even for a request that was on disk, and of which the ACMC was not told ACCEPTED. */
ltl outbox_empties	 { PARTNER_BACK -> [] (outbox == WAITING -> <> BY_PARTNER(outbox)) }
#endif
#endif

/* What must be possible, or the properties above say nothing: each of these must be found wrong. */
ltl never_true		 { [] !(accepted && told == RESULT_TRUE) }
ltl never_false		 { [] !(accepted && told == RESULT_FALSE) }
ltl never_602		 { [] !(told == CAUSE_602) }
ltl never_602_then_true	 { ! <> (told == CAUSE_602 && <> (told == RESULT_TRUE)) }
ltl never_expired	 { [] !(told == CAUSE_211) }
ltl never_held		 { [] !(record == HELD) }
ltl never_approved	 { ! <> (record == HELD && <> (told == RESULT_TRUE)) }
ltl never_rejected	 { ! <> (record == HELD && <> (told == RESULT_FALSE && !expires_passed)) }
ltl never_undecided	 { ! <> (record == HELD && expires_passed && <> (told == RESULT_FALSE)) }
ltl never_from_record	 { ! <> (record == RESULT_TRUE && partner_step == NOTHING && <> (record == RESULT_TRUE && partner_step == READ)) }
ltl never_pruned_replay	 { [] !(applied == 1 && record == NOTHING && partner_step == CAUSE_211) }
ltl never_applied_after_602 { ! <> (told == CAUSE_602 && applied == 0 && <> (applied == 1)) }
ltl never_unaccepted	 { [] !(applied == 1 && !accepted) }
ltl never_ended_unsent	 { [] !(accepted && told == NEVER_SENT && !deadline_passed) }
ltl never_unsent_in_time { [] !(accepted && told == NEVER_SENT && deadline_passed) }
ltl never_barred_and_done { ! <> (barred && outbox == WAITING && applied == 1 && <> (told == RESULT_TRUE)) }
#ifdef PARTNER_DOES_ANYTHING
ltl never_deadline	 { ! (<> home_calm && <> deadline_passed && <> (accepted && told == CAUSE_602)) }
#elif !defined ALWAYS_STORMY
ltl never_partner_back	 { ! (PARTNER_BACK && <> accepted) }
#endif

/* --- the ACMC --------------------------------------------------------------------------------------- */

/* Asks, and asks again with the same request_id: when it lost touch, or because it likes to. */
proctype acmc()
{
	do
	:: atomic { touch == NOTHING ->
		printf("ACMC: request\n"); touch = ASKING }
	:: atomic { touch == IN_TOUCH && !home_calm ->
		printf("ACMC: the same request again\n"); touch = ASKING }
	od
}

/* Home says something to the ACMC: it hears it, or the connection ends first, or nobody is there. */
#define SAY(what_it_notes) \
	if \
	:: touch != NOTHING -> what_it_notes \
	:: touch != NOTHING && !home_calm -> printf("  ... and the ACMC does not hear it\n"); touch = NOTHING \
	:: touch == NOTHING -> skip \
	fi

/* --- the home ACMS ---------------------------------------------------------------------------------- */

/* acms/home.c: a request of the ACMC */
proctype home_for_acmc()
{
	mtype answer = NOTHING;
	do
	:: atomic { touch == ASKING && home_step == NOTHING ->
		touch = IN_TOUCH;
		if
		:: outbox == NOTHING && !deadline_passed ->
			printf("home: reads the request\n"); home_step = READ
		:: outbox == NOTHING && deadline_passed ->
			printf("home: refuses the request, it has expired\n")
		:: outbox == WAITING ->
			printf("home: knows the request\n"); home_step = ACCEPT_DUE
		:: ANSWERED ->
			printf("home: knows the request, and its answer\n"); tell_due = true
		fi }

#ifdef HOME_ACCEPTS_BEFORE_COMMIT
	:: atomic { home_step == READ && !accepted ->
		printf("home: ACCEPTED\n"); SAY(accepted = true) }
#endif
#ifdef HOME_SENDS_BEFORE_COMMIT
	:: atomic { home_step == READ && connected ->
		printf("home: sends the request\n"); request_under_way = true }
#endif
	:: atomic { home_step == READ ->
		printf("home: COMMIT of the request\n"); outbox = WAITING; maybe_sent = false; home_step = ACCEPT_DUE }

	:: atomic { home_step == ACCEPT_DUE ->
		printf("home: ACCEPTED\n");
		SAY(accepted = true);
		send_due = true; home_step = NOTHING }

	:: atomic { tell_due ->
		tell_due = false;
		answer = outbox;
#ifdef HOME_TELLS_BEFORE_COMMIT
		if :: response_read != NOTHING -> answer = response_read :: else fi;
#endif
		printf("home: tells the answer: %e\n", answer);
		SAY(contradicted = (contradicted || ((BY_PARTNER(told) || told == NEVER_SENT) && told != answer));
		    told = answer);
		answer = NOTHING }
	od
}

/* A response that nobody waits for is dropped; one that comes after 602 replaces it. */
inline response_read_if_awaited(answer_of_partner)
{
	if
	:: (outbox == WAITING || outbox == CAUSE_602) && response_read == NOTHING ->
		printf("home: receives %e\n", answer_of_partner);
		response_read = answer_of_partner;
#ifdef HOME_TELLS_BEFORE_COMMIT
		tell_due = true
#endif
	:: else
	fi
}

#ifdef HOME_ENDS_WHAT_WAS_SENT
#define UNSENT true
#else
#define UNSENT (!maybe_sent)
#endif

/* acms/partner_link.c: the connection to the partner */
proctype home_for_partner()
{
	do
	:: atomic { !connected ->
		printf("home: connects, and will send what waits\n");
		connected = true;
#ifndef HOME_NEVER_RESENDS
		send_due = (outbox == WAITING)
#endif
		}

	/*
	 * Not after the deadline: who answers 602 begins nothing any more. Nor what its ACMC has no right to now: that ends
	 * here if it is sure that it was never sent, and otherwise waits, for an answer, the right, or the deadline.
	 */
	:: atomic { send_due && connected ->
		send_due = false;
		if
		:: outbox == WAITING && !deadline_passed && !barred ->
			printf("home: sends the request\n"); request_under_way = true; maybe_sent = true
		:: outbox == WAITING && barred && UNSENT ->
			printf("home: COMMIT of the answer NEVER_SENT\n"); outbox = NEVER_SENT; tell_due = true
		:: else
		fi }

	:: atomic { true_under_way ->
		if :: true_under_way = false :: !partner_calm fi;
		response_read_if_awaited(RESULT_TRUE) }
	:: atomic { false_under_way ->
		if :: false_under_way = false :: !partner_calm fi;
		response_read_if_awaited(RESULT_FALSE) }
	/*
	 * After the deadline REQUEST_EXPIRED says nothing of what an earlier copy of the request did: the
	 * record of that may be gone. 602, "unknown", remains the truth.
	 */
	:: atomic { cause_211_under_way ->
		if :: cause_211_under_way = false :: !partner_calm fi;
#ifdef HOME_LATE_EXPIRED_REPLACES
		response_read_if_awaited(CAUSE_211)
#else
		if
		:: !deadline_passed -> response_read_if_awaited(CAUSE_211)
		:: else
		fi
#endif
		}
	:: atomic { cause_5xx_under_way ->
		if :: cause_5xx_under_way = false :: !partner_calm fi;
#ifndef HOME_NEVER_RETRIES
		send_due = (send_due || outbox == WAITING)
#endif
		}

#ifdef HOME_REMOVES_BEFORE_ANSWER
	:: atomic { response_read != NOTHING && outbox != NOTHING ->
		printf("home: COMMIT, out of the outbox\n"); outbox = NOTHING }
	:: atomic { response_read != NOTHING && outbox == NOTHING ->
#else
	:: atomic { response_read != NOTHING ->
#endif
		if
		:: outbox == NEVER_SENT -> skip
		:: else ->
			printf("home: COMMIT of the answer %e\n", response_read);
			outbox = response_read; tell_due = true
		fi;
		response_read = NOTHING }
	od
}

proctype home_deadline()
{
#ifndef HOME_NO_DEADLINE
	do
	:: atomic { outbox == WAITING && deadline_passed ->
		outbox = (UNSENT -> NEVER_SENT : CAUSE_602); tell_due = true;
		printf("home: COMMIT of the answer %e\n", outbox) }
	od
#else
	skip
#endif
}

/* --- the partner ACMS ------------------------------------------------------------------------------- */

inline begin_if_true(answer)
{
	if
	:: answer == RESULT_TRUE ->
		applied = (applied < 2 -> applied + 1 : 2);
		begun_late = (begun_late || expires_passed)
	:: else
	fi
}

/* The users, the record and the audit entry: one transaction (acms/committer.c), then the response. */
inline conclude(answer)
{
#if defined PARTNER_RESPONDS_BEFORE_COMMIT
	uncommitted = answer;
#else
	printf("partner: COMMIT of %e\n", answer);
	begin_if_true(answer);
#if defined PARTNER_RECORDS_APART
	uncommitted = answer;
#else
	record = answer;
#endif
#endif
	partner_step = answer
}

#ifdef PARTNER_IGNORES_EXPIRES
#define TOO_LATE false
#else
#define TOO_LATE expires_passed
#endif

proctype partner()
{
	do
#ifdef PARTNER_DOES_ANYTHING
	:: atomic { !true_under_way -> true_under_way = true }
	:: atomic { !false_under_way -> false_under_way = true }
	:: atomic { !cause_211_under_way -> cause_211_under_way = true }
	:: atomic { !cause_5xx_under_way -> cause_5xx_under_way = true }
	:: atomic { request_under_way -> request_under_way = false }
#else
	:: atomic { request_under_way && partner_step == NOTHING && uncommitted == NOTHING ->
		if :: request_under_way = false :: !partner_calm fi;
		if
		:: printf("partner: reads the request\n"); partner_step = READ
		:: !partner_calm -> printf("partner: cannot now (5xx)\n"); partner_step = CAUSE_5XX
		fi }

	/* The transaction. That the record comes first matters: see false_is_not_applied. */
	:: atomic { partner_step == READ ->
		if
#ifdef PARTNER_EXPIRES_FIRST
		:: expires_passed ->
			printf("partner: refuses, the request has expired\n"); partner_step = CAUSE_211
		:: record == HELD && !expires_passed ->
			printf("partner: holds the request already\n"); partner_step = PENDING
		:: record != NOTHING && record != HELD && !expires_passed ->
			printf("partner: finds its answer %e\n", record); partner_step = record
#else
		:: record == HELD ->
			printf("partner: holds the request already\n"); partner_step = PENDING
		:: record != NOTHING && record != HELD ->
			printf("partner: finds its answer %e\n", record); partner_step = record
		:: record == NOTHING && TOO_LATE ->
			printf("partner: refuses, the request has expired\n"); partner_step = CAUSE_211
#endif
		:: record == NOTHING && !TOO_LATE -> conclude(RESULT_TRUE)
		:: record == NOTHING && !TOO_LATE -> conclude(RESULT_FALSE)
		:: record == NOTHING && !TOO_LATE -> /* the policy is manual */
			printf("partner: COMMIT, holds the request for its administrator\n");
			record = HELD; partner_step = PENDING
		fi }

	/* To a connection that has ended nothing is sent. */
	:: atomic { partner_step != NOTHING && partner_step != READ ->
		printf("partner: responds %e\n", partner_step);
		if
		:: connected && partner_step == RESULT_TRUE -> true_under_way = true
		:: connected && partner_step == RESULT_FALSE -> false_under_way = true
		:: connected && partner_step == CAUSE_211 -> cause_211_under_way = true
		:: connected && partner_step == CAUSE_5XX -> cause_5xx_under_way = true
		:: connected && partner_step == PENDING -> skip
		:: !connected -> printf("  ... to nobody\n")
		fi;
		partner_step = NOTHING }

	/* The administrator decides (section 10), which is judged as a new request would be; or nobody does. */
	:: atomic { record == HELD && !TOO_LATE && partner_step == NOTHING && uncommitted == NOTHING ->
		if
		:: printf("partner: the administrator approves\n"); conclude(RESULT_TRUE)
		:: printf("partner: the administrator rejects, or it cannot be done any more\n"); conclude(RESULT_FALSE)
		fi }
	:: atomic { record == HELD && expires_passed && partner_step == NOTHING && uncommitted == NOTHING ->
		printf("partner: nobody decided in time\n"); conclude(RESULT_FALSE) }

	:: atomic { (record == RESULT_TRUE || record == RESULT_FALSE) &&
#ifdef PARTNER_PRUNES_EARLY
		!keeping_over ->
#else
		keeping_over ->
#endif
		printf("partner: COMMIT, the record of the request is pruned\n"); record = NOTHING }

#if defined PARTNER_RESPONDS_BEFORE_COMMIT
	:: atomic { uncommitted != NOTHING ->
		printf("partner: COMMIT of %e\n", uncommitted);
		begin_if_true(uncommitted); record = uncommitted; uncommitted = NOTHING }
#elif defined PARTNER_RECORDS_APART
	:: atomic { uncommitted != NOTHING ->
		printf("partner: COMMIT of the record\n"); record = uncommitted; uncommitted = NOTHING }
#endif
#endif
	od
}

/* --- what befalls them ------------------------------------------------------------------------------ */

/* A crash and the restart are one step: a machine that is down and one that does nothing look the same. */
proctype home_misfortune()
{
	do
	:: atomic { !home_calm ->
		printf("home: CRASH and restart\n");
		home_step = NOTHING; send_due = false; tell_due = false; response_read = NOTHING;
#ifndef HOME_FORGETS_THAT_IT_SENT
		maybe_sent = true;
#else
		maybe_sent = false;
#endif
		connected = false; touch = NOTHING }
	:: atomic { !home_calm && touch != NOTHING ->
		printf("ACMC: loses its connection\n"); touch = NOTHING }
	:: atomic { !home_calm && !barred ->
		printf("home: reloads, the ACMC has lost its right\n"); barred = true }
	:: atomic { !home_calm && barred ->
		printf("home: reloads, the ACMC has its right again\n"); barred = false;
		send_due = (outbox == WAITING) }
#ifndef ALWAYS_STORMY
	:: atomic { !home_calm && !barred -> printf("home: calm from here on\n"); home_calm = true }
#endif
	od
}

#define LOSE(message, what) \
	atomic { !partner_calm && message -> printf(what); message = false; connected = false }

proctype partner_misfortune()
{
	do
	:: atomic { !partner_calm ->
		printf("partner: CRASH and restart\n");
		partner_step = NOTHING; uncommitted = NOTHING; connected = false }
	:: atomic { !partner_calm && connected -> printf("network: the connection ends\n"); connected = false }
	:: LOSE(request_under_way, "network: loses the request\n")
	:: LOSE(true_under_way, "network: loses RESULT_TRUE\n")
	:: LOSE(false_under_way, "network: loses RESULT_FALSE\n")
	:: LOSE(cause_211_under_way, "network: loses CAUSE_211\n")
	:: LOSE(cause_5xx_under_way, "network: loses CAUSE_5XX\n")
#if !defined ALWAYS_STORMY && !defined PARTNER_DOES_ANYTHING
	:: atomic { !partner_calm -> printf("partner: there, and calm from here on\n"); partner_calm = true }
#endif
	od
}

/* The clocks go on, or not as far as that. */
proctype clocks()
{
	do
	:: atomic { !deadline_passed ->
		printf("clock: by the home's the deadline passes\n"); deadline_passed = true }
#ifndef PARTNER_DOES_ANYTHING
	:: atomic { !expires_passed ->
		printf("clock: by the partner's expires passes\n"); expires_passed = true }
	:: atomic { deadline_passed && expires_passed && !keeping_over ->
		printf("clock: expires has passed by an hour\n"); keeping_over = true }
#endif
	:: break
	od
}

init {
	atomic {
		run acmc(); run home_for_acmc(); run home_for_partner(); run home_deadline(); run partner();
		run home_misfortune(); run partner_misfortune(); run clocks()
	}
}
