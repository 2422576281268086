"""Run folders from the published files, used by other commands, and written back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dorl.commands.convert import export_official, import_official
from dorl.commands.embed import embed
from dorl.commands.fit import fit
from dorl.commands.segment import segment
from dorl.errors import InputError
from dorl.representation import AutoencoderConfig, CrossDomainAutoencoder
from dorl.run.model import DoRL
from segmentation.stand_ins import official_adapter, official_sam, write


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small stand-ins for the three published files."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    config = AutoencoderConfig(width=32, depth=1, heads=1, decoder_depth=1, grid=28, image_channels=(8, 8, 4, 4))
    CrossDomainAutoencoder(config).save_official(folder / "cae.mdl")
    return {
        "sam": write(folder / "sam_vit_s.pth", official_sam()),
        "adapter": write(folder / "lora_sam.pth", official_adapter()),
        "cae": folder / "cae.mdl",
    }


@pytest.fixture(scope="module")
def imported(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder from these; don't change it."""
    out = tmp_path_factory.mktemp("imported") / "run"
    import_official(**files, out=out, mean=(200, 180, 190), std=(40, 50, 20), device="cpu")
    return out


def test_the_folder_is_whole_and_says_where_it_came_from(imported: Path) -> None:
    names = {path.name for path in imported.iterdir()}
    assert names >= {"config.toml", "segmenter.safetensors", "base.safetensors", "autoencoder.safetensors"}
    assert names >= {"metrics.json", "report.html", "README.md"}
    assert "Imported from sam_vit_s.pth" in (imported / "report.html").read_text()
    card = (imported / "README.md").read_text()
    assert "Imported from sam_vit_s.pth" in card
    assert "dorl fit LAB... --segmenter RUN" in card
    assert DoRL.load(imported).segmenter.mean == (200.0, 180.0, 190.0)


def test_features_need_none_of_the_files_it_came_from(imported: Path, files: dict[str, Path], tmp_path: Path) -> None:
    image = np.full((50, 60, 3), 200, np.uint8)
    before = DoRL.load(imported).transform([image])
    hidden = [path.rename(tmp_path / path.name) for path in files.values()]
    try:
        np.testing.assert_array_equal(DoRL.load(imported).transform([image]), before)
    finally:
        for old, path in zip(hidden, files.values(), strict=True):
            old.rename(path)


def test_what_is_written_back_has_equal_weights(imported: Path, files: dict[str, Path], tmp_path: Path) -> None:
    written = export_official(imported, out=tmp_path / "back")
    assert [path.name for path in written] == ["lora_sam.pth", "cae.mdl"]
    for path, original in zip(written, (files["adapter"], files["cae"]), strict=True):
        ours, theirs = (torch.load(p, weights_only=True) for p in (path, original))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(InputError, match="is there already"):
        export_official(imported, out=tmp_path / "back")


def test_an_autoencoder_of_cells_has_no_official_layout(fitted: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="export a run of dorl fit --method published"):
        export_official(fitted, out=tmp_path / "files")
    assert not (tmp_path / "files").exists()


def test_a_run_without_lora_gives_its_autoencoder_alone(published: Path, tmp_path: Path) -> None:
    assert [path.name for path in export_official(published, out=tmp_path)] == ["cae.mdl"]
    again = CrossDomainAutoencoder.from_official(tmp_path / "cae.mdl", device="cpu")
    own = DoRL.load(published, device="cpu").autoencoder
    tokens = torch.randn(1, 192, 14, 14)
    # a token scale is worked into the weights, and the norms' eps is not scaled with them
    torch.testing.assert_close(again.encode(tokens), own.encode(tokens), rtol=1e-3, atol=2e-3)


@pytest.mark.slow
def test_other_commands_take_it(imported: Path, rendered: Path, labs: list[str], tmp_path: Path) -> None:
    segment(rendered / "dune" / "images", out=tmp_path / "masks", segmenter=imported)
    assert len(list((tmp_path / "masks").glob("*.png"))) == 30
    assert embed(labs[:1], out=tmp_path / "embedded", segmenter=imported).X.shape == (30, 32)
    model = fit(labs, out=tmp_path / "run", segmenter=imported, autoencoder=imported, folds=2)
    assert (model.config.method, model.config.autoencoder.preset) == ("published", "given")
    assert model.autoencoder.digest() == DoRL.load(imported).autoencoder.digest()
    image = np.full((50, 60, 3), 200, np.uint8)
    assert len(DoRL.load(tmp_path / "run").predict([image])) == 1


def test_files_that_do_not_fit_leave_nothing(files: dict[str, Path], imported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="w_a_000 is missing"):
        import_official(**{**files, "adapter": files["sam"]}, out=tmp_path / "run")
    torch.manual_seed(0)
    CrossDomainAutoencoder(AutoencoderConfig(width=8, depth=1, heads=1, decoder_depth=1, grid=2)).save_official(
        tmp_path / "other.mdl"
    )
    with pytest.raises(InputError, match="give the segmenter that it was trained with"):
        import_official(**{**files, "cae": tmp_path / "other.mdl"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="holds a finished run"):
        import_official(**files, out=imported)


def test_a_given_autoencoder_has_no_unseen_lab(labs: list[str], fitted: Path, tmp_path: Path) -> None:
    from dorl.commands.fit import evaluate

    with pytest.raises(InputError, match="'unseen' trains autoencoders of its own"):
        evaluate(labs, out=tmp_path / "e", protocols=["unseen"], autoencoder=fitted)
    assert not (tmp_path / "e").exists()
