/* The server: a process for each connection, one for the rollout, one for the timers. */

chan requests = [1] of { byte, byte };   /* of a connection: its append, not decided yet */

/* --- connections -----------------------------------------------------------------------------------------------------

   A create is answered by beginning the Response; or, if its idempotency key is known, by resuming it. A Response that
   has no response.created yet moves to the connection that asks last. The connection that loses a Response is told so.

   A connection takes over from an older one alone. Else a resume that is still on its way when its client gives the
   connection up, and arrives late, would take the Response from the connection that this client has opened since.

   Before a resume is answered, earlier appends must be decided. One that is accepted later would be missing from the
   replay, and the client would send it again. */

#define IS_NEXT(c)      (len(up[c]) > 0 && (len(requests) == 0 || SKIPS_AHEAD(c)))
#define SKIPS_AHEAD(c)  (MUTANT == RESUMES_UNDECIDED && !(up[c]?[APPEND, _]))
#define IS_NEWER(c)     (attached[c] && c > k)
#define IS_STALE        (EACH(IS_NEWER, ||) && MUTANT != OLDER_TAKES_OVER)
#define REACHES_BACK    (x >= FIRST_KEPT || MUTANT == SILENT_GAP)        /* sends what there is */

inline create_or_resume(k)               /* kind, x = seen */
{
    if
    :: kind == CREATE && phase == NOTHING -> phase = REQUESTED; attached[k] = true
    :: phase != NOTHING && IS_STALE -> HAPPENS(IS_TOO_OLD); send_down(k, DETACHED, 0, 0, 0)
    :: kind == CREATE && phase == REQUESTED && !IS_STALE -> HAPPENS(CREATES_TWICE); takes = true
    :: kind == CREATE && LIVE && !IS_STALE && MUTANT == KEY_IGNORED -> watch_second_response()
    :: phase == FORGOTTEN || (kind == RESUME && phase <= REQUESTED) -> send_down(k, NOT_FOUND, 0, 0, 0)
    :: else ->
        assert(x <= num_events);
        y = OPEN_CALLS;
        if
        :: REACHES_BACK ->
            takes = (phase != FINISHED);
            replays = true;
            y = (MUTANT == RESUMED_WITHOUT_CALLS -> 0 : y)
        :: else ->
            y = (MUTANT == SNAPSHOT_WITHOUT_CALLS -> 0 : y) | (phase == PAUSED -> IS_PAUSED : 0);
            z = (phase == FINISHED -> log_x[(num_events - 1) % BUFFER] : NOT_YET);
            n = num_events - (MUTANT == SNAPSHOT_TOO_OLD -> 1 : 0);
            send_down(k, EVENTS_LOST, n, y, z);
            attached[k] = attached[k] || MUTANT == GAP_ATTACHES          /* although the client has not agreed */
        fi
    fi;
    if
    :: takes -> take_over(k)
    :: else -> skip
    fi;
    if
    :: replays -> send_down(k, RESUMED, num_events, y, 0); replay(k)
    :: else -> skip
    fi
}

inline take_over(k)
{
    n = 0;
    do
    :: n < CONNECTIONS ->
        if
        :: attached[n] && n != k ->
            watch_takeover(n);
            attached[n] = (MUTANT == TWO_ATTACHED);
            if
            :: MUTANT == FORMER_NOT_TOLD -> skip
            :: else -> send_down(n, DETACHED, 0, 0, 0)
            fi
        :: else -> skip
        fi;
        n++
    :: else -> break
    od;
    attached[k] = true
}

inline replay(k)
{
    n = (x < FIRST_KEPT -> FIRST_KEPT : x);
    if
    :: MUTANT == REPLAYS_TOO_LATE && n < num_events -> n++
    :: MUTANT == REPLAYS_TOO_EARLY && n > FIRST_KEPT -> n--
    :: else -> skip
    fi;
    do
    :: n < num_events ->
        if
        :: log_kind[n % BUFFER] == 0 -> skip                             /* ACK_NOT_LOGGED */
        :: else -> send_down(k, log_kind[n % BUFFER], n, log_x[n % BUFFER], log_y[n % BUFFER])
        fi;
        n++
    :: else -> break
    od
}

inline lose(k)
{
    break_connection(k);
    lost[k] = true;
    do
    :: nempty(up[k]) -> up[k]?_, _
    :: empty(up[k]) -> break
    od;
    if
    :: attached[k] && phase == REQUESTED -> phase = NOTHING; ending = NOT_YET    /* the create is dropped */
    :: attached[k] && LIVE && MUTANT == LOSS_ENDS -> ending = CANCELLED
    :: else -> skip
    fi;
    attached[k] = false
}

