"""A Flink distribution of its own, out of the wheel: what Flink's Kubernetes integration expects at `/opt/flink` of an image.

`python -m signalbox.local_stack.flink_home FOLDER` copies the wheel's scripts and links its jars, the Python jar and the
Kafka connector.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from connectors import jars
from signalbox.local_stack.flink_cluster import link_jars
from signalbox.local_stack.flink_config import wheel_folder

# Copied: Flink's scripts find their home by resolving links, conf/ is mounted over, and plugins/ takes others.
_COPIED: Final = ("bin", "conf", "plugins")


def lay_out(folder: Path) -> None:
    """Make `folder` a FLINK_HOME; nothing is written into the wheel.

    Raises:
        StackError: a jar cannot be downloaded.
        FileExistsError: the folder has such an entry already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        shutil.copytree(wheel_folder() / name, folder / name)
    link_jars(wheel_folder(), jars.ensure("flink"), lib=folder / "lib", opt=folder / "opt")


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
