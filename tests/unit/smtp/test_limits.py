from ime_gateway.smtp.limits import NOT_SERVING, ConnectionBoard, MemoryBudget


def test_memory_is_reserved_grown_and_given_back() -> None:
    budget = MemoryBudget(100)
    one, two = budget.reservation(), budget.reservation()
    assert one.grow_to(60)
    assert two.grow_to(40)
    assert not one.grow_to(61)
    assert budget.used == 100
    assert not budget.has_room(1)
    two.release()
    two.release()
    assert budget.used == 60
    assert one.grow_to(100)
    assert one.grow_to(10)
    one.release()
    assert budget.used == 0


def test_the_least_busy_worker_has_its_turn() -> None:
    counts = [NOT_SERVING] * 3
    first, second = ConnectionBoard(counts, 0), ConnectionBoard(counts, 1)
    assert first.is_my_turn()
    first.enter()
    assert not first.is_my_turn()
    assert second.is_my_turn()
    second.enter()
    assert first.is_my_turn()
    assert counts == [1, 1, NOT_SERVING]
    first.enter()
    second.retire()
    assert first.is_my_turn()
    first.leave()
    first.leave()
    first.leave()
    assert first.mine == 0


def test_a_part_never_uses_more_than_its_share_and_counts_in_the_whole() -> None:
    whole = MemoryBudget(100)
    part = whole.part(50)
    outsider, another, insider = part.reservation(), part.reservation(), whole.reservation()
    assert outsider.grow_to(50)
    assert (part.used, whole.used) == (50, 50)
    assert not part.has_room(1) and not another.grow_to(1)
    assert whole.has_room(50) and not whole.has_room(51)
    assert insider.grow_to(50)
    outsider.release()
    outsider.release()
    assert (part.used, whole.used) == (0, 50)
    assert insider.grow_to(80)
    assert part.has_room(20) and not part.has_room(21), "the whole is nearly full"
    assert not another.grow_to(21) and another.grow_to(20)
    assert (part.used, whole.used) == (20, 100)
    assert another.grow_to(5)
    insider.release()
    another.release()
    assert (part.used, whole.used) == (0, 0)
