#!/bin/sh
# packages.sh ROOT OUT CACHE [PACKAGE...]: puts the stock cloud kernel's modules and the packages into ROOT, the kernel into
# OUT as vmlinuz, and its version beside it as kernel-version. Runs in mount and process namespaces of its own. One script at
# a time works on the folder CACHE.
set -eu
root=$1 out=$2 cache=$3
shift 3
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# A mount of this namespace only: what is downloaded goes to the cache.
mkdir -p "$root/var/cache/apt/archives"
mount --bind "$cache" "$root/var/cache/apt/archives"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"

# No service is started in here (invoke-rc.d's interface for that).
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
apt() { chroot "$root" apt-get -qq -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root "$@"; }
apt update

kernel=$(chroot "$root" apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-\)/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo 'the mirror has no cloud kernel' >&2; exit 1; }
version=${kernel#linux-image-}
# Unpacked, not installed: its scripts would make an initial RAM disk and a boot menu that nothing uses.
apt -d install --no-install-recommends "$kernel"
# The cache may hold other versions of it.
file=$(apt --print-uris download "$kernel" | sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p")
# Not into the root itself, whose /lib is a link that it would replace.
dpkg-deb -x "$cache/$file" "$out/kernel"
mkdir -p "$root/usr/lib/modules"
mv "$out/kernel/lib/modules/$version" "$root/usr/lib/modules/"
mv "$out/kernel/boot/vmlinuz-$version" "$out/vmlinuz"
echo "$version" >"$out/kernel-version"
rm -r "$out/kernel"
chroot "$root" depmod "$version"

[ $# = 0 ] || apt install --no-install-recommends "$@"

rm "$root/usr/sbin/policy-rc.d"
umount "$root/var/cache/apt/archives" "$root/proc" "$root/dev"
rm -rf "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* \
  "$root"/var/cache/apt/*.bin "$root"/var/log/*.log "$root"/var/log/apt/*
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
echo debian >"$root/etc/hostname"
# The console is the operator's own, and nothing listens on the network: root needs no password.
chroot "$root" passwd -d root >/dev/null
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
  logrotate.timer e2scrub_reap.service getty@tty1.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
wants=$root/etc/systemd/system/multi-user.target.wants
mkdir -p "$wants"
for unit in tsvmm-network tsvmm-ready; do ln -sf "/etc/systemd/system/$unit.service" "$wants/$unit.service"; done
