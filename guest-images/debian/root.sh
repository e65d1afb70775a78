#!/bin/sh
# root.sh ROOT CACHE: a minimal Debian in the new folder ROOT. Packages are kept in the folder CACHE from build to build;
# one script at a time works on it.
# TSVMM_DEBIAN_MIRROR: where they come from. Runs in mount and process namespaces of its own, so that nothing of it is left
# however it ends.
set -eu
root=$1 cache=$2
mirror=${TSVMM_DEBIAN_MIRROR:-http://deb.debian.org/debian}

# Scripts of the packages run as root on this host: without a keyring, debootstrap would only warn, and trust the mirror.
debootstrap --variant=minbase --force-check-gpg --cache-dir="$cache" \
  --include=systemd-sysv,udev,dbus,kmod,iproute2,iputils-ping,procps,netbase,busybox-static \
  bookworm "$root" "$mirror"

cp -R "$(dirname "$0")/overlay/." "$root/"
chmod 755 "$root"/usr/local/sbin/*
if [ -z "${TSVMM_DEBIAN_MIRROR:-}" ]; then
  echo 'deb http://deb.debian.org/debian-security bookworm-security main' >>"$root/etc/apt/sources.list"
fi
