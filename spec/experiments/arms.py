"""What is run: each arm is one ``caesura bench``, and what of it is plotted."""

from __future__ import annotations

from dataclasses import dataclass

UNIFORM = "--prompt-tokens 500 --append-tokens 60 --output-tokens 30 --tool-time 0"
"""Round numbers that fit the demo model's context with 24 calls, and tools that take no time: the loop itself."""

CODING = "--prompt-tokens 2000 --append-tokens 467 --output-tokens 214 --tool-time 0"
"""What a coding agent's turns come to in the median (TraceLab), with a prompt that is far shorter than theirs."""

CALLS = (1, 5, 10, 20, 40)
ROUND_TRIPS = (20, 80)
ALL_PEERS = ("llama-server", "llama-cpp-python", "example-server", "vllm")


@dataclass(frozen=True, slots=True)
class Arm:
    """``options``: as one would type them after ``caesura bench``. ``peers``: names of :data:`.peers.SERVERS`, which
    get ``model`` and ``context``, which has to be given then. ``plots``: of :data:`.figures.PLOTS`."""

    name: str
    options: str
    repeats: int
    designs: str = "abcdef"
    peers: tuple[str, ...] = ()
    model: str = "demo"
    context: int | None = None
    plots: tuple[str, ...] = ()

    def command(self, *, quick: bool = False) -> list[str]:
        repeats = 1 if quick else self.repeats
        context = "" if self.context is None else f"--ctx {self.context}"
        return f"caesura bench --designs {self.designs} {self.options} {context} --repeats {repeats} --seed 1".split()


ARMS = (
    Arm(
        "demo",
        f"--model demo --tool-calls 24 {UNIFORM}",
        10,
        peers=ALL_PEERS,
        context=4096,
        plots=("stages", "ttft", "overhead"),
    ),
    Arm("slow", f"--tokens-per-second 65 --tool-calls 24 {UNIFORM}", 3, designs="abde"),
    Arm("fast", f"--tokens-per-second 1000 --tool-calls 24 {UNIFORM}", 7),
    Arm("agent", f"--tokens-per-second 1000 --tool-calls 20 {CODING}", 6, designs="ade"),
    Arm("faster", f"--tokens-per-second 4000 --tool-calls 24 {UNIFORM}", 15, plots=("stages", "overhead")),
    Arm(
        "135m",
        "--shape 135m --tool-calls 10 --prompt-tokens 128 --append-tokens 16 --output-tokens 30 --tool-time 0",
        2,
        designs="abde",
        peers=("llama-server",),
        model="random:135m",
        context=2048,
    ),
    Arm(
        "growth",
        "--tokens-per-second 4000 --tool-calls 149 --prompt-tokens 2000 --append-tokens 170 --output-tokens 30 "
        "--tool-time 0",
        6,
        designs="bcde",
        plots=("cost",),
    ),
    *(Arm(f"rtt-{ms}", f"--tokens-per-second 1000 --tool-calls 24 {UNIFORM} --rtt-ms {ms}", 6) for ms in ROUND_TRIPS),
    *(
        Arm(f"calls-{calls}", f"--tokens-per-second 1000 --tool-calls {calls} {UNIFORM}", 6, designs="abde")
        for calls in CALLS
    ),
    Arm(
        "early",
        "--tokens-per-second 1000 --preset coding-agent --tool-calls 24 --prompt-tokens 1000 "
        "--append-tokens lognormal:60,200 --output-tokens lognormal:60,200 --tool-time lognormal:0.05,0.3",
        6,
        designs="bdef",
    ),
    Arm(
        "load",
        f"--tokens-per-second 4000 --cost-model batch=0.05 --tool-calls 24 {UNIFORM} --agents 16 --slo-ttft-ms 100 "
        "--load-seconds 5",
        1,
        designs="be",
        plots=("loads",),
    ),
)
