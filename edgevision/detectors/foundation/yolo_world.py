"""YOLO-World (Cheng et al., 2024) and YOLOE (Wang et al., 2025), from ultralytics (AGPL-3.0), small.

Prompts are turned into embeddings once, by the library's own text encoder, and stay in the network. A checkpoint whose
classes were fixed before it was saved needs no text encoder, where no prompts are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.boxes import from_centres
from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.open_vocabulary import best_class, without_duplicates
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.torch_base import TorchDetector, built_at_random, weights_id
from edgevision.detectors.foundation.ultralytics_loader import load_network, need_ultralytics
from edgevision.detectors.manifest import Resize
from edgevision.detectors.preprocess import Letterbox
from edgevision.errors import EdgeVisionError, ModelInvalid, ModelNotFound, UsageError

if TYPE_CHECKING:
    import torch

SIDE_PX = 640
STRIDE_PX = 32
_GREY = 114
_EMBEDDING = 512


class PromptedYolo(TorchDetector):
    """What both have in common."""

    default_weights: ClassVar[str]
    configuration: ClassVar[str]
    default_score = 0.25

    def __init__(self, order: FoundationOptions, prompts: Prompts, network: Any) -> None:
        label = "random" if order.random else weights_id(order.weights or self.default_weights)
        mode = f"open-vocabulary boxes, longer side {SIDE_PX} px"
        # Batch normalisation is folded into the convolutions, as the library does before it predicts.
        network = network.fuse(verbose=False)
        super().__init__(order, label, prompts.classes, mode, network)
        self.prompts = prompts

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        need_ultralytics(cls.title)
        if order.random:
            prompts = order.prompts or Prompts.default()
            network = built_at_random(cls.built)
            cls.fix(network, prompts, built_at_random(lambda: _unit_vectors(len(prompts.flat))))
            return cls(order, prompts, network)
        weights = order.weights or cls.default_weights
        network = load_network(weights, cls.network_class(), cls.title)
        if order.prompts is None and cls.is_fixed(network):
            prompts = Prompts.of_classes(dict(sorted(dict(network.names).items())).values())
            if len(prompts.classes) != network.model[-1].nc:
                raise ModelInvalid(
                    f"{weights}: names {len(prompts.classes)} classes, its head has {network.model[-1].nc}"
                )
            cls.settle(network)
            return cls(order, prompts, network)
        prompts = order.prompts or Prompts.default()
        cls.fix(network, prompts, cls.text_embeddings(network, prompts))
        return cls(order, prompts, network)

    @classmethod
    def network_class(cls) -> type[Any]:
        raise NotImplementedError

    @classmethod
    def built(cls) -> Any:
        """The network of the default checkpoint, from its configuration."""
        return cls.network_class()(cls.configuration, verbose=False).eval()

    @classmethod
    def is_fixed(cls, network: Any) -> bool:
        """Whether the classes that a network is named for are in it."""
        raise NotImplementedError

    @classmethod
    def fix(cls, network: Any, prompts: Prompts, embeddings: torch.Tensor) -> None:
        """Put (1, P, D) prompt embeddings into the network."""
        raise NotImplementedError

    @classmethod
    def settle(cls, network: Any) -> None:
        """Work the words that a network already has into its layers, where it can."""

    @classmethod
    def text_embeddings(cls, network: Any, prompts: Prompts) -> torch.Tensor:
        """(1, P, D) by the library's own text encoder, which it downloads. Raises `ModelNotFound`."""
        try:
            embeddings: torch.Tensor = network.get_text_pe(list(prompts.flat))
            return embeddings
        except EdgeVisionError:
            raise
        except (Exception, SystemExit) as exc:
            reason = " ".join(str(exc).split())[:120] or type(exc).__name__
            raise ModelNotFound(
                f"{cls.title}: its text encoder cannot be had ({reason}); {cls.encoder_hint}, or give a checkpoint "
                "saved with its classes fixed and no prompts"
            ) from exc

    encoder_hint: ClassVar[str]

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        letterbox = _minimal(pixels.shape[1], pixels.shape[0])
        output = self.network(self._prepared(pixels, letterbox))
        while isinstance(output, list | tuple):
            output = output[0]
        rows = output[0].float().cpu().numpy()
        count = len(self.prompts.flat)
        if getattr(self.network.model[-1], "end2end", False):
            ids = np.asarray(self.prompts.class_ids, np.int64)[rows[:, 5].astype(np.int64).clip(0, count - 1)]
            found = Found(rows[:, :4], rows[:, 4], ids)
        else:
            scores, ids = best_class(np.ascontiguousarray(rows[4 : 4 + count].T), self.prompts)
            # Thresholded before the boxes are worked out: of 8400 places nearly all are empty.
            sure = (scores >= self.min_score).nonzero()[0] if np.isfinite(scores).all() else np.arange(len(scores))
            found = Found(from_centres(np.ascontiguousarray(rows[:4, sure].T)), scores[sure], ids[sure])
        # Before they are cut to the frame, as the library does: cut, two different boxes may look alike.
        found = without_duplicates(found, self.min_score)
        return Found(letterbox.to_frame(found.boxes), found.scores, found.class_ids)

    def _prepared(self, pixels: NDArray[np.uint8], letterbox: Letterbox) -> torch.Tensor:
        import torch

        (width, height), (w, h) = letterbox.input_wh, letterbox.content_wh
        square = np.full((height, width, 3), _GREY, np.uint8)
        left, top = letterbox.pad_left_px, letterbox.pad_top_px
        inner = pixels if (w, h) == letterbox.frame_wh else cv2.resize(pixels, (w, h), interpolation=cv2.INTER_LINEAR)
        square[top : top + h, left : left + w] = inner
        rgb = torch.from_numpy(np.ascontiguousarray(square[:, :, ::-1].transpose(2, 0, 1)))
        return rgb.to(self.device)[None].float() / 255


