import sys

import pytest
from caesura.client.demo.function_templates import TEMPLATES
from caesura.client.demo.repository import TOPICS, make_repository
from caesura.client.demo.simulation import SimulatedWorkspace


@pytest.mark.parametrize("seed", range(40))
def test_exactly_the_stated_test_fails_and_the_fix_makes_all_pass(seed: int) -> None:
    repository = make_repository(seed)
    bug = repository.bug
    workspace = SimulatedWorkspace(repository.files)
    lines = workspace.run_tests().splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("FAIL: ", "ERROR: "))] == [bug.test]
    assert not workspace.tests_pass()
    assert repository.files[bug.path].count(bug.old) == 1
    workspace.edit_file(bug.path, bug.old, bug.new)
    assert workspace.run_tests().endswith("OK")
    assert workspace.tests_pass()


@pytest.mark.parametrize("seed", range(10))
def test_several_bugs_can_be_fixed_in_any_order(seed: int) -> None:
    repository = make_repository(seed, 3)
    workspace = SimulatedWorkspace(repository.files)
    for bug in reversed(repository.bugs):
        assert not workspace.tests_pass()
        workspace.edit_file(bug.path, bug.old, bug.new)
    assert workspace.tests_pass()


def test_a_seed_always_makes_the_same_repository() -> None:
    assert make_repository(7) == make_repository(7)


def test_the_first_thousand_repositories_differ() -> None:
    assert len({tuple(make_repository(seed).files.items()) for seed in range(1000)}) == 1000


def test_the_bug_contradicts_a_docstring_that_stands_above_it() -> None:
    for seed in range(40):
        repository = make_repository(seed)
        before = repository.files[repository.bug.path].split(repository.bug.old)[0]
        assert before.rstrip().rsplit('"""', 2)[1] == repository.bug.docstring or repository.bug.docstring in before


def test_no_module_hides_one_of_the_standard_library() -> None:
    assert not {module for topic in TOPICS for module in topic.modules} & set(sys.stdlib_module_names)


def test_every_template_has_a_bug_that_its_cases_show() -> None:
    import random

    from caesura.client.demo.functions import is_buggy

    for template in TEMPLATES:
        made = [template.make(random.Random(seed), "price", "prices") for seed in range(5)]
        assert any(is_buggy(function, change) for function in made for change in function.changes), template.body
