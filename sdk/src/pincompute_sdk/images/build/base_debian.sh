# A hook of mmdebstrap for the base `debian`: $1 holds a small Debian with apt.
set -e
root=$1
echo "app:x:65532:65532::/app:/bin/sh" >>"$root/etc/passwd"
echo "app:x:65532:" >>"$root/etc/group"
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/lintian/* "$root"/var/log/*
sed -i -E 's#://[^/@]+@#://#' "$root/etc/apt/sources.list" # a password for the packages stays with the machine that builds
rm -f "$root/etc/apt/apt.conf.d/98pincompute" "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/resolv.conf" "$root/etc/hostname"
