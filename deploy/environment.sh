#!/bin/sh
# Run deploy/environment.py with $PYTHON; if it is unset, with the Python of .venv, or else the newest supported one.
here=$(dirname "$0")

runs() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }  # a shim of pyenv may exist and not run; Debian splits venv off

if [ -n "$PYTHON" ]; then
  command -v "$PYTHON" >/dev/null || { echo "error: $PYTHON is not installed; set PYTHON to a Python 3.11, 3.12 or 3.13" >&2; exit 2; }
  runs "$PYTHON" || { echo "error: $PYTHON cannot make environments; install its venv (Debian: python3-venv), or set PYTHON" >&2; exit 2; }
  exec "$PYTHON" "$here/environment.py" "$@"
fi
for python in "$here/../.venv/bin/python" python3.13 python3.12 python3.11; do
  runs "$python" && exec "$python" "$here/environment.py" "$@"
done
echo "error: no Python 3.11, 3.12 or 3.13 with venv was found; install one, or set PYTHON=..." >&2
exit 2
