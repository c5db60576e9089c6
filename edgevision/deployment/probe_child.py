"""The child's side of `edgevision.deployment.probe`: bound itself, then load, run and look."""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgevision.child_process import answer_requests
from edgevision.deployment.plausible_boxes import LEAST_SCORE, what_is_misread
from edgevision.detectors.decoders import Candidates
from edgevision.detectors.manifest import manifest_from
from edgevision.detectors.onnx_detector import OnnxDetector
from edgevision.detectors.onnx_protobuf import inspect
from edgevision.detectors.onnx_session import Session, TensorInfo
from edgevision.errors import EdgeVisionError, ModelInvalid
from edgevision.regular_file import open_regular

_SAMPLES = 64
_MOST_CPU_S = 300


def main(replies: IO[bytes]) -> None:
    """Answer requests until the parent is done."""
    child = _Child()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        try:
            return child.answer(request)
        except EdgeVisionError:
            raise
        except MemoryError:
            raise ModelInvalid(
                f"{child.where}: needs more memory than the {child.memory_mib} MiB it may have"
            ) from None
        except Exception as exc:
            raise ModelInvalid(f"{child.where}: cannot be run: {type(exc).__name__}: {str(exc)[:300]}") from exc

    answer_requests(replies, answer)


class _Child:
    def __init__(self) -> None:
        self.where, self.memory_mib = "", 0
        self._session: Session | None = None

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question["do"] == "take":
            return _take(question["path"], question["to"], question["most_bytes"])
        if question["do"] == "load":
            return self._load(question)
        if question["do"] == "run_once":
            return self._run_once(tuple(question["shape"]))
        return self._try_out(question["manifest"])

    def _load(self, question: dict[str, Any]) -> dict[str, Any]:
        self.where, self.memory_mib = question["where"], question["memory_mib"]
        _bound(self.memory_mib)
        model = Path(question["path"]).read_bytes()
        facts = inspect(model, self.where)
        if facts.external:
            raise ModelInvalid(
                f"{self.where}: keeps weights in other files ({_some(facts.external)}), expected all in one; "
                "embed them: python -c \"import onnx; onnx.save(onnx.load('IN.onnx'), 'OUT.onnx')\""
            )
        if facts.foreign:
            raise ModelInvalid(
                f"{self.where}: uses operators that onnxruntime has not ({_some(facts.foreign)}); export it with "
                "standard ONNX operators only"
            )
        self._session = self._translated(lambda: Session(model, self.where))
        return {
            "inputs": [_row(i) for i in self._session.inputs],
            "outputs": [_row(o) for o in self._session.outputs],
            "metadata": dict(self._session.metadata),
            "opset": facts.opset,
            "inputs_with_values": len(facts.inputs_with_values),
        }

    def _run_once(self, shape: tuple[int, ...]) -> dict[str, Any]:
        session = self._loaded()
        tensor = np.random.default_rng(0).uniform(0, 1, shape).astype(session.inputs[0].dtype)
        began = time.monotonic()
        outputs = self._translated(lambda: session.run(tensor))
        shapes = [_row(TensorInfo(i.name, _shape(o), i.dtype)) for i, o in zip(session.outputs, outputs, strict=True)]
        return {"outputs": shapes, "run_s": time.monotonic() - began}

    def _try_out(self, values: dict[str, Any]) -> dict[str, Any]:
        session = self._loaded()
        detector = OnnxDetector(manifest_from(values, self.where), session)
        recipe = detector.manifest.input
        runs, times_ms, counts, candidates = [], [], [], []
        for picture in _pictures(recipe.width_px, recipe.height_px):
            prepared = detector.prepare(picture)
            began = time.perf_counter()
            raw = self._translated(lambda prepared=prepared: detector.infer(prepared))
            times_ms.append((time.perf_counter() - began) * 1000)
            for info, output in zip(session.outputs, raw.outputs, strict=True):
                if output.dtype.kind == "f" and not np.isfinite(output).all():
                    raise ModelInvalid(
                        f"{self.where}: its output {info.name} has numbers that are not finite (NaN or infinite): the "
                        "file is damaged, or its export went wrong; export or copy it again"
                    )
            candidates.append(detector.candidates(raw, min(LEAST_SCORE, detector.min_score)))
            found = detector.decode(raw)
            highest = int(found.class_ids.max()) if len(found) else 0
            if highest >= len(detector.classes):
                raise ModelInvalid(
                    f"{self.where}: expected classes 0 to {len(detector.classes) - 1} for {len(detector.classes)} "
                    f"names, got class {highest}; give as many --classes as it was trained on"
                )
            counts.append(len(found))
            runs.append(raw.outputs)
        silent = self._check_alive(runs, session)
        if not silent:
            self._check_layout(candidates, detector)
        return {
            "median_ms": statistics.median(times_ms),
            "detections": counts,
            "samples": [[float(v) for v in _sampled(o)] for o in runs[0]],
            "silent": silent,
        }

    def _check_alive(self, runs: list[list[NDArray[Any]]], session: Session) -> bool:
        """Whether nothing came out at all. Raises where something came out that does not depend on the picture."""
        alike = all(
            a.shape == b.shape and np.array_equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True)
        )
        if not alike:
            return False
        if all(not o.any() for o in runs[0]):
            return True
        names = ", ".join(o.name for o in session.outputs)
        raise ModelInvalid(
            f"{self.where}: gives the same outputs ({names}) for every picture: its output does not "
            "depend on the input; it is damaged, or its export left the input unused"
        )

    def _check_layout(self, candidates: list[Candidates], detector: OnnxDetector) -> None:
        manifest = detector.manifest
        recipe = manifest.input
        seen = what_is_misread(candidates, (recipe.width_px, recipe.height_px), detector.min_score)
        if seen is not None:
            outputs = ", ".join(map(str, detector.session.outputs))
            raise ModelInvalid(
                f"{self.where}: as {manifest.family} its outputs ({outputs}) are read wrongly: {seen}; say what it is "
                "with --family, or export it again"
            )

    def _loaded(self) -> Session:
        if self._session is None:
            raise ModelInvalid(f"{self.where}: is not loaded")
        return self._session

    def _translated(self, call: Any) -> Any:
        """Memory refused by the bound, which onnxruntime reports in words of its own, often cut short."""
        try:
            return call()
        except EdgeVisionError as exc:
            if any(word in str(exc).lower() for word in ("alloca", "bad_alloc", "memory")):
                raise ModelInvalid(
                    f"{self.where}: needs more memory than the {self.memory_mib} MiB that an unknown model may have"
                ) from exc
            raise


