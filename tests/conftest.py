"""Fixtures that tests of several packages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import blob_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run commands in: a detector of red blocks, a clip and images of them."""
    return blob_folder(tmp_path_factory.mktemp("cli"))
