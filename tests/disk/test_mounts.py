import os

from pirate.disk.mounts import remote, remote_devices

LIST = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
36 22 0:31 / /net rw shared:9 master:2 - nfs4 host:/export rw,vers=4.2
37 22 0:32 / /home/a\040b rw - fuse.sshfs host:/ rw
38 22 0:33 / /mnt rw - tmpfs tmpfs rw
39 22 0:34 / /disk rw - fuseblk /dev/sdb1 rw
""".lstrip()


def test_only_what_others_may_change_is_remote() -> None:
    assert remote(LIST) == {os.makedev(0, 31): "nfs4", os.makedev(0, 32): "fuse.sshfs"}


def test_the_list_of_this_machine_can_be_read() -> None:
    assert isinstance(remote_devices(), dict)
