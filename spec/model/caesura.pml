/* The done/append protocol as a model for Spin (https://spinroot.com): one Response, its server, its clients.

   A Response samples TURNS segments that end in CALLS tool calls each, and a last one without. After a segment it
   pauses until appends have answered its calls, unless all of them were answered early. Connections are lost, timers
   run out, appends are repeated: Spin visits every state that can come of it, and in each the properties must hold
   (properties.pml). The text that this is a model of is ../PROTOCOL.md. It is run by check.py.

   What is modelled as it is:

   - Messages in flight, in both directions, on every connection. Any suffix of them is lost when the connection is.
     Each end notices a loss by itself: for a while the server still carries on with a connection that its client has
     left, and may read late what was sent there before.
   - The server's log, bounded to BUFFER events; a resume with its replay; events_lost with its snapshot; takeover.
   - Appends with one output or several, with a message behind them or with nothing else; sent early, while the model
     still samples; refused as a whole; repeated, malformed, contradicting an earlier one; decided some time after they
     have arrived.
   - A client that keeps an append until it is answered, and after a replay sends again what this has not accounted for.
   - A create with an idempotency key, sent again until it is answered; cancelling.
   - Pause timeout, grace period, forgetting. Each may run out at any moment.
   - A client that dies; a tool that never returns; a second client that takes the Response over.

   What is left out: lanes, superseding and limits, which concern several Responses or none; the content of items (an
   output is the right one or another, a message is there or not); deltas, which are events like those that are here;
   usage; the lifetime of a connection, which ends as a loss does; failures of the model, which end a Response as
   cancelling does. Losses are bounded in number (LOSSES), and so is what a user does wrong (MISCHIEF); there is one
   message at most (NOTES). A Response that is forgotten is not begun anew by its idempotency key.

   No run is endless: the model has no cycles. So each process that can move does so in the end, and what is said here
   of the end needs no other assumption of fairness.

   One concept a file. What a sans-I/O core does in one call is one atomic step. */

#include "parameters.pml"
#include "mutants.pml"
#include "messages.pml"
#include "scratch.pml"
#include "network.pml"
#include "response.pml"
#include "properties.pml"
#include "client.pml"
#include "server.pml"

init
{
    atomic {
#ifdef SWITCHABLE
        c_code { if (getenv("MUTANT")) now.mutant = atoi(getenv("MUTANT")); };
#endif
        if
        :: true
        :: UNTIMED -> pause_timer = false
        fi;
        n = 0;
        do
        :: n < CONNECTIONS -> run Connection(n); n++
        :: else -> break
        od;
        run Rollout();
        run Clock();
        n = 0;
        do
        :: n < CLIENTS -> run Client(n); n++
        :: else -> break
        od
    }
}
