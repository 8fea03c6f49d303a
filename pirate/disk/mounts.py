"""Which file systems others may change without a word to this kernel."""

import os

# FUSE may be anything, so it counts as one of them.
_REMOTE = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4"}
    | {"ocfs2", "orangefs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"}
)


def remote_devices() -> dict[int, str]:
    """The devices, as in ``st_dev``, of mounted file systems of that kind, and their type.

    Empty where the kernel has no such list.
    """
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            return remote(lines.read())
    except OSError:
        return {}


def remote(mountinfo: str) -> dict[int, str]:
    """The same from the text of the kernel's list (proc(5))."""
    devices = {}
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        kind = rest.partition(" ")[0]
        if kind.partition(".")[0] in _REMOTE:
            major, minor = fields.split(" ")[2].split(":")
            devices[os.makedev(int(major), int(minor))] = kind
    return devices
