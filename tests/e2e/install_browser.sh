#!/bin/sh
# The browser tests drive the system's Chromium. Debian's headless build of it needs a fraction of the processor time of the one with
# windows, which is taken where the other cannot be had.
set -u
found() { command -v "$1" >/dev/null 2>&1; }

found chromium-headless-shell && exit 0
if found apt-get; then
    run=""
    [ "$(id -u)" -eq 0 ] || run="sudo -n"
    timeout 300 $run apt-get update -qq && timeout 300 $run apt-get install -y -qq chromium-headless-shell >/dev/null && exit 0
fi
found chromium || found chromium-browser || found google-chrome ||
    echo "Chromium could neither be found nor installed: the browser tests will be skipped"
