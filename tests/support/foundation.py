"""Tiny checkpoints of every foundation model, in each library's own format, made by the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation import load_foundation
from edgevision.detectors.foundation.prompts import Prompts

WORDS = ["a", "person", "worker", "hard", "hat", "photo", "of", "the", ".", ",", ":", "is", "in", "scene", "empty"]
LOCATIONS = [f"<loc_{n}>" for n in range(1000)]
CLIP_PICTURE = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
IMAGENET_PICTURE = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
TEXT_TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 96,
}
VISION_TINY = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}

PROMPTS = Prompts.parse("person: a person, a worker; helmet: a hard hat")
FIXED = {"yolo-world", "yoloe"}
"""Their tiny checkpoints carry their classes: the text encoders are downloads."""
LEAST = {"mobilesam": 0.0, "sam": 0.0, "sam2": 0.0}


def frame(width: int = 96, height: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """A picture with structure, (H, W, 3) BGR, read-only as the loop's frames are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    picture.setflags(write=False)
    return picture


def save_tokenizer(folder: Path, specials: dict[int, str], filler: str = "<t{}>", size: int = 96) -> None:
    """A tokenizer of whole words; ``specials`` are tokens at given ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in specials.items()}
    free = (n for n in range(size) if n not in specials)
    for word in WORDS:
        vocabulary.setdefault(word, next(free))
    for number in free:
        vocabulary[filler.format(number)] = number
    unknown = next(t for t in vocabulary if t.startswith("<t"))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    tokenizer.decoder = decoders.Fuse()
    marks = [t for t in specials.values() if t.startswith("<") and not t.startswith("<loc")]
    tokenizer.add_special_tokens(marks)
    tokenizer.add_tokens([t for t in specials.values() if t.startswith("<loc")])
    ends = {t: n for n, t in specials.items() if t in ("<start>", "<end>")}
    if ends:
        # CLIP's kin read a text at its end token, so the tokenizer puts one there.
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<start> $A <end>", special_tokens=list(ends.items())
        )
    padding = next((t for t in specials.values() if t in ("<pad>", "[PAD]")), unknown)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=padding).save_pretrained(folder)


def save_picture_settings(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def seeded(seed: int, make: Any, spread: float = 0.3) -> Any:
    """A network whose weights are wide enough apart for its answers to differ from place to place."""
    import torch

    torch.manual_seed(seed)
    network = make()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, spread)
    return network.eval()


def owlvit(folder: Path, seed: int) -> Any:
    from transformers import OwlViTConfig, OwlViTForObjectDetection

    return _owl(folder, seed, OwlViTConfig, OwlViTForObjectDetection)


def owlv2(folder: Path, seed: int) -> Any:
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    return _owl(folder, seed, Owlv2Config, Owlv2ForObjectDetection)


def _owl(folder: Path, seed: int, config_class: Any, network_class: Any) -> Any:
    text = {**TEXT_TINY, "max_position_embeddings": 16, "eos_token_id": 95, "bos_token_id": 94}
    config = config_class(
        text_config=text, vision_config={**VISION_TINY, "image_size": 64, "patch_size": 16}, projection_dim=32
    )
    network = seeded(seed, lambda: network_class(config), 0.1)
    network.save_pretrained(folder)
    save_picture_settings(folder, {**CLIP_PICTURE, "size": {"height": 64, "width": 64}})
    save_tokenizer(folder, {0: "<pad>", 94: "<start>", 95: "<end>"})
    return network


def grounding_dino(folder: Path, seed: int) -> Any:
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin",
            "image_size": 64,
            "embed_dim": 16,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 2, 2, 2],
            "window_size": 4,
            "out_features": ["stage2", "stage3", "stage4"],
        },
        text_config={"model_type": "bert", **TEXT_TINY, "vocab_size": 1100, "max_position_embeddings": 64},
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_queries=20,
        max_text_len=64,
        fusion_dropout=0.0,
        fusion_droppath=0.0,
    )
    network = seeded(seed, lambda: GroundingDinoForObjectDetection(config), 0.1)
    network.save_pretrained(folder)
    save_picture_settings(folder, {**IMAGENET_PICTURE, "size": {"shortest_edge": 64, "longest_edge": 107}})
    save_tokenizer(folder, {0: "[PAD]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}, size=1100)
    return network


def sam(folder: Path, seed: int) -> Any:
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            **VISION_TINY,
            "output_channels": 32,
            "image_size": 128,
            "patch_size": 16,
            "mlp_dim": 48,
            "global_attn_indexes": [1],
            "window_size": 4,
            "num_pos_feats": 16,
        },
        prompt_encoder_config={
            "hidden_size": 32,
            "image_size": 128,
            "patch_size": 16,
            "mask_input_channels": 4,
            "image_embedding_size": 8,
        },
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 48,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
            "num_hidden_layers": 2,
        },
    )
    network = seeded(seed, lambda: SamModel(config))
    network.save_pretrained(folder)
    save_picture_settings(folder, {**IMAGENET_PICTURE, "size": {"longest_edge": 128}})
    return network


def sam2(folder: Path, seed: int) -> Any:
    from transformers import Sam2Config, Sam2Model

    hiera = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 16,
        "image_size": [128, 128],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "global_attention_blocks": [3],
        "window_size_per_stage": [4, 4, 4, 4],
        "window_positional_embedding_background_size": [4, 4],
    }
    config = Sam2Config(
        vision_config={
            "backbone_config": hiera,
            "backbone_channel_list": [128, 64, 32, 16],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 128, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 48,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
            "num_hidden_layers": 2,
        },
    )
    network = seeded(seed, lambda: Sam2Model(config))
    network.save_pretrained(folder)
    save_picture_settings(folder, {**IMAGENET_PICTURE, "size": {"height": 128, "width": 128}})
    return network


def clip(folder: Path, seed: int) -> Any:
    from transformers import CLIPConfig, CLIPModel

    text = {**TEXT_TINY, "max_position_embeddings": 16, "eos_token_id": 95, "bos_token_id": 94}
    config = CLIPConfig(
        text_config=text, vision_config={**VISION_TINY, "image_size": 32, "patch_size": 16}, projection_dim=24
    )
    network = seeded(seed, lambda: CLIPModel(config), 0.1)
    network.save_pretrained(folder)
    save_picture_settings(folder, {**CLIP_PICTURE, "size": {"shortest_edge": 32}, "crop_size": 32, "resample": 3})
    save_tokenizer(folder, {0: "<pad>", 94: "<start>", 95: "<end>"})
    return network


def dinov2(folder: Path, seed: int) -> Any:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(**VISION_TINY, image_size=28, patch_size=14)
    network = seeded(seed, lambda: Dinov2Model(config), 0.1)
    network.save_pretrained(folder)
    crop = {"height": 28, "width": 28}
    save_picture_settings(folder, {**IMAGENET_PICTURE, "size": {"shortest_edge": 32}, "crop_size": crop, "resample": 3})
    return network


def dinov3(folder: Path, seed: int) -> Any:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    config = DINOv3ViTConfig(**VISION_TINY, image_size=32, patch_size=16, num_register_tokens=2)
    network = seeded(seed, lambda: DINOv3ViTModel(config), 0.1)
    network.save_pretrained(folder)
    save_picture_settings(folder, {**IMAGENET_PICTURE, "size": {"height": 32, "width": 32}, "resample": 2})
    return network


def smolvlm(folder: Path, seed: int) -> Any:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    config = SmolVLMConfig(
        text_config={"model_type": "llama", **TEXT_TINY, "num_key_value_heads": 1, "max_position_embeddings": 512},
        vision_config={**VISION_TINY, "image_size": 64, "patch_size": 16},
        scale_factor=2,
        image_token_id=92,
    )
    network = seeded(seed, lambda: SmolVLMForConditionalGeneration(config), 0.1)
    _save_language(network, folder)
    save_picture_settings(
        folder, {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "max_image_size": {"longest_edge": 64}, "resample": 1}
    )
    save_tokenizer(
        folder,
        {
            1: "<|im_start|>",
            92: "<image>",
            93: "<fake_token_around_image>",
            94: "<global-img>",
            95: "<end_of_utterance>",
        },
    )
    return network


def qwen_vl(folder: Path, seed: int) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    config = Qwen3VLConfig(
        text_config={
            **TEXT_TINY,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000, "mrope_section": [4, 2, 2]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=92,
        video_token_id=91,
        vision_start_token_id=93,
        vision_end_token_id=94,
        tie_word_embeddings=True,
    )
    network = seeded(seed, lambda: Qwen3VLForConditionalGeneration(config), 0.1)
    _save_language(network, folder)
    save_picture_settings(
        folder,
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 1024, "longest_edge": 16384}},
    )
    save_tokenizer(
        folder,
        {1: "<|im_start|>", 92: "<|image_pad|>", 93: "<|vision_start|>", 94: "<|vision_end|>", 95: "<|im_end|>"},
    )
    return network


def florence2(folder: Path, seed: int) -> Any:
    from transformers import Florence2Config, Florence2ForConditionalGeneration

    config = Florence2Config(
        text_config={
            "model_type": "bart",
            "vocab_size": 1100,
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "max_position_embeddings": 128,
        },
        vision_config={
            "depths": [1, 1, 1, 1],
            "embed_dim": [8, 16, 16, 32],
            "num_heads": [1, 2, 2, 2],
            "num_groups": [1, 2, 2, 2],
            "window_size": 4,
            "projection_dim": 32,
        },
        image_token_id=1099,
    )
    network = seeded(seed, lambda: Florence2ForConditionalGeneration(config), 0.1)
    _save_language(network, folder)
    save_picture_settings(folder, {**IMAGENET_PICTURE, "size": {"height": 64, "width": 64}, "resample": 3})
    places = {60 + n: f"<loc_{n}>" for n in range(1000)}
    save_tokenizer(folder, {0: "<s>", 1: "<pad>", 2: "</s>", **places, 1099: "<image>"}, size=1100)
    return network


def _save_language(network: Any, folder: Path) -> None:
    network.save_pretrained(folder)


def mobile_sam_network() -> Any:
    """MobileSAM's own parts, narrower. Its picture stays 1024 px and its last width 320: ultralytics fixes both."""
    from ultralytics.models.sam.build import _build_sam

    return _build_sam([16, 16, 16, 320], [1, 1, 1, 1], [1, 2, 2, 2], None, mobile_sam=True)


