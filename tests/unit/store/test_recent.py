"""What was just stored is kept within its bytes, the oldest going first."""

from ime_gateway.store.recent import Recent


def test_the_oldest_goes_first() -> None:
    recent = Recent(10_000)
    for number in range(5):
        recent.put(f"k{number}", number, 2_000)
    assert [recent.get(f"k{number}") for number in range(5)] == [None, 1, 2, 3, 4]


def test_what_is_dropped_or_replaced_frees_its_bytes() -> None:
    recent = Recent(5_000)
    for _ in range(10):
        recent.put("same", "value", 2_000)
    recent.put("other", "value", 1_900)
    assert recent.get("same") == recent.get("other") == "value"
    recent.drop("same")
    recent.drop("same")
    recent.put("third", "value", 1_900)
    assert recent.get("same") is None
    assert recent.get("other") == "value"


def test_what_is_too_large_is_not_kept() -> None:
    recent = Recent(1_000)
    recent.put("large", "value", 2_000)
    assert recent.get("large") is None
