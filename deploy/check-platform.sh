#!/usr/bin/env bash
# Says in one line what is missing where Signalbox cannot be installed; used by `make setup`.
set -u
python="${1:-}"
if [ -z "$python" ]; then
  echo "no Python found; install Python 3.11 or 3.12, or use 'docker compose up'" >&2
  exit 2
fi
version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
case "$version" in
  3.11 | 3.12) ;;
  *)
    echo "Python $version: apache-flink has wheels for 3.11 and 3.12 only; make setup PYTHON=/path/to/python3.11, or use 'docker compose up'" >&2
    exit 2
    ;;
esac
platform="$(uname -s) $(uname -m)"
if [ "$platform" != "Linux x86_64" ]; then
  echo "$platform: apache-flink has no wheels here; use 'docker compose up' with platform linux/amd64" >&2
  exit 2
fi