proctype Connection(byte k)
{
end_listening:
    do
    :: d_step {
        !lost[k] && IS_NEXT(k) ->
        up[k]?kind, x;
        if
        :: kind == APPEND && (attached[k] || MUTANT == STALE_APPEND) -> requests!k, x    /* whoever sends it */
        :: kind == APPEND && !attached[k] && MUTANT != STALE_APPEND -> send_down(k, REFUSED, x, ELSEWHERE, 0)
        :: kind == CANCEL -> ending = ((attached[k] && phase < FINISHED && ending == NOT_YET) -> CANCELLED : ending)
        :: else -> create_or_resume(k)
        fi;
        CLEAR
       }
    :: d_step { k < num_connections && !lost[k] && MAY_BREAK(k) -> lose(k) }
    od
}

/* --- the rollout -----------------------------------------------------------------------------------------------------

   A server may be LAG events ahead of what a client has read, then waits for it. (A real one goes on, and at some point
   takes the connection of a slow reader as lost; which may happen here at any moment.) */

#define HAS_ROOM(c)     (!attached[c] || len(down[c]) < LAG)
#define ROOM            EACH(HAS_ROOM, &&)

inline end_segment()
{
    answered = (MUTANT == EARLY_ANSWER_LOST -> answered & ~CALLS_OF(turn) : answered);
    if
    :: OPEN_CALLS == 0 -> HAPPENS(NEEDS_NO_PAUSE); enter()               /* all were answered early */
    :: else -> says = DONE; x = OPEN_CALLS; phase = PAUSED
    fi
}

inline emit()                            /* says, x, y */
{
    watch_event();
    log_kind[num_events % BUFFER] = ((says == APPENDED && MUTANT == ACK_NOT_LOGGED) -> 0 : says);
    log_x[num_events % BUFFER] = x;
    log_y[num_events % BUFFER] = y;
    n = 0;
    do
    :: n < CONNECTIONS ->
        if
        :: attached[n] -> send_down(n, says, num_events, x, y); attached[n] = (says != ENDED)
        :: else -> skip
        fi;
        n++
    :: else -> break
    od;
    num_events++;
    phase = (says == ENDED -> FINISHED : phase)
}

#define IS_SILENT(c)    (len(up[c]) == 0)
#define ALL_IS_OVER     (phase == FORGOTTEN || (phase == NOTHING && num_over == CLIENTS && EACH(IS_SILENT, &&)))

proctype Rollout()
{
    do
    :: atomic {
        if                               /* what happens next */
        :: ROOM && phase == REQUESTED && ending == NOT_YET -> phase = SAMPLING; says = CREATED
        :: ROOM && phase == SAMPLING && UNSAMPLED != 0 -> says = ITEM; x = LOWEST(UNSAMPLED); sampled = sampled | x
        :: ROOM && phase == SAMPLING && UNSAMPLED == 0 && turn < TURNS -> ends = true
        :: ROOM && phase == SAMPLING && turn == TURNS -> says = ENDED; x = COMPLETED
        :: ROOM && phase == PAUSED && MUTANT == STREAMS_IN_PAUSE -> says = ITEM
        :: ROOM && phase < FINISHED && ending != NOT_YET -> says = ENDED; x = ending
        :: ROOM && nempty(requests) -> decides = true
        :: ALL_IS_OVER && empty(requests) -> break
        fi;
        d_step {                         /* and what it leads to */
            if
            :: ends -> end_segment()
            :: decides ->
                requests?from, a;
                decide(a);
                x = OUTPUTS(a);
                y = OPEN_CALLS
            :: else -> skip
            fi;
            if
            :: why != 0 ->
                send_down(from, REFUSED, a, why, 0);
                num_events = num_events + (MUTANT == ERROR_IS_NUMBERED -> 1 : 0)
            :: says != 0 -> emit()
            :: else -> skip
            fi;
            CLEAR
        }
       }
    od
}

/* --- time ------------------------------------------------------------------------------------------------------------

   A timer may run out whenever what it measures is the case. */

bool pause_timer = true;

proctype Clock()
{
    do
    :: atomic {
        if
        :: phase == PAUSED && ending == NOT_YET && pause_timer && MUTANT != NO_PAUSE_TIMEOUT && TIME_PASSES ->
            watch_timer();
            ending = TIMED_OUT
        :: LIVE && ending == NOT_YET && !IS_ATTACHED && MUTANT != NO_GRACE && TIME_PASSES ->
            watch_timer();
            ending = ABANDONED
        :: phase == FINISHED && MUTANT != NEVER_FORGETS && TIME_PASSES ->
            phase = FORGOTTEN
        :: ALL_IS_OVER -> break
        fi
       }
    od
}
