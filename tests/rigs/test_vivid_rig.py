"""The vivid guest: see vivid_rig.py for the machine, vivid_checks.py for what is run in it."""

# ruff: noqa: T201 - what is printed is the rig's report
from __future__ import annotations

import base64
import re

import pytest

from tests.rigs import vivid_rig

pytestmark = pytest.mark.rig


def test_a_real_v4l2_camera(tmp_path):
    absent = vivid_rig.missing()
    if absent:
        pytest.skip(f"needs the Debian packages {' '.join(absent)}; scripts/test-rigs installs them")
    code, console = vivid_rig.boot(
        "$PYTHON -m pytest -p no:cacheprovider -o addopts= --color=no -rA tests/rigs/vivid_checks.py && "
        "EDGEVISION_CAMERA=/dev/video0 $PYTHON -m pytest -p no:cacheprovider -o addopts= --color=no -rA "
        "-k '[camera]' tests/capture/test_source_contract.py",
        limit_s=1500,
    )
    picture = re.search(r"^PICTURE (\S+)$", console, re.MULTILINE)
    if picture:
        (vivid_rig.cache() / "last.jpg").write_bytes(base64.b64decode(picture[1]))
    told = re.sub(r"^PICTURE .*$", "", console, flags=re.MULTILINE)
    print(told[told.find("test session starts") :])
    assert code == 0, told[-6000:]
