/* A client and its user: it answers calls, and brings one Response to its end across its connections. */

chan underway[CLIENTS] = [UNDERWAY] of { byte };   /* appends without an answer, oldest first */

byte num_over;                           /* clients that have nothing left to do */
byte num_alive = CLIENTS;
byte offered;                            /* calls for which any client has submitted a good output */

#define IS_LIVE         (online && !waiting && seen >= replayed_at)
#define TO_ANSWER       (called & ~given & ~settled)
#define MAY_SUBMIT      (!silent && len(underway[me]) < UNDERWAY)

/* Take appends off the list of those under way, all for which `match` holds or the oldest of them, and tell the user
   what has become of them. */

inline settle(match, all, told)
{
    n = len(underway[me]);
    found = false;
    do
    :: n > 0 ->
        underway[me]?each;
        if
        :: (match) && (all || !found) -> found = true; watch_told(each, told)
        :: else -> underway[me]!each
        fi;
        n--
    :: else -> break
    od
}

/* --- what comes ------------------------------------------------------------------------------------------------------

   An append is answered by response.appended, by an error, or, if it ended the pause, by the Response going on: all
   calls of the pause are answered then, and no append that brings outputs waits for anything else.

   A replay answers in the same way, but for errors, which are no part of it. What it leaves without an answer is sent
   again, as it was, once the replay is over. */

inline take_event()                      /* kind, a = number, x, y */
{
    assert(a == seen);                   /* in order, exactly once, and no gap that was not announced */
    seen++;
    waiting = false;
    if
    :: kind == APPENDED ->
        assert((x & y) == 0 && (y & settled) == 0);
        if
        :: MUTANT == RESENDS_ALL && in_replay -> skip        /* takes no notice of it in a replay */
        :: else -> settle(OUTPUTS(each) == x, false, TAKEN)
        fi;
        settled = settled | x;
        goes_on = (paused && y == 0);                        /* what is acknowledged was a repeated one */
        assert(!goes_on || (asked & ~offered) == 0)
    :: kind == CREATED -> known = true
    :: kind == DONE ->
        assert(!paused && x != 0 && (x & settled) == 0);
        paused = true;
        asked = x;
        called = called | x;
        HAPPENS_IF(CROSSES_DONE, IS_LIVE && len(underway[me]) > 0)
    :: else ->                           /* ITEM or ENDED */
        goes_on = (paused && (kind == ITEM || x == COMPLETED));
        assert(!goes_on || (asked & ~offered) == 0);         /* nothing but acknowledgements until all is answered */
        called = called | (kind == ITEM -> x : 0);
        how = (kind == ENDED -> x : how)
    fi
}

/* Part of the events is gone, and the user is told. An append with outputs was accepted if its calls are not open any
   more; else it goes out again. Of one with a message alone nothing in the snapshot tells whether it was accepted. */

inline take_snapshot()                   /* a = number, x = required_input and paused, y = how it ended */
{
    HAPPENS(SEES_A_GAP);
    assert(a >= seen);
    seen = a;
    known = true;
    if
    :: MUTANT == RESENDS_AFTER_GAP -> skip                   /* all the same */
    :: else -> settle(OUTPUTS(each) == 0, true, UNCERTAIN)
    fi;
    settle(OUTPUTS(each) != 0 && (OUTPUTS(each) & x) == 0, true, TAKEN);
    paused = HAS(x, IS_PAUSED);
    called = called | OUTPUTS(x);
    settled = settled | (called & ~x);
    asked = (paused -> OUTPUTS(x) : 0);
    how = y;
    asks = (y == NOT_YET)
}

inline take_refusal()                    /* a = the append, x = why */
{
    if
    :: x == ELSEWHERE -> skip                                /* whoever has the Response now answers its calls */
    :: else ->
        settle(each == a, false, (x == OVER -> UNCERTAIN : REJECTED));
        given = (x == INVALID -> given & ~OUTPUTS(a) : given)
    fi
}

inline take_message()                    /* kind, a, x, y */
{
    if
    :: kind == RESUMED ->
        waiting = false;
        known = true;
        replayed_at = a;
        required = x;
        in_replay = true;
        resends = (MUTANT == RESENDS_TOO_SOON)               /* before the replay is in */
    :: kind == EVENTS_LOST -> take_snapshot()
    :: kind == DETACHED -> HAPPENS(IS_TAKEN_OVER); how = TAKEN_OVER
    :: kind == REFUSED -> take_refusal()
    :: kind == NOT_FOUND -> HAPPENS(IS_FORGOTTEN); how = UNFOUND
    :: else -> in_replay = (seen < replayed_at); take_event()
    fi;
    if
    :: in_replay && seen == replayed_at ->                   /* that was the end of it */
        goes_on = goes_on || (paused && required == 0);      /* accepted, and nothing sampled since */
        assert(how != NOT_YET || required == (called & ~settled & ~(goes_on -> asked : 0)));
        required = 0;
        resends = resends || MUTANT != RESENDS_TOO_SOON
    :: else -> skip
    fi;
    HAPPENS_IF(SEES_A_REPLAY, in_replay && kind == APPENDED);
    HAPPENS_IF(ENDS_A_PAUSE_UNSEEN, goes_on && kind == RESUMED);
    if
    :: goes_on ->
        settle(OUTPUTS(each) != 0, true, TAKEN);
        settled = settled | asked;
        paused = false
    :: else -> skip
    fi
}

