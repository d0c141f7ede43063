#!/bin/sh
# Two daemons, one on the other: twice.sh SOURCE MOUNTPOINT. Until it is unmounted.
mkdir -p "$2.lower"
bindfs -f "$1" "$2.lower" &
while ! mountpoint -q "$2.lower"; do sleep 0.02; done
bindfs -f "$2.lower" "$2"
umount "$2.lower"
wait
rmdir "$2.lower"
