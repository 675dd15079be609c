"""Backbones: embeddings, patches and texts against open_clip itself and against closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import cbm  # noqa: F401  (installs the torchvision hook before open_clip is imported)
from cbm.backbones.architectures import find_architecture
from cbm.backbones.backbone import Backbone
from cbm.backbones.towers import build_model
from cbm.core.errors import InvalidInputError

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
TOWERS = {
    "avg": {**VISION, "pool_type": "avg", "final_ln_after_pool": False},
    "avg-norm-after": {**VISION, "pool_type": "avg", "final_ln_after_pool": True},
    "tok": {**VISION, "pool_type": "tok"},
    "tok-norm-after": {**VISION, "pool_type": "tok", "final_ln_after_pool": True},
    "wide-image": {**VISION, "image_size": [32, 48]},
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "patch_size": None},
    "attention-pool": {**VISION, "attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 8},
    "timm-vit": {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 160},
}


@pytest.fixture(scope="module")
def backbone_of(tmp_path_factory: pytest.TempPathFactory):
    made: dict[str, Backbone] = {}

    def make(kind: str) -> Backbone:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            (folder / "config.json").write_text(json.dumps({"embed_dim": 16, "vision_cfg": TOWERS[kind], "text_cfg": TEXT}))
            model = build_model(find_architecture(str(folder)), allow_network=False)
            generator = torch.Generator().manual_seed(0)
            state = {}
            for name, tensor in model.state_dict().items():
                if "num_batches_tracked" in name:
                    state[name] = tensor
                elif "running_var" in name:
                    state[name] = torch.rand(tensor.shape, generator=generator) + 0.5
                else:
                    state[name] = torch.randn(tensor.shape, generator=generator) * 0.2 + 0.05
            save_file(state, folder / "model.safetensors")
            made[kind] = Backbone(str(folder), device="cpu")
        return made[kind]

    return make


def _pictures(count: int, seed: int = 0) -> list[Image.Image]:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(20, 90, size=(count, 2))
    return [Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)) for height, width in sizes]


@pytest.mark.parametrize("kind", sorted(TOWERS))
def test_image_embeddings_are_those_of_the_open_clip_model(backbone_of, kind: str) -> None:
    backbone = backbone_of(kind)
    pixels = torch.stack([backbone.preprocess(picture) for picture in _pictures(5)])
    with torch.no_grad():
        expected = backbone._model.encode_image(pixels).numpy()
    got = backbone.encode_images(pixels, batch_size=2)
    assert got.dtype == np.float32
    assert got.shape == (5, 16)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_preprocessing_is_open_clip_s_bit_for_bit(backbone_of) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    backbone = backbone_of("wide-image")
    transform = image_transform_v2(PreprocessCfg(**backbone._preprocess_config), is_train=False)
    for picture in _pictures(5):
        torch.testing.assert_close(backbone.preprocess(picture), transform(picture), rtol=0, atol=0)


def test_pictures_and_their_ready_tensor_give_the_same_embeddings(backbone_of) -> None:
    backbone = backbone_of("tok")
    pixels = torch.stack([backbone.preprocess(picture) for picture in _pictures(7)])
    np.testing.assert_array_equal(backbone.encode_images(iter(_pictures(7)), batch_size=3), backbone.encode_images(pixels, batch_size=3))


@pytest.mark.parametrize("kind", ["avg", "timm-vit"])
def test_mean_of_patches_is_the_embedding_when_pooling_averages_after_the_norm(backbone_of, kind: str) -> None:
    backbone = backbone_of(kind)
    patches = backbone.encode_patches(_pictures(3))
    np.testing.assert_allclose(patches.mean(axis=(1, 2)), backbone.encode_images(_pictures(3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["avg-norm-after", "tok", "tok-norm-after"])
def test_patches_are_the_last_tokens_normed_and_projected_one_by_one(backbone_of, kind: str) -> None:
    backbone = backbone_of(kind)
    visual = backbone._model.visual
    pixels = torch.stack([backbone.preprocess(picture) for picture in _pictures(2)])
    with torch.no_grad():
        tokens = visual.transformer(visual._embeds(pixels))
        expected = torch.stack([torch.stack([visual.ln_post(token) @ visual.proj for token in image]) for image in tokens]).numpy()
    patches = backbone.encode_patches(pixels)
    np.testing.assert_allclose(patches.reshape(2, 16, 16), expected[:, 1:], rtol=1e-4, atol=1e-5)
    if kind.startswith("tok"):
        np.testing.assert_allclose(backbone.encode_images(pixels), expected[:, 0], rtol=1e-4, atol=1e-5)


def test_patch_grid_has_the_picture_s_orientation(backbone_of) -> None:
    assert backbone_of("wide-image").encode_patches(_pictures(1)).shape == (1, 4, 6, 16)


@pytest.mark.parametrize("kind", ["resnet", "attention-pool"])
def test_towers_without_separable_patches_say_so(backbone_of, kind: str) -> None:
    with pytest.raises(InvalidInputError, match="heat-maps need a vision transformer"):
        backbone_of(kind).encode_patches(_pictures(1))


def test_text_embeddings_average_normalised_templates(backbone_of) -> None:
    import open_clip

    backbone = backbone_of("avg")
    texts, templates = ["red circle", "sand"], ["{}", "a photo of a {}", "{}, drawn"]
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    expected = []
    for text in texts:
        with torch.no_grad():
            vectors = backbone._model.encode_text(tokenizer([template.replace("{}", text) for template in templates])).double().numpy()
        mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
        expected.append(mean / np.linalg.norm(mean))
    np.testing.assert_allclose(backbone.encode_texts(texts, templates, batch_size=4), expected, atol=1e-5)


def test_texts_with_braces_and_bad_templates(backbone_of) -> None:
    backbone = backbone_of("avg")
    assert np.isfinite(backbone.encode_texts(["a {set} of {0}"], ["{} here"])).all()
    assert backbone.encode_texts([]).shape == (0, 16)
    with pytest.raises(InvalidInputError, match="template"):
        backbone.encode_texts(["a"], ["no place"])
    with pytest.raises(InvalidInputError, match="list"):
        backbone.encode_texts("one string")


def test_nothing_to_encode_gives_no_rows(backbone_of) -> None:
    backbone = backbone_of("tok")
    assert backbone.encode_images([]).shape == (0, 16)
    with pytest.raises(InvalidInputError, match="height"):
        backbone.encode_images(torch.zeros(3, 32, 32))


def test_loading_leaves_the_caller_s_random_numbers_alone(backbone_of) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_model(backbone_of("tok")._architecture, allow_network=False)
    assert torch.rand(1) == expected


def test_bfloat16_is_taken_only_where_it_pays(backbone_of, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(backbone_of("tok")._architecture.folder)
    monkeypatch.setattr("cbm.backbones.backbone.bfloat16_pays", lambda device: False)
    assert Backbone(folder, device="cpu", precision="bfloat16").precision == "float32"
    monkeypatch.setattr("cbm.backbones.backbone.bfloat16_pays", lambda device: True)
    low = Backbone(folder, device="cpu", precision="bfloat16")
    full = Backbone(folder, device="cpu")
    assert (low.precision, full.precision) == ("bfloat16", "float32")
    assert low.fingerprint == full.fingerprint
    assert low.store_key != full.store_key
    with pytest.raises(InvalidInputError, match="precision"):
        Backbone(folder, precision="half")