/* --- what goes ---------------------------------------------------------------------------------------------------- */

inline ask()
{
    waiting = true;
    replayed_at = 0;
    if
    :: known -> send_up(here, RESUME, seen)
    :: else -> send_up(here, CREATE, 0)
    fi
}

inline submit()                          /* append */
{
    underway[me]!append;
    if
    :: IS_LIVE -> send_up(here, APPEND, append)
    :: else -> skip                                          /* when the replay is over */
    fi
}

inline send_underway()
{
    n = (MUTANT == FORGETS_TO_RESEND -> 0 : len(underway[me]));
    do
    :: n > 0 -> underway[me]?each; underway[me]!each; send_up(here, APPEND, each); n--
    :: else -> break
    od;
    if
    :: cancels -> send_up(here, CANCEL, 0)
    :: else -> skip
    fi
}

inline leave()
{
    left[here] = true;
    watch_leaving(here);
    do
    :: nempty(down[here]) -> down[here]?_, _, _, _
    :: empty(down[here]) -> break
    od;
    online = false;
    here = 0
}

inline stop()
{
    watch_end();
    do
    :: nempty(underway[me]) -> underway[me]?_
    :: empty(underway[me]) -> break
    od;
    over = true;
    num_over++
}

/* --- what the user does ------------------------------------------------------------------------------------------- */

inline choose_outputs()                  /* one, or all that are open, in any order */
{
    if
    :: append = TO_ANSWER
    :: TO_ANSWER & CALL(0) -> append = CALL(0)
    :: TO_ANSWER & CALL(1) -> append = CALL(1)
    :: TO_ANSWER & CALL(2) -> append = CALL(2)
    :: TO_ANSWER & CALL(3) -> append = CALL(3)
    fi;
    given = given | append;
    offered = offered | append;
    if
    :: num_messages > 0 -> num_messages--; append = append | MESSAGE
    :: true
    fi;
    last = (MISCHIEF -> append : 0)
}

inline choose_mischief()
{
    if
    :: TO_ANSWER != 0 -> append = TO_ANSWER | OTHER | BAD; given = given | OUTPUTS(append)
    :: last != 0 -> append = last                            /* once more */
    :: last != 0 -> append = OUTPUTS(last) | OTHER
    :: last != 0 && TO_ANSWER != 0 ->                        /* once more, and what is open (which is allowed) */
        append = OUTPUTS(last) | TO_ANSWER | (num_messages > 0 -> MESSAGE : 0);
        given = given | OUTPUTS(append);
        offered = offered | OUTPUTS(append);
        num_messages = 0;
        last = append
    fi;
    num_mischief--
}

inline choose_how_to_quit()
{
    quits = true;
    if
    :: cancels = true;
        if
        :: IS_LIVE -> send_up(here, CANCEL, 0)
        :: else -> skip
        fi
    :: silent = true
    :: num_alive--; how = DEAD; broken[here] = broken[here] || online    /* and nobody tells the server */
    fi
}

proctype Client(byte me)
{
    byte here;                           /* the connection, if online */
    bool online;
    bool waiting;                        /* for the answer to a create or resume */
    bool known = (me > 0);               /* the Response's id */
    byte seen;                           /* events */
    byte replayed_at;                    /* the replay is over when so many are seen; */
    byte required;                       /* these are the open calls then */

    byte called;                         /* calls that are known */
    byte given;                          /* those that the user has answered */
    byte settled;                        /* those whose answer is known to be accepted, whoever gave it */
    byte asked;                          /* those that the pause asks for */
    bool paused;

    byte last;                           /* append with outputs */
    byte num_messages = (me == 0 -> NOTES : 0);
    byte num_mischief = (me == 0 -> MISCHIEF : 0);
    bool quits;
    bool cancels;
    bool silent;                         /* a tool never returns */
    bool over;

    if
    :: me == 0
    :: me > 0 && num_events > 0          /* the other client has told it the id */
    fi;
    do
    :: atomic {
        if                               /* what happens next */
        :: !online -> here = num_connections; num_connections++; online = true; asks = true
        :: online && MAY_BREAK(here) -> break_connection(here); waiting = false; leaves = true
        :: online && nempty(down[here]) -> reads = true
        :: TO_ANSWER != 0 && MAY_SUBMIT -> choose_outputs()
        :: paused && num_messages > 0 && MAY_SUBMIT -> num_messages--; append = MESSAGE
        :: num_mischief > 0 && (TO_ANSWER != 0 || last != 0) && MAY_SUBMIT -> choose_mischief()
        :: QUITS && !quits -> choose_how_to_quit()
        fi;
        d_step {                         /* and what it leads to */
            if
            :: reads -> down[here]?kind, a, x, y; take_message()
            :: else -> skip
            fi;
            if
            :: leaves || (how != NOT_YET && online) -> leave()
            :: append != 0 -> submit()
            :: resends && how == NOT_YET -> send_underway()
            :: asks -> ask()
            :: else -> skip
            fi;
            if
            :: how != NOT_YET -> stop()
            :: else -> skip
            fi;
            CLEAR
        };
        if
        :: over -> break
        :: else -> skip
        fi
       }
    od
}
