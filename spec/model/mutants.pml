/* Faults that can be built in, to see that the check finds them. What each does stands where it is built in: grep for
   its name. One of them: spin -DMUTANT=ARRIVAL_ORDER. All of them, with the one at work that the environment variable
   MUTANT gives by number: spin -DSWITCHABLE. */

#define NO_MUTANT               0

/* response.pml */
#define RESUMES_EARLY           1
#define REPEAT_ENTERS_TWICE     2
#define MESSAGE_TWICE           3
#define FIRST_OUTPUT_ALONE      4
#define MESSAGE_IN_SAMPLING     5
#define ARRIVAL_ORDER           6
#define CONFLICT_REPLACES       7
#define PARTIAL_REFUSAL         8

/* server.pml */
#define EARLY_ANSWER_LOST      10
#define STREAMS_IN_PAUSE       11
#define ACK_NOT_LOGGED         12
#define ERROR_IS_NUMBERED      13
#define REPLAYS_TOO_LATE       14
#define REPLAYS_TOO_EARLY      15
#define SILENT_GAP             16
#define GAP_ATTACHES           17
#define SNAPSHOT_TOO_OLD       18
#define SNAPSHOT_WITHOUT_CALLS 19
#define RESUMED_WITHOUT_CALLS  20
#define TWO_ATTACHED           21
#define FORMER_NOT_TOLD        22
#define OLDER_TAKES_OVER       23
#define STALE_APPEND           24
#define RESUMES_UNDECIDED      25
#define KEY_IGNORED            26
#define LOSS_ENDS              27
#define NO_GRACE               28
#define NO_PAUSE_TIMEOUT       29
#define NEVER_FORGETS          30

/* client.pml */
#define FORGETS_TO_RESEND      40
#define RESENDS_ALL            41
#define RESENDS_TOO_SOON       42
#define RESENDS_AFTER_GAP      43

/* No faults, but what must be able to happen, or else the model would prove little: it counts as an error when it
   does, so the check must find it as well. */

#define HAPPENS(what)           assert(MUTANT != what)
#define HAPPENS_IF(what, case)  assert(MUTANT != what || !(case))

#define SEES_A_GAP             60
#define SEES_A_REPLAY          61
#define SEES_ABANDONMENT       62
#define IS_FORGOTTEN           63
#define IS_TAKEN_OVER          64
#define IS_TOO_OLD             65
#define NEEDS_NO_PAUSE         66
#define CROSSES_DONE           67
#define ENDS_A_PAUSE_UNSEEN    68
#define MESSAGE_UNKNOWN        69
#define CREATES_TWICE          70

#ifdef SWITCHABLE
byte mutant;
#define MUTANT mutant
#endif
#ifndef MUTANT
#define MUTANT NO_MUTANT
#endif
