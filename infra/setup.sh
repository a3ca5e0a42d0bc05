#!/bin/sh
# Install a hash-pinned lock file into .venv/, finding or bootstrapping uv first.
set -eu
lock=${1:-requirements.lock}
UV=$(command -v uv || true)
if [ -z "$UV" ]; then
    UV=.tools/uv/bin/uv
    if [ ! -x "$UV" ]; then
        python=$(command -v python3 || command -v python) || {
            echo "setup: no python3 found; install Python 3.11, 3.12 or 3.13" >&2
            exit 1
        }
        echo "setup: fetching uv into .tools/"
        "$python" -m venv .tools/uv
        .tools/uv/bin/pip install --quiet --disable-pip-version-check \
            --require-hashes --only-binary :all: --requirement requirements-uv.lock
    fi
fi
if [ ! -x .venv/bin/python ]; then
    rm -rf .venv
    "$UV" venv --quiet --no-python-downloads --python '>=3.11,<3.14' .venv
fi
echo "setup: installing $lock into .venv/ (a minute or two; 6 GB, most of it torch)"
# Compiled once, here: where the environment forbids writing bytecode, each process would compile anew.
VIRTUAL_ENV=.venv "$UV" pip sync --quiet --compile-bytecode --require-hashes "$lock"
VIRTUAL_ENV=.venv "$UV" pip install --quiet --no-deps --no-build-isolation -e .
echo "setup: ready; for mlops and dvc: . .venv/bin/activate"