def mobilesam(folder: Path, seed: int) -> Any:
    import torch

    network = seeded(seed, mobile_sam_network, 0.1)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "mobile_sam.pt")
    return network


def yolo_world(folder: Path, seed: int) -> Any:
    from ultralytics.nn.tasks import WorldModel

    return _yolo(folder, seed, WorldModel, "yolov8-worldv2.yaml", "yolov8n-worldv2")


def yoloe(folder: Path, seed: int) -> Any:
    from ultralytics.nn.tasks import YOLOEModel

    return _yolo(folder, seed, YOLOEModel, "yoloe-11.yaml", "yoloe-11n")


def _yolo(folder: Path, seed: int, kind: Any, configuration: str, name: str) -> Any:
    """The nano scale, thinner still, its two classes fixed before it is saved: no text encoder is needed then."""
    import torch
    from ultralytics.nn.tasks import yaml_model_load

    settings = yaml_model_load(configuration)
    settings["scales"] = {"n": [0.33, 0.125, 256]}
    settings["scale"] = "n"
    torch.manual_seed(seed)
    network = kind(settings, verbose=False).eval()
    # An untrained head says "nothing anywhere", and untrained layers quieten what they pass on.
    for parameter_name, parameter in network.named_parameters():
        if parameter_name.endswith("bias") and parameter.numel() == 1:
            parameter.data.fill_(0.0)
        elif parameter_name.endswith("logit_scale"):
            parameter.data.fill_(3.0)
        elif parameter.dim() == 4:
            parameter.data.mul_(2.0)
    words = torch.nn.functional.normalize(torch.randn(1, 2, 512), dim=-1)
    names = ["person", "helmet"]
    if hasattr(network, "set_classes") and name.startswith("yoloe"):
        network.set_classes(names, words)
    else:
        network.txt_feats = words
        network.model[-1].nc = 2
        network.names = dict(enumerate(names))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": network, "train_args": {}}, folder / f"{name}.pt")
    return network


