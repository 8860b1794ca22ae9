/* What travels. JSON, ids, texts and lanes are left out. Sequence numbers are given as "how many events": `seen` is
   starting_after + 1, so that 0 is "from the start". */

/* A set of calls is a bit mask; call 0 is the first one sampled. */
#define CALL(c)         (1 << (c))
#define ALL_CALLS       15
#define FIRST(t)        ((t) * CALLS)
#define CALLS_OF(t)     (((1 << CALLS) - 1) << FIRST(t))
#define LOWEST(calls)   ((calls) & (256 - (calls)))

/* An append is one byte: whose outputs it brings, and what else is to be said of it. */
#define MESSAGE         16               /* a user message follows the outputs */
#define OTHER           32               /* the outputs say something else than they should */
#define BAD             64               /* its last item is malformed */
#define OUTPUTS(append) ((append) & ALL_CALLS)
#define HAS(append, f)  (((append) & (f)) != 0)

#define IS_PAUSED       128              /* in a snapshot, beside the calls that are open */

mtype = {
    /* from the client, with one field */
    CREATE,                              /* with an idempotency_key */
    RESUME,                              /* seen */
    APPEND,                              /* the append */
    CANCEL
}

mtype = {
    /* to the client, with three fields. Numbered in the Response's own sequence: the number, and */
    CREATED,
    ITEM,                                /* response.output_item.done of a call: the call */
    DONE,                                /* required_input */
    APPENDED,                            /* answered, pending */
    ENDED,                               /* how */
    /* of the connection: */
    RESUMED,                             /* last_sequence_number + 1, required_input */
    EVENTS_LOST,                         /* snapshot: sequence_number + 1, required_input and paused, how it ended */
    DETACHED,                            /* response.detached, and the error response_detached for a resume */
    REFUSED,                             /* the append, why */
    NOT_FOUND
}

/* How a Response ends; */
#define NOT_YET         0
#define COMPLETED       1
#define CANCELLED       2
#define TIMED_OUT       3                /* incomplete, append_timeout */
#define ABANDONED       4
/* how a client ends, if not so. */
#define TAKEN_OVER      5
#define UNFOUND         6
#define DEAD            7

/* Why an append is refused. */
#define INVALID         1
#define ANSWERED        2                /* tool_call_already_answered */
#define NOT_PAUSED      3
#define OVER            4                /* response_already_completed */
#define ELSEWHERE       5                /* response_detached */

/* What the user is told of an append: that it was accepted, that it was refused, or that this can't be known. */
#define TAKEN           1
#define REJECTED        2
#define UNCERTAIN       3
