"""What every rollout of a server shares: the model, the engine, the replay script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..sampler.engine import Engine
from ..sampler.model import Model
from ..sampler.replay import ReplayScript
from .guards import Guards
from .hosted import HOSTED_TOOLS, HostedTool
from .metrics import Metrics
from .spans import Spans
from .store import ResponseStore


@dataclass(frozen=True, slots=True)
class Service:
    """Immutable once the server runs.

    :ivar model_names: what clients may call the model.
    :ivar replay: forces its turns in place of sampling; None for a real model.
    :ivar store: keeps ended Responses; None keeps none.
    :ivar guards: look at what comes in.
    :ivar scripted: requests may bring such turns themselves (:mod:`.scripted`).
    :ivar anticipates: what is certain to follow a call is computed while it is answered.
    :ivar spans: keeps when what happened, for experiments; None keeps nothing.
    """

    model: Model
    engine: Engine
    model_names: frozenset[str]
    replay: ReplayScript | None = None
    scripted: bool = False
    store: ResponseStore | None = None
    guards: Guards = field(default_factory=Guards)
    metrics: Metrics = field(default_factory=Metrics)
    hosted_tools: Mapping[str, HostedTool] = field(default_factory=lambda: HOSTED_TOOLS)
    anticipates: bool = True
    spans: Spans | None = None

    @property
    def hosted_by_name(self) -> Mapping[str, HostedTool]:
        """Hosted tools by the name that the model calls them by."""
        return {str(tool.function["name"]): tool for tool in self.hosted_tools.values()}
