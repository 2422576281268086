"""Schedule, seeds, worker threads and checkpoints of unfinished trainings."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from dorl.errors import InputError
from dorl.runtime.training import (
    best_device,
    default_device,
    has_bf16,
    load_progress,
    prefetch,
    save_progress,
    seeded,
    set_learning_rate,
    warmup_cosine,
)
from dorl.tensorfiles import load_tensors


def test_warm_up_is_linear_then_half_a_cosine() -> None:
    factors = [warmup_cosine(step, warmup=4, total=12) for step in range(13)]
    assert factors[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert factors[6] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert factors[8] == pytest.approx(0.5)
    assert factors[12] == pytest.approx(0)
    assert factors[4:] == sorted(factors[4:], reverse=True)


def test_without_warm_up_and_past_the_end() -> None:
    assert warmup_cosine(0, warmup=0, total=10) == 1
    assert warmup_cosine(25, warmup=0, total=10) == pytest.approx(0)
    assert warmup_cosine(1, warmup=1, total=1) == 1  # not a division by zero


def test_every_group_gets_the_learning_rate() -> None:
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    optimizer = torch.optim.AdamW([{"params": layer.parameters()} for layer in layers], lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_draws_depend_on_the_words_alone() -> None:
    draws = {words: seeded(*words).integers(2**62) for words in [(0, 0), (0, 1), (1, 0)]}
    assert len(set(draws.values())) == 3
    assert seeded(0, 1).integers(2**62) == draws[0, 1]


def test_the_device_is_the_one_asked_for() -> None:
    assert default_device("cpu") == torch.device("cpu")
    assert default_device().type == default_device("auto").type == best_device()


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_is_the_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert best_device() == expected


def test_apples_gpu_is_taken_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    made: list[torch.device] = []
    monkeypatch.setattr(torch, "empty", lambda *sizes, device: made.append(device))
    assert default_device() == torch.device("mps")
    assert made == [torch.device("mps")]
    assert not has_bf16(torch.device("mps"))


@pytest.mark.parametrize("name", ["toaster", "cuda:99"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' can't be used here: give 'cpu'"):
        default_device(name)


@pytest.mark.parametrize(("matrix_units", "allowed"), [(True, True), (False, True), (True, False)])
def test_bfloat16_is_for_processors_with_matrix_units_that_may_be_used(
    matrix_units: bool, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrix_units, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    # what ONEDNN_MAX_CPU_ISA=AVX2 makes of it
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: allowed)
    assert has_bf16(torch.device("cpu")) is (matrix_units and allowed)


@pytest.mark.parametrize("workers", [1, 4])
def test_prefetch_keeps_the_order(workers: int) -> None:
    def slower_at_first(number: int) -> int:
        time.sleep(0.002 * (10 - number % 10))
        return number * number

    assert list(prefetch(slower_at_first, range(30), workers=workers, ahead=5)) == [n * n for n in range(30)]
    assert list(prefetch(slower_at_first, [], workers=workers)) == []


def test_prefetch_works_ahead_but_not_further_than_told() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield number

    results = prefetch(lambda number: number, items(), ahead=3)
    for wanted in range(50):
        assert next(results) == wanted
        assert wanted < taken[-1] <= wanted + 3
    results.close()  # type: ignore[attr-defined]
    assert taken[-1] <= 52


def test_prefetch_uses_several_threads() -> None:
    meeting = threading.Barrier(2, timeout=10)  # one thread alone would wait here until it breaks
    list(prefetch(lambda _: meeting.wait(), range(4), workers=2))


def test_prefetch_passes_an_error_on_in_its_place() -> None:
    def read(number: int) -> int:
        if number == 3:
            raise OSError("image 3")
        return number

    results = prefetch(read, range(100))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="image 3"):
        next(results)


def test_prefetch_passes_on_an_error_of_the_items() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise OSError("folder")

    with pytest.raises(OSError, match="folder"):
        list(prefetch(lambda number: number, items()))


def test_prefetch_drops_what_waits_when_its_user_stops() -> None:
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        time.sleep(0.02)
        return number

    results = prefetch(read, range(1000), workers=1, ahead=100)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 50


class Net(nn.Module):
    """A trained layer, a frozen one, and one that no gradient reaches."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.trained = nn.Linear(width, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.unused = nn.Parameter(torch.zeros(2))


def make(seed: int) -> tuple[Net, torch.optim.AdamW]:
    torch.manual_seed(seed)
    net = Net()
    return net, torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=0.1)


def train(net: Net, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net.frozen(net.trained(x)).square().sum().backward()
        optimizer.step()


def test_progress_restores_weights_and_moments(tmp_path: Path) -> None:
    path = tmp_path / "unfinished.safetensors"
    straight, optimizer = make(0)
    train(straight, optimizer, range(5))
    save_progress(path, straight, optimizer, {"step": 5})
    train(straight, optimizer, range(5, 9))

    resumed, fresh = make(1)
    resumed.frozen.load_state_dict(straight.frozen.state_dict())
    assert load_progress(path, resumed, fresh) == {"step": 5}
    train(resumed, fresh, range(5, 9))
    assert torch.equal(resumed.trained.weight, straight.trained.weight)
    for own, other in ((straight.trained.bias, resumed.trained.bias),):
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(optimizer.state[own][name], fresh.state[other][name])


def test_progress_holds_no_frozen_weight(tmp_path: Path) -> None:
    path = tmp_path / "unfinished.safetensors"
    net, optimizer = make(0)
    train(net, optimizer, range(2))
    save_progress(path, net, optimizer, {})
    assert not any("frozen" in name for name in load_tensors(path)[0])
    other, fresh = make(1)
    before = other.frozen.weight.clone()
    load_progress(path, other, fresh)
    assert torch.equal(other.frozen.weight, before)


def test_progress_before_the_first_step(tmp_path: Path) -> None:
    path = tmp_path / "unfinished.safetensors"
    net, optimizer = make(0)
    save_progress(path, net, optimizer, {"step": 0})
    other, fresh = make(1)
    load_progress(path, other, fresh)
    assert torch.equal(other.trained.weight, net.trained.weight)


def test_progress_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "unfinished.safetensors"
    net, optimizer = make(0)
    train(net, optimizer, range(1))
    save_progress(path, net, optimizer, {})
    for other in (Net(width=4), nn.Linear(3, 2)):
        with pytest.raises(InputError, match="checkpoint of another network: remove it"):
            load_progress(path, other, torch.optim.AdamW(other.parameters()))
