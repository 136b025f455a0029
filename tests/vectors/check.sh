#!/usr/bin/env bash
# Both readings of the specification against each other. The one in Python checks the vectors in files/, makes them again and compares,
# and then checks vectors that the program in Rust makes afresh. The exit status is 0 where all agree, or where there is no Python.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"

skip() {
    printf '\n!!! THE VECTORS WERE NOT CHECKED BY THE OTHER READING !!!\nskipped: %s\n' "$1"
    exit 0
}

python=.venv/bin/python
if ! [ -x "$python" ]; then
    found=
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            found=$candidate
            break
        fi
    done
    [ -n "$found" ] || skip 'Python 3.11 or newer is missing'
    "$found" -c 'import venv, ensurepip' 2>/dev/null || skip 'pip is missing (of Python, the parts venv and ensurepip)'
    "$found" -m venv .venv
fi
"$python" -m pip --version >/dev/null 2>&1 || skip 'pip is missing'
"$python" -m pip install --quiet --disable-pip-version-check -r requirements.txt

"$python" valise.py check files
"$python" valise.py same files

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
cargo run --quiet --manifest-path ../../Cargo.toml -p valise-protocol --example make_vectors "$made"
if ! "$python" valise.py check "$made"; then
    trap - EXIT
    echo "these vectors were made by the program in Rust and are kept: $made"
    exit 1
fi