class YoloWorld(PromptedYolo):
    """YOLO-World v2, small."""

    title = "YOLO-World"
    default_weights = "yolov8s-worldv2.pt"
    configuration = "yolov8s-worldv2.yaml"
    encoder_hint = "pip install git+https://github.com/ultralytics/CLIP.git"

    @classmethod
    def network_class(cls) -> type[Any]:
        from ultralytics.nn.tasks import WorldModel

        return WorldModel  # type: ignore[no-any-return]

    @classmethod
    def is_fixed(cls, network: Any) -> bool:
        features = getattr(network, "txt_feats", None)
        return features is not None and features.shape[1] == len(network.names) == network.model[-1].nc

    @classmethod
    def fix(cls, network: Any, prompts: Prompts, embeddings: torch.Tensor) -> None:
        network.txt_feats = embeddings
        network.model[-1].nc = len(prompts.flat)
        network.names = dict(enumerate(prompts.flat))


class Yoloe(PromptedYolo):
    """YOLOE, on YOLO11 small. The published checkpoints segment too; the boxes are what is used."""

    title = "YOLOE"
    default_weights = "yoloe-11s-seg.pt"
    configuration = "yoloe-11s.yaml"
    encoder_hint = "connect once, so that ultralytics can fetch mobileclip_blt.ts"

    @classmethod
    def network_class(cls) -> type[Any]:
        from ultralytics.nn.tasks import YOLOEModel

        return YOLOEModel  # type: ignore[no-any-return]

    @classmethod
    def is_fixed(cls, network: Any) -> bool:
        embeddings = getattr(network, "pe", None)
        fused = bool(getattr(network.model[-1], "is_fused", False)) or hasattr(network.model[-1], "lrpc")
        return fused or (embeddings is not None and embeddings.shape[1] == len(network.names))

    @classmethod
    def fix(cls, network: Any, prompts: Prompts, embeddings: torch.Tensor) -> None:
        head = network.model[-1]
        if getattr(head, "is_fused", False) or hasattr(head, "lrpc"):
            names = ", ".join(list(dict(network.names).values())[:8])
            raise UsageError(
                f"this checkpoint's classes are fixed ({names}, …); give no prompts, or another checkpoint"
            )
        network.set_classes(list(prompts.flat), embeddings)
        cls.settle(network)

    @classmethod
    def settle(cls, network: Any) -> None:
        head = network.model[-1]
        if not getattr(head, "is_fused", False) and not hasattr(head, "lrpc"):
            # Into the head's own convolutions: the words then cost nothing a frame.
            head.fuse(network.pe)


def _unit_vectors(count: int) -> torch.Tensor:
    import torch

    vectors = torch.randn(1, count, _EMBEDDING)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _minimal(width: int, height: int) -> Letterbox:
    """The frame in the middle of the least rectangle of strides that holds it at `SIDE_PX`, as the library does."""
    scale = min(SIDE_PX / width, SIDE_PX / height)
    sides = (-(-max(1, round(side * scale)) // STRIDE_PX) * STRIDE_PX for side in (width, height))
    input_w, input_h = sides
    square = Letterbox.fit((width, height), (SIDE_PX, SIDE_PX), Resize.LETTERBOX)
    w, h = square.content_wh
    left, top = round((input_w - w) / 2 - 0.1), round((input_h - h) / 2 - 0.1)
    return Letterbox((width, height), (input_w, input_h), (scale, scale), left, top)
