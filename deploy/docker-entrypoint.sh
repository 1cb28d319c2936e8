#!/usr/bin/env bash
# Flink's Kubernetes operator starts a container with Flink's own scripts: they are run as they come. Everything else is a
# role of ours (jobmanager, taskmanager, jobs, agents, sources, gateway), or a program: `python -m agents NAME`, `signalbox …`.
set -eu
case "${1:-}" in
  jobmanager | taskmanager | jobs | agents | sources | gateway) exec python -m signalbox.local_stack.container "$@" ;;
  "")
    echo "say what to run: jobmanager, taskmanager, jobs, agents, sources, gateway, or a command such as 'signalbox doctor'" >&2
    exit 2
    ;;
  *) exec "$@" ;;
esac
