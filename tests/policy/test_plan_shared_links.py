"""Links that two chains share, proven by holders of either."""

from chains import false_chain, invented_chain

from pirate.policy.plan import Plan

TRUE = invented_chain(8)
FALSE = false_chain(TRUE, {4})  # differs in segments 3 and 4


def test_a_holder_of_a_false_chain_may_close_the_true_one() -> None:
    plan = Plan({})
    plan.join("A", TRUE)
    for index in (TRUE.count - 1, *range(5)):
        plan.prove("A", index, 0)
    plan.leave("A")
    plan.join("B", FALSE)
    plan.prove("B", 5, 0)
    assert not plan.done
    plan.prove("B", 6, 0)
    assert plan.done
