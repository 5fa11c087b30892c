# A hook of mmdebstrap for the base `python`: $1 holds unpacked packages, none of which is configured.
set -e
root=$1
for deb in "$root"/var/cache/apt/archives/*.deb; do
  dpkg-deb -f "$deb" | sed '1a Status: install ok installed'
  echo
done >"$root/var/lib/dpkg/status" # what scanners of images read
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
echo "app:x:65532:65532::/app:/bin/sh" >>"$root/etc/passwd"
echo "app:x:65532:" >>"$root/etc/group"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
chroot "$root" /bin/busybox --install -s
mkdir -p "$root/app" "$root/usr/local/bin"
python=$(chroot "$root" /usr/bin/python3 -c 'import sys; print("/usr/lib/python%d.%d" % sys.version_info[:2])')
chroot "$root" /bin/sh -c 'python3 -m zipfile -e /usr/share/python-wheels/pip-*.whl /usr/lib/python3/dist-packages'
rm -rf "$root/usr/share/python-wheels"
printf '#!/bin/sh\nexec python3 -m pip "$@"\n' >"$root/usr/local/bin/pip"
chmod 755 "$root/usr/local/bin/pip"
ln -s python3 "$root/usr/bin/python"
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED # in a container the system's Python is the app's
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/man "$root"/usr/share/info "$root"/usr/share/locale "$root"/usr/share/lintian "$root"/usr/share/bug
rm -rf "$root"/usr/lib/*-linux-gnu/gconv "$root"/usr/lib/python3*/pydoc_data "$root"/usr/share/perl5 "$root"/linuxrc
rm -f "$root/etc/apt/apt.conf.d/98pincompute" "$root/etc/apt/apt.conf.d/99mmdebstrap" # proxies, perhaps with a password
: >"$root/etc/apt/sources.list"
rm -f "$root"/etc/resolv.conf "$root"/etc/hostname # those of the machine that builds
chroot "$root" /usr/bin/python3 -m compileall -q --invalidation-mode unchecked-hash "$python"
