/* One Response on its server: what was sampled, what was appended, and the log of its last events. */

#define NOTHING         0
#define REQUESTED       1                /* a create has come; response.created has not been sent */
#define SAMPLING        2
#define PAUSED          3
#define FINISHED        4
#define FORGOTTEN       5

byte phase;
byte ending;                             /* it is to be ended so */
byte turn;                               /* segments that are over */
byte sampled;                            /* calls */
byte answered;                           /* calls with an accepted output */
byte with_other;                         /* those of them whose output says something else than it should */
byte with_message;                       /* those of them whose append brought a message */
byte num_waiting;                        /* messages that enter the context when the segment is over */
bool attached[CONNECTIONS];

byte num_events;                         /* numbered so far; event n is kept at n % BUFFER */
mtype log_kind[BUFFER];
byte log_x[BUFFER];
byte log_y[BUFFER];

#define LIVE            (phase == SAMPLING || phase == PAUSED)
#define UNSAMPLED       ((turn < TURNS -> CALLS_OF(turn) : 0) & ~sampled)
#define OPEN_CALLS      (CALLS_OF(turn) & sampled & ~answered)
#define FIRST_KEPT      (num_events > BUFFER -> num_events - BUFFER : 0)
#define CARRIES(c)      attached[c]
#define IS_ATTACHED     EACH(CARRIES, ||)

/* What was appended in a segment enters the context after it: outputs in the order of sampling, then messages. */

inline enter()
{
    n = FIRST(turn);
    do
    :: n < FIRST(turn) + CALLS ->
        if
        :: MUTANT == ARRIVAL_ORDER -> skip                   /* each has entered as it came */
        :: else -> watch_output(n)
        fi;
        n++
    :: else -> break
    od;
    watch_messages(num_waiting);
    num_waiting = 0;
    turn++
}

/* An append is looked at as a whole: says what acknowledges it, or why it is refused.

   One that brings no output that is new is a repeated one, and its message is not added again, if that came with one of
   these outputs before. */

#define FRESH(append)       (OUTPUTS(append) & ~answered)
#define CONFLICTS(append)   ((OUTPUTS(append) & answered & (HAS(append, OTHER) -> ~with_other : with_other)) != 0)
#define COMPARED(append)    (MUTANT == FIRST_OUTPUT_ALONE -> LOWEST(OUTPUTS(append)) : OUTPUTS(append))
#define IS_REPEATED(append) (FRESH(append) == 0 && (COMPARED(append) & with_message) != 0)
#define HAS_NEWS(append)    (HAS(append, MESSAGE) && (!IS_REPEATED(append) || MUTANT == MESSAGE_TWICE))
#define NEEDS_PAUSE(append) (HAS_NEWS(append) && FRESH(append) == 0 && MUTANT != MESSAGE_IN_SAMPLING)
#define IS_KNOWN(append)    (FRESH(append) == 0 && OUTPUTS(append) != 0 && !HAS_NEWS(append))
#define IS_LAST(append)     ((OPEN_CALLS & ~OUTPUTS(append)) == 0 || MUTANT == RESUMES_EARLY)   /* one is enough */
#define ENDS_PAUSE(append)  (phase == PAUSED && FRESH(append) != 0 && IS_LAST(append))

inline look_at(append)
{
    assert((OUTPUTS(append) & ~sampled) == 0);               /* a client answers what it has seen */
    if
    :: phase >= FINISHED || (ending != NOT_YET && !IS_KNOWN(append)) -> why = OVER
    :: else ->
        if
        :: HAS(append, BAD) -> why = INVALID
        :: !HAS(append, BAD) && CONFLICTS(append) && MUTANT != CONFLICT_REPLACES -> why = ANSWERED
        :: !HAS(append, BAD) && !CONFLICTS(append) && NEEDS_PAUSE(append) && phase != PAUSED -> why = NOT_PAUSED
        :: else -> says = (ENDS_PAUSE(append) -> 0 : APPENDED)
        fi
    fi
}

inline take_in(append)
{
    if
    :: FRESH(append) == 0 && OUTPUTS(append) != 0 && MUTANT == REPEAT_ENTERS_TWICE -> watch_output(0)
    :: else -> skip
    fi;
    n = 0;
    do
    :: n < 4 && MUTANT == ARRIVAL_ORDER ->
        if
        :: FRESH(append) & CALL(n) -> answered = answered | CALL(n); watch_output(n)
        :: else -> skip
        fi;
        n++
    :: else -> break
    od;
    num_waiting = num_waiting + (HAS_NEWS(append) -> 1 : 0);
    with_message = with_message | (HAS(append, MESSAGE) -> FRESH(append) : 0);
    with_other = with_other | (HAS(append, OTHER) -> OUTPUTS(append) : 0);
    answered = answered | OUTPUTS(append)
}

inline decide(append)
{
    look_at(append);
    if
    :: why == 0 || (why == INVALID && MUTANT == PARTIAL_REFUSAL) -> take_in(append)     /* what is good in it */
    :: else -> skip
    fi;
    if
    :: why == 0 && says == 0 -> phase = SAMPLING; enter()    /* that the Response goes on acknowledges the append */
    :: else -> skip
    fi
}
