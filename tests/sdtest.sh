#!/usr/bin/env bash
# Runs a command beside a systemd that is PID 1 of namespaces of its own, and leaves nothing behind.
#
#     sdtest.sh UNITS [SOURCE=TARGET]... -- COMMAND [ARGUMENT]...
#
# UNITS is a directory; its test.target is what is started, and no unit of the host is seen, but what
# COMMAND puts into /etc/systemd/system; nor is what the host has under /opt and /var/lib, and /etc is
# a copy. Each directory SOURCE is seen as TARGET, below /opt or /etc, by systemd and by COMMAND, and
# by nobody else. Needs root, a cgroup2 mount and util-linux. The exit code is COMMAND's.
set -euo pipefail

units=$1
shift
binds=()
while [ "$1" != -- ]; do
    binds+=("$1")
    shift
done
shift

# systemd wants a cgroup tree of its own to put its units in.
cgroup=$(findmnt --noheadings --output TARGET --types cgroup2 | head -n 1)/prr-sdtest.$$
mkdir "$cgroup"

clean_up() {
    kill -KILL "$init" 2>/dev/null || true  # and with PID 1 its whole namespace
    wait "$outer" 2>/dev/null || true
    for _ in {1..50}; do
        find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && return
        sleep 0.1  # the kernel is still taking the processes apart
    done
    echo "sdtest: $cgroup is left" >&2
}
init= outer=
trap clean_up EXIT

# Inside the namespaces, before systemd: the mounts. They are private, and end with the namespace.
prepare='
    units=$1; shift
    mount --make-rprivate /
    umount --lazy /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount -t tmpfs tmpfs /run
    mount --make-shared /run  # as where a machine boots: credentials are mounted there from outside
    mkdir /run/systemd /run/etc
    cp --archive /etc/. /run/etc
    rm --recursive --force /run/etc/systemd/system
    mkdir /run/etc/systemd/system
    mount --bind /run/etc /etc
    mount -t tmpfs tmpfs /opt
    mount -t tmpfs tmpfs /var/lib
    for bind; do
        mkdir --parents "${bind#*=}"
        mount --bind "${bind%%=*}" "${bind#*=}"
    done
    ip link set lo up
    export container=unshare SYSTEMD_UNIT_PATH=$units:/etc/systemd/system SYSTEMD_LOG_TARGET=console
    exec /lib/systemd/systemd --system --unit=test.target --show-status=0
'
(
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    exec setpriv --pdeathsig KILL unshare --fork --kill-child --mount-proc \
        --pid --mount --cgroup --net --uts --ipc bash -ec "$prepare" prepare "$units" "${binds[@]}"
) </dev/null &
outer=$!

for _ in {1..100}; do
    init=$(cut -d ' ' -f 1 "/proc/$outer/task/$outer/children" 2>/dev/null || true)
    if [ -n "$init" ] && nsenter --target "$init" --all systemctl is-active --quiet test.target \
        2>/dev/null; then
        nsenter --target "$init" --all "$@"  # its exit code is ours
        exit
    fi
    sleep 0.1
done
echo "sdtest: test.target is not active after 10 s" >&2
exit 1