def _take(path: str, to: str, most_bytes: int) -> dict[str, Any]:
    """Copy a regular file; its hash. All that can block or never end happens here, where it can be killed."""
    digest, left = hashlib.sha256(), most_bytes
    try:
        with open_regular(path, most_bytes) as source, Path(to).open("wb") as target:
            while left >= 0 and (part := source.read(1 << 20)):
                digest.update(part)
                target.write(part)
                left -= len(part)
    except FileNotFoundError:
        return {"missing": True}
    except OSError as exc:
        raise ModelInvalid(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if left < 0:
        raise ModelInvalid(f"{path}: grows while it is read; expected at most {most_bytes >> 20} MiB")
    return {"missing": False, "sha256": digest.hexdigest()}


def _bound(memory_mib: int) -> None:
    """Bound this process where the platform can; where it cannot, the parent watches from outside."""
    if sys.platform == "win32":
        return
    import resource

    bounds = (
        (resource.RLIMIT_AS, memory_mib << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        # Should the parent be killed while a loop without end runs here, this ends it.
        (resource.RLIMIT_CPU, _MOST_CPU_S),
    )
    for which, most in bounds:
        hard = resource.getrlimit(which)[1]
        try:
            resource.setrlimit(which, (most if hard < 0 else min(most, hard), hard))
        except (ValueError, OSError):  # macOS has no such bound on memory
            pass


def _pictures(width_px: int, height_px: int) -> list[NDArray[np.uint8]]:
    """Pictures of very different kinds: a network that answers all of them alike does not look."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (height_px, width_px, 3), np.uint8)
    coarse = np.kron(rng.integers(0, 256, (-(-height_px // 16), -(-width_px // 16), 3), np.uint8), np.ones((16, 16, 1)))
    ramp = np.linspace(0, 255, width_px)[None, :, None] * np.linspace(0.2, 1, height_px)[:, None, None]
    return [
        noise,
        np.ascontiguousarray(coarse[:height_px, :width_px]).astype(np.uint8),
        np.repeat(ramp, 3, 2).astype(np.uint8),
        np.full((height_px, width_px, 3), 114, np.uint8),
    ]


def _sampled(output: NDArray[Any]) -> NDArray[np.float64]:
    flat = output.reshape(-1)
    if len(flat) == 0:
        return np.zeros(0)
    places = np.linspace(0, len(flat) - 1, min(_SAMPLES, len(flat))).astype(int)
    return np.asarray(flat[places], np.float64)


def _shape(output: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(d) for d in output.shape)


def _row(info: TensorInfo) -> list[Any]:
    return [info.name, list(info.shape), info.dtype]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
