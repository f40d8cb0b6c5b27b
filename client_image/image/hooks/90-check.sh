# What was removed must not be missed: everything the agent calls starts, and nothing that
# would open the console to strangers is left.
set -eu

fail() { echo "check failed: $*" >&2; exit 1; }

python3 -c 'import asyncio, ctypes, hashlib, http.client, json, lzma, ssl, subprocess, uuid'
python3 -c 'import argparse, concurrent.futures, logging, multiprocessing, tempfile, zipfile'
python3 -c 'import zstandard; d = zstandard.compress(b"x" * 4096); assert zstandard.decompress(d)'

python3 -c 'import fusepy'

# `start NAME OPTION`: the program's libraries are there and it can say something about itself.
start() {
    code=0
    "$@" >/dev/null 2>/tmp/said </dev/null || code=$?
    if [ $code -ge 126 ] || grep -q 'error while loading' /tmp/said; then
        fail "$1: $(cat /tmp/said)"
    fi
}
for fs in extfs ntfs xfs btrfs fat32 exfat f2fs hfsplus; do start partclone.$fs -v; done
for tool in lsblk sfdisk blkid wipefs mount losetup modprobe udevadm systemctl \
    systemd-run ssh-keygen dmsetup cryptsetup ps; do
    start $tool --version
done
for tool in dumpe2fs debugfs e2fsck resize2fs mkfs.xfs xfs_repair xfs_db xfs_growfs mkswap mkfs.ext4 \
    fsck.f2fs debugreiserfs fsck.exfat sysctl ip; do
    start $tool -V
done
for tool in btrfs mdadm efibootmgr; do start $tool version; done
start pvck --version
start loadkeys --version
# Each layout of Ansible's list is one of these; one of them stands for all.
loadkeys --quiet --unicode --mktable de-latin1-nodeadkeys >/dev/null || fail "a key map can't be read"
for tool in ntfsinfo ntfscluster ntfs-3g.probe ntfsfix ntfsresize ntfs-3g fsck.fat; do start $tool --help; done
rm -f /tmp/said

mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N "" -f /tmp/host_key
sshd -t -h /tmp/host_key 2>/tmp/said || {
    # The configured key is made at boot; any other complaint is real.
    grep -v ssh_host_ed25519_key /tmp/said | grep . && fail "sshd does not accept its configuration"
}
rm -rf /tmp/host_key /tmp/host_key.pub /tmp/said /run/sshd

grep -q '^root:\*:' /etc/shadow || fail "root has a password"
awk -F: '$2 != "*" && $2 !~ /^!/ { exit 1 }' /etc/shadow || fail "an account has a password"
[ -z "$(ls /etc/ssh/ssh_host_* 2>/dev/null)" ] || fail "a host key is in the image"
[ ! -s /etc/machine-id ] || fail "a machine id is in the image"
