from __future__ import annotations

from caesura.protocol.lineage import Lineage
from hypothesis import given
from hypothesis import strategies as st

IDS = st.sampled_from(["a", "b", "c", "d", "e"])
LANES = st.sampled_from([None, "one", "two"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), IDS, LANES),
        st.tuples(st.just("use"), IDS, LANES),
        st.tuples(st.just("fail"), IDS, LANES),
    )
)


@given(steps=STEPS, capacity=st.integers(1, 4))
def test_it_remembers_the_ones_used_last_and_forgets_those_that_failed_on_their_own_lane(
    steps: list[tuple[str, str, str | None]], capacity: int
) -> None:
    lineage, model = Lineage(capacity), list[tuple[str, str | None]]()
    for step, name, lane in steps:
        known = dict(model)
        match step:
            case "add":
                if name in known:
                    continue  # an id is never used twice
                model.append((name, lane))
                forgotten, model = [one for one, _ in model[:-capacity]], model[-capacity:]
                assert lineage.add(name, lane) == forgotten
            case "use":
                lineage.use(name)
                if name in known:
                    model.remove((name, known[name]))
                    model.append((name, known[name]))
            case "fail":
                evicts = name in known and known[name] == lane
                assert lineage.fail(name, lane) is evicts
                if evicts:
                    model.remove((name, lane))
        assert [name in lineage for name in "abcde"] == [name in dict(model) for name in "abcde"]
        assert len(lineage) == len(model)
    assert lineage.clear() == [name for name, _ in model]
    assert len(lineage) == 0
