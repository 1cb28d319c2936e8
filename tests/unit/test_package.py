"""The archive that goes to clusters which do not know Signalbox holds what the modules in it read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from signalbox.local_stack.package import ARCHIVE, write_package


def test_archive_modules_find_their_data_inside_it(tmp_path: Path) -> None:
    """MiniLM's directions are read out of the archive, not beside a file."""
    write_package(tmp_path)
    look = (
        "import sys; sys.path.insert(0, sys.argv[1]); import connectors.minilm_tokens as found;"
        "print(found.__file__, found._DIRECTIONS.shape)"
    )

    done = subprocess.run(
        [sys.executable, "-c", look, str(tmp_path / ARCHIVE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert ARCHIVE in done.stdout
    assert "(384, 64)" in done.stdout
