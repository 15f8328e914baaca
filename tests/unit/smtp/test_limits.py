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
