"""Vision-language models that run here: a frame and a question in, an answer out, read strictly."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.detectors.foundation.base import Found
from edgevision.detectors.foundation.image_processor import processor_settings
from edgevision.detectors.foundation.load_options import FoundationOptions
from edgevision.detectors.foundation.prompts import Prompts
from edgevision.detectors.foundation.tokenizer import load_tokenizer, stand_in_ids
from edgevision.detectors.foundation.torch_base import TorchDetector, built_at_random, load_pretrained, need, weights_id
from edgevision.detectors.foundation.vlm_answers import Tally, Unparsable, question, read_answer

if TYPE_CHECKING:
    import torch

MOST_TOKENS = 256
"""An answer is cut off after so many: it then cannot be read, and is counted so."""
RANDOM_TOKENS = 16
"""Random weights never end an answer, so its length is set."""
RANDOM_QUESTION = 64
"""Tokens of the question where there is no tokenizer: about what a question about two classes has."""


class LanguageDetector(TorchDetector):
    """`answers` counts what became of the questions: an empty result after an unparsable answer is no finding."""

    default_weights: ClassVar[str]
    settings: ClassVar[dict[str, Any]]
    """Of the picture, where the checkpoint is silent."""

    def __init__(
        self,
        order: FoundationOptions,
        prompts: Prompts,
        network: Any,
        tokenizer: Any,
        settings: dict[str, Any],
        seen_as: str,
    ) -> None:
        label = "random" if order.random else weights_id(order.weights or self.default_weights)
        length = f"{RANDOM_TOKENS} tokens" if tokenizer is None else f"at most {MOST_TOKENS} tokens"
        super().__init__(order, label, prompts.classes, f"asked for {order.ask}, {seen_as}, {length}", network)
        self.answers = Tally()
        self._ask, self._prompts, self._tokenizer, self._settings = order.ask, prompts, tokenizer, settings

    @classmethod
    def load(cls, order: FoundationOptions) -> Self:
        need("transformers", "foundation", cls.title)
        cls.check(order)
        prompts = order.prompts or Prompts.default()
        if order.random:
            return cls(order, prompts, built_at_random(cls.built), None, cls.settings)  # type: ignore[call-arg]
        weights = order.weights or cls.default_weights
        network = load_pretrained(cls.network_class(), weights, cls.title)
        settings = {**cls.settings, **processor_settings(weights, cls.title)}
        return cls(order, prompts, network, load_tokenizer(weights, cls.title), settings)  # type: ignore[call-arg]

    @classmethod
    def check(cls, order: FoundationOptions) -> None:
        """Raises `UsageError` where a model cannot be asked for that."""

    @classmethod
    def network_class(cls) -> Any:
        from transformers import AutoModelForImageTextToText

        return AutoModelForImageTextToText

    @classmethod
    def built(cls) -> Any:
        """The network of the default checkpoint, from its configuration."""
        raise NotImplementedError

    @property
    def unread_answers(self) -> int:
        return self.answers.unparsable

    @property
    def account(self) -> str:
        return self.answers.words

    def _find(self, pixels: NDArray[np.uint8]) -> Found:
        self.answers.asked += 1
        inputs, most = self._inputs(pixels)
        ids = self._generated(inputs)
        frame_wh = (pixels.shape[1], pixels.shape[0])
        try:
            if self._tokenizer is None:
                raise Unparsable("random weights have no vocabulary")
            found = self._read(ids, frame_wh, most)
        except Unparsable as exc:
            self.answers.unparsable += 1
            self.answers.last_reason = str(exc)
            return Found.nothing()
        self.answers.answered += 1
        return found

    def _inputs(self, pixels: NDArray[np.uint8]) -> tuple[dict[str, torch.Tensor], tuple[float, float]]:
        """What `generate` takes for a frame, and what the picture's far corner is in the answer's coordinates."""
        raise NotImplementedError

    def _read(self, ids: list[int], frame_wh: tuple[int, int], most: tuple[float, float]) -> Found:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return read_answer(self._ask, text, self._prompts, frame_wh, most)

    def _question_ids(self, before: str, after: str, in_pixels: bool = False) -> list[int]:
        """Token ids of the question between the family's own words."""
        if self._tokenizer is None:
            # Of the lower half: the marks of a picture are numbered last.
            return stand_in_ids(1, RANDOM_QUESTION, self._vocabulary // 2)[0]
        text = before + question(self._ask, self._prompts, in_pixels=in_pixels) + after
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    @property
    def _vocabulary(self) -> int:
        return int(self.network.config.get_text_config().vocab_size)

    @property
    def answer_tokens(self) -> int:
        """Most tokens of one answer."""
        return RANDOM_TOKENS if self._tokenizer is None else MOST_TOKENS

    def _generated(self, inputs: dict[str, torch.Tensor]) -> list[int]:
        """The answer's token ids, greedily: the same for the same frame."""
        count = self.answer_tokens
        known = inspect.signature(self.network.forward).parameters
        inputs = {name: value for name, value in inputs.items() if name in known}
        least = {"min_new_tokens": count} if self._tokenizer is None else {}
        out = self.network.generate(
            **inputs,
            **least,
            max_new_tokens=count,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self._padding,
        )
        answer = out[0] if self.network.config.is_encoder_decoder else out[0, inputs["input_ids"].shape[1] :]
        return [int(token) for token in answer]

    @property
    def _padding(self) -> int:
        """Never seen, since frames are asked about one at a time; generation wants one named."""
        given = getattr(self._tokenizer, "pad_token_id", None)
        return int(given) if given is not None else 0
