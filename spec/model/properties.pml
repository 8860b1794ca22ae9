/* What must hold, besides the assertions in the other files. The inlines here are called where the model does what they
   are about. Spin adds a property of its own: no process is stuck (no "invalid end state"). */

byte num_entered;                        /* outputs in the context: those of the calls up to here */
byte num_messages_entered;
byte message_told;                       /* what the user was told of the message */
bool displaced[CONNECTIONS];             /* lost the Response to another one, and has not heard of it */

/* Each output enters once, in the order of sampling, when it has been given, and the first one given stands. */
inline watch_output(call)
{
    assert(call == num_entered);
    assert(answered & CALL(call));
    assert((with_other & CALL(call)) == 0);
    num_entered++
}

inline watch_messages(number)
{
    num_messages_entered = num_messages_entered + number;
    assert(num_messages_entered <= NOTES)
}

/* Nothing but acknowledgements and a premature end in a pause. One connection at most. */
inline watch_event()                     /* says, x */
{
    assert(phase != PAUSED || says == DONE || says == APPENDED || (says == ENDED && x != COMPLETED));
    assert(EACH(CARRIES, +) <= 1)
}

inline watch_second_response() { assert(false) }             /* begun for one idempotency key */

/* If timers are long, none of them is what ends a Response: it is completed, and its client sees that. */
inline watch_timer() { assert(!PATIENT) }

inline watch_end()                       /* how */
{
    assert(!PATIENT || CLIENTS > 1 || how == COMPLETED);
    assert(how != COMPLETED || num_entered == TURNS * CALLS);
    /* What the user was told of the message is so. (Where two clients answer the same calls, neither can tell whose
       append an acknowledgement is for.) */
    assert(how != COMPLETED || CLIENTS > 1 || message_told != TAKEN || num_messages_entered == 1);
    assert(how != COMPLETED || CLIENTS > 1 || message_told != REJECTED || num_messages_entered == 0);
    HAPPENS_IF(SEES_ABANDONMENT, how == ABANDONED);
    HAPPENS_IF(MESSAGE_UNKNOWN, how == COMPLETED && message_told == UNCERTAIN && num_messages_entered == 1)
}

inline watch_told(append, what)
{
    message_told = ((HAS(append, MESSAGE) && message_told != TAKEN) -> what : message_told)
}

inline watch_takeover(c) { displaced[c] = !left[c] }
inline watch_leaving(c)  { displaced[c] = false }

/* Every Response ends, if its pauses are timed; */
ltl ends        { [] ((LIVE && pause_timer) -> <> !LIVE) }
/* and without that, if all its clients are gone. */
ltl abandoned   { [] ((LIVE && num_alive == 0) -> <> !LIVE) }
ltl forgotten   { [] (phase == FINISHED -> <> (phase == FORGOTTEN)) }
/* A client that lives comes to an end: it sees that of the Response, or is told why it can't. */
ltl clients_end { <> (num_over == CLIENTS || !pause_timer) }
/* A connection that loses the Response to another one hears of it. */
ltl told        { [] (displaced[0] -> <> !displaced[0]) }
