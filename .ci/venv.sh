#!/bin/sh
# Debian ships Python without its venv module; fetch it when we may, say what to do when we may not.
set -eu
python="$1"
venv="$2"
rm -rf "$venv"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    sh "$(dirname "$0")/apt.sh" python3-venv
    exec "$python" -m venv "$venv"
fi
echo "this Python cannot create environments; install its venv module (Debian and Ubuntu: apt install python3-venv)" >&2
exit 1
