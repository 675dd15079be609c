#!/bin/sh
# The browser tests drive the system's Chromium. Debian's headless build of it needs a fraction of the processor time of the one with
# windows, which is taken where the other cannot be had.
set -u
found() { command -v "$1" >/dev/null 2>&1; }

found chromium-headless-shell && exit 0
windowed() { found chromium || found chromium-browser || found google-chrome; }
run=""
if [ "$(id -u)" -ne 0 ]; then
    windowed && exit 0
    run="sudo -n"
fi
install() { timeout 300 $run apt-get install -y -qq "$1" >/dev/null; }
if found apt-get && timeout 300 $run apt-get update -qq; then
    install chromium-headless-shell || windowed || install chromium
fi
found chromium-headless-shell || windowed ||
    echo "Chromium could neither be found nor installed: the browser tests will be skipped"
