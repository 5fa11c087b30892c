"""Streams into replicas: shells over WebSocket, one-shot commands, files in and out, connections to ports.

The protocol of a shell. The client opens `GET .../shell` as a WebSocket, with `replica`, `container`, `tty` and `command`
(repeated; a shell without one) as parameters, and sends and gets binary messages whose first byte is a channel, as in
Kubernetes' `v5.channel.k8s.io`:

    0  to the program: its input
    1  from it: its output                     2  from it: its errors (never with a tty)
    3  from the gateway, the last message: how it ended, a JSON Status as in Kubernetes
    4  to the program: the terminal's size, {"Width":80,"Height":24}
    255 0  to the program: the end of its input

The gateway pings every 30 s. It closes with 1000 after the Status, 4403 when the right to the shell was withdrawn, 4408 when
nothing was said for too long, 1012 when the gateway stops, 1009 for a message that is too large and 1003 for one that is not
understood.
"""
