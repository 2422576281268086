from __future__ import annotations

import threading

import pytest
import torch

from dorl.runtime.inference import CPU_BATCH, over_batches

CPU = torch.device("cpu")


def test_all_items_come_once_in_order_the_last_batch_short() -> None:
    items = list(range(3 * CPU_BATCH + 2))
    pairs = list(over_batches(sum, items, device=CPU))
    assert [len(batch) for batch, _ in pairs] == [CPU_BATCH] * 3 + [2]
    assert [item for batch, _ in pairs for item in batch] == items
    assert all(result == sum(batch) for batch, result in pairs)
    assert list(over_batches(sum, [], device=CPU)) == []


def test_each_worker_has_one_thread_and_the_caller_keeps_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = [result for _, result in over_batches(lambda _: torch.get_num_threads(), range(40), device=CPU)]
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    def failing(batch: object) -> None:
        raise ValueError(threading.current_thread().name)

    with pytest.raises(ValueError, match="ThreadPool"):
        list(over_batches(failing, range(9), device=CPU))


def test_a_batch_may_be_smaller() -> None:
    assert [result for _, result in over_batches(len, range(5), device=CPU, size=2)] == [2, 2, 1]
