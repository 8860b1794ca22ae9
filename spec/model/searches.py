"""What Spin has to find in the model: nothing in the runs, and every built-in fault where it is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """One search through all states.

    :ivar size: the parameters that differ from ``parameters.pml``.
    :ivar claim: the LTL property to check besides the assertions; with none, that no process gets stuck.
    """

    size: str
    claim: str | None = None


PATIENT = "PATIENT=1 QUITS=0"
SMALL = "TURNS=1 CALLS=1 MISCHIEF=0 UNTIMED=1"
# Each parameter that is larger multiplies the states, so a run has few of them large. Together they are the check.
RUNS: Mapping[str, Run] = {
    "losses": Run(f"{PATIENT} TURNS=1 MISCHIEF=0 LOSSES=2"),
    "turns": Run(f"{PATIENT} MISCHIEF=0"),
    "replay": Run(f"{PATIENT} MISCHIEF=0 BUFFER=8"),
    "mischief": Run(f"{PATIENT} TURNS=1 MISCHIEF=1"),
    "repeats": Run(f"{PATIENT} MISCHIEF=2 LOSSES=0"),
    "timers": Run("TURNS=1 MISCHIEF=0 QUITS=0"),
    "takeover": Run(f"{PATIENT} CLIENTS=2 TURNS=1 MISCHIEF=0 NOTES=0"),
    "ends": Run(SMALL, "ends"),
    "abandoned": Run(SMALL, "abandoned"),
    "forgotten": Run(SMALL, "forgotten"),
    "clients_end": Run(SMALL, "clients_end"),
    "told": Run("CLIENTS=2 LOSSES=0 TURNS=1 CALLS=1 MISCHIEF=0 NOTES=0 QUITS=0", "told"),
}

# Run by hand. The figures are in README.md.
LARGE: Mapping[str, Run] = {
    "losses-2": Run(f"{PATIENT} MISCHIEF=0 LOSSES=2"),
    "losses-3": Run(f"{PATIENT} TURNS=1 MISCHIEF=0 LOSSES=3"),
    "replay-2": Run(f"{PATIENT} MISCHIEF=0 LOSSES=2 BUFFER=12 LAG=5"),
    "mischief-1": Run(f"{PATIENT} MISCHIEF=1"),
    "mischief-2": Run(f"{PATIENT} TURNS=1 MISCHIEF=1 LOSSES=2"),
    "timers-quits": Run("TURNS=1 MISCHIEF=0"),
    "timers-turns": Run("MISCHIEF=0 QUITS=0"),
    "timers-losses": Run("TURNS=1 MISCHIEF=0 QUITS=0 LOSSES=2"),
    "takeover-1": Run(f"{PATIENT} CLIENTS=2 TURNS=1 MISCHIEF=0"),
    "takeover-2": Run(f"{PATIENT} CLIENTS=2 TURNS=1 CALLS=1 MISCHIEF=0 NOTES=0 LOSSES=2"),
    "ends-2": Run("TURNS=1 MISCHIEF=0 UNTIMED=1", "ends"),
    "abandoned-2": Run("TURNS=1 MISCHIEF=0 UNTIMED=1", "abandoned"),
    "clients_end-2": Run("TURNS=1 MISCHIEF=0 UNTIMED=1", "clients_end"),
}

# The run and the property that find each fault of mutants.pml.
MUTANTS: Mapping[str, tuple[str, str]] = {
    "RESUMES_EARLY": ("losses", "outputs enter when given"),
    "REPEAT_ENTERS_TWICE": ("mischief", "outputs enter once, in order"),
    "MESSAGE_TWICE": ("mischief", "messages enter once"),
    "FIRST_OUTPUT_ALONE": ("repeats", "messages enter once"),
    "MESSAGE_IN_SAMPLING": ("losses", "the user is told the truth"),
    "ARRIVAL_ORDER": ("losses", "outputs enter once, in order"),
    "CONFLICT_REPLACES": ("mischief", "the first output stands"),
    "PARTIAL_REFUSAL": ("mischief", "no timer is needed"),
    "EARLY_ANSWER_LOST": ("losses", "response.done asks for open calls"),
    "STREAMS_IN_PAUSE": ("losses", "a pause is quiet"),
    "ACK_NOT_LOGGED": ("timers", "events come once, in order"),
    "ERROR_IS_NUMBERED": ("losses", "events come once, in order"),
    "REPLAYS_TOO_LATE": ("losses", "events come once, in order"),
    "REPLAYS_TOO_EARLY": ("losses", "events come once, in order"),
    "SILENT_GAP": ("losses", "events come once, in order"),
    "GAP_ATTACHES": ("turns", "one connection at most"),
    "SNAPSHOT_TOO_OLD": ("losses", "response.done asks for open calls"),
    "SNAPSHOT_WITHOUT_CALLS": ("losses", "a resume tells the open calls"),
    "RESUMED_WITHOUT_CALLS": ("losses", "no timer is needed"),
    "TWO_ATTACHED": ("losses", "one connection at most"),
    "FORMER_NOT_TOLD": ("told", "told"),
    "OLDER_TAKES_OVER": ("losses", "it completes"),
    "STALE_APPEND": ("losses", "messages enter once"),
    "RESUMES_UNDECIDED": ("losses", "messages enter once"),
    "KEY_IGNORED": ("losses", "one Response a key"),
    "LOSS_ENDS": ("losses", "it completes"),
    "NO_GRACE": ("abandoned", "abandoned"),
    "NO_PAUSE_TIMEOUT": ("ends", "ends"),
    "NEVER_FORGETS": ("losses", "nobody is stuck"),
    "FORGETS_TO_RESEND": ("losses", "no timer is needed"),
    "RESENDS_ALL": ("losses", "messages enter once"),
    "RESENDS_TOO_SOON": ("timers", "messages enter once"),
    "RESENDS_AFTER_GAP": ("turns", "messages enter once"),
}

# The run in which each thing that must be able to happen does.
HAPPENINGS: Mapping[str, str] = {
    "SEES_A_GAP": "losses",
    "SEES_A_REPLAY": "losses",
    "SEES_ABANDONMENT": "timers",
    "IS_FORGOTTEN": "timers",
    "IS_TAKEN_OVER": "takeover",
    "IS_TOO_OLD": "losses",
    "NEEDS_NO_PAUSE": "losses",
    "CROSSES_DONE": "losses",
    "ENDS_A_PAUSE_UNSEEN": "losses",
    "MESSAGE_UNKNOWN": "turns",
    "CREATES_TWICE": "losses",
}

# What Spin prints of a violated property, and its name here. An acceptance cycle goes by the name of its claim.
PROPERTIES: Mapping[str, str] = {
    r"assertion violated \(*mutant!=": "happens",
    r"\(\w==num_entered\)": "outputs enter once, in order",
    r"\(answered&\(1<<n\)\)": "outputs enter when given",
    r"\(with_other&": "the first output stands",
    r"\(num_messages_entered<=": "messages enter once",
    r"message_told!=": "the user is told the truth",
    r"says==": "a pause is quiet",
    r"attached\[0\]\+": "one connection at most",
    r"assertion violated 0 ": "one Response a key",
    r"assertion violated  ?!\(1\) ": "no timer is needed",
    r"\|\|\(how==1\)\) ": "it completes",
    r"\(a==seen\)": "events come once, in order",
    r"\(x&settled\)": "response.done asks for open calls",
    r"\(required==": "a resume tells the open calls",
    r"\(y&settled\)": "pending calls are not answered",
    r"offered": "no going on before all is answered",
    r"invalid end state": "nobody is stuck",
}
