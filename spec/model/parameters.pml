/* How large the model is. Each can be set from outside: spin -DTURNS=1 ... */

#ifndef TURNS
#define TURNS       2        /* segments that end in calls; one more follows, without */
#endif
#ifndef CALLS
#define CALLS       2        /* calls a segment; TURNS * CALLS <= 4 */
#endif
#ifndef CLIENTS
#define CLIENTS     1        /* 2: another client of the same owner resumes the Response at some time */
#endif
#ifndef LOSSES
#define LOSSES      1        /* how often a connection is lost; CLIENTS + LOSSES <= 4 */
#endif
#ifndef BUFFER
#define BUFFER      3        /* events that are kept for a replay */
#endif
#ifndef LAG
#define LAG         3        /* events that may be on their way to a client */
#endif
#ifndef NOTES
#define NOTES       1        /* messages of the user: 0 or 1 */
#endif
#ifndef MISCHIEF
#define MISCHIEF    1        /* appends that are malformed, repeated without need, or contradict an earlier one */
#endif
#ifndef QUITS
#define QUITS       1        /* 1: a client may cancel, or die, or have a tool that never returns */
#endif
#ifndef UNTIMED
#define UNTIMED     0        /* 1: pauses may also last for ever (the server is set up so) */
#endif
#ifndef PATIENT
#define PATIENT     0        /* 1: timers are longer than anything else takes; 0: they may run out at any moment */
#endif

#define CONNECTIONS (CLIENTS + LOSSES)
#define UNDERWAY    (TURNS * CALLS + NOTES + MISCHIEF)      /* appends that a client may have under way */
#define UP          (UNDERWAY + 2)                          /* messages in flight on a connection */
#define DOWN        (LAG + BUFFER + 4)

#if PATIENT
#define TIME_PASSES timeout  /* Promela's own: true when nothing else can move */
#else
#define TIME_PASSES true
#endif
