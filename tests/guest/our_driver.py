# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests do to our driver: load it anew, take it away from a program, have the device not answer."""

import rdma_core

DEVICE = "/sys/bus/pci/drivers/efa_emu/0*"
LOAD = "insmod /usr/lib/efa/driver/efa_emu.ko"
RESET = f"""
    address=$(basename {DEVICE})
    dmesg -C
    setpci -s "$address" COMMAND.w=0:4          # the bus is not its to master: commands stay where they are
    ! ibv_devinfo >/dev/null 2>&1
    until dmesg | grep -q 'no answer to command'; do sleep 0.01; done
    setpci -s "$address" COMMAND.w=4:4
    until dmesg | grep -q 'recovered, life'; do sleep 0.01; done
"""
AWAIT_SENDS = """
    sent() { cat /sys/class/infiniband/*/ports/1/hw_counters/send_wrs; }
    before=$(sent)
    until [ $(sent) -gt $((before + 100)) ]; do sleep 0.01; done
"""
WITH_TRAFFIC = """
    sent() { cat /sys/class/infiniband/*/ports/1/hw_counters/send_wrs; }
    ib_send_bw -c SRD -x 0 -D 30 >/tmp/server 2>&1 & server=$!
    until grep -q ':4853 ' /proc/net/tcp*; do sleep 0.01; done      # its port, 18515
    ib_send_bw -c SRD -x 0 -D 30 localhost >/tmp/client 2>&1 & client=$!
    before=$(sent)
    until [ $(sent) -gt $((before + 1000)) ]; do sleep 0.01; done
"""


def reload(env, times, limit):
    """Unload and load it so often."""
    said = env.exec(0, f"for i in $(seq {times}); do rmmod efa_emu && {LOAD} || exit; done; "
                       "ibv_devinfo | grep PORT_ACTIVE", limit=limit).stdout
    assert "PORT_ACTIVE" in said, said


def unload_in_use(env, limit=60):
    """The driver goes while a program moves data; the program ends, and the next one finds the device well."""
    env.exec(0, f"""
        set -e
        {WITH_TRAFFIC}
        rmmod efa_emu
        kill -9 $server $client || true         # if the error has not ended them yet
        wait $server $client || true
        {LOAD}
        ibv_devinfo | grep PORT_ACTIVE
    """, limit=limit)
    rdma_core.run(env, "test_efa_srd", generation=3)


def recover(env, limit=60):
    """A device that does not answer is reset; who had it open is told, and who opens it anew finds it well."""
    env.exec(0, f"""
        set -e
        address=$(basename {DEVICE})
        ib_send_bw -c SRD -x 0 >/tmp/server 2>&1 & server=$!
        until grep -q efa_emu-comp /proc/interrupts && ls -l /proc/$server/fd | grep -q infiniband; do sleep 0.01; done
        setpci -s "$address" COMMAND.w=0:4      # the bus is not its to master: commands stay where they are
        dmesg -C
        ! ibv_devinfo >/dev/null 2>&1
        until dmesg | grep -q 'no answer to command'; do sleep 0.01; done
        setpci -s "$address" COMMAND.w=4:4
        until dmesg | grep -q 'recovered, life 1'; do sleep 0.01; done
        kill $server
        wait $server || true
    """, limit=limit)
    rdma_core.run(env, "test_efa_srd", generation=3)


def check_log(env, more="", node=0, on=None):
    """The kernel has not complained; more: of what else it must not speak, a pattern of grep's."""
    patterns = f"WARNING|BUG|Oops|Call Trace|efa_emu.*(leak|second process){more and '|' + more}"
    errors = env.exec(node, f"dmesg | grep -E '{patterns}' || true", on=on).stdout
    assert not errors, errors
