/* Variables of a single step. They mean nothing between two, so they are hidden: no part of a state.

   What is received into them must be received within a d_step. When Spin's verifier backtracks over a receive, it puts
   the message back from the variables that hold it, and those that are hidden may have changed since. */

hidden mtype kind;                       /* a message */
hidden byte a, x, y, z;                  /* what it carries */
hidden byte n, each, found;              /* loops */

hidden byte takes, replays;              /* a connection of the server: what it does next */
hidden byte from;                        /* the rollout: */
hidden byte ends, decides;
hidden mtype says;                       /* the event to send, with x and y */
hidden byte why;                         /* the append is refused */

hidden byte append;                      /* a client: what to submit */
hidden byte reads, in_replay, goes_on, resends, asks, leaves;
hidden byte how;                         /* it ends */

#define CLEAR                                                                                                         \
    kind = 0; a = 0; x = 0; y = 0; takes = 0; replays = 0; ends = 0; decides = 0; says = 0; why = 0;                  \
    append = 0; reads = 0; in_replay = 0; goes_on = 0; resends = 0; asks = 0; leaves = 0; how = 0