SAVERS: dict[str, Any] = {
    "owlvit": owlvit,
    "owlv2": owlv2,
    "grounding-dino": grounding_dino,
    "yolo-world": yolo_world,
    "yoloe": yoloe,
    "sam": sam,
    "sam2": sam2,
    "mobilesam": mobilesam,
    "clip": clip,
    "dinov2": dinov2,
    "dinov3": dinov3,
    "smolvlm": smolvlm,
    "florence2": florence2,
    "qwen-vl": qwen_vl,
}


def talking_llava(folder: Path, says: str) -> None:
    """A tiny LLaVA that answers one thing, with the processor and template that a server needs.

    A last norm of nothing makes every next token equally likely, and the first of them is ``says``.
    """
    import torch
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessorPil,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    config = LlavaConfig(
        text_config={"model_type": "llama", **TEXT_TINY, "num_key_value_heads": 1, "max_position_embeddings": 1024},
        vision_config={"model_type": "clip_vision_model", **VISION_TINY, "image_size": 32, "patch_size": 16},
        image_token_id=92,
    )
    network = seeded(1, lambda: LlavaForConditionalGeneration(config), 0.1)
    with torch.no_grad():
        network.get_decoder().norm.weight.zero_()
    network.save_pretrained(folder)
    save_tokenizer(folder, {0: says, 92: "<image>", 94: "<s>", 95: "</s>"})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = (
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}"
        "{% endif %}{% endfor %}{% endfor %}"
    )
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    processor.save_pretrained(folder)


class Shelf:
    """Checkpoints and detectors, each made once."""

    def __init__(self, folder):
        self._folder, self._saved, self._loaded = folder, {}, {}

    def saved(self, name, seed=1):
        """(folder, the network as it was saved)"""
        if (name, seed) not in self._saved:
            folder = self._folder / f"{name}-{seed}"
            folder.mkdir(parents=True)
            self._saved[name, seed] = (folder, SAVERS[name](folder, seed))
        return self._saved[name, seed]

    def detector(self, name, seed=1):
        if (name, seed) not in self._loaded:
            folder, _ = self.saved(name, seed)
            prompts = None if name in FIXED else PROMPTS
            self._loaded[name, seed] = load_foundation(
                name, weights=str(folder), prompts=prompts, min_score=LEAST.get(name, 0.05)
            )
        return self._loaded[name, seed]
