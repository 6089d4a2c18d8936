#!/bin/sh
# Debian packages that only tests need: an RTSP server, a browser, Prometheus, a proxy, a broker and ffprobe; and TypeScript by
# npm. Installed where that may be done, else named.
set -u
packages="gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad chromium chromium-driver prometheus prometheus-alertmanager nginx-light mosquitto default-jre-headless ffmpeg"
command -v npm >/dev/null || packages="$packages nodejs npm"
missing=""
for package in $packages; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing Debian packages for the tests:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >/dev/null 2>&1
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 && missing=""
fi
[ -z "$missing" ] || echo "tests that need these Debian packages will be skipped:$missing"
typescript=$(dirname "$0")/typescript
installed=$typescript/node_modules/.package-lock.json
[ "$installed" -nt "$typescript/package-lock.json" ] && exit 0
npm ci --prefix "$typescript" --ignore-scripts --no-audit --no-fund >/dev/null 2>&1 ||
	echo "the test of the TypeScript client will be skipped: npm cannot install it"
exit 0
