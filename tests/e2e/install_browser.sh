#!/bin/sh
# The browser tests drive the system's Chromium; install Debian's package where none is found and we may.
set -u
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
command -v apt-get >/dev/null 2>&1 || { echo "no Chromium found: the browser tests will be skipped"; exit 0; }
run=""
[ "$(id -u)" -eq 0 ] || run="sudo -n"
$run apt-get update -qq && $run apt-get install -y -qq chromium >/dev/null ||
    echo "Chromium could not be installed: the browser tests will be skipped"
