#!/bin/sh
# Runs a command in a network of its own that has loopback only, and whose kernel acknowledges every packet at once:
# who forgot TCP_NODELAY waits for nobody there.
exec unshare --user --map-root-user --net sh -c '
    ip link set lo up
    for net in 127.0.0.0/8 127.0.0.1; do
        ip route change table local local "$net" dev lo proto kernel scope host src 127.0.0.1 quickack 1
    done
    exec "$@"
' sh "$@"
