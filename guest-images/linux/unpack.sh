#!/bin/sh
# Usage: unpack.sh PACKAGE DIR
#
# Unpacks the kernel sources of a linux-source package into DIR, which appears whole or not at all. Drivers and
# architectures that no virtual machine of ours has are left out, but for their Kconfig files: that saves a gigabyte.
set -eu
package=$1
target=$2
work=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

archive=$(dpkg-deb --fsys-tarfile "$package" | tar -t | grep -E '/linux-source-[^/]*\.tar\.[a-z0-9]+$' | head -n 1)
[ -n "$archive" ] || { echo "error: $package holds no sources" >&2; exit 1; }
case $archive in *.bz2) tool=bzip2 ;; *.gz) tool=gzip ;; *) tool=xz ;; esac
dpkg-deb --fsys-tarfile "$package" | tar -xO "$archive" | $tool -dc | tar -x -C "$work" --strip-components=1 \
  --exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/media/*.[ch]' --exclude='*/drivers/infiniband/*.[ch]' \
  --exclude='*/drivers/scsi/*.[ch]' --exclude='*/drivers/staging/*.[ch]' --exclude='*/drivers/net/ethernet/*.[ch]' \
  --exclude='*/drivers/net/wireless/*.[ch]' --exclude='*/sound/*.[ch]' --exclude='*/Documentation/*.rst' \
  --exclude='*/Documentation/devicetree/*' --exclude='*/tools/testing/*' --exclude='*/tools/perf/*' \
  --exclude='*/boot/dts/*' --exclude='*/arch/arm/*.[chS]' --exclude='*/arch/arm64/*.[chS]' \
  --exclude='*/arch/mips/*.[chS]' --exclude='*/arch/powerpc/*.[chS]' --exclude='*/arch/s390/*.[chS]' \
  --exclude='*/arch/riscv/*.[chS]' --exclude='*/arch/sparc/*.[chS]'
mv -T "$work" "$target"
trap - EXIT
