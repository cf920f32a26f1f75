"""Files that a reader sees whole or not at all."""

from __future__ import annotations

import pytest

from bitproof.errors import EnvironmentFailed
from bitproof.store.files import write_text


def test_a_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(EnvironmentFailed, match="could not be written"):
        write_text(tmp_path / "file" / "out.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
