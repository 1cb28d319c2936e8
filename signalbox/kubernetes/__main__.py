"""`python -m signalbox.kubernetes`: write `deploy/kubernetes` with the default settings."""

from __future__ import annotations

from signalbox.kubernetes.manifests import write_manifests
from signalbox.local_stack.layout import PROJECT_ROOT
from signalbox.settings import Settings

write_manifests(PROJECT_ROOT / "deploy" / "kubernetes", Settings.model_construct())
