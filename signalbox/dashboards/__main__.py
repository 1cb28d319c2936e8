"""`python -m signalbox.dashboards`: write the files of `dashboards/` (part of `make docs`)."""

from __future__ import annotations

import io
import json
from typing import Any, Final

from ruamel.yaml import YAML

from signalbox.dashboards.alerts import rules
from signalbox.dashboards.boards import boards
from signalbox.dashboards.scraping import datasources, prometheus, providers
from signalbox.local_stack.layout import PROJECT_ROOT

FOLDER: Final = PROJECT_ROOT / "dashboards"
_HEADER: Final = "# Written by `python -m signalbox.dashboards`; change that, not this.\n"


def files() -> dict[str, str]:
    """Return path below `dashboards/` → text."""
    grafana = "grafana/provisioning"
    return {
        "alerts.yml": _yaml(rules()),
        "prometheus.yml": _yaml(
            prometheus("/signalbox/metrics/*.json", ["jobmanager", "taskmanager"])
        ),
        "prometheus-local.yml": _yaml(
            prometheus("../.signalbox/metrics/*.json", ["127.0.0.1:9249", "127.0.0.1:9250"])
        ),
        f"{grafana}/datasources/prometheus.yml": _yaml(datasources()),
        f"{grafana}/dashboards/signalbox.yml": _yaml(providers()),
        **{
            f"grafana/boards/{name}": json.dumps(board, indent=2, ensure_ascii=False) + "\n"
            for name, board in boards().items()
        },
    }


def _yaml(data: dict[str, Any]) -> str:
    yaml = YAML()
    yaml.width = 300
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    yaml.dump(data, out)
    return _HEADER + out.getvalue()


def main() -> None:
    """Write every file."""
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
