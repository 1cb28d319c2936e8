"""The manifests of `deploy/kubernetes`, made from the same topics, definitions and settings as everything else."""
