#!/bin/sh
# Debian packages that only tests need: an RTSP server, a browser, Prometheus, a proxy, a broker and ffprobe. Installed where that may be done, else named.
set -u
packages="gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad chromium chromium-driver prometheus prometheus-alertmanager nginx-light mosquitto default-jre-headless ffmpeg"
missing=""
for package in $packages; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing Debian packages for the tests:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >/dev/null 2>&1
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 && exit 0
fi
echo "tests that need these Debian packages will be skipped:$missing"
