/* Connections. A client uses one at a time. The server may hold several: it hears of a loss on its own, and on a
   connection that its client has left there may still come what was sent before.

   Each end notices a loss by itself, at any moment. Until then it reads what is on its way to it; what it has not read
   by then is lost. So any suffix of the messages in flight gets lost, in each direction on its own. */

chan up[CONNECTIONS]   = [UP] of { mtype, byte };
chan down[CONNECTIONS] = [DOWN] of { mtype, byte, byte, byte };

byte num_connections;                    /* opened so far: a higher one is a newer one */
byte num_losses;
bool broken[CONNECTIONS];                /* lost: each end may notice now */
bool left[CONNECTIONS];                  /* the client has noticed, and reads no more */
bool lost[CONNECTIONS];                  /* the server has */

#define MAY_BREAK(c)    (broken[c] || num_losses < LOSSES)

inline break_connection(c)
{
    num_losses = num_losses + (broken[c] -> 0 : 1);
    broken[c] = true
}

/* Sending never blocks, as it doesn't in a sans-I/O core. The assertions say that the channels are long enough. */

inline send_up(c, message, p)
{
    if
    :: lost[c] -> skip
    :: else -> assert(len(up[c]) < UP); up[c]!message, p
    fi
}

inline send_down(c, message, p, q, r)
{
    if
    :: left[c] || lost[c] -> skip
    :: else -> assert(len(down[c]) < DOWN); down[c]!message, p, q, r
    fi
}

/* An expression for each connection, joined by an operator. */
#if CONNECTIONS == 1
#define EACH(f, op)     (f(0))
#elif CONNECTIONS == 2
#define EACH(f, op)     (f(0) op f(1))
#elif CONNECTIONS == 3
#define EACH(f, op)     (f(0) op f(1) op f(2))
#else
#define EACH(f, op)     (f(0) op f(1) op f(2) op f(3))
#endif
