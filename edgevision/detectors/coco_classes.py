"""Names of the classes that most published detectors were trained on."""

from __future__ import annotations

_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,"
    "snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO_80 = tuple(_COCO.split(","))
"""COCO's classes without the gaps in their numbers, as nearly all detectors count them (from 0)."""

_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Of COCO's category numbers 1 to 90, those that no object has."""


def coco_names(count: int) -> tuple[str, ...] | None:
    """COCO's names for a head of ``count`` classes, or None where no COCO head has so many.

    80: without gaps. 90: category numbers from 1 (TensorFlow, torchvision). 91: from 0, which no object has
    (RF-DETR, DETR).
    """
    if count == 80:
        return COCO_80
    if count not in (90, 91):
        return None
    names = iter(COCO_80)
    numbered = tuple(f"unused {k}" if k in _UNUSED else next(names) for k in range(1, 91))
    return numbered if count == 90 else ("unused 0", *numbered)
